"""
Keys of the search space: each kind of parameter.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from airflow_hpo.blueprint.document import Path
from airflow_hpo.blueprint.problems import Problems, show
from airflow_hpo.blueprint.records import Key, ListOf, MapOf, OneOrMany, Pair, Record
from airflow_hpo.blueprint.shapes import BROKEN, Anything, Flag, Number, OneOf, Shape, Whole, finite
from airflow_hpo.model.registry import did_you_mean
from airflow_hpo.model.values import Value

__all__ = ["KINDS", "ParameterShape"]

_WHEN = Key(
    MapOf(OneOrMany(Anything())),
    "Active only where each named parameter has this value, or one of these.",
)
_DEFAULT = Key(
    Anything(),
    "The value that trials count as having had which were made before the parameter was added.",
)
_STEP = Key(Number(above=0), "Distance of neighbouring values.")
_LOG = Key(Flag(), "Whether equal ratios are equally likely, rather than equal gaps.")

_FOREIGN_BOUNDS = {
    "q": "write step",
    "scale": "write log: true",
    "base": "bounds are values, whatever the base: write log: true",
    "condition": "write when: {parameter: value}",
    "if": "write when: {parameter: value}",
}


def _kind(name: str, shape: Shape, about: str, **more: Key) -> Record:
    keys = {name: Key(shape, about, required=True), **more, "when": _WHEN}
    if name != "constant":
        keys["default"] = _DEFAULT
    return Record(keys, foreign=_FOREIGN_BOUNDS)


KINDS = {
    "float": _kind(
        "float",
        Pair(Number(), ("low", "high")),
        "Bounds, both inclusive.",
        step=_STEP,
        log=_LOG,
        anchor=Key(
            OneOf(("low", "zero")),
            "What steps are counted from; with zero, numbers are rounded to multiples.",
        ),
    ),
    "int": _kind(
        "int",
        Pair(Whole(), ("low", "high")),
        "Bounds, both inclusive.",
        step=Key(Whole(least=1), "Distance of neighbouring values; 1 by default."),
        log=_LOG,
    ),
    "choice": _kind(
        "choice",
        ListOf(Anything(), least=1),
        "The values to choose from.",
        weights=Key(ListOf(Number(least=0)), "How likely each is; equally by default."),
    ),
    "normal": _kind(
        "normal", Pair(Number(), ("mean", "deviation")), "Mean and standard deviation.", step=_STEP
    ),
    "lognormal": _kind(
        "lognormal",
        Pair(Number(), ("mean", "deviation")),
        "Mean and standard deviation of the natural logarithm.",
        step=_STEP,
    ),
    "constant": _kind("constant", Anything(), "A value that is not searched."),
}
"""How each kind of parameter is written; the kind is also its first key."""

_FOREIGN_KINDS = {
    "uniform": "write {float: [low, high]}",
    "loguniform": "write {float: [low, high], log: true}",
    "log_uniform": "write {float: [low, high], log: true}",
    "quniform": "write {float: [low, high], step: q}",
    "randint": "write {int: [low, high]}",
    "integer": "write {int: [low, high]}",
    "categorical": "write {choice: [...]}",
    "choices": "write {choice: [...]}",
    "values": "write {choice: [...]}",
    "value": "write {constant: ...}",
    "type": "write {float: [low, high]}, {int: [low, high]} or {choice: [...]}",
    "min": "write {float: [low, high]} or {int: [low, high]}",
    "low": "write {float: [low, high]} or {int: [low, high]}",
}


def _kind_hint(names: Iterable[str]) -> str | None:
    foreign = (_FOREIGN_KINDS.get(name) for name in names)
    near = (did_you_mean(name, KINDS) for name in names)
    return next((hint for hint in (*foreign, *near) if hint), None)


@dataclass(frozen=True)
class ParameterShape(Shape):
    """
    A parameter: its kind and the valid keys of it.
    """

    def read(self, value: Value, path: Path, problems: Problems) -> Any:  # noqa: ANN401
        """
        Return kind and keys.
        """
        if not isinstance(value, dict):
            return self._constant(value, path, problems)
        kinds = [name for name in value if name in KINDS]
        if len(kinds) == 1:
            before = problems.errors
            found = KINDS[kinds[0]].read(value, path, problems)
            return BROKEN if problems.errors > before else (kinds[0], found)
        got = " and ".join(kinds) or ", ".join(value) or "none"
        message = f"must have exactly one of {', '.join(KINDS)}, got {got}"
        problems.error(path, message, hint=None if kinds else _kind_hint(value))
        return BROKEN

    def _constant(self, value: Value, path: Path, problems: Problems) -> Any:  # noqa: ANN401
        if value is None:
            message = "must be a distribution or a constant, got nothing"
            problems.error(path, message, hint="write {constant: null} for a constant null")
        elif isinstance(value, list):
            message = f"must be a distribution or a constant, got {show(value)}"
            hint = "write {choice: [...]} to choose, {constant: [...]} for a constant list"
            problems.error(path, message, hint=hint)
        elif not finite(value):
            problems.error(path, f"must be finite, got {show(value)}")
        else:
            return "constant", {"constant": value}
        return BROKEN

    def schema(self) -> dict[str, Any]:
        """
        Return the JSON Schema of the value.
        """
        constant = {
            "description": "A constant: not searched, only passed.",
            "type": ["string", "number", "boolean"],
        }
        return {"anyOf": [*(shape.schema() for shape in KINDS.values()), constant]}
