"""
How metrics are read: Katib's lines of ``name=value``, or others by a filter.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.dialects.own import OWN
from airflow_hpo.blueprint.problems import show
from airflow_hpo.blueprint.shapes import BROKEN
from airflow_hpo.model.blueprint import MetricsSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow_hpo.blueprint.problems import Problems

__all__ = ["FORMATS", "read_metrics"]

_COLLECTOR = ("spec", "metricsCollectorSpec")

FORMATS = (*_COLLECTOR, "source", "filter", "metricsFormat")
"""Where the expressions stand."""

# A name, an equals sign, and a number of any form.
_NAME = r"[\w|-]"
_USUAL = rf"({_NAME}+)\s*=\s*([+-]?\d*(\.\d+)?([Ee][+-]?\d+)?)"

# What is escaped, a class of characters, and parentheses.
_PARTS = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\??|\)", re.DOTALL)


def read_metrics(
    spec: Mapping[str, Any], names: Sequence[str], problems: Problems
) -> MetricsSpec | None:
    """
    Return how the metrics *names* are read, or note why they cannot be.
    """
    given = spec.get("metricsCollectorSpec", {})
    if problems.touches(_COLLECTOR):
        return None
    kind = given.get("collector", {}).get("kind", "StdOut")
    if kind != "StdOut":
        hint = f"write {OWN}: {{metrics: json_lines}}, and print {{...}} as JSON"
        if kind == "File":
            path = "{format: file, path: metrics.json}"
            hint = f"write {OWN}: {{metrics: {path}}}, and metrics into $HPO_OUTPUT_DIR"
        message = f"must be StdOut, or {OWN} must say how metrics are read, got {kind}"
        problems.error((*_COLLECTOR, "collector", "kind"), message, hint=hint)
        return None
    source = given.get("source", {})
    for name in source.keys() - {"filter"}:
        message = "has no effect: metrics are read from the output"
        problems.warn((*_COLLECTOR, "source", name), message, at_key=True)
    pattern = _pattern(source.get("filter", {}).get("metricsFormat") or [_USUAL], problems)
    if pattern is None:
        return None
    if not names:
        return MetricsSpec()  # that the objective has none was said
    patterns = {name: _for_metric(pattern, name) for name in names}
    return MetricsSpec(format="regex", options={"patterns": patterns})


def _pattern(patterns: Sequence[Any], problems: Problems) -> str | None:
    """
    Return the one expression, or note what is wrong with it.
    """
    for index in range(1, len(patterns)):
        message = "has no effect: lines are read by the first expression"
        problems.warn((*FORMATS, index), message)
    first = patterns[0]
    if first is BROKEN:
        return None
    try:
        re.compile(first)
    except (re.error, OverflowError, RecursionError) as error:
        message = f"must be a regular expression, got {show(first)}: {error}"
        problems.error((*FORMATS, 0), message)
        return None
    if not _has_both(first):
        message = f"must have two groups, the name and the value, got {show(first)}"
        problems.error((*FORMATS, 0), message, hint=f"write '{_USUAL}'")
        return None
    return str(first)


def _groups(pattern: str) -> Iterator[tuple[int, bool]]:
    """
    Yield the place of each parenthesis that is a capturing group's, and whether it opens one.
    """
    stack: list[bool] = []
    for match in _PARTS.finditer(pattern):
        if match[0] == ")":
            if stack and stack.pop():
                yield match.start(), False
        elif match[0].startswith("("):
            stack.append(match[0] == "(")
            if stack[-1]:
                yield match.start(), True


def _has_both(pattern: str) -> bool:
    """
    Return whether there is a group for the name, and another one behind it.
    """
    places = list(_groups(pattern))
    opening = [place for place, opens in places if opens]
    return bool(opening) and _after(places, opening[0], opening) > 0


def _for_metric(pattern: str, name: str) -> str:
    r"""
    Return *pattern* with one group, the value, for the metric *name* alone.

    Example:
        >>> print(_for_metric(r"(\w+): (-?\d+(\.\d+)?)", "loss"))
        (?<![\w|-])(?:loss): (-?\d+(?:\.\d+)?)
    """
    places = list(_groups(pattern))
    opening = [place for place, opens in places if opens]
    start, value = opening[0], _after(places, opening[0], opening)
    end = _end(places, start)
    parts, last = [pattern[:start], rf"(?<!{_NAME})(?:{re.escape(name)})"], end + 1
    for place in opening:
        if place > end:
            parts += [pattern[last:place], "(" if place == value else "(?:"]
            last = place + 1
    return "".join([*parts, pattern[last:]])


def _end(places: Sequence[tuple[int, bool]], start: int) -> int:
    """
    Return where the group that opens at *start* closes.
    """
    depth = 0
    for place, opens in places:
        if place >= start:
            depth += 1 if opens else -1
            if depth == 0:
                return place
    return start


def _after(places: Sequence[tuple[int, bool]], start: int, opening: Sequence[int]) -> int:
    """
    Return where the next group opens that is not within the one at *start*.
    """
    end = _end(places, start)
    return next((place for place in opening if place > end), -1)
