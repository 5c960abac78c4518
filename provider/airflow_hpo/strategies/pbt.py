"""
PBT: a population trains side by side; the worst go on from the best, with other values.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from airflow_hpo.errors import Problem
from airflow_hpo.model.distribution import Constant, Float, Int, LogNormal, Normal
from airflow_hpo.model.ladder import Bracket, Place, Rung
from airflow_hpo.model.objective import loss
from airflow_hpo.model.trial import Suggestion
from airflow_hpo.model.values import derive_seed
from airflow_hpo.strategies._ladder import Ladder
from airflow_hpo.strategies.base import Options

if TYPE_CHECKING:
    from airflow_hpo.model.space import Parameter, Space
    from airflow_hpo.model.trial import Trial
    from airflow_hpo.model.values import Configuration, Value
    from airflow_hpo.strategies._ladder import Members
    from airflow_hpo.strategies.base import Setting

__all__ = ["PbtOptions", "PbtStrategy"]

_LEAST_GENERATIONS = 2

# Draws before a member keeps the values that it has.
_TRIES = 100


class PbtOptions(Options):
    """
    Options of population based training.

    Args:
        population: How many members train side by side.

        quantile: Which share of them, the worst, goes on from as many of the best.

        resample: How likely a copied value is drawn anew instead of changed.

        factors: A copied number is multiplied by one of these two.
    """

    population: int = Field(default=8, ge=2, le=1000)
    quantile: float = Field(default=0.25, gt=0, le=0.5)
    resample: float = Field(default=0.25, ge=0, le=1)
    factors: tuple[float, float] = (0.8, 1.2)


class PbtStrategy(Ladder):
    """
    Trains a population in generations that all spend a little more of the resource.

    A generation is a rung: once all its members have ended, each goes on from
    its own checkpoint with its own values, but for the worst ones: they go on
    from the checkpoint of one of the best, with values changed a little or
    drawn anew. Members that failed are among the worst.

    There are as many generations as the budget has room for; the first spends
    the resource's minimum, the last its maximum, evenly between. What is found
    is a schedule of values, not one configuration: the best trial's is the
    last piece of it, and its ancestors' are the pieces before.

    Source:
        Jaderberg et al. (2017), "Population Based Training of Neural Networks",
        arXiv:1711.09846, with truncation selection.
    """

    name: ClassVar[str] = "pbt"
    options_class: ClassVar[type[Options]] = PbtOptions
    options: PbtOptions  # type: ignore[assignment]

    def __init__(self, options: PbtOptions, setting: Setting) -> None:
        """
        Keep *options* and *setting*.
        """
        self.options = options
        self.setting = setting

    def problems(self, space: Space) -> Iterator[Problem]:
        """
        Yield what keeps the strategy from running, where its options are right.
        """
        del space
        resource, population = self.setting.resource, self.options.population
        if resource is None:
            rule = f"must be given for strategy {self.name}"
            yield Problem("resource", rule, "write resource: {name: epochs, min: 2, max: 20}")
            return
        needed = population * _LEAST_GENERATIONS
        if self.setting.trials < needed:
            rule = f"must be at least {needed}, two generations of {population}"
            yield Problem("budget.trials", f"{rule}, got {self.setting.trials}", f"write {needed}")
        if len(set(self._resources())) < _LEAST_GENERATIONS:
            rule = "must be above min: each generation trains further than the one before"
            yield Problem("resource.max", f"{rule}, got {resource.max:g}")

    def brackets(self, space: Space) -> tuple[Bracket, ...]:
        """
        Return the generations as the rungs of one bracket.
        """
        del space
        resources, count = self._resources(), self.options.population
        rungs = []
        for number, (before, given) in enumerate(pairwise((0.0, *resources))):
            promote = count if number + 1 < len(resources) else 0
            rungs.append(Rung(number, count, given, promote, count * (given - before)))
        return (Bracket(len(rungs) - 1, tuple(rungs)),)

    def _resources(self) -> tuple[float, ...]:
        """
        Return what the members of each generation spend in all, ascending.
        """
        resource = self.setting.resource
        if resource is None:
            raise ValueError(f"resource must be given for strategy {self.name}")
        generations = max(self.setting.trials // self.options.population, 1)
        parts = max(generations - 1, 1)
        wide = resource.max - resource.min
        found = [resource.min + wide * (number / parts) for number in range(generations)]
        if resource.whole:
            found = [float(round(each)) for each in found]
        if generations > 1:
            found[-1] = resource.max
        return tuple(dict.fromkeys(found))

    def _above(
        self, space: Space, members: Members, place: Place, *, rung: Rung, count: int, seed: int
    ) -> list[Suggestion]:
        """
        Return the next members of the generation after a whole one.
        """
        standing, begun = members.at(place), len(members.at(place.above()))
        if begun >= len(standing):
            return []
        due = self._following(space, standing, place, seed=seed)[begun : begun + count]
        return [self._as_member(each, rung.resource, place, members) for each in due]

    def _following(
        self, space: Space, standing: Sequence[Trial], place: Place, *, seed: int
    ) -> list[Suggestion]:
        """
        Return how each member of a whole generation goes on, in their order.
        """
        objectives = self.setting.objectives
        ranked = sorted(
            (trial for trial in standing if trial.is_complete),
            key=lambda trial: (loss(objectives, trial.values or ()), trial.number),
        )
        if not ranked:
            return []  # nobody to go on from
        most = max(1, int(len(standing) * self.options.quantile))
        best = ranked[: min(most, len(ranked))]
        worst = {trial.number for trial in [*ranked[len(best) :]][-most:]}
        found = []
        for index, trial in enumerate(sorted(standing, key=lambda each: each.number)):
            if trial.is_complete and trial.number not in worst:
                found.append(Suggestion(trial.configuration, "pbt continue", parent=trial.number))
                continue
            stream = derive_seed(seed, self.name, place.rung, index)
            found.append(self._copied(space, best, random.Random(stream)))  # noqa: S311 - no secret
        return found

    def _copied(self, space: Space, best: Sequence[Trial], rng: random.Random) -> Suggestion:
        """
        Return a member that goes on from one of the best, with other values.
        """
        parent = rng.choice(best)
        for _ in range(_TRIES):
            full = {
                parameter.name: self._changed(parameter, parent.configuration, rng)
                for parameter in space.parameters
            }
            configuration = space.arrange(full)
            if space.satisfies_constraints(configuration):
                return Suggestion(configuration, "pbt copy", parent=parent.number)
        return Suggestion(parent.configuration, "pbt copy", parent=parent.number)

    def _changed(
        self, parameter: Parameter, configuration: Configuration, rng: random.Random
    ) -> Value:
        distribution = parameter.distribution
        if isinstance(distribution, Constant):
            return distribution.value
        anew = rng.random() < self.options.resample
        unit, factor = rng.random(), rng.choice(self.options.factors)
        if anew or parameter.name not in configuration:
            return distribution.from_unit(unit)
        value = configuration[parameter.name]
        if isinstance(distribution, (Float, Int, Normal, LogNormal)):
            return _moved(distribution, value, factor)
        return value

    def _as_member(
        self, suggestion: Suggestion, resource: float, place: Place, members: Members
    ) -> Suggestion:
        found = Suggestion(
            suggestion.configuration,
            suggestion.sampler,
            resource=resource,
            parent=suggestion.parent,
            labels=place.above().labels(suggestion.parent),
        )
        members.add(found)
        return found


def _moved(distribution: Float | Int | Normal | LogNormal, value: Value, factor: float) -> Value:
    """
    Return the value of *distribution* that is nearest to *value* times *factor*.

    Where steps are too wide for that, the next one in that direction.
    """
    wanted = value * factor
    if isinstance(distribution, (Normal, LogNormal)):
        return distribution.from_unit(distribution.to_unit(wanted))
    size, here = distribution.size(), distribution.to_unit(value)
    inside = min(max(wanted, distribution.low), distribution.high)
    found = distribution.from_unit(distribution.to_unit(inside))
    if found == value and size is not None and size > 1 and wanted != value:
        step = (1 if wanted > value else -1) / size
        found = distribution.from_unit(min(max(here + step, 0.0), 1.0))
    return found
