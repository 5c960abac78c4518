"""
Configurations as points of the unit cube, and as what a Gaussian process sees.

Imported where a model is needed and nowhere else, since it loads numpy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TypeAlias

import numpy as np  # noqa: TID253 - see above
from numpy.typing import NDArray  # noqa: TID253 - see above

from airflow_hpo.model.distribution import Categorical, Distribution, LogNormal, Normal
from airflow_hpo.model.space import Parameter, Space
from airflow_hpo.model.values import Configuration, Value, canonical
from airflow_hpo.strategies._lattice import axis_of

__all__ = ["Cube", "Floats"]

Floats: TypeAlias = NDArray[np.float64]

# Up to so many steps are told apart while searching; finer ones are searched
# as if there were none, and what is found is rounded.
_FEW_STEPS = 64

# From so many steps on, following the slope and rounding is worth it.
_SLOPE_STEPS = 8

# A normal parameter is searched within so many deviations, on its own scale.
_DEVIATIONS = 4.0

# How often a choice or a step is drawn anew near a good point.
_MUTATION = 0.3

_SAME = 1e-9

# Decimals that count where steps are too many to be told apart.
_ROUGHLY = 2


@dataclass(frozen=True, slots=True)
class _Column:
    """
    One searched parameter.

    Args:
        parameter: Which.

        show: Turns a value into its place in [0, 1]; raises where it has none.

        read: Turns a place into the nearest value.

        ticks: The places that exist, ascending; `None` for all of [0, 1].

        is_choice: Whether neighbouring places have nothing in common.
    """

    parameter: Parameter
    show: Callable[[Value], float]
    read: Callable[[float], Value]
    ticks: Floats | None = None
    is_choice: bool = False

    @property
    def width(self) -> int:
        """
        How many features it makes.
        """
        return len(self.ticks) if self.is_choice and self.ticks is not None else 1

    def nearest(self, places: Floats) -> NDArray[np.intp]:
        """
        Return which tick is nearest to each of *places*.
        """
        if self.ticks is None:
            raise ValueError("a column without ticks has no nearest one")
        return np.searchsorted((self.ticks[1:] + self.ticks[:-1]) / 2, places)

    def holds(self, places: Floats, values: Sequence[Value]) -> NDArray[np.bool_]:
        """
        Return where *places* stand for one of *values*.
        """
        found = np.zeros(len(places), dtype=bool)
        for value in values:
            try:
                place = self.show(value)
            except (TypeError, ValueError):
                continue
            found |= np.abs(places - place) < _SAME
        return found


class Cube:
    """
    A space as a unit cube: one coordinate for each searched parameter.

    Logarithmic parameters are even in their logarithm, steps lie in the
    middle of their share, a choice's place is its number. A point is a row of
    such coordinates, NaN where a parameter is inactive. A *feature* is what
    the model sees: the coordinate, in the middle where it is inactive, and
    one feature for each choice, such that any two are 1 apart.

    Args:
        space: What is searched.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        found = [(item, _column(item)) for item in space.parameters]
        self.columns = [column for _, column in found if column is not None]
        self._index = {column.parameter.name: j for j, column in enumerate(self.columns)}
        self._single = {
            item.name: axis_of(item.distribution) for item, column in found if column is None
        }
        ends = np.cumsum([0, *(column.width for column in self.columns)])
        self._starts = [int(end) for end in ends[:-1]]
        self.features_count = int(ends[-1])
        self.is_countable = all(
            axis_of(column.parameter.distribution) is not None for column in self.columns
        )
        self.slopes = [
            (j, self._starts[j])
            for j, column in enumerate(self.columns)
            if not column.is_choice and (column.ticks is None or len(column.ticks) >= _SLOPE_STEPS)
        ]

    def show(self, configuration: Configuration) -> Floats | None:
        """
        Return the point of *configuration*; `None` if it is of another space.
        """
        point = np.full(len(self.columns), math.nan)
        for j, column in enumerate(self.columns):
            name = column.parameter.name
            if name not in configuration:
                if not column.parameter.when:
                    return None
                continue
            try:
                point[j] = column.show(configuration[name])
            except (TypeError, ValueError, OverflowError):
                return None
        return point

    def read(self, point: Floats) -> dict[str, Value]:
        """
        Return the configuration at *point*; of a missing place, the middle.
        """
        found: dict[str, Value] = {}
        for parameter in self._space.sampling_order:
            if not parameter.is_active(found):
                continue
            j = self._index.get(parameter.name)
            if j is None:
                found[parameter.name] = self._only(parameter.name)
            else:
                place = 0.5 if math.isnan(point[j]) else float(point[j])
                found[parameter.name] = self.columns[j].read(place)
        return self._space.arrange(found)

    def features(self, points: Floats) -> Floats:
        """
        Return what the model sees of *points*, one row each.
        """
        out = np.empty((len(points), self.features_count))
        for j, (column, start) in enumerate(zip(self.columns, self._starts, strict=True)):
            places, missing = points[:, j], np.isnan(points[:, j])
            if not column.is_choice:
                out[:, start] = np.where(missing, 0.5, places)
                continue
            one_hot = np.eye(column.width)[column.nearest(np.where(missing, 0.5, places))]
            one_hot[missing] = 1 / column.width
            out[:, start : start + column.width] = one_hot / math.sqrt(2)
        return out

    def settled(self, points: Floats) -> Floats:
        """
        Return *points* on their ticks, inside the cube, and NaN where inactive.
        """
        points = np.clip(np.where(np.isnan(points), 0.5, points), 0.0, 1.0)
        for j, column in enumerate(self.columns):
            if column.ticks is not None:
                points[:, j] = column.ticks[column.nearest(points[:, j])]
        active: dict[str, NDArray[np.bool_]] = {}
        for parameter in self._space.sampling_order:
            mask = self._active(parameter, points, active)
            active[parameter.name] = mask
            if parameter.when and parameter.name in self._index:
                points[~mask, self._index[parameter.name]] = math.nan
        return points

    def _active(
        self, parameter: Parameter, points: Floats, active: dict[str, NDArray[np.bool_]]
    ) -> NDArray[np.bool_]:
        mask = np.ones(len(points), dtype=bool)
        for parent, values in parameter.when.items():
            mask &= active[parent]
            if parent in self._index:
                j = self._index[parent]
                mask &= self.columns[j].holds(points[:, j], values)
            else:
                only = canonical(self._only(parent))
                mask &= only in {canonical(value) for value in values}
        return mask

    def _only(self, name: str) -> Value:
        axis = self._single[name]
        return None if axis is None else axis.value(0)

    def scattered(self, rng: np.random.Generator, count: int) -> Floats:
        """
        Return *count* points anywhere.
        """
        return self.settled(rng.random((count, len(self.columns))))

    def near(self, rng: np.random.Generator, point: Floats, *, reach: float, count: int) -> Floats:
        """
        Return *count* points around *point*.

        Args:
            rng: What they are drawn with.

            point: Their middle.

            reach: The deviation of each coordinate; infinity to draw some
                coordinates anew instead.

            count: How many.
        """
        shape = (count, len(self.columns))
        anew = rng.random(shape)
        middle = np.where(np.isnan(point), anew, point)
        mutates = rng.random(shape) < _MUTATION
        if math.isinf(reach):
            return self.settled(np.where(mutates, anew, middle))
        moved = middle + reach * rng.standard_normal(shape)
        for j, column in enumerate(self.columns):
            if column.is_choice:
                moved[:, j] = np.where(mutates[:, j], anew[:, j], middle[:, j])
        return self.settled(moved)

    def distinct(self, points: Floats) -> NDArray[np.intp]:
        """
        Return which *points* are the first at their place, roughly.
        """
        places = np.nan_to_num(points, nan=-1.0)
        for j, column in enumerate(self.columns):
            if column.ticks is None:
                places[:, j] = np.round(places[:, j], _ROUGHLY)
        return np.sort(np.unique(places, axis=0, return_index=True)[1])

    def neighbours(self, point: Floats) -> Floats:
        """
        Return the points that differ by one choice, or by one step, from *point*.
        """
        rows = [
            np.concatenate([point[:j], [place], point[j + 1 :]])
            for j, column in enumerate(self.columns)
            if column.ticks is not None and not math.isnan(point[j])
            for place in self._beside(column, float(point[j]))
        ]
        return self.settled(np.array(rows).reshape(len(rows), len(self.columns)))

    def _beside(self, column: _Column, place: float) -> list[float]:
        ticks = column.ticks if column.ticks is not None else np.empty(0)
        here = int(column.nearest(np.array([place]))[0])
        if column.is_choice:
            return [float(tick) for k, tick in enumerate(ticks) if k != here]
        return [float(ticks[k]) for k in (here - 1, here + 1) if 0 <= k < len(ticks)]


