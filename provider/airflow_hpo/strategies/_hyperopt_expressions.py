"""
HyperOpt's expressions for our distributions, and how values map.

Knows HyperOpt's rules and does not load it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeAlias

from airflow_hpo.model.distribution import (
    Categorical,
    Distribution,
    Float,
    Int,
    LogNormal,
    Normal,
)
from airflow_hpo.model.scale import is_number
from airflow_hpo.model.values import Value
from airflow_hpo.strategies._lattice import Axis, axis_of

__all__ = [
    "Expression",
    "ExpressionName",
    "choice",
    "gaussian",
    "loguniform",
    "pchoice",
    "places",
    "qloguniform",
    "quniform",
    "randint",
    "snapped",
    "uniform",
    "uniformint",
]

ExpressionName: TypeAlias = Literal[
    "uniform",
    "quniform",
    "loguniform",
    "qloguniform",
    "uniformint",
    "randint",
    "choice",
    "pchoice",
    "normal",
    "qnormal",
    "lognormal",
    "qlognormal",
]
"""The functions of ``hyperopt.hp``."""

# Digits to which the logarithm of a bound is rounded if that loses nothing.
_LOG_DIGITS = 9

_PROBABILITY_NOISE = 1e-12

# Whole numbers beyond this cannot all be told apart as floats.
_MOST_EXACT = 2.0**53


@dataclass(frozen=True, slots=True)
class Expression:
    """
    One of HyperOpt's expressions, and how its values and ours correspond.

    Args:
        name: Of the function in ``hyperopt.hp``.

        args:
            Its arguments behind the label; of a pchoice the probabilities, of
            a choice how many options there are.

        read: Turns HyperOpt's value into ours.

        show: Turns our value into HyperOpt's; raises where it has no place.

        noise:
            Values are multiples of this, computed as HyperOpt does it: three
            times 0.1 is 0.30000000000000004. `None` where values are plain.
    """

    name: ExpressionName
    args: tuple[float, ...]
    read: Callable[[Any], Value]
    show: Callable[[Value], float]
    noise: float | None = None

    @property
    def options(self) -> int:
        """
        How many options a choice has; 0 for everything else.
        """
        if self.name == "choice":
            return int(self.args[0])
        return len(self.args) if self.name == "pchoice" else 0


def _inside(low: float, high: float) -> Callable[[Value], float]:
    def show(value: Value) -> float:
        if not low <= value <= high:
            raise ValueError(f"{value!r} is out of range")
        return float(value)

    return show


def _clipped(low: float, high: float, kind: type) -> Callable[[Any], Value]:
    # Exponentials of logarithms may leave the bounds in the last digit, and
    # large whole numbers are rounded as floats.
    return lambda value: min(max(kind(value), low), high)


def _by_unit(distribution: Float | Int) -> Expression:
    """
    Return an expression for the unit interval, where bounds are too far or too near.
    """

    def show(value: Value) -> float:
        if not distribution.contains(value):
            raise ValueError(f"{value!r} is out of range")
        return distribution.to_unit(value)

    return Expression("uniform", (0.0, 1.0), lambda unit: distribution.from_unit(float(unit)), show)


def uniform(distribution: Float) -> Expression:
    low, high = distribution.low, distribution.high
    if math.isinf(high - low):
        return _by_unit(distribution)
    return Expression("uniform", (low, high), _clipped(low, high, float), _inside(low, high))


def loguniform(distribution: Float) -> Expression:
    low, high = distribution.low, distribution.high
    args = (_log_bound(low), _log_bound(high))
    if not args[0] < args[1]:
        return _by_unit(distribution)
    return Expression("loguniform", args, _clipped(low, high, float), _inside(low, high))


def _log_bound(bound: float) -> float:
    """
    Return the logarithm of *bound*, as a person would have written it.

    Who writes -0.1 gets its exponential as a bound; the logarithm of that may
    differ from -0.1 in the last digit, and then everything drawn would too.

    Example:
        >>> _log_bound(math.exp(-0.1))  # the logarithm is -0.10000000000000006
        -0.1
    """
    exact = math.log(bound)
    rounded = round(exact, _LOG_DIGITS)
    return rounded if math.exp(rounded) == bound else exact


def uniformint(distribution: Int) -> Expression:
    low, high = distribution.low, distribution.high
    args = (float(low), float(high))
    if max(map(abs, args)) > _MOST_EXACT:
        return _by_unit(distribution)
    return Expression("uniformint", args, _clipped(low, high, int), _inside(low, high))


def randint(distribution: Int) -> Expression:
    low, high = distribution.low, distribution.high
    args = (high + 1,) if low == 0 else (low, high + 1)

    def show(value: Value) -> int:
        if not low <= value <= high:
            raise ValueError(f"{value!r} is out of range")
        return int(value)

    return Expression("randint", args, int, show)


def quniform(distribution: Float | Int) -> Expression:
    args = (float(distribution.low), float(distribution.high), float(distribution.step or 1))
    return _rounding("quniform", args, distribution)


def qloguniform(distribution: Float | Int) -> Expression:
    step = float(distribution.step or 1)
    args = (_log_bound(distribution.low), _log_bound(distribution.high), step)
    if not args[0] < args[1] or distribution.high > _MOST_EXACT:
        return _by_unit(distribution)
    return _rounding("qloguniform", args, distribution)


def _rounding(
    name: ExpressionName, args: tuple[float, ...], distribution: Float | Int
) -> Expression:
    """
    Return an expression that draws a number and rounds it to a multiple of the step.

    Counted from zero, values are handed out as HyperOpt computes them. Counted
    from *low* they are plain numbers: HyperOpt alone sees its own.
    """
    step = args[-1]
    if isinstance(distribution, Float) and distribution.anchor == "zero":
        return Expression(name, args, _unsigned, _contained(distribution), noise=step)
    if isinstance(distribution, Int):
        low, high = distribution.low, distribution.high
        return Expression(name, args, _clipped(low, high, int), _inside(low, high))
    grid = distribution.grid()
    axis, first = _axis(distribution), round(distribution.low / step)

    @_remembering
    def show(value: Value) -> float:
        return (axis.place(value) + first) * step

    return Expression(name, args, lambda value: grid.value(grid.place(value)), show)


def _remembering(show: Callable[[Value], float]) -> Callable[[Value], float]:
    """
    Return *show* with a memory: a history has few values of a grid, many times.
    """
    return lru_cache(maxsize=4096)(show)


def _unsigned(value: float) -> float:
    return float(value) + 0.0  # minus zero is zero


def _contained(distribution: Float) -> Callable[[Value], float]:
    @_remembering
    def show(value: Value) -> float:
        if not distribution.contains(value):
            raise ValueError(f"{value!r} is out of range")
        return float(value)

    return show


def _axis(distribution: Distribution) -> Axis:
    axis = axis_of(distribution)
    if axis is None:
        raise TypeError(f"values must be countable, got {distribution!r}")
    return axis


def places(axis: Axis) -> Expression:
    """
    Return an expression for places, each as likely as the other.
    """
    args = (-0.5, axis.size - 0.5, 1.0)
    place = _clipped(0, axis.size - 1, int)
    show = _remembering(axis.place)
    return Expression("quniform", args, lambda value: axis.value(place(value)), show)


def snapped(distribution: Float | Int, axis: Axis) -> Expression:
    """
    Return an expression for steps from *low* on a logarithmic scale.

    HyperOpt only knows such steps from zero, so they are drawn as a continuum
    that reaches half a step beyond the bounds, and the nearest step is taken.
    """
    low, step = distribution.low, float(distribution.step or 1)
    left = max(low - step / 2, low / 2)
    args = (math.log(left), math.log(axis.value(axis.size - 1) + step / 2))
    if not args[0] < args[1] < math.inf:
        return _by_unit(distribution)

    def read(value: float) -> Value:
        return axis.value(min(max(round((value - low) / step), 0), axis.size - 1))

    @_remembering
    def show(value: Value) -> float:
        return float(axis.value(axis.place(value)))

    return Expression("loguniform", args, read, show)


def choice(distribution: Categorical) -> Expression:
    axis = _axis(distribution)
    return _by_place("choice", (axis.size,), axis)


def pchoice(distribution: Categorical) -> Expression:
    axis = _axis(distribution)
    weights = distribution.weights or (1.0,) * axis.size
    alive = tuple(float(weight) for weight in weights if weight > 0)
    total = math.fsum(alive)
    # Probabilities are passed on as they were written, anything else is not.
    if abs(total - 1) > _PROBABILITY_NOISE:
        alive = tuple(weight / total for weight in alive)
    return _by_place("pchoice", alive, axis)


def _by_place(name: ExpressionName, args: tuple[float, ...], axis: Axis) -> Expression:
    values = [axis.value(place) for place in range(axis.size)]
    scalars = {
        (type(value), value): place
        for place, value in enumerate(values)
        if isinstance(value, (str, int, float))
    }

    def show(value: Value) -> int:
        # Much quicker than by comparing JSON text, which lists need.
        if isinstance(value, (str, int, float)):
            place = scalars.get((type(value), value))
            if place is not None:
                return place
        return axis.place(value)

    return Expression(name, args, lambda value: values[int(value)], show)


def gaussian(distribution: Normal | LogNormal) -> Expression:
    is_log = isinstance(distribution, LogNormal)
    step = distribution.step
    name: ExpressionName
    if step is None:
        name = "lognormal" if is_log else "normal"
    else:
        name = "qlognormal" if is_log else "qnormal"
    args = (distribution.mean, distribution.deviation)
    needs_positive = is_log and step is None  # its logarithm is taken

    def show(value: Value) -> float:
        if not is_number(value) or (needs_positive and value <= 0):
            raise ValueError(f"{value!r} is out of range")
        return float(value)

    return Expression(name, args if step is None else (*args, step), _unsigned, show, noise=step)
