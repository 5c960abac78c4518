"""
From a space to the parameters of a step, and to what a task does with them.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.dialects.valohai.values import power
from airflow_hpo.blueprint.template import word_of
from airflow_hpo.model.distribution import Categorical, Constant, Float, Int, LogNormal, Normal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_hpo.blueprint.dialects.writing import Losses
    from airflow_hpo.model.distribution import Distribution
    from airflow_hpo.model.space import Parameter
    from airflow_hpo.model.values import Value

__all__ = ["Column", "searched_as", "values_of"]

# The reading of a normal distribution: its bounds are so many deviations away.
_DEVIATIONS = 3

# A grid of more values is written by its ends.
_LISTED = 12

# So many are listed even so, where counting would come to others.
_MANY = 10_000


class Column:
    """
    One parameter as a step declares it: its type, and values in that type.

    Args:
        parameter: Of the space.

        losses: Gets what the type cannot hold.
    """

    def __init__(self, parameter: Parameter, losses: Losses) -> None:
        self.name = parameter.name
        self.distribution = parameter.distribution
        self.type = _type_of(parameter.distribution)
        kept = {"string": (str,), "integer": (int,), "float": (float,)}[self.type]
        odd = [value for value in values_of(parameter.distribution) if not isinstance(value, kept)]
        odd += [value for value in values_of(parameter.distribution) if isinstance(value, bool)]
        self.is_odd = bool(odd)
        self.is_conditional = bool(parameter.when)
        if odd:
            message = (
                f"values are numbers of one type or text; {word_of(odd[0])} is written as text"
            )
            losses.say(f"space.{self.name}", message)
        if parameter.when:
            message = "there are no conditions; it is always searched"
            losses.say(f"space.{self.name}.when", message)

    @property
    def is_fixed(self) -> bool:
        """
        Whether there is but one value, which is then the step's default.
        """
        return self.distribution.size() == 1

    def value(self, value: Value) -> Value:
        """
        Return *value* in the declared type.
        """
        return word_of(value) if self.type == "string" else value

    def declaration(self) -> dict[str, Any]:
        """
        Return the step's parameter; a constant is its default.
        """
        found: dict[str, Any] = {"name": self.name, "type": self.type}
        if self.is_fixed:
            found["default"] = self.value(self.distribution.from_unit(0.5))
        return found


def values_of(distribution: Distribution) -> Sequence[Value]:
    """
    Return the values that are listed; none of a range.
    """
    match distribution:
        case Constant():
            return [distribution.value]
        case Categorical():
            return distribution.choices
        case _:
            return ()


def _type_of(distribution: Distribution) -> str:
    if isinstance(distribution, Int):
        return "integer"
    kinds = {type(value) for value in values_of(distribution)}
    if kinds == {int}:
        return "integer"
    return "float" if kinds <= {float} else "string"


def searched_as(column: Column, losses: Losses, *, listed: bool) -> dict[str, Any]:
    """
    Return what a task says of one parameter.

    Args:
        column: The parameter.

        losses: Gets what cannot be said.

        listed: Whether all its values are tried, in order.
    """
    distribution, path = column.distribution, f"space.{column.name}"
    if isinstance(distribution, Categorical):
        if distribution.weights is not None:
            losses.say(f"{path}.weights", "choices have no weights; all are equally likely")
        items = [column.value(value) for value in distribution.choices]
        return _variant(column, "multiple", items=items)
    if listed and isinstance(distribution, (Float, Int)):
        return _listed(column, distribution)
    if isinstance(distribution, Int):
        return _variant(column, "random", **_whole(distribution, path, losses))
    if isinstance(distribution, Float):
        return _variant(column, "random", **_range(distribution, path, losses))
    if isinstance(distribution, (Normal, LogNormal)):
        return _variant(column, "random", **_gaussian(distribution, path, losses))
    return _variant(column, "multiple", items=[column.value(distribution.value)])


def _variant(column: Column, style: str, **rules: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"name": column.name, "style": style, "rules": rules}


def _listed(column: Column, distribution: Float | Int) -> dict[str, Any]:
    size = distribution.size()
    if size is None:
        return _variant(column, "multiple", items=[distribution.low, distribution.high])
    # Counting from the first value on, multiples of the step might differ in the last digit.
    uneven = isinstance(distribution, Float) and distribution.anchor == "zero" and size <= _MANY
    if size <= _LISTED or distribution.log or distribution.step is None or uneven:
        return _variant(column, "multiple", items=list(distribution.values()))
    low, step = distribution.from_unit(0.0), distribution.step
    return _variant(column, "linear", start=low, end=distribution.from_unit(1.0), step=step)


def _whole(distribution: Int, path: str, losses: Losses) -> dict[str, Any]:
    low, high, step = distribution.low, distribution.values()[-1], distribution.step
    rules: dict[str, Any] = {"distribution": "integer", "min": low, "max": high}
    if distribution.log:
        rules = {"distribution": "log-uniform", **_exponents(low, high, path, losses)}
    if step != 1:
        rules["step"] = step
        _say_steps(low, step, path, losses)
    return rules


def _range(distribution: Float, path: str, losses: Losses) -> dict[str, Any]:
    low, high, step = distribution.low, distribution.high, distribution.step
    rules: dict[str, Any] = {"distribution": "uniform", "min": low, "max": high}
    if distribution.log:
        rules = {"distribution": "log-uniform", **_exponents(low, high, path, losses)}
    if step is not None and math.floor(high / step) < math.ceil(low / step):
        losses.say(
            f"{path}.step", f"no multiple of {step:g} lies between the bounds; none is written"
        )
    elif step is not None:
        rules["step"] = step
        if distribution.anchor == "low":
            message = "values are rounded to steps; the outermost are half as likely as the others"
            losses.say(f"{path}.step", message)
        _say_steps(low, step, path, losses)
        _say_steps(high, step, path, losses)
    return rules


def _say_steps(bound: float, step: float, path: str, losses: Losses) -> None:
    nearest = round(bound / step) * step
    # Zero is no bound of exponents, and 1e-85 none that steps come near.
    if not math.isclose(nearest, bound, rel_tol=1e-9) or (bound and not nearest):
        message = f"values are multiples of the step {step:g}; {bound:g} is none"
        losses.say(path, message)


def _exponents(low: float, high: float, path: str, losses: Losses) -> dict[str, Any]:
    found = [_plain(math.log10(bound)) for bound in (low, high)]
    for bound, exponent in zip((low, high), found, strict=True):
        if power(10, exponent) != bound:
            message = f"bounds are exponents of 10; {bound!r} becomes {power(10, exponent)!r}"
            losses.say(path, message)
    return {"min": found[0], "max": found[1]}


def _plain(number: float) -> float | int:
    return int(number) if number.is_integer() else number


def _gaussian(distribution: Normal | LogNormal, path: str, losses: Losses) -> dict[str, Any]:
    scale = math.log(10) if isinstance(distribution, LogNormal) else 1.0
    mean, reach = distribution.mean / scale, _DEVIATIONS * distribution.deviation / scale
    losses.say(
        path,
        f"a {distribution.kind} distribution has no mean and deviation in the file; it is written "
        f"by bounds {_DEVIATIONS} deviations away from the mean, as this package reads it",
    )
    name = re.sub("^log", "log-", distribution.kind)
    rules = {"distribution": name, "min": mean - reach, "max": mean + reach}
    return rules if distribution.step is None else {**rules, "step": distribution.step}
