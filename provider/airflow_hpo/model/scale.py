"""
Arithmetic of bounds, steps and scales, for the distributions.
"""

from __future__ import annotations

import math
import sys
from decimal import Decimal
from typing import Protocol

from airflow_hpo.model.values import Value

__all__ = [
    "GRID_TOLERANCE",
    "Scale",
    "bin_at",
    "bin_middle",
    "blend",
    "check_bounds",
    "clip",
    "is_number",
    "plain",
    "stepped",
    "unblend",
]

# The distance in the unit interval that counts as rounding when a value is
# checked against the grid of its steps.
GRID_TOLERANCE = Decimal("1e-9")


class Scale(Protocol):
    """
    Bounds, a step and whether the scale is logarithmic.
    """

    @property
    def low(self) -> float:
        """
        Smallest value.
        """

    @property
    def step(self) -> float | None:
        """
        Distance of neighbouring values.
        """

    @property
    def log(self) -> bool:
        """
        Whether equal ratios are equally likely.
        """


def clip(unit: float) -> float:
    """
    Return *unit* inside [0, 1], the last float below 1 at most.
    """
    return min(max(unit, 0.0), math.nextafter(1.0, 0.0))


def stepped(low: float, step: float, index: int) -> float:
    """
    Return ``low + index * step`` without binary noise.

    Example:
        >>> stepped(0.0, 0.1, 3), 3 * 0.1
        (0.3, 0.30000000000000004)
    """
    return float(Decimal(repr(low)) + index * Decimal(repr(step)))


def plain(number: float) -> str:
    """
    Return *number* as a person would write it: 2, not 2.0.
    """
    return repr(number).removesuffix(".0")


def is_number(value: Value) -> bool:
    """
    Return whether *value* is a finite number; truth values are not.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond what a float can be
        return False


def check_bounds(low: float, high: float, *, log: bool, step: float | None) -> None:
    """
    Refuse bounds and steps that no value fits.

    Raises:
        ValueError: With the rule and what was got.
    """
    if low > high:
        raise ValueError(f"low must not exceed high, got low={plain(low)}, high={plain(high)}")
    if log and low <= 0:
        raise ValueError(f"low must be above 0 where log is true, got {plain(low)}")
    if step is not None and step <= 0:
        raise ValueError(f"step must be above 0, got {plain(step)}")


def blend(low: float, high: float, unit: float) -> float:
    """
    Return the number at *unit* of the way from *low* to *high*.
    """
    span = high - low
    if math.isinf(span):  # the bounds are finite, their distance is not
        return low * (1 - unit) + high * unit
    return min(max(low + unit * span, low), high)


def unblend(low: float, high: float, value: float) -> float:
    """
    Return how much of the way from *low* to *high* lies before *value*.
    """
    span = high - low
    if math.isinf(span):
        return (value / 2 - low / 2) / (high / 2 - low / 2)
    return min(max((value - low) / span, 0.0), 1.0) if span > 0 else 0.5


def bin_at(scale: Scale, unit: float, count: int) -> int:
    """
    Return which of *count* steps lies at *unit*; on a log scale if asked.

    Each step owns the values nearest to it: the outer ones reach half a step
    beyond the bounds, so that all are equally likely on a linear scale.
    """
    left, width = _log_frame(scale, count) if scale.log else (0.0, 0.0)
    if width <= 0:  # linear, or too narrow for logarithms to differ
        return min(int(unit * count), count - 1)
    value = math.exp(left + unit * width)
    step = float(scale.step or 1)
    return min(max(round((value - scale.low) / step), 0), count - 1)


def bin_middle(scale: Scale, index: int, count: int) -> float:
    """
    Return the place in the unit interval from which step *index* is drawn.
    """
    left, width = _log_frame(scale, count) if scale.log else (0.0, 0.0)
    if width <= 0:  # linear, or too narrow for logarithms to differ
        return (index + 0.5) / count
    value = scale.low + index * float(scale.step or 1)
    return min(max((math.log(value) - left) / width, 0.0), 1.0)


def _log_frame(scale: Scale, count: int) -> tuple[float, float]:
    """
    Return start and width of the stretched log range (half a step each side).
    """
    step = float(scale.step or 1)
    high = scale.low + (count - 1) * step
    # Below half of *low* there is nothing to stretch into: log needs > 0.
    left = math.log(max(scale.low - step / 2, scale.low / 2))
    return left, math.log(min(high + step / 2, sys.float_info.max)) - left
