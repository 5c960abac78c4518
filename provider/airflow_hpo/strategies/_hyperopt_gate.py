"""
What of HyperOpt's proposals may be tried, and what is tried instead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow_hpo.model.distribution import LogNormal, Normal
from airflow_hpo.model.trial import Suggestion, Trial
from airflow_hpo.model.values import Configuration, Value
from airflow_hpo.strategies._draws import Draws

if TYPE_CHECKING:
    from airflow_hpo.strategies._hyperopt_layout import Layout

__all__ = ["Gate"]


class Gate:
    """
    Lets through what is allowed and new, and draws by chance otherwise.

    Args:
        layout: The space.

        trials: The history.

        seed: The study's seed.

        repeats: Whether a configuration may be tried again.

        max_deviations: How far normal parameters may be from their means.
    """

    def __init__(
        self,
        layout: Layout,
        trials: Sequence[Trial],
        *,
        seed: int,
        repeats: bool,
        max_deviations: float | None,
    ) -> None:
        self._layout = layout
        self._repeats = repeats
        self._max_deviations = max_deviations
        self._draws = Draws(
            layout.space, () if repeats else _without_noise(layout, trials), seed=seed
        )

    def accepts(self, configuration: Configuration) -> bool:
        """
        Return whether *configuration* may be tried; from then on it was.
        """
        if self._strays(configuration):
            return False
        if self._repeats:
            return not any(self._layout.space.problems(configuration))
        return self._draws.accept(self._layout.plain(configuration))

    def by_chance(self, number: int) -> Suggestion | None:
        """
        Return a suggestion for trial *number*; `None` if all were tried.

        Raises:
            SpaceExhaustedError: If no configuration satisfies the constraints.
        """
        configuration = self._draws.draw(number)
        if configuration is None:
            return None
        if not self._repeats:
            self._draws.take(configuration)
        return Suggestion(configuration, "random")

    def _strays(self, configuration: Configuration) -> bool:
        limit = self._max_deviations
        if limit is None:
            return False
        return any(
            isinstance(parameter.distribution, (Normal, LogNormal))
            and abs(_deviations(parameter.distribution, configuration[parameter.name])) > limit
            for parameter in self._layout.space.parameters
            if parameter.name in configuration
        )


def _without_noise(layout: Layout, trials: Sequence[Trial]) -> Sequence[Trial]:
    if not layout.is_noisy:
        return trials
    return [Trial(trial.number, layout.plain(trial.configuration)) for trial in trials]


def _deviations(distribution: Normal | LogNormal, value: Value) -> float:
    """
    Return how many deviations *value* lies above the mean.
    """
    if isinstance(distribution, LogNormal):
        # What was rounded to zero was half a step at most.
        value = max(value, (distribution.step or 0.0) / 2)
        value = math.log(value) if value > 0 else -math.inf
    return float((value - distribution.mean) / distribution.deviation)
