"""
Text -> values: JSON objects as flat metrics, and cells as numbers.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_hpo.metrics.base import Notes
    from airflow_hpo.model.values import Value

__all__ = ["MAX_LINE", "flat_metrics", "from_text", "parse_line"]

MAX_LINE = 2**20
"""Characters of the longest line that is parsed."""

# What a measurement may be at most; beyond it lies no metric but an accident.
_MAX_DEPTH = 32
_MAX_NAME = 250
_MAX_METRICS = 10_000

# Control characters inside of strings are no reason to lose a measurement.
_DECODER = json.JSONDecoder(strict=False)

_INTEGER = re.compile(r"[+-]?[0-9]{1,300}")
_FLOAT = re.compile(
    r"[+-]?((([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?)|inf(inity)?|nan)", re.IGNORECASE
)


def parse_line(line: str, notes: Notes) -> dict[str, Value]:
    """
    Return the metrics in the JSON object that *line* starts with.

    Text behind the object is ignored, and so is a line that starts with
    anything else: it is an ordinary line of a log. What looked like a
    measurement and is none is noted.

    Example:
        >>> from airflow_hpo.metrics.base import Notes
        >>> parse_line('  {"epoch": 3, "val": {"loss": 0.25}} done', Notes())
        {'epoch': 3, 'val.loss': 0.25}
    """
    text = line.strip()
    if not text.startswith("{"):
        return {}
    if len(text) > MAX_LINE:
        notes.add(f"a line of metrics was longer than {MAX_LINE} characters")
        return {}
    try:
        # The decoder itself sets no bounds on nesting but the interpreter's.
        found, _ = _DECODER.raw_decode(text)
    except (ValueError, RecursionError):
        notes.add("a line began like a JSON object and was none")
        return {}
    return flat_metrics(found, notes)


def flat_metrics(found: dict[str, Any], notes: Notes) -> dict[str, Value]:
    """
    Return a JSON object's values by name; nested ones by dotted name.

    Lists stay lists. Where two values have the same name, the last wins.
    """
    metrics: dict[str, Value] = {}
    try:
        for name, value in _walk(found, "", 1):
            if len(name) > _MAX_NAME or len(metrics) >= _MAX_METRICS:
                notes.add("a metric was dropped: too long a name, or too many of them")
                continue
            metrics[name] = value
    except RecursionError:
        notes.add(f"a line of metrics was nested more than {_MAX_DEPTH} deep")
        return {}
    return metrics


def _walk(found: dict[str, Any], prefix: str, depth: int) -> Iterator[tuple[str, Value]]:
    if depth > _MAX_DEPTH:
        raise RecursionError
    for key, value in found.items():
        name = prefix + _printable(key[: _MAX_NAME + 1])
        if isinstance(value, dict):
            yield from _walk(value, f"{name}.", depth + 1)
        else:
            yield name, _clean(value, depth + 1)


def _clean(value: Value, depth: int) -> Value:
    if depth > _MAX_DEPTH:
        raise RecursionError
    if isinstance(value, str):
        return _printable(value)
    if isinstance(value, list):
        return [_clean(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {_printable(key): _clean(item, depth + 1) for key, item in value.items()}
    return value


def _printable(text: str) -> str:
    """
    Return *text* without what no file or terminal can hold.

    JSON can spell halves of surrogate pairs, and NUL.
    """
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")


def from_text(text: str) -> Value:
    """
    Return *text* as the number that it spells, or else as it is.

    Example:
        >>> [from_text(text) for text in ("12", " 0.5", "1e-3", "relu", "1_000")]
        [12, 0.5, 0.001, 'relu', '1_000']
    """
    text = text.strip()
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else _printable(text)
