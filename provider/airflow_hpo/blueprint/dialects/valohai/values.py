"""
Styles and rules of a task's parameter: from exponents and steps to values.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.problems import show
from airflow_hpo.model.scale import stepped
from airflow_hpo.model.values import Value, canonical, derive_seed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_hpo.blueprint.dialects.valohai.declared import Declared
    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.blueprint.problems import Problems

__all__ = ["DISTRIBUTIONS", "Variant", "check_rules", "expand", "power", "unique"]

# More values than anybody lists, few enough to hold.
_MOST = 10_000

_TOLERANCE = 1e-9

DISTRIBUTIONS: Mapping[str, str] = {
    **dict.fromkeys(("uniform", "quniform"), "uniform"),
    **dict.fromkeys(("loguniform", "logarithmicuniform", "qloguniform"), "loguniform"),
    **dict.fromkeys(("integer", "int"), "integer"),
    **dict.fromkeys(("categorical", "choice"), "categorical"),
    **dict.fromkeys(("normal", "gaussian"), "normal"),
    **dict.fromkeys(("lognormal", "logarithmicnormal"), "lognormal"),
}
"""By spelling, without spaces, dashes and underscores, in lower case."""

_USED: Mapping[str, frozenset[str]] = {
    "single": frozenset({"value"}),
    "multiple": frozenset({"items"}),
    "linear": frozenset({"start", "end", "step"}),
    "logspace": frozenset({"start", "end", "min", "max", "count", "base", "integerify"}),
    "random": frozenset(
        {"min", "max", "count", "distribution", "seed", "integerify", "base", "step", "items"}
    ),
}


@dataclass(frozen=True)
class Variant:
    """
    One parameter of a task.

    Args:
        declared: The step's parameter.

        style: ``single``, ``multiple``, ``linear``, ``logspace``, ``random``.

        rules: Of its values.

        path: Where it stands.
    """

    declared: Declared
    style: str
    rules: Mapping[str, Any]
    path: Path

    @property
    def place(self) -> Path:
        """
        Where its rules stand.
        """
        return (*self.path, "rules")

    @property
    def distribution(self) -> str | None:
        """
        The distribution's plain name; `None` if there is none of that name.
        """
        if self.style != "random":
            return None
        spelled = str(self.rules.get("distribution", "uniform"))
        return DISTRIBUTIONS.get(re.sub(r"[\s_-]", "", spelled.lower()))

    def bound(self, name: str, other: str) -> Any:  # noqa: ANN401 - a number of either type
        """
        Return the rule *name*, or what else it is called.
        """
        return self.rules.get(name, self.rules.get(other))


def check_rules(variant: Variant, problems: Problems) -> bool:
    """
    Note rules that are missing, senseless or of another style; return whether all is well.
    """
    before = problems.errors
    for name in variant.rules:
        if name not in _USED[variant.style] and name != "numberify":
            message = f"has no effect with style {variant.style}"
            problems.warn((*variant.place, name), message, at_key=True)
    for names in _needed(variant):
        if not any(name in variant.rules for name in names):
            message = f"{' or '.join(names)} must be given with style {variant.style}"
            problems.error(variant.place, message, at_key=True)
    if variant.style == "random" and variant.distribution is None:
        got = show(variant.rules["distribution"])
        known = "uniform, log-uniform, integer, categorical, normal or log-normal"
        problems.error((*variant.place, "distribution"), f"must be {known}, got {got}")
    return problems.errors == before


def _needed(variant: Variant) -> Iterable[tuple[str, ...]]:
    return _NEEDED["multiple" if variant.distribution == "categorical" else variant.style]


_NEEDED: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "single": (("value",),),
    "multiple": (("items",),),
    "linear": (("start",), ("end",), ("step",)),
    "logspace": (("start", "min"), ("end", "max"), ("count",)),
    "random": (("min",), ("max",)),
}


def expand(variant: Variant, problems: Problems, *, draw: Callable[[float], Value] | None) -> Any:  # noqa: ANN401
    """
    Return the values of *variant* in the declared type, or note why there are none.

    Args:
        variant: Its rules are all there.

        problems: Gets what is wrong; the result is then `None`.

        draw: Value at a place of the unit interval, for the style ``random``.
    """
    try:
        numbers = _EXPANSIONS[variant.style](variant, draw)
    except (ValueError, OverflowError) as error:
        text = str(error) if isinstance(error, ValueError) else "must have finite values"
        problems.error(variant.place, text)
        return None
    floors = variant.style not in {"single", "multiple"}
    values = list[Value]()
    before = problems.errors
    for index, number in enumerate(numbers):
        path = _value_path(variant, index)
        try:
            value = variant.declared.cast(number, floor=floors)
        except ValueError as error:
            problems.error(path, str(error))
            continue
        objection = variant.declared.objection(value)
        if objection is not None:
            problems.error(path, objection)
        values.append(value)
    if problems.errors > before:
        return None
    return _without_repeats(variant, values, problems)


def _value_path(variant: Variant, index: int) -> Path:
    if variant.style == "single":
        return (*variant.place, "value")
    return (*variant.place, "items", index) if variant.style == "multiple" else variant.place


def _without_repeats(variant: Variant, values: list[Value], problems: Problems) -> list[Value]:
    found = unique(values)
    if len(found) < len(values) and variant.style == "multiple":
        problems.warn(
            (*variant.place, "items"),
            f"must be different values, got {len(values)} of which {len(found)} are; "
            "each is tried once",
        )
    return found


def unique(values: Iterable[Value]) -> list[Value]:
    """
    Return *values* without those that were there before.
    """
    found = dict[str, Value]()
    for value in values:
        found.setdefault(canonical(value), value)
    return list(found.values())


def _single(variant: Variant, _draw: object) -> list[Value]:
    return [variant.rules["value"]]


def _multiple(variant: Variant, _draw: object) -> list[Value]:
    return list(variant.rules["items"])


def _linear(variant: Variant, _draw: object) -> list[Value]:
    start, end, step = (variant.rules[name] for name in ("start", "end", "step"))
    if start == end:
        return [start]
    if step == 0 or (end - start) / step < 0:
        raise ValueError(f"step must lead from start to end, got {step} from {start} to {end}")
    count = math.floor((end - start) / step + _TOLERANCE) + 1
    _check_count(count)
    if isinstance(start, int) and isinstance(step, int):
        return [start + index * step for index in range(count)]
    return [stepped(start, step, index) for index in range(count)]


def _logspace(variant: Variant, _draw: object) -> list[Value]:
    first, last = variant.bound("start", "min"), variant.bound("end", "max")
    count, base = variant.rules["count"], variant.rules.get("base", 10.0)
    _check_count(count)
    step = (last - first) / (count - 1) if count > 1 else 0.0
    values = [power(base, first + index * step) for index in range(count)]
    return _floored(variant, values)


def _drawn(variant: Variant, draw: Callable[[float], Value] | None) -> list[Value]:
    if variant.distribution == "categorical":
        return list(variant.rules["items"])
    if draw is None or "count" not in variant.rules:
        raise ValueError("count must be given with style random where all values are tried")
    _check_count(variant.rules["count"])
    seed = derive_seed(0, variant.declared.name, variant.rules.get("seed", 0))
    stream = random.Random(seed)  # noqa: S311 - no secret
    return _floored(variant, [draw(stream.random()) for _ in range(variant.rules["count"])])


_EXPANSIONS: Mapping[str, Callable[[Variant, Any], list[Value]]] = {
    "single": _single,
    "multiple": _multiple,
    "linear": _linear,
    "logspace": _logspace,
    "random": _drawn,
}


def _floored(variant: Variant, values: list[Value]) -> list[Value]:
    if not variant.rules.get("integerify", False):
        return values
    return unique(math.floor(value) for value in values)


def _check_count(count: int) -> None:
    if count > _MOST:
        raise ValueError(f"must be at most {_MOST} values, got {count}")


def power(base: float, exponent: float) -> float:
    """
    Return *base* to the power of *exponent*, without binary noise.

    Raises:
        OverflowError: If that is beyond all floats.

    Example:
        >>> power(10, -5), power(2.0, 8)
        (1e-05, 256.0)
    """
    return float(f"{float(base) ** float(exponent):.12g}")
