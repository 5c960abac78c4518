"""
The search space of an Experiment.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.dialects.base import build
from airflow_hpo.blueprint.problems import show
from airflow_hpo.blueprint.scalars import plain_value
from airflow_hpo.blueprint.shapes import BROKEN
from airflow_hpo.model.distribution import (
    Categorical,
    Constant,
    Distribution,
    Float,
    Int,
    LogNormal,
    Normal,
)
from airflow_hpo.model.space import Parameter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.blueprint.problems import Problems
    from airflow_hpo.model.values import Value

__all__ = ["PARAMETERS", "Found", "read_space"]

PARAMETERS = ("spec", "parameters")
"""Where they stand."""

# The bounds of a normal distribution are three deviations from its mean.
_DEVIATIONS = 6


@dataclass
class Found:
    """
    The parameters of a file.

    Args:
        parameters: By name, in the file's order.

        broken: Names of those that were refused.

        whole: Names of those whose floats are whole numbers for a program.

        given: What the file says of each, by name.
    """

    parameters: dict[str, Parameter] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    whole: set[str] = field(default_factory=set)
    given: dict[str, Mapping[str, Any]] = field(default_factory=dict)


def read_space(items: Sequence[Any], raw: Value, resource: str | None, problems: Problems) -> Found:
    """
    Return all parameters of a file but the *resource*, or note why there are none.

    Args:
        items: What was read of them.

        raw: The same as it stands in the file.

        resource: Name of the one that Hyperband gives trials more or less of.

        problems: Gets what is wrong.
    """
    found = Found()
    for index, item in enumerate(items):
        path = (*PARAMETERS, index)
        if item is BROKEN:
            name = raw[index].get("name") if isinstance(raw[index], dict) else None
            found.broken |= {name} if isinstance(name, str) else set()
            continue
        name = item["name"]
        problems.relocate({("space", name): path})
        if name in found.given:
            problems.error((*path, "name"), f"names must be unique, got {name} again")
            continue
        found.given[name] = item
        if name == resource:
            continue
        parameter = _parameter(name, item, path, problems)
        if parameter is None:
            found.broken.add(name)
            continue
        found.parameters[name] = parameter
        if item["parameterType"] == "int" and not isinstance(
            parameter.distribution, (Int, Constant)
        ):
            found.whole.add(name)
    return found


def _parameter(
    name: str, item: Mapping[str, Any], path: Path, problems: Problems
) -> Parameter | None:
    kind, space = item["parameterType"], item["feasibleSpace"]
    here = (*path, "feasibleSpace")
    if problems.touches(here):
        return None
    wrong = ("min", "max", "step", "distribution") if kind in _LISTS else ("list",)
    for key in wrong:
        if key in space:
            message = f"must not be given for the type {kind}, got {show(space[key])}"
            problems.error((*here, key), message, at_key=True)
    for key in ("list",) if kind in _LISTS else ("min", "max"):
        if key not in space:
            problems.error(here, f"{key} must be given for the type {kind}", at_key=True)
    if problems.touches(here):
        return None
    distribution = _KINDS[kind](_Reading(space, here, problems))
    if distribution is None:
        return None
    values = {"name": name, "distribution": distribution}
    return build(Parameter, values, (*path, "name"), problems)


@dataclass(frozen=True)
class _Reading:
    """
    What is at hand while one parameter is read.
    """

    space: Mapping[str, Any]
    path: Path
    problems: Problems

    @property
    def kind(self) -> str:
        return str(self.space.get("distribution", "uniform"))

    @property
    def is_ordered(self) -> bool:
        """
        Whether the bounds are in order, and above 0 where their logarithm is taken.
        """
        low, high = self.space["min"], self.space["max"]
        if low > high:
            got = f"min={low}, max={high}"
            self.problems.error(self.path, f"min must not exceed max, got {got}")
        elif self.kind.startswith("log") and low <= 0:
            message = f"must be above 0 for the distribution {self.kind}, got {low}"
            self.problems.error((*self.path, "min"), message)
        else:
            return True
        return False

    def make(self, model: type[Any], **values: Any) -> Distribution | None:  # noqa: ANN401
        """
        Return what *model* makes of its arguments, or note why it makes nothing.
        """
        found: Distribution | None = build(model, values, self.path, self.problems)
        return found


def _double(at: _Reading) -> Distribution | None:
    if not at.is_ordered:
        return None
    low, high, step = at.space["min"], at.space["max"], at.space.get("step")
    if at.kind.lower().endswith("normal"):
        return _normal(at, step)
    if low == high:
        return at.make(Constant, value=float(low))
    return at.make(Float, low=low, high=high, step=step, log=at.kind == "logUniform")


def _int(at: _Reading) -> Distribution | None:
    for key in ("min", "max", "step"):
        number = at.space.get(key, 1)
        if number != int(number):
            message = f"must be a whole number for the type int, got {number}"
            at.problems.error((*at.path, key), message)
            return None
    if not at.is_ordered:
        return None
    low, high, step = (int(at.space.get(key, 1)) for key in ("min", "max", "step"))
    if at.kind.lower().endswith("normal"):
        return _normal(at, step)
    return at.make(Int, low=low, high=high, step=step, log=at.kind == "logUniform")


def _normal(at: _Reading, step: float | None) -> Distribution | None:
    """
    Return the distribution whose bounds are three deviations away, which are none.
    """
    low, high = float(at.space["min"]), float(at.space["max"])
    model: type[Any] = Normal
    if at.kind == "logNormal":
        model, low, high = LogNormal, math.log(low), math.log(high)
    if low == high:
        at.problems.error(at.path, f"min must be below max for the distribution {at.kind}")
        return None
    mean, deviation = low / 2 + high / 2, high / _DEVIATIONS - low / _DEVIATIONS
    return at.make(model, mean=mean, deviation=deviation, step=step)


def _listed(values: list[Value], at: _Reading) -> Distribution | None:
    unlike = list(dict.fromkeys(values))
    if len(unlike) < len(values):
        twice = next(value for value in unlike if values.count(value) > 1)
        message = f"has {show(twice)} more than once: it is one value"
        at.problems.warn((*at.path, "list"), message)
    if len(unlike) == 1:
        return at.make(Constant, value=unlike[0])
    return at.make(Categorical, choices=tuple(unlike))


def _categorical(at: _Reading) -> Distribution | None:
    values = at.space["list"]
    return None if BROKEN in values else _listed(values, at)


def _discrete(at: _Reading) -> Distribution | None:
    """
    Return a choice of numbers; of texts where a number would be written otherwise.
    """
    values = at.space["list"]
    if BROKEN in values:
        return None
    numbers = []
    for index, text in enumerate(values):
        try:
            number = plain_value(text)
        except ValueError:
            number = None
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            message = f"must spell a number for the type discrete, got {show(text)}"
            at.problems.error((*at.path, "list", index), message)
            return None
        numbers.append(number)
    alike = all(str(number) == text for number, text in zip(numbers, values, strict=True))
    return _listed(numbers if alike else values, at)


_LISTS = ("discrete", "categorical")

_KINDS: Mapping[str, Callable[[_Reading], Distribution | None]] = {
    "double": _double,
    "int": _int,
    "discrete": _discrete,
    "categorical": _categorical,
}
