"""
What a pruner is: it looks at a trial's curve and those of the others.

A *curve* is what a trial measured of the objective's metric, step by step: the
step is the resource that the measurement names (an epoch), or else its place
among them, counted from 1. A trial at step 7 is compared with what the others
had at step 7, whether they are through, still run, or were pruned later on.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from pydantic import Field

from airflow_hpo.model.base import Document
from airflow_hpo.model.stop import to_number
from airflow_hpo.model.trial import TrialState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_hpo.model.objective import Objective
    from airflow_hpo.model.trial import Measurement, Trial

__all__ = [
    "Curve",
    "Pruner",
    "PrunerOptions",
    "RuledPruner",
    "StepOptions",
    "curve_of",
    "of_trials",
]

# What a trial measured counts in these states: its end was its own, or has not come.
_COMPARED = frozenset(
    {TrialState.RUNNING, TrialState.PAUSED, TrialState.COMPLETE, TrialState.PRUNED}
)


class PrunerOptions(Document):
    """
    A pruner's own options; each pruner declares a subclass.
    """


class StepOptions(PrunerOptions):
    """
    Options of most pruners: at which steps they look.

    Args:
        warmup: No trial is judged before this step is over.

        interval: From then on trials are judged once in so many steps.
    """

    warmup: float = Field(default=0, ge=0)
    interval: float = Field(default=1, gt=0)


@dataclass(frozen=True, slots=True)
class Curve:
    """
    What one trial measured of the objective, step by step.

    Args:
        number: The trial's.

        steps: Ascending; one for each measurement of the metric.

        values: As measured; may hold NaN and infinities.

        losses: The same, to be minimised; what is no number is infinite.

        state: The trial's.
    """

    number: int
    steps: tuple[float, ...]
    values: tuple[float, ...]
    losses: tuple[float, ...]
    state: TrialState

    def until(self, step: float) -> Curve:
        """
        Return the part of the curve up to *step*, inclusive.
        """
        end = bisect_right(self.steps, step)
        return Curve(
            self.number, self.steps[:end], self.values[:end], self.losses[:end], self.state
        )

    @property
    def best(self) -> float:
        """
        The smallest loss; infinite for an empty curve.
        """
        return min(self.losses, default=math.inf)

    @property
    def best_value(self) -> float:
        """
        The value with the smallest loss, as it was measured.
        """
        return self.values[self.losses.index(self.best)]

    def reaches(self, step: float) -> bool:
        """
        Return whether anything was measured at *step* or later.
        """
        return bool(self.steps) and self.steps[-1] >= step


def curve_of(trial: Trial, objective: Objective) -> Curve:
    """
    Return what *trial* measured of *objective*.

    A step that comes again (code that was restarted) counts with its last value.
    """
    found: dict[float, float] = {}
    for measurement in trial.measurements:
        if objective.metric not in measurement.metrics:
            continue
        raw = measurement.metrics[objective.metric]
        number = to_number(raw)
        step = measurement.resource
        place = len(found) + 1.0 if step is None else float(step)
        found[place] = math.nan if number is None else number
    steps = tuple(sorted(found))
    values = tuple(found[step] for step in steps)
    losses = tuple(objective.loss(value) if math.isfinite(value) else math.inf for value in values)
    return Curve(trial.number, steps, values, losses, trial.state)


@runtime_checkable
class Pruner(Protocol):
    """
    Says whether a running trial should end. Pure: same history, same answer.

    A class: made from its options and the objective, it holds no other state.
    """

    options_class: ClassVar[type[PrunerOptions]]

    def __init__(self, options: Any, objective: Objective, *, step_name: str = "step") -> None:  # noqa: ANN401
        """
        Keep what is given.
        """

    def judge(self, trial: Trial, others: Iterable[Trial]) -> str | None:
        """
        Return why *trial* ends now, in words; `None` to let it run.

        Args:
            trial: The trial, with what it measured so far.

            others: All other trials of the study, with their measurements.
        """


class RuledPruner:
    """
    The part that our own pruners share: when to look, and with whom to compare.

    Args:
        options: The pruner's own.

        objective: By whose metric it judges.

        step_name: What a step is called in reasons.
    """

    options_class: ClassVar[type[PrunerOptions]] = PrunerOptions

    def __init__(self, options: Any, objective: Objective, *, step_name: str = "step") -> None:  # noqa: ANN401
        self.options = options
        self.objective = objective
        self.step_name = step_name
        # Curves by what they were made of: trials that have ended come again and again.
        self._curves: dict[int, tuple[tuple[Measurement, ...], Curve]] = {}

    def judge(self, trial: Trial, others: Iterable[Trial]) -> str | None:
        """
        Return why *trial* ends now, in words; `None` to let it run.
        """
        own = curve_of(trial, self.objective)
        if not own.steps or not self._is_due(own):
            return None
        compared = [
            other for other in others if other.number != trial.number and other.state in _COMPARED
        ]
        rivals = [self._curve(other) for other in compared]
        self._curves = {
            id(other.measurements): (other.measurements, curve)
            for other, curve in zip(compared, rivals, strict=True)
        }
        reason = self.reason(own, rivals)
        if reason is None:
            return None
        return f"pruned at {self.step_name} {own.steps[-1]:g}: {reason}"

    def reason(self, own: Curve, rivals: Sequence[Curve]) -> str | None:
        """
        Return why the trial with the curve *own* ends at its last step.
        """
        raise NotImplementedError

    def _curve(self, trial: Trial) -> Curve:
        known, curve = self._curves.get(id(trial.measurements), (None, None))
        if known is trial.measurements and curve is not None:
            same = (curve.number, curve.state) == (trial.number, trial.state)
            return curve if same else curve_of(trial, self.objective)
        return curve_of(trial, self.objective)

    def _is_due(self, own: Curve) -> bool:
        """
        Return whether the last measurement is the first of a new interval.
        """
        intervals = [
            math.floor((step - self.options.warmup) / self.options.interval + 1e-9)
            for step in own.steps[-2:]
        ]
        if own.steps[-1] <= self.options.warmup or intervals[-1] < 1:
            return False
        return len(intervals) == 1 or intervals[-1] != intervals[0]

    def peers(self, own: Curve, rivals: Sequence[Curve]) -> list[Curve]:
        """
        Return the curves that reached the trial's step, up to that step.
        """
        step = own.steps[-1]
        parts = (curve.until(step) for curve in rivals if curve.reaches(step))
        return [part for part in parts if part.steps]

    @staticmethod
    def mean(losses: Sequence[float]) -> float:
        """
        Return the mean of *losses*; infinite if one of them is.
        """
        return math.fsum(loss / len(losses) for loss in losses)

    @property
    def worse(self) -> str:
        """
        How the value of a bad trial lies beside that of a good one.
        """
        if self.objective.target is not None:
            return "farther from the target than"
        return "below" if self.objective.direction == "maximize" else "above"

    def value_of(self, loss: float) -> float:
        """
        Return the metric's value that *loss* stands for; a distance for a target.
        """
        return -loss if self.objective.direction == "maximize" else loss


def of_trials(count: int) -> str:
    """
    Return ``of 9 trials``.
    """
    return f"of {count} trial" if count == 1 else f"of {count} trials"
