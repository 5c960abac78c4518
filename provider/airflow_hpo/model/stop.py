"""
When the whole study ends: the rules and the budget. `decision` applies them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, field_validator, model_validator

from airflow_hpo.model.base import Document
from airflow_hpo.model.expression import Expression
from airflow_hpo.model.values import Value

__all__ = [
    "EXECUTION_NAMES",
    "Budget",
    "ExpressionRule",
    "MetricRule",
    "PlateauRule",
    "Stop",
    "StopRule",
    "reaches",
    "to_number",
]

EXECUTION_NAMES = ("duration", "counter", "status")
"""What an expression may name behind ``execution.``."""


@dataclass(frozen=True, slots=True)
class Stop:
    """
    Why a study ended.

    Args:
        rule: ``trials``, ``wall_clock``, ``metric``, ``plateau``, ``user`` ...

        reason: In words a person understands.

        trial: Number of the trial that fired it, if one did.
    """

    rule: str
    reason: str
    trial: int | None = None


class Budget(Document):
    """
    What the whole study may spend; each limit ends it.

    Args:
        trials: Number of trials, over all runs of the study.

        wall_clock_s: Seconds since the first trial started.

        trial_time_s: Seconds summed over all trials.

        failures: Number of failed trials that ends the study.

        failure_share:
            Instead of a number: the share of failed trials, in (0, 1], that
            ends it; looked at from the fifth ended trial on, so that one early
            failure is no verdict.

        identical_failures:
            Number of trials whose code failed in the same way, the same
            traceback above all, that ends it.
    """

    trials: int = Field(ge=1)
    wall_clock_s: float | None = Field(default=None, gt=0)
    trial_time_s: float | None = Field(default=None, gt=0)
    failures: int | None = Field(default=None, ge=1)
    failure_share: float | None = Field(default=None, gt=0, le=1)
    identical_failures: int | None = Field(default=None, ge=2)

    @model_validator(mode="after")
    def _one_limit(self) -> Budget:
        if self.failures is not None and self.failure_share is not None:
            raise ValueError("at most one of failures and failure_share must be given, got both")
        return self


class MetricRule(Document):
    """
    End when a trial's *metric* reaches a threshold.

    Args:
        metric: Any metric the trials print, the objective's or another.

        at_least: Fires at this value or above.

        at_most: Fires at this value or below.

        target: Fires within *tolerance* of this value.

        tolerance: Distance from *target* that still counts, inclusive.
    """

    kind: Literal["metric"] = "metric"
    metric: str = Field(min_length=1)
    at_least: float | None = None
    at_most: float | None = None
    target: float | None = None
    tolerance: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _one_threshold(self) -> MetricRule:
        given = [
            name for name in ("at_least", "at_most", "target") if getattr(self, name) is not None
        ]
        if len(given) != 1:
            got = " and ".join(given) or "none"
            raise ValueError(f"exactly one of at_least, at_most, target must be given, got {got}")
        return self

    def reason(self, value: float) -> str | None:
        """
        Return why *value* fires the rule; `None` if it does not.
        """
        shown = f"{self.metric} = {value:g}"
        if self.at_least is not None and value >= self.at_least:
            return f"{shown} is at least {self.at_least:g}"
        if self.at_most is not None and value <= self.at_most:
            return f"{shown} is at most {self.at_most:g}"
        if self.target is not None and reaches(self.tolerance, abs(value - self.target)):
            return f"{shown} is within {self.tolerance:g} of {self.target:g}"
        return None


class PlateauRule(Document):
    """
    End when the last *trials* complete trials improved on the best by too little.

    Args:
        trials: How many complete trials in a row may bring nothing.

        min_delta: An improvement of the objective smaller than this is none.
    """

    kind: Literal["plateau"] = "plateau"
    trials: int = Field(ge=1)
    min_delta: float = Field(default=0.0, ge=0)


class ExpressionRule(Document):
    """
    End when an expression over one trial's metrics and parameters holds.

    Args:
        expression:
            Bare names and ``metadata.X`` are metrics, ``parameter.X`` and
            ``parameters.X`` parameters, ``execution.duration`` seconds,
            ``execution.counter`` the trial's number counted from 1,
            ``execution.status`` its state. A name that is not known (yet)
            makes it false.
    """

    kind: Literal["expression"] = "expression"
    expression: str

    @field_validator("expression")
    @classmethod
    def _parses(cls, text: str) -> str:
        Expression.parse(text)
        return text


StopRule: TypeAlias = Annotated[
    MetricRule | PlateauRule | ExpressionRule, Field(discriminator="kind")
]
"""Any rule that ends the whole study; ``kind`` tells which."""


def reaches(value: float, threshold: float) -> bool:
    """
    Return whether *value* is *threshold* or more, but for binary noise.

    A loss that falls from 0.5 to 0.4 falls by 0.1, not by 0.09999999999999998.
    """
    return value >= threshold or math.isclose(value, threshold, rel_tol=1e-9)


def to_number(value: Value) -> float | None:
    """
    Return *value* as a finite number; numeric text counts, truth values do not.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):  # an integer may be beyond every float
        return None
    return number if math.isfinite(number) else None
