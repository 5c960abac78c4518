"""
HyperOpt's expressions as lists: ``[distribution, arguments ...]``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.dialects.base import build
from airflow_hpo.blueprint.problems import show
from airflow_hpo.blueprint.shapes import BROKEN, Anything, Number, Whole
from airflow_hpo.model.distribution import (
    Categorical,
    Distribution,
    Float,
    Int,
    LogNormal,
    Normal,
)
from airflow_hpo.model.registry import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.blueprint.problems import Problems
    from airflow_hpo.model.values import Value

__all__ = ["read_expression"]

_FORMS = {
    "uniform": ("low", "high"),
    "quniform": ("low", "high", "q"),
    "loguniform": ("low", "high"),
    "qloguniform": ("low", "high", "q"),
    "uniformint": ("low", "high"),
    "normal": ("mu", "sigma"),
    "qnormal": ("mu", "sigma", "q"),
    "lognormal": ("mu", "sigma"),
    "qlognormal": ("mu", "sigma", "q"),
    "randint": ("low", "upper"),
    "choice": ("[option, ...]",),
    "pchoice": ("[[probability, option], ...]",),
}
"""By the name of the expression, its arguments; that of randint is the last one at least."""

_SHAPES = {"q": Number(above=0), "sigma": Number(above=0)}

# HyperOpt keeps a count for each value of a randint.
_MOST_COUNTED = 1_000_000

_PROBABILITY_NOISE = 1e-5

# The exponential of more is infinite, or has lost its digits.
_MOST_LOGARITHM = 700.0


def read_expression(value: Value, path: Path, problems: Problems) -> Distribution | None:
    """
    Return the distribution of one parameter, or note why there is none.

    Example:
        ``[loguniform, -5, 0]`` goes from exp(-5) to exp(0), where 5 and 0 are
        natural logarithms.
    """
    if not _is_expression(value, path, problems):
        return None
    name = value[0]
    if name in {"choice", "pchoice"}:
        return (_choice if name == "choice" else _weighted)(value[1], path, problems)
    whole = name in {"randint", "uniformint"}
    numbers = _numbers(name, value[1:], path, problems, whole=whole)
    if numbers is None:
        return None
    return (_whole if whole else _real)(name, numbers, path, problems)


def _is_expression(value: Value, path: Path, problems: Problems) -> bool:
    """
    Return whether this is an expression with as many arguments as it takes.
    """
    if not isinstance(value, list) or not value or not isinstance(value[0], str):
        hint = None
        if not isinstance(value, (list, dict)) and value is not None:
            hint = "write a value that is not searched in functions"
        message = f"must be a list ['distribution', arguments ...], got {show(value)}"
        problems.error(path, message, hint=hint)
        return False
    name = value[0]
    if name not in _FORMS:
        bare = name.rpartition(".")[2]
        hint = f"write {bare}" if bare in _FORMS else did_you_mean(name, _FORMS)
        message = f"must be one of {', '.join(_FORMS)}, got {show(name)}"
        problems.error((*path, 0), message, hint=hint)
        return False
    return _has_its_arguments(value, path, problems)


def _has_its_arguments(value: list[Value], path: Path, problems: Problems) -> bool:
    name, form = value[0], _FORMS[value[0]]
    least = 1 if name == "randint" else len(form)
    if least <= len(value) - 1 <= len(form):
        return True
    known = [f"[{', '.join((repr(name), *form))}]"]
    if name == "randint":
        known.insert(0, f"[{name!r}, {form[-1]}]")
    hint = None
    if name == "choice" and len(value) > 1:
        hint = f"put the options in brackets: [choice, {show(value[1:])}]"
    problems.error(path, f"must be {' or '.join(known)}, got {show(value)}", hint=hint)
    return False


def _numbers(
    name: str, given: Sequence[Value], path: Path, problems: Problems, *, whole: bool
) -> list[Any] | None:
    found = []
    for index, (argument, value) in enumerate(zip(_FORMS[name], given, strict=False), 1):
        shape = Whole() if whole else _SHAPES.get(argument, Number())
        found.append(shape.read(value, (*path, index), problems))
    return None if BROKEN in found else found


def _whole(name: str, numbers: list[int], path: Path, problems: Problems) -> Int | None:
    if name == "uniformint":
        low, high = numbers
    else:
        low, high = numbers[0] if len(numbers) > 1 else 0, numbers[-1] - 1
    if low > high:
        rule = "low must not exceed high" if name == "uniformint" else _RANDINT_RULE
        problems.error(path, f"{rule}, got {show([name, *numbers])}")
        return None
    if name == "randint" and high - low >= _MOST_COUNTED:
        message = f"randint must have at most {_MOST_COUNTED} values, got {high - low + 1}"
        problems.error(path, message, hint=f"write [uniformint, {low}, {high}]")
        return None
    return build(Int, {"low": low, "high": high}, path, problems)


_RANDINT_RULE = "upper, which is not among the values, must be above low (0 by default)"


def _real(name: str, numbers: list[float], path: Path, problems: Problems) -> Distribution | None:
    first, second, *rest = numbers
    step = rest[0] if rest else None
    values: dict[str, Any]
    if name.endswith("normal"):
        values = {"mean": first, "deviation": second, "step": step}
        if "log" in name:
            return build(LogNormal, values, path, problems)
        return build(Normal, values, path, problems)
    if first > second:
        problems.error(path, f"low must not exceed high, got {show([name, *numbers])}")
        return None
    log = "log" in name
    if log:
        if max(abs(first), abs(second)) > _MOST_LOGARITHM:
            most = f"{_MOST_LOGARITHM:g}"
            rule = f"bounds of {name}, natural logarithms, must be between -{most} and {most}"
            problems.error(path, f"{rule}, got {show([name, *numbers])}")
            return None
        _warn_of_values(name, first, second, path, problems)
        first, second = math.exp(first), math.exp(second)
    values = {"low": first, "high": second, "log": log}
    if step is not None:
        values |= {"step": step, "anchor": "zero"}
    return build(Float, values, path, problems)


def _warn_of_values(name: str, low: float, high: float, path: Path, problems: Problems) -> None:
    """
    Warn of bounds of which nobody would take the exponential.
    """
    if low > 0 and high <= 1:
        problems.warn(
            path,
            f"bounds of {name} are natural logarithms, got {show([low, high])}: "
            f"values go from {math.exp(low):.3g} to {math.exp(high):.3g}",
            hint=f"write {math.log(low):.6g} and {math.log(high):.6g}",
        )


def _choice(options: Value, path: Path, problems: Problems) -> Categorical | None:
    if not isinstance(options, list) or not options:
        message = f"must be ['choice', [option, ...]], got {show(['choice', options])}"
        problems.error((*path, 1), message)
        return None
    found = [
        Anything().read(option, (*path, 1, index), problems) for index, option in enumerate(options)
    ]
    if BROKEN in found:
        return None
    return build(Categorical, {"choices": tuple(found)}, path, problems)


def _weighted(pairs: Value, path: Path, problems: Problems) -> Categorical | None:
    if not isinstance(pairs, list) or not pairs:
        message = "must be ['pchoice', [[probability, option], ...]], got "
        problems.error((*path, 1), message + show(["pchoice", pairs]))
        return None
    weights: list[Any] = []
    options: list[Any] = []
    for index, pair in enumerate(pairs):
        here = (*path, 1, index)
        if not isinstance(pair, list) or len(pair) != len(("probability", "option")):
            problems.error(here, f"must be [probability, option], got {show(pair)}")
            weights.append(BROKEN)
            continue
        weights.append(Number(least=0).read(pair[0], (*here, 0), problems))
        options.append(Anything().read(pair[1], (*here, 1), problems))
    if any(item is BROKEN for item in (*weights, *options)):
        return None
    if abs(math.fsum(weights) - 1) > _PROBABILITY_NOISE:
        message = f"probabilities must sum to 1, got {show(weights)}"
        problems.error((*path, 1), message)
        return None
    values = {"choices": tuple(options), "weights": tuple(weights)}
    return build(Categorical, values, path, problems)
