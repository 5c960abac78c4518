"""
One parameter of a sweep: from its constraints to a distribution.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.dialects.base import build
from airflow_hpo.blueprint.problems import show
from airflow_hpo.blueprint.records import Key, ListOf, Record
from airflow_hpo.blueprint.shapes import BROKEN, Anything, Number, OneOf, Shape, Whole
from airflow_hpo.model.distribution import (
    Categorical,
    Constant,
    Distribution,
    Float,
    Int,
    LogNormal,
    Normal,
)
from airflow_hpo.model.registry import did_you_mean
from airflow_hpo.model.values import canonical

if TYPE_CHECKING:
    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.blueprint.problems import Problems
    from airflow_hpo.model.values import Value

__all__ = ["Drawn", "parameters_schema", "read_distribution"]

# Beyond it a float is no exact whole number.
_LARGEST = 2**53

# Shares that sum to one but for binary noise.
_NOISE = 1e-6


@dataclass(frozen=True)
class Drawn:
    """
    What one parameter draws from.

    Args:
        distribution: The values.

        is_whole: Whether a program is given whole numbers, though the
            distribution has floats.
    """

    distribution: Distribution
    is_whole: bool = False


_FOREIGN = {
    "low": "write min",
    "high": "write max",
    "choices": "write values",
    "step": "write distribution: q_uniform and q",
    "mean": "write mu",
    "std": "write sigma",
    "stddev": "write sigma",
}


def _record(kind: str, needed: Mapping[str, Shape], **more: Shape) -> Record:
    about = "See the distribution."
    keys = {name: Key(shape, about, required=True) for name, shape in needed.items()}
    keys |= {name: Key(shape, about) for name, shape in more.items()}
    keys["distribution"] = Key(OneOf((kind,)), "Its name.")
    foreign = {name: hint for name, hint in _FOREIGN.items() if name not in keys}
    if kind == "categorical":
        foreign["probabilities"] = "write distribution: categorical_w_probabilities"
    return Record(keys, foreign=foreign)


_REAL = {"min": Number(), "max": Number()}
_ABOVE = {"min": Number(above=0), "max": Number(above=0)}
_INT = {"min": Whole(), "max": Whole()}
_Q = {"q": Number(above=0)}
_NORMAL = {"mu": Number(), "sigma": Number(above=0)}
_BETA = {"a": Number(above=0), "b": Number(above=0)}
_LIST = {"values": ListOf(Anything(), least=1)}
_SHARES = {"probabilities": ListOf(Number(least=0), least=1)}

_KINDS: Mapping[str, Record] = {
    "constant": _record("constant", {"value": Anything()}),
    "categorical": _record("categorical", _LIST),
    "categorical_w_probabilities": _record("categorical_w_probabilities", {**_LIST, **_SHARES}),
    "int_uniform": _record("int_uniform", _INT),
    "uniform": _record("uniform", _REAL),
    "q_uniform": _record("q_uniform", _REAL, **_Q),
    "log_uniform": _record("log_uniform", _REAL),
    "log_uniform_values": _record("log_uniform_values", _ABOVE),
    "q_log_uniform": _record("q_log_uniform", _REAL, **_Q),
    "q_log_uniform_values": _record("q_log_uniform_values", _ABOVE, **_Q),
    "inv_log_uniform": _record("inv_log_uniform", _REAL),
    "inv_log_uniform_values": _record("inv_log_uniform_values", _ABOVE),
    "normal": _record("normal", {}, **_NORMAL),
    "q_normal": _record("q_normal", {}, **_NORMAL, **_Q),
    "log_normal": _record("log_normal", {}, **_NORMAL),
    "q_log_normal": _record("q_log_normal", {}, **_NORMAL, **_Q),
    "beta": _record("beta", {}, **_BETA),
    "q_beta": _record("q_beta", {}, **_BETA, **_Q),
}

_ELSEWHERE = {
    "lognormal": "write log_normal",
    "loguniform": "write log_uniform_values for bounds that are values",
    "choice": "write categorical, or leave it out",
    "randint": "write int_uniform",
    "quniform": "write q_uniform",
    "qloguniform": "write q_log_uniform_values for bounds that are values",
}

# Those whose bounds are exponents of e.
_EXPONENTS = frozenset({"log_uniform", "q_log_uniform", "inv_log_uniform"})


def parameters_schema() -> dict[str, Any]:
    """
    Return the JSON Schema of ``parameters``, nested ones included.
    """
    kinds: list[dict[str, Any]] = []
    for name, record in _KINDS.items():
        inferred = name in {*_INFERRED, "categorical_w_probabilities", "int_uniform"}
        needed = [] if inferred else ["distribution"]
        schema = record.schema()
        kinds.append({**schema, "required": [*schema.get("required", []), *needed]})
    nested = {
        "type": "object",
        "properties": {"parameters": {"$ref": "#/properties/parameters"}},
        "required": ["parameters"],
        "additionalProperties": False,
    }
    item = {"anyOf": [*kinds, nested]}
    return {"type": "object", "minProperties": 1, "additionalProperties": item}


_INFERRED = {"constant": "value", "categorical": "values", "uniform": "min"}


def read_distribution(
    spec: Mapping[str, Value], path: Path, problems: Problems, *, grid: bool
) -> Drawn | None:
    """
    Return what the parameter *spec* draws from, or note why there is nothing.

    Args:
        spec: A mapping without ``parameters``.

        path: Where it stands.

        problems: Gets what is wrong.

        grid: Whether every value is tried.
    """
    kind = _kind(spec, path, problems)
    if kind is None:
        return None
    keys = _KINDS[kind].read(spec, path, problems)
    if keys is BROKEN or problems.touches(path):
        return None
    if kind in _EXPONENTS:
        _warn_of_values(kind, keys, path, problems)
    reading = _Reading(kind, keys, path, problems, is_grid=grid)
    reader = next(read for part, read in _READERS.items() if part in kind)
    return reader(reading)


def _kind(spec: Mapping[str, Value], path: Path, problems: Problems) -> str | None:
    """
    Return the name of the distribution, given or known from the other keys.
    """
    if "distribution" in spec:
        name = spec["distribution"]
        if isinstance(name, str) and name in _KINDS:
            return name
        hint = _ELSEWHERE.get(str(name).lower()) or did_you_mean(name, _KINDS)
        message = f"must be one of {', '.join(_KINDS)}, got {show(name)}"
        problems.error((*path, "distribution"), message, hint=hint)
        return None
    for kind, key in _INFERRED.items():
        if key in spec or (kind == "uniform" and "max" in spec):
            return _inferred(kind, spec)
    hint = "write value for one, values for a few, min and max for a range"
    hints = {**{key: f"write distribution: {name}" for key, name in _BY_KEY.items()}, **_FOREIGN}
    hint = next((hints[key] for key in spec if key in hints), hint)
    problems.error(path, "must say what is searched", hint=hint, at_key=True)
    return None


_BY_KEY = {"mu": "normal", "sigma": "normal", "a": "beta", "b": "beta", "q": "q_uniform"}


def _inferred(kind: str, spec: Mapping[str, Value]) -> str:
    if kind == "categorical" and "probabilities" in spec:
        return "categorical_w_probabilities"
    bounds = [spec.get("min"), spec.get("max")]
    whole = all(isinstance(bound, int) and not isinstance(bound, bool) for bound in bounds)
    return "int_uniform" if kind == "uniform" and whole else kind


@dataclass(frozen=True)
class _Reading:
    """
    What is at hand while one parameter is read.
    """

    kind: str
    keys: Mapping[str, Any]
    path: Path
    problems: Problems
    is_grid: bool

    @property
    def step(self) -> float | None:
        return self.keys.get("q", 1.0) if self.kind.startswith("q_") else None

    @property
    def is_whole(self) -> bool:
        """
        Whether the step is a whole number: then values are, too.
        """
        return self.step is not None and self.step.is_integer()

    def make(self, model: type[Any], **values: Any) -> Drawn | None:  # noqa: ANN401
        """
        Return what *model* makes of its arguments, or note why it makes nothing.
        """
        found = build(model, values, self.path, self.problems)
        whole = self.is_whole and not isinstance(found, (Int, Constant))
        return None if found is None else Drawn(found, is_whole=whole)


def _warn_of_values(kind: str, keys: Mapping[str, Any], path: Path, problems: Problems) -> None:
    """
    Warn of exponents that are more likely values.
    """
    low, high = keys["min"], keys["max"]
    if not 0 < low < high <= 1:
        return
    ends = (-high, -low) if kind.startswith("inv") else (low, high)
    found = " to ".join(f"{math.exp(end):.6g}" for end in ends)
    message = f"bounds are exponents of e, and these search {found}"
    problems.warn(path, message, hint=f"write distribution: {kind}_values if values are meant")


def _constant(at: _Reading) -> Drawn | None:
    return at.make(Constant, value=at.keys["value"])


def _categorical(at: _Reading) -> Drawn | None:
    values, weights = at.keys["values"], at.keys.get("probabilities")
    if weights is not None and len(weights) != len(values):
        message = f"must be as many as values, {len(values)}, got {len(weights)}"
        at.problems.error((*at.path, "probabilities"), message)
        return None
    if weights is not None:
        _check_shares(weights, at)
    merged = _merged(values, weights or [1.0] * len(values), at)
    if len(merged) == 1:
        return at.make(Constant, value=values[0])
    choices = tuple(value for value, _ in merged)
    # A value that is there twice is twice as likely, but in a grid.
    plain = weights is None and (len(merged) == len(values) or at.is_grid)
    shares = None if plain or at.is_grid else tuple(share for _, share in merged)
    return at.make(Categorical, choices=choices, weights=shares)


def _check_shares(weights: list[float], at: _Reading) -> None:
    place = (*at.path, "probabilities")
    if at.is_grid:
        at.problems.warn(place, "has no effect: a grid has each value once", at_key=True)
    total = math.fsum(weights)
    if total > 0 and not math.isclose(total, 1, rel_tol=_NOISE):
        at.problems.warn(place, f"should sum to 1, got {total:g}: they are taken as shares of it")


def _merged(values: list[Value], shares: list[float], at: _Reading) -> list[tuple[Value, float]]:
    """
    Return each value once, with the sum of its shares.
    """
    found: dict[str, tuple[Value, float]] = {}
    for index, (value, share) in enumerate(zip(values, shares, strict=True)):
        label = canonical(value)
        if label in found:
            more = "tried once" if at.is_grid else "one value, as likely as both"
            message = f"is there twice, got {show(value)} again: it is {more}"
            at.problems.warn((*at.path, "values", index), message)
        found[label] = value, share + found.get(label, (None, 0.0))[1]
    return list(found.values())


def _int_uniform(at: _Reading) -> Drawn | None:
    low, high = at.keys["min"], at.keys["max"]
    return at.make(Int, low=low, high=high) if _is_ordered(low, high, at) else None


def _uniform(at: _Reading) -> Drawn | None:
    return _between(at.keys["min"], at.keys["max"], at, log=False)


def _log_uniform(at: _Reading) -> Drawn | None:
    low, high = at.keys["min"], at.keys["max"]
    if not _is_ordered(low, high, at):
        return None
    if at.kind not in _EXPONENTS:
        return _between(low, high, at, log=True)
    sign = -1 if at.kind.startswith("inv") else 1
    bottom, top = (_power(end) for end in sorted((sign * low, sign * high)))
    if bottom is None or top is None:
        message = "bounds must be exponents that e can be raised to"
        got = f"min={show(low)}, max={show(high)}"
        hint = f"write distribution: {at.kind}_values if values are meant"
        at.problems.error(at.path, f"{message}, got {got}", hint=hint)
        return None
    return _between(bottom, top, at, log=True)


def _power(exponent: float) -> float | None:
    """
    Return the power of e, where it is neither too large nor too small for a number.
    """
    try:
        return math.exp(exponent) or None
    except OverflowError:
        return None


def _is_ordered(low: float, high: float, at: _Reading) -> bool:
    if low <= high:
        return True
    at.problems.error(at.path, f"min must not exceed max, got min={show(low)}, max={show(high)}")
    return False


def _between(low: Any, high: Any, at: _Reading, *, log: bool) -> Drawn | None:  # noqa: ANN401
    """
    Return what lies between two values; multiples of the step where there is one.
    """
    if not _is_ordered(low, high, at):
        return None
    step = at.step
    if step is None:
        if low == high:
            return at.make(Constant, value=low)
        return at.make(Float, low=low, high=high, log=log)
    if at.is_whole:
        ends = [round(end / step) * int(step) for end in (low, high)]
        is_small = max(map(abs, ends)) < _LARGEST
        if is_small and (ends[0] > 0 or not log):  # zero has no logarithm
            return at.make(Int, low=ends[0], high=ends[1], step=int(step), log=log)
    return at.make(Float, low=low, high=high, step=step, log=log, anchor="zero")


def _gaussian(at: _Reading) -> Drawn | None:
    model = LogNormal if "log" in at.kind else Normal
    mean, deviation = at.keys.get("mu", 0.0), at.keys.get("sigma", 1.0)
    return at.make(model, mean=mean, deviation=deviation, step=at.step)


def _beta(at: _Reading) -> Drawn | None:
    shape = [at.keys.get("a", 1.0), at.keys.get("b", 1.0)]
    if shape != [1.0, 1.0]:
        got = ", ".join(f"{name}={value:g}" for name, value in zip("ab", shape, strict=True))
        message = f"is searched evenly from 0 to 1: there is no beta distribution, got {got}"
        at.problems.warn(at.path, message)
    return _between(0.0, 1.0, at, log=False)


# By a part of the distribution's name; the first that fits.
_READERS: Mapping[str, Callable[[_Reading], Drawn | None]] = {
    "constant": _constant,
    "categorical": _categorical,
    "int_uniform": _int_uniform,
    "log_uniform": _log_uniform,
    "uniform": _uniform,
    "normal": _gaussian,
    "beta": _beta,
}
