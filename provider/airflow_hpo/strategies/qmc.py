"""
Quasi-random search: points that fill the space evenly, each trial the next one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from airflow_hpo.model.trial import Suggestion
from airflow_hpo.model.values import derive_seed
from airflow_hpo.strategies._draws import Draws
from airflow_hpo.strategies._lattice import count_configurations
from airflow_hpo.strategies.base import Options, Setting, Support

if TYPE_CHECKING:
    from airflow_hpo.model.space import Space
    from airflow_hpo.model.trial import Trial
    from airflow_hpo.model.values import Configuration, Value

__all__ = ["QmcOptions", "QmcStrategy"]

# How many points are looked at for one trial before chance decides.
_POINTS = 1_000

_LABEL = "qmc"


class QmcOptions(Options):
    """
    Options of quasi-random search.

    Args:
        sequence: ``sobol``, or ``halton`` for budgets that are no power of two.

        scramble:
            Whether the points are moved by the seed; without it the first one
            lies in the corner of all lower bounds, whatever the seed.

        skip: How many points at the beginning are passed over.
    """

    sequence: Literal["sobol", "halton"] = "sobol"
    scramble: bool = True
    skip: int = Field(default=0, ge=0, le=2**24)


class QmcStrategy:
    """
    Takes one point after another of a sequence without clusters and gaps.

    Better than random search for the same number of trials, and as independent
    of what they find. Every parameter is a coordinate of its own, active or
    not, and its distribution is kept, weights included. What breaks a
    constraint or was tried already is passed over.
    """

    options_class: ClassVar[type[Options]] = QmcOptions
    support: ClassVar[Support] = Support(multi_objective=True, outcome_constraints=True)

    def __init__(self, options: QmcOptions, setting: Setting) -> None:
        """
        Keep *options* and *setting*.
        """
        self.options = options
        self.setting = setting

    def limit(self, space: Space) -> int | None:
        """
        Return how many configurations there are, where that may matter.
        """
        return count_configurations(space, enough=self.setting.trials)

    def suggest(
        self, space: Space, trials: Sequence[Trial], count: int, *, seed: int
    ) -> Sequence[Suggestion]:
        """
        Return up to *count* configurations to try next.

        Raises:
            SpaceExhaustedError: If no configuration satisfies the constraints.
        """
        draws = Draws(space, trials, seed=seed)
        start = 1 + max(map(_place, trials), default=-1)
        points = enumerate(self._points(space, start, seed=seed), start)
        found: list[Suggestion] = []
        for number in range(draws.next_number, draws.next_number + count):
            suggestion = _next(points, draws, number)
            if suggestion is None:
                break
            found.append(suggestion)
        return found

    def _points(self, space: Space, start: int, *, seed: int) -> Iterator[Configuration]:
        """
        Yield the configurations of the sequence from place *start* on.
        """
        searched = [item for item in space.sampling_order if item.distribution.size() != 1]
        if not searched:
            yield _configuration(space, {})
            return
        for row in self._rows(len(searched), start, seed=seed):
            units = {item.name: unit for item, unit in zip(searched, row, strict=True)}
            yield _configuration(space, units)

    def _rows(self, width: int, start: int, *, seed: int) -> Iterator[list[float]]:
        from scipy.stats import qmc

        kind = qmc.Sobol if self.options.sequence == "sobol" else qmc.Halton
        engine = kind(width, scramble=self.options.scramble, seed=derive_seed(seed, _LABEL) % 2**32)
        start += self.options.skip
        if start:  # Sobol cannot pass over nothing
            engine.fast_forward(start)
        while True:
            yield engine.random(1)[0].tolist()


def _configuration(space: Space, units: Mapping[str, float]) -> Configuration:
    found: dict[str, Value] = {}
    for parameter in space.sampling_order:
        if parameter.is_active(found):
            found[parameter.name] = parameter.distribution.from_unit(units.get(parameter.name, 0.0))
    return space.arrange(found)


def _next(
    points: Iterator[tuple[int, Configuration]], draws: Draws, number: int
) -> Suggestion | None:
    """
    Return the next point that may be tried, or what chance draws instead.
    """
    labels: dict[str, Value] = {}
    for place, configuration in islice(points, _POINTS):
        labels = {_LABEL: place}
        if draws.accept(configuration):
            return Suggestion(configuration, "qmc", labels=labels)
    drawn = draws.suggestions([number], sampler="random")
    return replace(drawn[0], labels=labels) if drawn else None


def _place(trial: Trial) -> int:
    """
    Return how far the sequence was used for *trial*; -1 for not at all.
    """
    place = trial.labels.get(_LABEL)
    return place if isinstance(place, int) else -1