def _column(parameter: Parameter) -> _Column | None:
    """
    Return how *parameter* is searched; `None` where it has one value.
    """
    distribution = parameter.distribution
    if isinstance(distribution, (Normal, LogNormal)):
        return _normal_column(parameter, distribution)
    axis = axis_of(distribution)
    if axis is None:
        return _Column(parameter, _shower(distribution), distribution.from_unit)
    if axis.size == 1:
        return None
    if isinstance(distribution, Categorical):
        size, value, place = axis.size, axis.value, axis.place
        return _Column(
            parameter,
            lambda item: (place(item) + 0.5) / size,
            lambda unit: value(min(int(unit * size), size - 1)),
            (np.arange(size) + 0.5) / size,
            is_choice=True,
        )
    ticks = None
    if axis.size <= _FEW_STEPS:
        places = [distribution.to_unit(axis.value(k)) for k in range(axis.size)]
        ticks = np.array(places)
    return _Column(parameter, _shower(distribution), distribution.from_unit, ticks)


def _shower(distribution: Distribution) -> Callable[[Value], float]:
    def show(value: Value) -> float:
        if not distribution.contains(value):
            raise ValueError(f"{value!r} is out of range")
        return distribution.to_unit(value)

    return show


def _normal_column(parameter: Parameter, distribution: Normal | LogNormal) -> _Column:
    """
    Search within some deviations; what lies beyond is shown on the edge.
    """
    share = NormalDist().cdf
    log = isinstance(distribution, LogNormal)

    def show(value: Value) -> float:
        if log:
            value = math.log(value) if value > 0 else -math.inf
        deviations = (value - distribution.mean) / distribution.deviation
        return float(min(max(deviations / _DEVIATIONS, -1.0), 1.0) + 1) / 2

    def read(place: float) -> float:
        return distribution.from_unit(share((2 * place - 1) * _DEVIATIONS))

    return _Column(parameter, show, read)
