"""
Distributions: which values one parameter may take, and how likely each is.

Every distribution maps the unit interval to its values (`from_unit`) and back
(`to_unit`), so a strategy that only knows uniform numbers in [0, 1) can search
any of them. Bounds are always values, never exponents, and both inclusive.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import accumulate
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator

from airflow_hpo.model.base import Document
from airflow_hpo.model.gaussian import LogNormal, Normal
from airflow_hpo.model.grid import Grid, grid_from_low, grid_from_zero
from airflow_hpo.model.scale import (
    bin_at,
    bin_middle,
    blend,
    check_bounds,
    clip,
    is_number,
    unblend,
)
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

# With more steps, a float in the unit interval could not tell neighbours.
_MAX_STEPS = 2**53

# Whole numbers beyond these are not whole in most programs that get them.
_INT_BOUND = 2**63


class Float(Document):
    """
    A real number between *low* and *high*.

    Args:
        low: Smallest value.

        high: Largest value; with *step* the largest ``low + k * step`` below.

        step: Distance of neighbouring values; `None` for a continuum.

        log: Whether equal ratios are equally likely, rather than equal gaps.

        anchor:
            What steps are counted from. With ``zero`` a number between the
            bounds is drawn and rounded to a multiple of *step*: the outermost
            values may lie half a step beyond the bounds, and are as likely as
            what lies within of the stretch that is rounded to them.
    """

    kind: Literal["float"] = "float"
    low: float
    high: float
    step: float | None = None
    log: bool = False
    anchor: Literal["low", "zero"] = "low"

    @model_validator(mode="after")
    def _bounds(self) -> Float:
        check_bounds(self.low, self.high, log=self.log, step=self.step)
        if self.step is None:
            if self.anchor != "low":
                raise ValueError(f"anchor must be low where there is no step, got {self.anchor}")
        elif self.grid().size > _MAX_STEPS:
            raise ValueError(f"step must divide the range into fewer parts, got {self.step}")
        return self

    def grid(self) -> Grid:
        """
        Return the values as a grid; only where there is a *step*.
        """
        if self.step is None:
            raise ValueError("a continuous float has no steps")
        make = grid_from_low if self.anchor == "low" else grid_from_zero
        return make(self.low, self.high, self.step)

    def size(self) -> int | None:
        """
        Return how many values there are; `None` if they cannot be counted.
        """
        if self.step is None:
            return 1 if self.low == self.high else None
        return self.grid().size

    def values(self) -> tuple[float, ...]:
        """
        Return all values, ascending; only where `size` is not `None`.
        """
        if self.step is None and self.low == self.high:
            return (self.low,)
        return self.grid().values()

    def from_unit(self, unit: float) -> float:
        """
        Return the value at *unit* of the unit interval.
        """
        unit = clip(unit)
        if self.step is None:
            return self._between(unit)
        grid = self.grid()
        if self.anchor == "zero":
            return grid.value(grid.place(self._between(unit)))
        return grid.value(bin_at(self, unit, grid.size))

    def _between(self, unit: float) -> float:
        if self.log:
            value = math.exp(blend(math.log(self.low), math.log(self.high), unit))
            return min(max(value, self.low), self.high)
        return blend(self.low, self.high, unit)

    def to_unit(self, value: Value) -> float:
        """
        Return the place of *value* in the unit interval, middle of its step.
        """
        if self.low == self.high:
            return 0.5
        if self.step is None:
            return self._share_below(value)
        grid = self.grid()
        place = grid.place(value)
        if self.anchor == "low":
            return bin_middle(self, place, grid.size)
        middle, half = grid.value(place), self.step / 2
        ends = (max(middle - half, self.low), min(middle + half, self.high))
        return sum(map(self._share_below, ends)) / 2

    def _share_below(self, value: float) -> float:
        if self.log:
            return unblend(math.log(self.low), math.log(self.high), math.log(value))
        return unblend(self.low, self.high, value)

    def contains(self, value: Value) -> bool:
        """
        Return whether *value* is one that this distribution may take.
        """
        if not is_number(value):
            return False
        # Rounding may lead out of the bounds, counting from the lower one not.
        if self.anchor == "low" and not self.low <= value <= self.high:
            return False
        return self.step is None or self.grid().holds(value)

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
        if not -_INT_BOUND <= self.low <= self.high < _INT_BOUND and self.low <= self.high:
            raise ValueError(f"bounds must fit into 64 bits, got low={self.low}, high={self.high}")
        check_bounds(self.low, self.high, log=self.log, step=self.step)
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
        return self.low + self.step * bin_at(self, clip(unit), self.size())

    def to_unit(self, value: Value) -> float:
        """
        Return the place of *value* in the unit interval, middle of its step.
        """
        return bin_middle(self, (int(value) - self.low) // self.step, self.size())

    def contains(self, value: Value) -> bool:
        """
        Return whether *value* is one that this distribution may take.
        """
        if not is_number(value) or int(value) != value:
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
        if len(set(labels)) < len(labels):
            twice = sorted({label for label in labels if labels.count(label) > 1})
            raise ValueError(f"choices must be different, got {', '.join(twice)} more than once")
        if self.weights is None:
            return self
        if len(self.weights) != len(self.choices):
            raise ValueError(
                "weights must be as many as choices, "
                f"got {len(self.weights)} weights for {len(self.choices)} choices"
            )
        if min(self.weights) < 0 or not sum(self.weights) > 0:
            raise ValueError(f"weights must not be negative nor all zero, got {list(self.weights)}")
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
        index = bisect_right(self._edges(), clip(unit))
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
        label = canonical(value)
        return any(label == canonical(choice) for choice in self.choices)

    def cast(self, value: Value) -> Value:
        """
        Return the choice that equals *value*, in the type it was given in.
        """
        same = [choice for choice in self.choices if choice == value]
        exact = [choice for choice in same if canonical(choice) == canonical(value)]
        return (exact or same or [value])[0]


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
