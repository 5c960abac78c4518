"""
A strategy of one's own: near the best trial so far.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from airflow_hpo.model.blueprint import StrategySpec
from airflow_hpo.model.objective import best_trial
from airflow_hpo.model.space import Space
from airflow_hpo.model.trial import Suggestion, Trial
from airflow_hpo.model.values import Configuration, canonical, derive_seed
from airflow_hpo.strategies import create_strategy
from airflow_hpo.strategies.base import Options, Setting, Support

__all__ = ["NearbyOptions", "NearbyStrategy"]


class NearbyOptions(Options):
    """
    Its options; unknown ones and wrong types are refused by ``hpo check``.

    Args:
        radius: How far to step, as a share of each parameter's range.

        keep: How likely each value stays near the best trial's.
    """

    radius: float = Field(default=0.1, gt=0, le=1)
    keep: float = Field(default=0.7, ge=0, le=1)


class NearbyStrategy:
    """
    Steps away from the best trial, and leaves the rest to random search.
    """

    options_class: ClassVar[type[Options]] = NearbyOptions
    support: ClassVar[Support] = Support(startup=True, note="knows the first objective only")

    def __init__(self, options: NearbyOptions, setting: Setting) -> None:
        """
        Keep *options* and *setting*; there is no other state.
        """
        self.options = options
        self.setting = setting
        self.chance = create_strategy(StrategySpec(name="random"), setting)

    def limit(self, space: Space) -> int | None:
        """
        Return how many trials it can make at all.
        """
        return self.chance.limit(space)

    def suggest(
        self, space: Space, trials: Sequence[Trial], count: int, *, seed: int
    ) -> Sequence[Suggestion]:
        """
        Return up to *count* configurations to try next.
        """
        history, found = list(trials), list[Suggestion]()
        best = best_trial(self.setting.objectives, trials)
        for _ in range(count):
            number = history[-1].number + 1 if history else 0
            near = None
            if best is not None and number >= self.setting.startup_trials:
                near = self._near(space, best, history, seed=derive_seed(seed, "nearby", number))
            more = [near] if near else self.chance.suggest(space, history, 1, seed=seed)
            if not more:
                break  # every configuration has been tried
            found += more
            # What waits is history too: no configuration is suggested twice.
            history.append(Trial(number, more[0].configuration))
        return found

    def _near(
        self, space: Space, best: Trial, history: Sequence[Trial], *, seed: int
    ) -> Suggestion | None:
        rng = random.Random(seed)  # noqa: S311 - no secret
        tried = {canonical(trial.configuration) for trial in history}
        for _ in range(20):
            configuration = self._step(space, best, rng)
            if canonical(configuration) not in tried and not any(space.problems(configuration)):
                return Suggestion(configuration, "nearby")
        return None

    def _step(self, space: Space, best: Trial, rng: random.Random) -> Configuration:
        values = {}
        for parameter in space.parameters:
            item = parameter.distribution
            unit = rng.random()
            # Now and then a value is drawn anew: a step is too short for choices.
            if parameter.name in best.configuration and rng.random() < self.options.keep:
                middle = item.to_unit(best.configuration[parameter.name])
                unit = middle + self.options.radius * rng.uniform(-1, 1)
            values[parameter.name] = item.from_unit(unit)
        return space.arrange(values)  # inactive parameters are left out
