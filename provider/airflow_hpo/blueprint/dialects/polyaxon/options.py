"""
Options of a matrix: from lists, texts and mappings to distributions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.dialects.base import build
from airflow_hpo.blueprint.dialects.polyaxon import series
from airflow_hpo.blueprint.dialects.polyaxon.shapes import Count, unquoted
from airflow_hpo.blueprint.problems import show
from airflow_hpo.blueprint.shapes import BROKEN, Anything, Number
from airflow_hpo.model.distribution import (
    Categorical,
    Distribution,
    Float,
    LogNormal,
    Normal,
)
from airflow_hpo.model.values import canonical

if TYPE_CHECKING:
    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.blueprint.problems import Problems
    from airflow_hpo.model.values import Value

__all__ = ["CONTINUOUS", "DATES", "LISTED", "Option", "read_option"]

LISTED = ("values", "pvalues")
"""Options whose values are written one by one."""

DATES = ("daterange", "datetimerange")
"""Options that only newer files have."""

CONTINUOUS = (
    *("uniform", "quniform", "loguniform", "qloguniform"),
    *("normal", "qnormal", "lognormal", "qlognormal"),
)
"""Options whose values cannot be listed."""

_SERIES = {"range": "step", "linspace": "num", "logspace": "num", "geomspace": "num"}

# The exponential of more is infinite, or has lost its digits.
_MOST_LOGARITHM = 700.0


@dataclass(frozen=True)
class Option:
    """
    One parameter of a matrix.

    Args:
        kind: ``values``, ``pvalues``, ``range`` ... whatever the file calls it.

        distribution: What it means.

        path: Where it stands.
    """

    kind: str
    distribution: Distribution
    path: Path

    @property
    def is_continuous(self) -> bool:
        """
        Whether its values cannot be listed.
        """
        return self.kind in CONTINUOUS

    @property
    def is_distribution(self) -> bool:
        """
        Whether Polyaxon only samples from it.
        """
        return self.is_continuous or self.kind == "pvalues"


def read_option(kind: str, value: Value, path: Path, problems: Problems) -> Distribution | None:
    """
    Return the distribution of an option, or note why there is none.

    Args:
        kind: Its name in older files.

        value: A list, a text with colons or a mapping.

        path: Where *value* stands.

        problems: Gets what is wrong.
    """
    if kind in LISTED:
        return (_values if kind == "values" else _pvalues)(value, path, problems)
    names, more = _form(kind)
    if kind in DATES:
        found = _date_elements(names, value, path, problems)
        return None if found is None else _dates(kind, found, path, problems)
    elements = _elements(kind, value, path, problems)
    if elements is None:
        return None
    _say_of_more(kind, more, elements, value, path, problems)
    if kind in _SERIES:
        return _series(kind, elements, value, path, problems)
    return _drawn(kind, elements, path, problems)


def _form(kind: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """
    Return the elements that an option must have, and those that it may have.
    """
    if kind in DATES:
        return ("start", "stop", "step"), ()
    if kind in _SERIES:
        return ("start", "stop", _SERIES[kind]), (("base",) if kind == "logspace" else ())
    names = ("loc", "scale") if kind.endswith("normal") else ("low", "high")
    return (*names, *(("q",) if kind.startswith("q") else ())), ("size",)


def _elements(kind: str, value: Value, path: Path, problems: Problems) -> dict[str, float] | None:
    """
    Return the numbers of an option by their names.
    """
    given = _given(kind, value, path, problems)
    if given is None:
        return None
    found: dict[str, float] = {}
    for name, (item, here) in given.items():
        number = _element(name, item, here, problems)
        if number is not BROKEN:
            found[name] = number
    if len(found) < len(given):
        return None
    return found


def _element(name: str, item: Value, path: Path, problems: Problems) -> Any:  # noqa: ANN401
    if name == "num":
        return Count(least=1).read(item, path, problems)
    number = unquoted(item)
    shape = {"q": Number(above=0), "scale": Number(above=0)}.get(name, Number())
    if shape.read(number if isinstance(number, (int, float)) else item, path, problems) is BROKEN:
        return BROKEN
    if name == "step" and number == 0:
        problems.error(path, "step must not be 0")
        return BROKEN
    return number


def _given(
    kind: str, value: Value, path: Path, problems: Problems
) -> dict[str, tuple[Value, Path]] | None:
    """
    Return the elements as they are written, each with its place.
    """
    names, more = _form(kind)
    every = (*names, *more)
    if isinstance(value, dict):
        if set(names) <= set(value) <= set(every):
            return {name: (item, (*path, name)) for name, item in value.items()}
    elif isinstance(value, (list, str)):
        items = value.split(":") if isinstance(value, str) else value
        if len(names) <= len(items) <= len(every):
            by_index = isinstance(value, list)
            return {
                name: (item, (*path, index) if by_index else path)
                for index, (name, item) in enumerate(zip(every, items, strict=False))
            }
    shown = [":".join(names), f"[{', '.join(names)}]"]
    message = f"must be {shown[0]}, {shown[1]} or a mapping of {', '.join(names)}"
    problems.error(path, f"{message}, got {_got(value)}", hint=_form_hint(kind, value))
    return None


def _got(value: Value) -> str:
    return f"{{{', '.join(value)}}}" if isinstance(value, dict) else show(value)


def _form_hint(kind: str, value: Value) -> str | None:
    names, more = _form(kind)
    if isinstance(value, list) and len(value) > len(names) + len(more):
        return f"write them as values, or kind: choice: {show(value)}" if kind in _SERIES else None
    return None


def _say_of_more(
    kind: str,
    more: tuple[str, ...],
    elements: Mapping[str, float],
    value: Value,
    path: Path,
    problems: Problems,
) -> None:
    if "size" in more and "size" in elements:
        at = {"dict": (*path, "size"), "list": (*path, len(_form(kind)[0]))}
        place = at.get(type(value).__name__, path)
        problems.warn(place, "size has no effect: a trial has one value")


def _series(
    kind: str, elements: Mapping[str, float], value: Value, path: Path, problems: Problems
) -> Distribution | None:
    start, stop = elements["start"], elements["stop"]
    if not start < stop:
        problems.error(path, f"stop must be above start, got start={start}, stop={stop}")
        return None
    if kind == "logspace":
        _warn_of_exponents(start, stop, elements, value, path, problems)
    try:
        values = _EXPANSIONS[kind](**elements)
    except (ValueError, OverflowError) as error:
        text = str(error) if isinstance(error, ValueError) else "must have finite values"
        problems.error(path, text)
        return None
    return series.distribution_of(values)


_EXPANSIONS: Mapping[str, Callable[..., list[float]]] = {
    "range": series.range_,
    "linspace": series.linspace,
    "logspace": series.logspace,
    "geomspace": series.geomspace,
}


def _warn_of_exponents(
    start: float,
    stop: float,
    elements: Mapping[str, float],
    value: Value,
    path: Path,
    problems: Problems,
) -> None:
    """
    Warn of bounds that were meant as values.
    """
    if not 0 < start < stop < 1:
        return
    base = elements.get("base", 10)
    try:
        ends = f"{base**start:.4g} to {base**stop:.4g}"
    except (OverflowError, TypeError, ValueError):
        return
    spelled = f"{start}:{stop}:{elements['num']}"
    problems.warn(
        path,
        f"start and stop of logspace are exponents, got {_got(value)}: values go from {ends}",
        hint=f"write geomspace with {spelled} for values from {start} to {stop}",
    )


def _drawn(
    kind: str, elements: Mapping[str, float], path: Path, problems: Problems
) -> Distribution | None:
    step = elements.get("q")
    values: dict[str, Any]
    if kind.endswith("normal"):
        values = {"mean": elements["loc"], "deviation": elements["scale"], "step": step}
        if "log" in kind:
            return build(LogNormal, values, path, problems)
        return build(Normal, values, path, problems)
    low, high = elements["low"], elements["high"]
    if low > high:
        hint = "write them the other way round"
        problems.error(path, f"low must not exceed high, got low={low}, high={high}", hint=hint)
        return None
    if "log" in kind:
        if max(abs(low), abs(high)) > _MOST_LOGARITHM:
            most = f"{_MOST_LOGARITHM:g}"
            rule = f"bounds of {kind}, natural logarithms, must be between -{most} and {most}"
            problems.error(path, f"{rule}, got {low} and {high}")
            return None
        _warn_of_values(kind, low, high, path, problems)
        low, high = series.plain(math.exp(low)), series.plain(math.exp(high))
    values = {"low": low, "high": high, "log": "log" in kind}
    if step is not None:
        values |= {"step": step, "anchor": "zero"}
    return build(Float, values, path, problems)


def _warn_of_values(kind: str, low: float, high: float, path: Path, problems: Problems) -> None:
    """
    Warn of bounds of which nobody would take the exponential.
    """
    if low > 0 and high <= 1:
        problems.warn(
            path,
            f"bounds of {kind} are natural logarithms, got {low} and {high}: "
            f"values go from {math.exp(low):.3g} to {math.exp(high):.3g}",
            hint=f"write {math.log(low):.6g} and {math.log(high):.6g} "
            f"for values from {low} to {high}",
        )


def _values(value: Value, path: Path, problems: Problems) -> Categorical | None:
    if not isinstance(value, list) or not value:
        hint = None if isinstance(value, (list, dict)) else f"write [{show(value)}]"
        problems.error(path, f"must be a list of values, got {show(value)}", hint=hint)
        return None
    found = [Anything().read(item, (*path, index), problems) for index, item in enumerate(value)]
    if BROKEN in found:
        return None
    different = list({canonical(item): item for item in found}.values())
    if len(different) < len(found):
        problems.warn(
            path,
            f"should be different values, got {len(found)} of which {len(different)} are; "
            "each counts once",
        )
    return build(Categorical, {"choices": tuple(different)}, path, problems)


_SUM_NOISE = 1e-9


def _pvalues(value: Value, path: Path, problems: Problems) -> Categorical | None:
    """
    Return weighted choices; what the probabilities lack of 1 is the last one's.
    """
    form = "[[value, probability], ...]"
    if not isinstance(value, list) or not value:
        problems.error(path, f"must be {form}, got {show(value)}")
        return None
    pairs = [_pair(pair, (*path, index), problems) for index, pair in enumerate(value)]
    if BROKEN in pairs:
        return None
    missing = 1 - math.fsum(weight for _, weight in pairs)
    if missing < -_SUM_NOISE:
        problems.error(path, f"probabilities must sum to 1 at most, got {1 - missing:.12g}")
        return None
    if missing > _SUM_NOISE:
        last, weight = pairs[-1]
        message = f"probabilities should sum to 1, got {1 - missing:.12g}"
        rest = f"the rest goes to the last value, {show(last)}, which has {weight + missing:.12g}"
        problems.warn(path, f"{message}: {rest}")
        pairs[-1] = (last, float(f"{weight + missing:.12g}"))
    return _weighted(pairs, path, problems)


def _pair(pair: Value, path: Path, problems: Problems) -> Any:  # noqa: ANN401
    if not isinstance(pair, list) or len(pair) != 2:  # noqa: PLR2004 - a pair
        problems.error(path, f"must be [value, probability], got {show(pair)}")
        return BROKEN
    value = Anything().read(pair[0], (*path, 0), problems)
    weight = Number(least=0).read(pair[1], (*path, 1), problems)
    return BROKEN if value is BROKEN or weight is BROKEN else (value, weight)


def _weighted(
    pairs: list[tuple[Value, float]], path: Path, problems: Problems
) -> Categorical | None:
    weights: dict[str, float] = {}
    choices: dict[str, Value] = {}
    for value, weight in pairs:
        label = canonical(value)
        choices.setdefault(label, value)
        weights[label] = weights.get(label, 0.0) + weight
    if len(choices) < len(pairs):
        message = f"should be different values, got {len(pairs)} of which {len(choices)} are"
        problems.warn(path, f"{message}; their probabilities are added")
    values = {"choices": tuple(choices.values()), "weights": tuple(weights.values())}
    return build(Categorical, values, path, problems)


def _date_elements(
    names: tuple[str, ...], value: Value, path: Path, problems: Problems
) -> dict[str, Any] | None:
    """
    Return start, stop and step; there is no form with colons.
    """
    items = value if isinstance(value, dict) else None
    if isinstance(value, list) and len(value) == len(names):
        items = dict(zip(names, value, strict=True))
    if items is None or set(items) != set(names):
        message = f"must be [{', '.join(names)}] or a mapping of these, got {_got(value)}"
        problems.error(path, message)
        return None
    step = Count(least=1).read(items["step"], path, problems)
    for name in ("start", "stop"):
        if not isinstance(items[name], str):
            problems.error(path, f"{name} must be a date, got {show(items[name])}")
            return None
    return None if step is BROKEN else {**items, "step": step}


def _dates(
    kind: str, elements: Mapping[str, Any], path: Path, problems: Problems
) -> Categorical | None:
    try:
        values = series.dates(**elements, seconds=kind == "datetimerange")
    except ValueError as error:
        problems.error(path, str(error))
        return None
    return build(Categorical, {"choices": tuple(values)}, path, problems)
