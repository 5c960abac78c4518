"""
The shape of a length of time: seconds, or a duration as people write it.
"""

from __future__ import annotations

from airflow_hpo.blueprint.shapes import Either, Number, Text
from airflow_hpo.blueprint.units import DURATION_PATTERN, seconds_of

__all__ = ["DURATION"]


def _some_seconds(text: str) -> float:
    seconds = seconds_of(text)
    if seconds <= 0:
        raise ValueError(f"must be above 0, got {text!r}")
    return seconds


_TEXT = Text(
    pattern=DURATION_PATTERN,
    rule="seconds or a duration such as 90s, 30m, 1h30m, 2d",
    convert=_some_seconds,
    examples=("30m", "2h"),
)

DURATION = Either(text=_TEXT, other=Number(above=0))
"""Some time: more than none of it."""
