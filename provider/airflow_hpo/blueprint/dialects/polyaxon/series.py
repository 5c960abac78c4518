"""
Values at regular distances, as NumPy would list them, without binary noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta
from decimal import Decimal

from airflow_hpo.model.distribution import Categorical, Distribution, Float, Int

__all__ = ["dates", "distribution_of", "geomspace", "linspace", "logspace", "plain", "range_"]

# More values than anybody lists, few enough to hold.
_MOST = 10_000


def _checked(count: int) -> int:
    if not 1 <= count <= _MOST:
        raise ValueError(f"must be 1 to {_MOST} values, got {count}")
    return count


def plain(number: float) -> float:
    """
    Return *number* without the noise of binary arithmetic in its last digits.

    Raises:
        ValueError: If it is beyond all floats.
    """
    if not math.isfinite(number):
        raise ValueError("must have finite values")
    return float(f"{number:.15g}")


def range_(start: float, stop: float, step: float) -> list[float]:
    """
    Return the values from *start* up to, but without, *stop*.

    Whole numbers stay whole.

    Example:
        >>> range_(1, 10, 2), range_(0.1, 0.5, 0.1)
        ([1, 3, 5, 7, 9], [0.1, 0.2, 0.3, 0.4])
    """
    first, last, distance = (Decimal(repr(number)) for number in (start, stop, step))
    if distance < 0:
        raise ValueError(f"step must lead from start to stop, got {step} from {start} to {stop}")
    count = _checked(math.ceil((last - first) / distance))
    if isinstance(start, int) and isinstance(step, int):
        return [start + index * step for index in range(count)]
    return [float(first + index * distance) for index in range(count)]


def linspace(start: float, stop: float, num: int) -> list[float]:
    """
    Return *num* values from *start* to *stop*, both included.

    Example:
        >>> linspace(0.001, 0.1, 5)
        [0.001, 0.02575, 0.0505, 0.07525, 0.1]
    """
    parts = _checked(num) - 1
    if not parts:
        return [float(start)]
    first, last = float(start), float(stop)
    inner = [plain(first + (last - first) * (index / parts)) for index in range(1, parts)]
    return [first, *inner, last]


def logspace(start: float, stop: float, num: int, base: float = 10) -> list[float]:
    """
    Return *base* to the power of *num* exponents from *start* to *stop*.

    Example:
        >>> logspace(-3, -1, 3)
        [0.001, 0.01, 0.1]
    """
    if base <= 0:
        raise ValueError(f"base must be above 0, got {base}")
    try:
        return [plain(float(base) ** exponent) for exponent in linspace(start, stop, num)]
    except OverflowError:
        raise ValueError("must have finite values") from None


def geomspace(start: float, stop: float, num: int) -> list[float]:
    """
    Return *num* values from *start* to *stop* at equal ratios, both included.

    Example:
        >>> geomspace(1, 256, 9)
        [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0]
    """
    if start * stop <= 0:
        raise ValueError(f"start and stop must have the same sign, got {start} and {stop}")
    parts = _checked(num) - 1
    if not parts:
        return [float(start)]
    low, high, sign = math.log10(abs(start)), math.log10(abs(stop)), math.copysign(1, start)
    inner = [
        plain(sign * 10 ** (low + (high - low) * (index / parts))) for index in range(1, parts)
    ]
    return [float(start), *inner, float(stop)]


def dates(start: str, stop: str, step: int, *, seconds: bool) -> list[str]:
    """
    Return days, or moments, from *start* up to but without *stop*.

    Args:
        start: ISO 8601.

        stop: Likewise.

        step: In days; in seconds with *seconds*.

        seconds: Whether moments are asked for.

    Example:
        >>> dates("2026-06-24", "2026-06-28", 2, seconds=False)
        ['2026-06-24', '2026-06-26']
    """
    kind = datetime if seconds else date
    try:
        first, last = kind.fromisoformat(start), kind.fromisoformat(stop)
        distance = timedelta(seconds=step) if seconds else timedelta(days=step)
        count = math.ceil((last - first) / distance) if distance else 0
    except (TypeError, ValueError, OverflowError) as error:
        form = "2026-01-31T12:00:00" if seconds else "2026-01-31"
        got = f"{start!r} and {stop!r}"
        raise ValueError(f"start and stop must be written as {form}, got {got}") from error
    if count < 1:
        raise ValueError(f"step must lead from start to stop, got {step} from {start} to {stop}")
    return [(first + index * distance).isoformat() for index in range(_checked(count))]


def distribution_of(values: Sequence[float]) -> Distribution:
    """
    Return the distribution of ascending values: with a step where they have one.
    """
    if all(isinstance(value, int) for value in values):
        step = values[1] - values[0] if len(values) > 1 else 1
        return Int(low=int(values[0]), high=int(values[-1]), step=int(step))
    if len(values) > 1:
        first, second = (Decimal(repr(value)) for value in values[:2])
        if second > first:
            with suppress(ValueError):  # far too many steps
                found = Float(low=values[0], high=values[-1], step=float(second - first))
                if found.size() == len(values) and found.values() == tuple(values):
                    return found
    return Categorical(choices=tuple(dict.fromkeys(values)))
