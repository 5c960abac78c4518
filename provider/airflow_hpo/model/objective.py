"""
What is optimised: a metric, a direction, and which measurement counts.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator, model_validator

from airflow_hpo.model.base import Document

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_hpo.model.trial import Trial

__all__ = ["Direction", "Objective", "amount_of", "best_trial", "loss", "top_resource"]

Direction = Literal["minimize", "maximize"]

_MEAN_LAST = re.compile(r"mean_last_([1-9][0-9]{0,5})")


class Objective(Document):
    """
    The metric to optimise and its direction.

    Args:
        metric: Name of the metric, as the training code prints it.

        direction: ``minimize`` or ``maximize``; `None` where *target* is set.

        target: Closest to this value wins, instead of a direction.

        value:
            Which measurement of the trial counts: ``last``, ``min``, ``max``,
            or ``mean_last_K`` (mean of the last *K* usable measurements).

        reference:
            A bad value: with several objectives, what is better than it in
            each of them makes up the hypervolume. `None` for the worst seen.
    """

    metric: str = Field(min_length=1)
    direction: Direction | None = None
    target: float | None = None
    value: str = "last"
    reference: float | None = None

    @field_validator("value")
    @classmethod
    def _known_value(cls, value: str) -> str:
        if value in {"last", "min", "max"} or _MEAN_LAST.fullmatch(value):
            return value
        raise ValueError(f"value must be last, min, max or mean_last_K, got {value!r}")

    @model_validator(mode="after")
    def _one_aim(self) -> Objective:
        if (self.direction is None) == (self.target is None):
            raise ValueError("exactly one of direction and target must be given")
        return self

    def pick(self, series: Sequence[float]) -> float | None:
        """
        Return the value that counts out of a trial's *series*, first to last.

        NaN and infinite measurements are no values and are passed over;
        `None` if nothing usable is left.
        """
        usable = [value for value in series if math.isfinite(value)]
        if not usable:
            return None
        if self.value == "last":
            return usable[-1]
        if self.value in {"min", "max"}:
            return min(usable) if self.value == "min" else max(usable)
        match = _MEAN_LAST.fullmatch(self.value)
        count = int(match.group(1)) if match else 1
        tail = usable[-count:]
        try:
            return math.fsum(tail) / len(tail)
        except OverflowError:  # the sum of diverged losses may be beyond every float
            return math.fsum(value / len(tail) for value in tail)

    def loss(self, value: float) -> float:
        """
        Return *value* as something to minimise, whatever the aim is.
        """
        if self.target is not None:
            return abs(value - self.target)
        return -value if self.direction == "maximize" else value

    @property
    def aim(self) -> str:
        """
        The aim in a person's words: ``maximize val_accuracy``.
        """
        if self.target is not None:
            return f"bring {self.metric} to {self.target:g}"
        return f"{self.direction} {self.metric}"


def loss(objectives: Sequence[Objective], values: Sequence[float]) -> tuple[float, ...]:
    """
    Return one loss per objective, each to be minimised.
    """
    return tuple(objective.loss(value) for objective, value in zip(objectives, values, strict=True))


def best_trial(objectives: Sequence[Objective], trials: Iterable[Trial]) -> Trial | None:
    """
    Return the complete trial with the smallest loss of the first objective.

    The lowest number wins a tie. Where trials are given different amounts of
    a resource, those that were given the most are compared: the others' values
    say how they would go on, not how good they are. With several objectives
    the Pareto front is the answer to ask for; this is then the best by the
    first one.
    """
    complete = [trial for trial in trials if trial.is_complete and trial.values]
    most = top_resource(complete)
    return min(
        (trial for trial in complete if amount_of(trial) == most),
        key=lambda trial: (loss(objectives, trial.values or ()), trial.number),
        default=None,
    )


def amount_of(trial: Trial) -> float:
    """
    Return the resource of a trial; who was told no limit has all of it.
    """
    return math.inf if trial.resource is None else trial.resource


def top_resource(trials: Iterable[Trial]) -> float:
    """
    Return the most that a complete one of *trials* was given.
    """
    complete = (trial for trial in trials if trial.is_complete and trial.values)
    return max(map(amount_of, complete), default=math.inf)
