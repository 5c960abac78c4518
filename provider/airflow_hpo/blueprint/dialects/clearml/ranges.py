"""
One parameter: from ClearML's ranges to distributions.

What is drawn is the same under every strategy: the values from the lower bound
on in steps, up to the upper one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.dialects.base import build
from airflow_hpo.blueprint.problems import show
from airflow_hpo.blueprint.records import Key, ListOf, Record
from airflow_hpo.blueprint.shapes import BROKEN, Anything, Flag, Nullable, Number, Text, Whole
from airflow_hpo.model.distribution import Categorical, Constant, Distribution, Float, Int

if TYPE_CHECKING:
    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.blueprint.problems import Problems
    from airflow_hpo.blueprint.shapes import Shape
    from airflow_hpo.model.values import Value

__all__ = ["RANGES", "read_range"]

# So many parts a grid has of a range without a step.
_GRID_PARTS = 100

# More values than this are no list that anybody could read.
_MOST_CHOICES = 1000

# As many steps as no list has.
_ENDLESS = 2**60

# Two decimal fractions that should be whole numbers apart are nearly so.
_NOISE = 1e-9


def _record(**keys: Shape) -> Record:
    about = "See ClearML's class."
    given = {
        "type": Key(Text(), "Its class."),
        "name": Key(Nullable(Text()), "Its name."),
        **{name: Key(shape, about) for name, shape in keys.items()},
    }
    foreign = {
        "min": "write min_value",
        "max": "write max_value",
        "step": "write step_size",
        "low": "write min_value",
        "high": "write max_value",
        "include_max_value": "write include_max",
        "choices": "write values",
    }
    return Record(given, foreign={name: it for name, it in foreign.items() if name not in given})


_FLAGS = {"include_max": Flag(), "include_max_value": Flag()}
_REAL = {
    "min_value": Number(),
    "max_value": Number(),
    "step_size": Nullable(Number(least=0)),
    **_FLAGS,
}

RANGES: Mapping[str, Record] = {
    "UniformParameterRange": _record(**_REAL),
    "LogUniformParameterRange": _record(**_REAL, base=Number(above=1)),
    "UniformIntegerParameterRange": _record(
        min_value=Whole(), max_value=Whole(), step_size=Nullable(Whole(least=1)), **_FLAGS
    ),
    "DiscreteParameterRange": _record(values=ListOf(Anything(), least=1)),
}
"""ClearML's classes of one parameter, by name."""


def read_range(
    value: Mapping[str, Value], path: Path, problems: Problems, *, grid: bool
) -> Distribution | None:
    """
    Return the distribution of one parameter, or note why there is none.

    Args:
        value: A mapping whose ``type`` is one of `RANGES`.

        path: Where it stands.

        problems: Gets what is wrong.

        grid: Whether every value is tried: then there must be an end to them.
    """
    name = value["type"]
    keys = RANGES[name].read(value, path, problems)
    needed = ("values",) if name == "DiscreteParameterRange" else ("min_value", "max_value")
    for key in needed:
        if key not in value:
            problems.error(path, f"{key} must be given", at_key=True)
    if len(value.keys() & _FLAGS.keys()) > 1:
        message = "must be given once, got include_max and include_max_value"
        problems.error((*path, "include_max_value"), message, at_key=True)
    if keys is BROKEN or any(key not in keys for key in needed):
        return None
    return _READERS[name](_Reading(keys, path, problems, is_grid=grid))


@dataclass(frozen=True)
class _Reading:
    """
    What is at hand while one range is read.
    """

    keys: Mapping[str, Any]
    path: Path
    problems: Problems
    is_grid: bool

    @property
    def low(self) -> Any:  # noqa: ANN401 - float or int, as the class has it
        return self.keys["min_value"]

    @property
    def high(self) -> Any:  # noqa: ANN401 - float or int, as the class has it
        return self.keys["max_value"]

    @property
    def includes_max(self) -> bool:
        return bool(self.keys.get("include_max", self.keys.get("include_max_value", True)))

    @property
    def is_ordered(self) -> bool:
        """
        Whether there is a value between the bounds; notes where there is none.
        """
        if self.low < self.high or (self.low == self.high and self.includes_max):
            return True
        rule = "min_value must not exceed max_value"
        if self.low == self.high:
            rule = "min_value must be below max_value where that is not included"
        got = f"min_value={show(self.low)}, max_value={show(self.high)}"
        self.problems.error(self.path, f"{rule}, got {got}")
        return False


