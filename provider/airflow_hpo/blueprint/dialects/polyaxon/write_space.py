"""
From distributions to the params of a matrix.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.dialects.polyaxon import series
from airflow_hpo.model.distribution import Categorical, Distribution, Float, Int, LogNormal, Normal
from airflow_hpo.model.values import canonical

if TYPE_CHECKING:
    from airflow_hpo.blueprint.dialects.writing import Losses
    from airflow_hpo.model.space import Parameter
    from airflow_hpo.model.values import Value

__all__ = ["is_listable", "param_of", "say_of_parameter"]

_MOST = 10_000


def is_listable(distribution: Distribution) -> bool:
    """
    Return whether its values can be written one by one.
    """
    size = distribution.size()
    return size is not None and size <= _MOST


def param_of(parameter: Parameter, losses: Losses, *, listed: bool) -> dict[str, Any]:
    """
    Return one parameter as Polyaxon has it, and note what that leaves out.

    Args:
        parameter: Is searched.

        losses: Get what is left out.

        listed: Whether all values are tried, however likely they are.
    """
    path, distribution = f"space.{parameter.name}", parameter.distribution
    say_of_parameter(parameter, losses)
    if isinstance(distribution, Categorical):
        return _choice(distribution, path, losses, listed=listed)
    if isinstance(distribution, (Normal, LogNormal)):
        return _normal(distribution)
    if isinstance(distribution, (Float, Int)):
        return _uniform(distribution, path, losses, listed=listed)
    return {"kind": "choice", "value": [distribution.value]}


def say_of_parameter(parameter: Parameter, losses: Losses) -> None:
    """
    Note what Polyaxon has for no parameter: conditions, above all.
    """
    path = f"space.{parameter.name}"
    if parameter.when:
        losses.say(f"{path}.when", "there are no conditions; it always has a value")
    for name in type(parameter).model_fields:
        if name not in {"name", "distribution", "when"} and getattr(parameter, name):
            losses.say(f"{path}.{name}", "there is nothing like it; it is left out")


def _choice(
    distribution: Categorical, path: str, losses: Losses, *, listed: bool
) -> dict[str, Any]:
    choices: list[Value] = list(distribution.choices)
    if distribution.weights is None or listed:
        if distribution.weights is not None:
            losses.say(f"{path}.weights", "where all values are tried there are no probabilities")
        return {"kind": "choice", "value": choices}
    total = math.fsum(distribution.weights)
    shares = [weight / total for weight in distribution.weights]
    if canonical(shares) != canonical(list(distribution.weights)):
        losses.say(f"{path}.weights", "probabilities sum to 1")
    return {
        "kind": "pchoice",
        "value": [[value, share] for value, share in zip(choices, shares, strict=True)],
    }


def _normal(distribution: Normal | LogNormal) -> dict[str, Any]:
    kind = "lognormal" if isinstance(distribution, LogNormal) else "normal"
    value = [distribution.mean, distribution.deviation]
    if distribution.step is None:
        return {"kind": kind, "value": value}
    return {"kind": f"q{kind}", "value": [*value, distribution.step]}


def _uniform(
    distribution: Float | Int, path: str, losses: Losses, *, listed: bool
) -> dict[str, Any]:
    if listed and distribution.size() == 1:
        return {"kind": "choice", "value": list(distribution.values())}
    step = distribution.step
    anchored = isinstance(distribution, Float) and distribution.anchor == "zero"
    if step is not None and is_listable(distribution) and (listed or not anchored):
        return _series(distribution, path, losses, listed=listed)
    if step is not None and not anchored:
        losses.say(path, "so many values cannot be listed; numbers are drawn and rounded")
    kind, bounds = "uniform", [distribution.low, distribution.high]
    if distribution.log:
        kind, bounds = "loguniform", [math.log(bound) for bound in bounds]
        again = [series.plain(math.exp(bound)) for bound in bounds]
        if again != [float(distribution.low), float(distribution.high)]:
            losses.say(path, f"bounds are natural logarithms; read again they are {again}")
    if step is None:
        return {"kind": kind, "value": bounds}
    return {"kind": f"q{kind}", "value": [*bounds, step]}


def _series(
    distribution: Float | Int, path: str, losses: Losses, *, listed: bool
) -> dict[str, Any]:
    """
    Return all values: as a range where that means the same.
    """
    values = list(distribution.values())
    if distribution.log and not listed and len(values) > 1:
        losses.say(path, "values of a range are equally likely")
    step = distribution.step
    if len(values) == 1:
        if not listed and isinstance(distribution, Float):
            losses.say(path, "one value is listed")
        return {"kind": "choice", "value": values}
    stop = values[-1] + (1 if isinstance(distribution, Int) else float(step or 0) / 2)
    try:
        again = series.distribution_of(series.range_(values[0], stop, step or 1))
        same = again.kind == distribution.kind and list(again.values()) == values
    except (ValueError, OverflowError):
        same = False
    if same:
        return {"kind": "range", "value": [values[0], stop, step]}
    if not listed:
        losses.say(path, "values are listed, without their order")
    return {"kind": "choice", "value": values}
