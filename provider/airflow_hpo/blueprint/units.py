"""
Durations and shares as people write them: ``1h30m``, ``90s``, ``20%``.
"""

from __future__ import annotations

import re
from decimal import Decimal

__all__ = [
    "DURATION_PATTERN",
    "SHARE_PATTERN",
    "seconds_of",
    "share_of",
    "show_duration",
    "show_share",
]

_UNITS = {"d": 86_400, "h": 3600, "m": 60, "s": 1}

_NUMBER = r"[0-9]{1,15}(?:\.[0-9]{1,15})?"
DURATION_PATTERN = rf"^(?=.)({_NUMBER}d)? ?({_NUMBER}h)? ?({_NUMBER}m)? ?({_NUMBER}s)?$"
SHARE_PATTERN = r"^[0-9]{1,3}(\.[0-9]{1,400})?%$"

_DURATION = re.compile(DURATION_PATTERN)
_SHARE = re.compile(SHARE_PATTERN)


def seconds_of(text: str) -> float:
    """
    Return the seconds that *text* stands for.

    Raises:
        ValueError: If it is no duration.

    Example:
        >>> seconds_of("1h30m"), seconds_of("0.5s")
        (5400.0, 0.5)
    """
    match = _DURATION.fullmatch(text)
    if match is None or not any(match.groups()):
        raise ValueError(f"must be seconds or a duration such as 90s, 30m, 1h30m, 2d, got {text!r}")
    parts = (part for part in match.groups() if part)
    return float(sum(Decimal(part[:-1]) * _UNITS[part[-1]] for part in parts))


def share_of(text: str) -> float:
    """
    Return the share of one that *text* stands for.

    Raises:
        ValueError: If it is no percentage.

    Example:
        >>> share_of("20%")
        0.2
    """
    if _SHARE.fullmatch(text) is None:
        raise ValueError(f"must be a count or a share such as 20%, got {text!r}")
    return float(Decimal(text[:-1]) / 100)


def show_duration(seconds: float) -> str | float:
    """
    Return *seconds* as people write them; as a number where that is shorter.

    Example:
        >>> show_duration(5400.0), show_duration(7200.0), show_duration(0.25)
        ('1h30m', '2h', 0.25)
    """
    if seconds != int(seconds) or not 1 <= seconds < 1e9:  # noqa: PLR2004 - some thirty years
        return seconds
    rest, parts = int(seconds), []
    for unit, size in _UNITS.items():
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def show_share(share: float) -> str:
    """
    Return *share* as a percentage that reads back as exactly this number.

    Example:
        >>> show_share(0.2), show_share(0.125)
        ('20%', '12.5%')
    """
    percent = (Decimal(repr(share)) * 100).normalize()
    return f"{percent:f}%"
