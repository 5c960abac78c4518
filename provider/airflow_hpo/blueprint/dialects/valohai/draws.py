"""
The style ``random``: which distribution its rules describe.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_hpo.blueprint.dialects.base import build
from airflow_hpo.blueprint.dialects.valohai.values import power
from airflow_hpo.blueprint.problems import show
from airflow_hpo.model.distribution import Float, Int, LogNormal, Normal
from airflow_hpo.model.scale import stepped

if TYPE_CHECKING:
    from airflow_hpo.blueprint.dialects.valohai.values import Variant
    from airflow_hpo.blueprint.problems import Problems

__all__ = ["distribution_of"]


@dataclass(frozen=True)
class _Range:
    """
    Bounds in values, and the distance of values.
    """

    low: float
    high: float
    step: float | None
    log: bool


def distribution_of(
    variant: Variant, problems: Problems
) -> Float | Int | Normal | LogNormal | None:
    """
    Return what the numbers of *variant* are drawn from, or note why there is nothing.
    """
    declared = variant.declared
    if declared.kind not in {"integer", "float"}:
        message = f"must be a parameter of numbers with style random, got a {declared.kind}"
        problems.error((*variant.path, "style"), message)
        return None
    if variant.distribution in {"normal", "lognormal"}:
        return _gaussian(variant, problems)
    try:
        found = _range(variant, problems)
    except OverflowError:
        problems.error(variant.place, "must have finite values")
        return None
    except ValueError as error:
        problems.error(variant.place, str(error))
        return None
    for name, value in (("min", found.low), ("max", found.high)):
        objection = declared.objection(value)
        if objection is not None:
            problems.error((*variant.place, name), objection)
    return _built(variant, found, problems)


def _range(variant: Variant, problems: Problems) -> _Range:
    rules = variant.rules
    low, high = rules["min"], rules["max"]
    log = variant.distribution == "loguniform"
    if low > high:
        raise ValueError(f"min must not exceed max, got {show(low)} and {show(high)}")
    if log:
        base = rules.get("base", 10.0)
        _warn_of_values(variant, problems)
        low, high = power(base, low), power(base, high)
        if low > high:
            low, high = high, low
    elif "base" in rules:
        message = f"has no effect with distribution {variant.distribution}"
        problems.warn((*variant.place, "base"), message, at_key=True)
    step = rules.get("step") or None
    if step is not None and step < 0:
        raise ValueError(f"step must be positive, or 0 for none, got {show(step)}")
    found = _Range(low, high, step, log)
    return _whole(variant, found) if _is_whole(variant) else found


def _warn_of_values(variant: Variant, problems: Problems) -> None:
    low, high = variant.rules["min"], variant.rules["max"]
    if low > 0 and high <= 1 and "base" not in variant.rules:
        problems.warn(
            variant.place,
            f"min and max are exponents of 10 with log uniform, got {show(low)} and {show(high)}: "
            f"values go from {power(10, low):.3g} to {power(10, high):.3g}",
            hint=f"write min: {math.log10(low):.3g}, max: {math.log10(high):.3g}",
        )


def _is_whole(variant: Variant) -> bool:
    return (
        variant.declared.kind == "integer"
        or variant.distribution == "integer"
        or bool(variant.rules.get("integerify", False))
    )


def _whole(variant: Variant, found: _Range) -> _Range:
    down = bool(variant.rules.get("integerify", False))
    low = math.floor(found.low) if down else math.ceil(found.low)
    high = math.floor(found.high)
    step = found.step or 1
    if step != int(step):
        raise ValueError(f"step must be whole for whole numbers, got {show(step)}")
    if found.log:
        low = max(low, 1)
    if low > high:
        got = f"{show(found.low)} and {show(found.high)}"
        raise ValueError(f"min and max must have a whole number between them, got {got}")
    return _Range(low, high, int(step), found.log)


def _built(variant: Variant, found: _Range, problems: Problems) -> Float | Int | None:
    low, high, step = found.low, found.high, found.step
    if step is not None and step != 1:
        first, last = _multiples(low, high, step)
        first = max(first, 1) if found.log else first
        if first > last:
            message = f"must have a multiple of step between min and max, got {show(step)}"
            problems.error((*variant.place, "step"), message)
            return None
        low, high = stepped(0.0, step, first), stepped(0.0, step, last)
        if (low, high) != (found.low, found.high):
            problems.warn(
                (*variant.place, "step"),
                f"values are multiples of {show(step)}, got bounds that are none: "
                f"they go from {low:g} to {high:g}",
            )
    values = {"low": low, "high": high, "log": found.log}
    if variant.declared.kind == "integer":
        whole = {"low": int(low), "high": int(high), "step": int(step or 1), "log": found.log}
        return build(Int, whole, variant.place, problems)
    if step is not None:
        anchor = "low" if _is_whole(variant) else "zero"
        return build(Float, {**values, "step": step, "anchor": anchor}, variant.place, problems)
    return build(Float, values, variant.place, problems)


def _multiples(low: float, high: float, step: float) -> tuple[int, int]:
    # A bound that is a multiple but for rounding is one.
    return math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)


# Bounds are taken for so many deviations either side of the mean.
_DEVIATIONS = 3


def _gaussian(variant: Variant, problems: Problems) -> Normal | LogNormal | None:
    """
    Return the normal distribution of numbers, or of exponents, between the bounds.

    How Valohai reads them is not public: its form shows no fields for them.
    """
    rules, place = variant.rules, variant.place
    low, high, step = rules["min"], rules["max"], rules.get("step") or None
    if variant.declared.kind != "float" or rules.get("integerify", False):
        message = f"must be a float's, as values of {variant.distribution} are no whole numbers"
        problems.error((*place, "distribution"), message)
        return None
    if not low < high or (step or 1) <= 0:
        message = f"min must be below max and step positive, got {show(low)}, {show(high)}"
        problems.error(place, f"{message} and {show(step or 0)}")
        return None
    mean, deviation = (low + high) / 2, (high - low) / 2 / _DEVIATIONS
    message = (
        f"min and max are {_DEVIATIONS} deviations from the mean with {variant.distribution}; "
        "three values of a thousand lie beyond them"
    )
    problems.warn((*place, "distribution"), message)
    if variant.distribution == "normal":
        values = {"mean": mean, "deviation": deviation, "step": step}
        return build(Normal, values, place, problems)
    base = math.log(rules.get("base", 10.0))
    values = {"mean": mean * base, "deviation": deviation * abs(base), "step": step}
    return build(LogNormal, values, place, problems)
