"""
Distributions: which values one parameter may take, and how likely each is.

Every distribution maps the unit interval to its values (`from_unit`) and back
(`to_unit`), so a strategy that only knows uniform numbers in [0, 1) can search
any of them. Bounds are always values, never exponents, and both inclusive.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from decimal import Decimal
from itertools import accumulate
from statistics import NormalDist
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator

from airflow_hpo.model.base import Document
from airflow_hpo.model.values import Value, canonical

__all__ = [
    "Categorical",
    "Constant",
    "Distribution",
    "Float",
    "Int",
    "LogNormal",
    "Normal",
]

# The outermost quantiles of a normal distribution that are ever drawn: about
# eight deviations, so that a unit number of exactly 0 or 1 stays finite.
_TAIL = 1e-15

# The distance in the unit interval that counts as rounding when a value is
# checked against the grid of its steps.
_GRID_TOLERANCE = 1e-9


def _clip(unit: float) -> float:
    """
    Return *unit* inside [0, 1], the last float below 1 at most.
    """
    return min(max(unit, 0.0), math.nextafter(1.0, 0.0))


def _stepped(low: float, step: float, index: int) -> float:
    """
    Return ``low + index * step`` without binary noise (0.3, not 0.30000000000000004).
    """
    return float(Decimal(repr(low)) + index * Decimal(repr(step)))


class Float(Document):
    """
    A real number between *low* and *high*.

    Args:
        low: Smallest value.

        high: Largest value; with *step* the largest ``low + k * step`` below.

        step: Distance of neighbouring values; `None` for a continuum.

        log: Whether equal ratios are equally likely, rather than equal gaps.
    """

    kind: Literal["float"] = "float"
    low: float
    high: float
    step: float | None = None
    log: bool = False

    @model_validator(mode="after")
    def _bounds(self) -> Float:
        _check_bounds(self.low, self.high, log=self.log, step=self.step)
        return self

    def _count(self) -> int:
        if self.step is None:
            raise ValueError("a continuous float has no number of values")
        span = Decimal(repr(self.high)) - Decimal(repr(self.low))
        return int(span / Decimal(repr(self.step))) + 1

    def size(self) -> int | None:
        """
        Return how many values there are; `None` if they cannot be counted.
        """
        if self.low == self.high:
            return 1
        return None if self.step is None else self._count()

    def values(self) -> tuple[float, ...]:
        """
        Return all values, ascending; only where `size` is not `None`.
        """
        if self.low == self.high:
            return (self.low,)
        step = self.step or 0.0
        return tuple(_stepped(self.low, step, index) for index in range(self._count()))

    def from_unit(self, unit: float) -> float:
        """
        Return the value at *unit* of the unit interval.
        """
        unit = _clip(unit)
        if self.step is not None:
            return _stepped(self.low, self.step, _bin_at(self, unit, self._count()))
        if self.log:
            low, high = math.log(self.low), math.log(self.high)
            return min(max(math.exp(low + unit * (high - low)), self.low), self.high)
        return min(max(self.low + unit * (self.high - self.low), self.low), self.high)

    def to_unit(self, value: Value) -> float:
        """
        Return the place of *value* in the unit interval, middle of its step.
        """
        if self.low == self.high:
            return 0.5
        if self.step is not None:
            return _bin_middle(self, round((value - self.low) / self.step), self._count())
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return float((value - self.low) / (self.high - self.low))

    def contains(self, value: Value) -> bool:
        """
        Return whether *value* is one that this distribution may take.
        """
        if not _is_number(value) or not self.low <= value <= self.high:
            return False
        if self.step is None:
            return True
        index = (value - self.low) / self.step
        return abs(index - round(index)) <= _GRID_TOLERANCE * max(1.0, abs(index))

    def cast(self, value: Value) -> float:
        """
        Return *value* in the type this distribution speaks.
        """
        return float(value)


class Int(Document):
    """
    A whole number between *low* and *high*; arguments as in `Float`.
    """

    kind: Literal["int"] = "int"
    low: int
    high: int
    step: int = 1
    log: bool = False

    @model_validator(mode="after")
    def _bounds(self) -> Int:
        _check_bounds(self.low, self.high, log=self.log, step=self.step)
        return self

    def size(self) -> int:
        """
        Return how many values there are.
        """
        return (self.high - self.low) // self.step + 1

    def values(self) -> tuple[int, ...]:
        """
        Return all values, ascending.
        """
        return tuple(range(self.low, self.high + 1, self.step))

    def from_unit(self, unit: float) -> int:
        """
        Return the value at *unit* of the unit interval.
        """
        return self.low + self.step * _bin_at(self, _clip(unit), self.size())

    def to_unit(self, value: Value) -> float:
        """
        Return the place of *value* in the unit interval, middle of its step.
        """
        return _bin_middle(self, (int(value) - self.low) // self.step, self.size())

    def contains(self, value: Value) -> bool:
        """
        Return whether *value* is one that this distribution may take.
        """
        if not _is_number(value) or int(value) != value:
            return False
        return self.low <= value <= self.high and (int(value) - self.low) % self.step == 0

    def cast(self, value: Value) -> int:
        """
        Return *value* in the type this distribution speaks.
        """
        return int(value)


class Categorical(Document):
    """
    One of a few values without an order.

    Args:
        choices: JSON values, all different (``1`` and ``1.0`` differ).

        weights: How likely each is, in any unit; `None` for equally likely.
    """

    kind: Literal["choice"] = "choice"
    choices: tuple[Value, ...] = Field(min_length=1)
    weights: tuple[float, ...] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Categorical:
        labels = [canonical(choice) for choice in self.choices]
        twice = sorted({label for label in labels if labels.count(label) > 1})
        if twice:
            raise ValueError(f"choices must be different, got {', '.join(twice)} more than once")
        if self.weights is None:
            return self
        if len(self.weights) != len(self.choices):
            raise ValueError(
                "weights must be as many as choices, "
                f"got {len(self.weights)} weights for {len(self.choices)} choices"
            )
        if min(self.weights) < 0 or not sum(self.weights) > 0:
            raise ValueError(
                f"weights must not be negative nor all zero, got {list(self.weights)}"
            )
        return self

    def _edges(self) -> list[float]:
        weights = self.weights or (1.0,) * len(self.choices)
        total = math.fsum(weights)
        return [edge / total for edge in accumulate(weights)]

    def index(self, value: Value) -> int:
        """
        Return the place of *value* among the choices.

        Raises:
            ValueError: If it is none of them.
        """
        labels = [canonical(choice) for choice in self.choices]
        return labels.index(canonical(value))

    def size(self) -> int:
        """
        Return how many values there are.
        """
        return len(self.choices)

    def values(self) -> tuple[Value, ...]:
        """
        Return all choices, as given.
        """
        return self.choices

    def from_unit(self, unit: float) -> Value:
        """
        Return the value at *unit* of the unit interval.
        """
        index = bisect_right(self._edges(), _clip(unit))
        while index >= len(self.choices):  # rounding of the last edge
            index -= 1
        while self.weights is not None and self.weights[index] == 0:
            index -= 1
        return self.choices[index]

    def to_unit(self, value: Value) -> float:
        """
        Return the place of *value* in the unit interval, middle of its share.
        """
        index = self.index(value)
        edges = [0.0, *self._edges()]
        return (edges[index] + edges[index + 1]) / 2

    def contains(self, value: Value) -> bool:
        """
        Return whether *value* is one of the choices.
        """
        return any(canonical(value) == canonical(choice) for choice in self.choices)

    def cast(self, value: Value) -> Value:
        """
        Return the choice that equals *value*, in the type it was given in.
        """
        same = [choice for choice in self.choices if choice == value]
        exact = [choice for choice in same if canonical(choice) == canonical(value)]
        return (exact or same or [value])[0]


class Normal(Document):
    """
    A normally distributed number.

    Args:
        mean: Of the distribution.

        deviation: Its standard deviation.

        step: Values are rounded to multiples of it; `None` for a continuum.
    """

    kind: Literal["normal"] = "normal"
    mean: float
    deviation: float = Field(gt=0)
    step: float | None = Field(default=None, gt=0)

    def size(self) -> None:
        """
        Return `None`: the values cannot be counted.
        """

    def values(self) -> tuple[float, ...]:
        """
        Refuse: the values cannot be listed.
        """
        raise ValueError(f"the values of a {self.kind} distribution cannot be listed")

    def from_unit(self, unit: float) -> float:
        """
        Return the quantile at *unit*.
        """
        unit = min(max(unit, _TAIL), 1 - _TAIL)
        return self._round(NormalDist(self.mean, self.deviation).inv_cdf(unit))

    def to_unit(self, value: Value) -> float:
        """
        Return the share of the distribution that lies below *value*.
        """
        return NormalDist(self.mean, self.deviation).cdf(value)

    def contains(self, value: Value) -> bool:
        """
        Return whether *value* is a finite number on the grid of steps.
        """
        if not _is_number(value):
            return False
        return self.step is None or math.isclose(self._round(value), value, rel_tol=1e-9)

    def cast(self, value: Value) -> float:
        """
        Return *value* in the type this distribution speaks.
        """
        return float(value)

    def _round(self, value: float) -> float:
        if self.step is None:
            return value
        return _stepped(0.0, self.step, round(value / self.step))


class LogNormal(Normal):
    """
    A positive number whose natural logarithm is normally distributed.

    Args:
        mean: Of the natural logarithm (``exp(mean)`` is the median).

        deviation: Of the natural logarithm.

        step: Values are rounded to multiples of it; `None` for a continuum.
    """

    kind: Literal["lognormal"] = "lognormal"  # type: ignore[assignment]

    @model_validator(mode="after")
    def _finite(self) -> LogNormal:
        try:
            self.from_unit(1.0)
        except OverflowError:
            raise ValueError(
                "mean and deviation are of the natural logarithm and too large, "
                f"got mean={self.mean}, deviation={self.deviation}"
            ) from None
        return self

    def from_unit(self, unit: float) -> float:
        """
        Return the quantile at *unit*.
        """
        unit = min(max(unit, _TAIL), 1 - _TAIL)
        return self._round(math.exp(NormalDist(self.mean, self.deviation).inv_cdf(unit)))

    def to_unit(self, value: Value) -> float:
        """
        Return the share of the distribution that lies below *value*.
        """
        if value <= 0:
            return 0.0
        return NormalDist(self.mean, self.deviation).cdf(math.log(value))

    def contains(self, value: Value) -> bool:
        """
        Return whether *value* is a number this distribution may take.
        """
        return _is_number(value) and value >= 0 and super().contains(value)


class Constant(Document):
    """
    One value that is not searched, only handed to the trial.
    """

    kind: Literal["constant"] = "constant"
    value: Value

    def size(self) -> int:
        """
        Return 1.
        """
        return 1

    def values(self) -> tuple[Value, ...]:
        """
        Return the value alone.
        """
        return (self.value,)

    def from_unit(self, unit: float) -> Value:  # noqa: ARG002 - the protocol's shape
        """
        Return the value.
        """
        return self.value

    def to_unit(self, value: Value) -> float:  # noqa: ARG002 - the protocol's shape
        """
        Return the middle of the unit interval.
        """
        return 0.5

    def contains(self, value: Value) -> bool:
        """
        Return whether *value* is the constant.
        """
        return canonical(value) == canonical(self.value)

    def cast(self, value: Value) -> Value:
        """
        Return the constant where *value* equals it.
        """
        return self.value if value == self.value else value


Distribution: TypeAlias = Annotated[
    Float | Int | Categorical | Normal | LogNormal | Constant, Field(discriminator="kind")
]
"""Any of the distributions; ``kind`` tells which when read from JSON."""


def _is_number(value: Value) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return math.isfinite(value)


def _check_bounds(low: float, high: float, *, log: bool, step: float | None) -> None:
    if low > high:
        raise ValueError(f"low must not exceed high, got low={low}, high={high}")
    if log and low <= 0:
        raise ValueError(f"low must be above 0 where log is true, got {low}")
    if step is not None and step <= 0:
        raise ValueError(f"step must be above 0, got {step}")


def _bin_at(distribution: Float | Int, unit: float, count: int) -> int:
    """
    Return which of *count* steps lies at *unit*; on a log scale if asked.

    Each step owns the values nearest to it: the outer ones reach half a step
    beyond the bounds, so that all are equally likely on a linear scale.
    """
    if not distribution.log:
        return min(int(unit * count), count - 1)
    left, width = _log_frame(distribution, count)
    value = math.exp(left + unit * width)
    step = float(distribution.step or 1)
    return min(max(round((value - distribution.low) / step), 0), count - 1)


def _bin_middle(distribution: Float | Int, index: int, count: int) -> float:
    """
    Return the place in the unit interval from which step *index* is drawn.
    """
    if not distribution.log:
        return (index + 0.5) / count
    left, width = _log_frame(distribution, count)
    value = distribution.low + index * float(distribution.step or 1)
    return min(max((math.log(value) - left) / width, 0.0), 1.0)


def _log_frame(distribution: Float | Int, count: int) -> tuple[float, float]:
    """
    Return start and width of the stretched log range (half a step each side).
    """
    step = float(distribution.step or 1)
    high = distribution.low + (count - 1) * step
    # Below half of *low* there is nothing to stretch into: log needs > 0.
    left = math.log(max(distribution.low - step / 2, distribution.low / 2))
    return left, math.log(high + step / 2) - left
