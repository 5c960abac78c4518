"""
What a trial teaches a model, whichever engine the model is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from airflow_hpo.model.objective import loss
from airflow_hpo.model.trial import TrialState

if TYPE_CHECKING:
    from airflow_hpo.model.objective import Objective
    from airflow_hpo.model.outcomes import Outcomes
    from airflow_hpo.model.trial import Trial

__all__ = ["Lesson", "lesson_of"]


@dataclass(frozen=True, slots=True)
class Lesson:
    """
    What one trial teaches.

    Args:
        kind:
            ``complete`` has its losses; ``pruned`` a loss at an early step, if
            there is one objective; ``infeasible`` never gets any; of
            ``pending`` nothing is known but that it is being tried.

        losses: To be minimised, one per objective.

        step: How far a pruned trial came; more is better.

        violations: Of a complete one: how far from each constraint on
            outcomes it is, above 0 if it breaks it.
    """

    kind: Literal["complete", "pruned", "infeasible", "pending"]
    losses: tuple[float, ...] = ()
    step: float = 0.0
    violations: tuple[float, ...] = ()

    @property
    def strict(self) -> Lesson:
        """
        The lesson for those who know no more than whether there is a value.
        """
        return _INFEASIBLE if any(value > 0 for value in self.violations) else self


_PENDING = Lesson("pending")
_INFEASIBLE = Lesson("infeasible")


def lesson_of(
    trial: Trial, objectives: Sequence[Objective], outcomes: Outcomes | None = None
) -> Lesson | None:
    """
    Return what *trial* teaches; `None` for nothing.

    Nothing is learned from a trial that failed, which was the machine's fault
    or a crash, nor from one that was called off before it measured anything.
    """
    if trial.state is TrialState.FAILED:
        return None
    if trial.state is TrialState.PRUNED:
        return _pruned(trial, objectives)
    if trial.state is TrialState.INFEASIBLE:
        return _INFEASIBLE
    if trial.state is not TrialState.COMPLETE:
        return _PENDING
    losses = loss(objectives, trial.values or ())
    if not all(map(math.isfinite, losses)):
        return _INFEASIBLE
    violations = () if outcomes is None else outcomes.violations(trial)
    return Lesson("complete", losses, violations=violations)


def _pruned(trial: Trial, objectives: Sequence[Objective]) -> Lesson | None:
    losses: list[float] = []
    step = 0.0
    for objective in objectives:
        series, step = _series(trial, objective.metric)
        value = objective.pick(series)
        if value is None:
            return None
        losses.append(objective.loss(value))
    return Lesson("pruned", tuple(losses), step)


def _series(trial: Trial, metric: str) -> tuple[list[float], float]:
    """
    Return what was measured of *metric*, and how far the last one was.

    The history may come without its measurements; then the metric's last
    value stands for them.
    """
    series: list[float] = []
    step = 0.0
    for place, measurement in enumerate(trial.measurements):
        value = _number(measurement.metrics.get(metric))
        if value is not None:
            series.append(value)
            step = place if measurement.resource is None else measurement.resource
    last = _number(trial.metrics.get(metric))
    if not series and last is not None:
        return [last], trial.resource or 0.0
    return series, float(step)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value)