def _integer(at: _Reading) -> Distribution | None:
    if not at.is_ordered:
        return None
    low, high, step = at.low, at.high, at.keys.get("step_size") or 1
    if not at.includes_max:
        high = low + (high - low - 1) // step * step
    return build(Int, {"low": low, "high": high, "step": step}, at.path, at.problems)


def _uniform(at: _Reading) -> Distribution | None:
    if not at.is_ordered:
        return None
    low, high, step = at.low, at.high, _step(at)
    if step is not None and not at.includes_max:
        high = _at(low, step, _steps(low, high, step) - 1)
    if low == high:
        return Constant(value=low)
    return build(Float, {"low": low, "high": high, "step": step}, at.path, at.problems)


def _step(at: _Reading) -> float | None:
    """
    Return the step, which a grid has in any case.
    """
    step: float | None = at.keys.get("step_size") or None
    if step is not None or not at.is_grid or at.low == at.high:
        return step
    step = float((Decimal(repr(at.high)) - Decimal(repr(at.low))) / _GRID_PARTS)
    message = f"step_size should be given for a grid; it is a hundredth of the range, {step:g}"
    at.problems.warn(at.path, message, hint=f"write step_size: {step:g}")
    return step or None


def _steps(low: float, high: float, step: float) -> int:
    """
    Return how many steps it takes from *low* to *high* or beyond.
    """
    share = (high - low) / step
    return math.ceil(share - _NOISE * max(1.0, share)) if share < _ENDLESS else _ENDLESS


def _at(low: float, step: float, count: int) -> float:
    # In decimals: 0.1 * 3 is not 0.3 otherwise.
    return float(Decimal(repr(low)) + Decimal(repr(step)) * count)


def _log_uniform(at: _Reading) -> Distribution | None:
    if not at.is_ordered:
        return None
    base = at.keys.get("base", 10.0)
    low, high = (_power(base, name, at) for name in ("min_value", "max_value"))
    if low is None or high is None:
        return None
    if low == high:
        return Constant(value=low)
    _warn_of_values(base, at)
    step = _step(at)
    if step is not None:
        return _powers(base, step, at)
    return build(Float, {"low": low, "high": high, "log": True}, at.path, at.problems)


def _power(base: float, name: str, at: _Reading) -> float | None:
    try:
        value = float(base ** at.keys[name])
    except OverflowError:
        value = math.inf
    if 0 < value < math.inf:
        return value
    rule = f"must be an exponent that {base:g} can be raised to"
    at.problems.error((*at.path, name), f"{rule}, got {show(at.keys[name])}")
    return None


def _warn_of_values(base: float, at: _Reading) -> None:
    if not 0 < at.low < at.high < 1:
        return
    found = f"{base**at.low:.6g} to {base**at.high:.6g}"
    names = {"min_value": at.low, "max_value": at.high}
    meant = ", ".join(f"{name}: {math.log(it, base):.6g}" for name, it in names.items())
    at.problems.warn(
        at.path,
        f"bounds are exponents of {base:g}, and these search {found}",
        hint=f"write {meant} if values are meant",
    )


def _powers(base: float, step: float, at: _Reading) -> Distribution | None:
    """
    Return the powers at the steps between the exponents.
    """
    count = _steps(at.low, at.high, step)
    if count > _MOST_CHOICES:
        rule = f"step_size must divide the range into {_MOST_CHOICES} parts at most"
        at.problems.error((*at.path, "step_size"), f"{rule}, got {show(step)}")
        return None
    exponents = [_at(at.low, step, place) for place in range(count)]
    if at.includes_max:
        last = _at(at.low, step, count)
        if last <= at.high + _NOISE * step:
            exponents.append(at.high)
        else:
            reached = f"the largest exponent is {show(exponents[-1])}, not {show(at.high)}"
            message = f"should divide the range, got {show(step)}: {reached}"
            at.problems.warn((*at.path, "step_size"), message)
    return _listed([base**exponent for exponent in exponents], at.path, at)


def _discrete(at: _Reading) -> Distribution | None:
    if BROKEN in at.keys["values"]:
        return None
    return _listed(at.keys["values"], (*at.path, "values"), at)


def _listed(values: list[Value], path: Path, at: _Reading) -> Distribution | None:
    if len(values) == 1:
        return Constant(value=values[0])
    return build(Categorical, {"choices": tuple(values)}, path, at.problems)


_READERS: Mapping[str, Callable[[_Reading], Distribution | None]] = {
    "UniformParameterRange": _uniform,
    "LogUniformParameterRange": _log_uniform,
    "UniformIntegerParameterRange": _integer,
    "DiscreteParameterRange": _discrete,
}
