"""
Grids: the evenly spaced values between two bounds, without binary noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal

from airflow_hpo.model.scale import GRID_TOLERANCE

__all__ = ["Grid", "grid_from_low", "grid_from_zero"]

_HALF = Decimal("0.5")


@dataclass(frozen=True, slots=True)
class Grid:
    """
    The values ``start + k * step``, by their place 0, 1, 2 ...

    Args:
        start: Where counting begins, which need not be a value.

        step: Distance of neighbouring values.

        multiples: Which *k* there are, ascending.
    """

    start: Decimal
    step: Decimal
    multiples: range

    @property
    def size(self) -> int:
        """
        How many values there are (`len` does not reach beyond 64 bits).
        """
        return self.multiples.stop - self.multiples.start

    def value(self, place: int) -> float:
        """
        Return the value at *place*.
        """
        return float(self.start + self.multiples[place] * self.step)

    def values(self) -> tuple[float, ...]:
        """
        Return all values, ascending.
        """
        return tuple(float(self.start + multiple * self.step) for multiple in self.multiples)

    def place(self, value: float) -> int:
        """
        Return the place nearest to *value*; an end if *value* lies beyond.
        """
        place = round(self._multiple(value)) - self.multiples.start
        return min(max(place, 0), self.size - 1)

    def holds(self, value: float) -> bool:
        """
        Return whether *value* is one of them, but for rounding.
        """
        multiple = self._multiple(value)
        noise = abs(multiple - round(multiple))
        return round(multiple) in self.multiples and noise <= GRID_TOLERANCE * max(
            Decimal(1), abs(multiple)
        )

    def _multiple(self, value: float) -> Decimal:
        return (Decimal(repr(value)) - self.start) / self.step


def grid_from_low(low: float, high: float, step: float) -> Grid:
    """
    Return the grid whose first value is *low* and whose last is *high* or below.

    Example:
        >>> grid_from_low(1.0, 2.0, 0.4).values()
        (1.0, 1.4, 1.8)
    """
    first, last, distance = (Decimal(repr(number)) for number in (low, high, step))
    most = int((last - first) / distance)
    if float(first + most * distance) > high:  # the division was rounded up
        most -= 1
    return Grid(first, distance, range(most + 1))


def grid_from_zero(low: float, high: float, step: float) -> Grid:
    """
    Return the multiples of *step* to which numbers between the bounds are rounded.

    The outermost may lie up to half a step beyond the bounds. A multiple to
    which hardly more than a bound itself is rounded, not a stretch of numbers,
    is none of them.

    Example:
        >>> grid_from_zero(1.0, 10.0, 4.0).values()
        (0.0, 4.0, 8.0)
    """
    left, right, distance = (Decimal(repr(number)) for number in (low, high, step))
    first = math.floor(left / distance - _HALF + GRID_TOLERANCE) + 1
    last = math.ceil(right / distance + _HALF - GRID_TOLERANCE) - 1
    if first > last:
        first = last = round((left + right) / (2 * distance))
    return Grid(Decimal(0), distance, range(first, last + 1))
