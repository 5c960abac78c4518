"""
How Optuna searches each of our distributions.

Imported where an engine is needed and nowhere else, since it loads Optuna.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from optuna.distributions import (  # noqa: TID253 - see above
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from airflow_hpo.model.distribution import Categorical, Distribution, Float, Int, LogNormal, Normal
from airflow_hpo.model.values import Value
from airflow_hpo.strategies._lattice import Axis, axis_of

__all__ = ["Dimension", "dimension_of"]

# A normal parameter is searched within so many deviations: all but one draw
# in 16 000. What lies beyond is shown to the sampler as lying on the edge.
_DEVIATIONS = 4.0

# Of so many steps the share of a single one is lost in rounding; then the
# unit interval is searched as if there were none.
_MANY = 2**30


@dataclass(frozen=True, slots=True)
class Dimension:
    """
    One searched parameter, as Optuna sees it.

    Args:
        distribution: What Optuna searches.

        show: Turns our value into Optuna's; raises where it has no place.

        read: Turns Optuna's value into ours.
    """

    distribution: BaseDistribution
    show: Callable[[Value], Any]
    read: Callable[[Any], Value]


def dimension_of(distribution: Distribution) -> Dimension | None:
    """
    Return how Optuna searches *distribution*; `None` where there is one value.

    Choices are searched by their place: Optuna sees no labels, and weights
    only matter while trials are drawn at random. Steps are searched by their
    place too, which is the same to every sampler and exact. Optuna has no
    logarithmic scale with steps, and cannot tell very many steps apart: there
    it searches the unit interval.
    """
    axis = axis_of(distribution)
    if axis is None:
        return _continuous_dimension(distribution)
    if axis.size == 1:
        return None
    match distribution:
        case Categorical():
            choices = CategoricalDistribution(range(axis.size))
            return Dimension(choices, _place_finder(axis), axis.value)
        case Int(step=1, log=log) if axis.size <= _MANY:
            whole = IntDistribution(distribution.low, distribution.high, log=log)
            return Dimension(whole, _inside(distribution, int), _clipped(distribution, int))
        case Int(log=False) | Float(log=False) if axis.size <= _MANY:
            return Dimension(IntDistribution(0, axis.size - 1), axis.place, axis.value)
    return _unit_dimension(distribution)


def _continuous_dimension(distribution: Distribution) -> Dimension:
    match distribution:
        case Float(low=low, high=high, log=log) if math.isfinite(high - low):
            real = FloatDistribution(distribution.low, distribution.high, log=log)
            return Dimension(real, _inside(distribution, float), _clipped(distribution, float))
        case Normal() | LogNormal():
            return _normal_dimension(distribution)
    return _unit_dimension(distribution)


def _place_finder(axis: Axis) -> Callable[[Value], int]:
    """
    Return a function that finds a choice's place, quickly for text and numbers.
    """
    scalars = {
        (type(choice), choice): axis.place(choice)
        for choice in map(axis.value, range(axis.size))
        if isinstance(choice, (str, int, float))
    }

    def place_of(value: Value) -> int:
        if isinstance(value, (str, int, float)) and (type(value), value) in scalars:
            return scalars[type(value), value]
        return axis.place(value)

    return place_of


def _inside(distribution: Int | Float, kind: type) -> Callable[[Value], Any]:
    low, high = distribution.low, distribution.high

    def show(value: Value) -> Any:  # noqa: ANN401 - Optuna's value
        if not low <= value <= high:
            raise ValueError(f"{value!r} is out of range")
        return kind(value)

    return show


def _clipped(distribution: Int | Float, kind: type) -> Callable[[Any], Value]:
    return lambda value: kind(min(max(value, distribution.low), distribution.high))


def _normal_dimension(distribution: Normal | LogNormal) -> Dimension:
    """
    Search a normal parameter on its own scale, logarithmic for a lognormal one.
    """
    reach = _DEVIATIONS * distribution.deviation
    low, high = distribution.mean - reach, distribution.mean + reach
    log = isinstance(distribution, LogNormal)
    if log:
        low, high = math.exp(low), math.exp(high)
    if not low < high or (log and low <= 0):
        return _unit_dimension(distribution)

    def read(value: float) -> float:
        if distribution.step is None:
            return float(value)
        return distribution.from_unit(distribution.to_unit(value))

    def show(value: Value) -> float:
        return min(max(float(value), low), high)

    return Dimension(FloatDistribution(low, high, log=log), show, read)


def _unit_dimension(distribution: Distribution) -> Dimension:
    def show(value: Value) -> float:
        if not distribution.contains(value):
            raise ValueError(f"{value!r} is out of range")
        return distribution.to_unit(value)

    return Dimension(FloatDistribution(0.0, 1.0), show, distribution.from_unit)
