"""
Countable spaces: their configurations in a fixed order, one at a time.

Nothing is ever listed in full: a range of 10^12 values costs what is looked
at of it. Values of weight zero are switched off and are not part of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from airflow_hpo.model.distribution import Categorical, Constant, Distribution, Float, Int
from airflow_hpo.model.scale import is_number
from airflow_hpo.model.space import Parameter, Space
from airflow_hpo.model.values import Configuration, Value, canonical

__all__ = ["Axis", "Lattice", "OutOfStepsError", "axis_of", "count_configurations"]

# What one walk may look at before it gives up: a fraction of a second of work.
MAX_STEPS = 100_000

_NOWHERE = -1
"""The place of an inactive parameter."""

_END = -2


class OutOfStepsError(Exception):
    """
    A walk looked at as many values as it was allowed to.
    """


@dataclass(frozen=True, slots=True)
class Axis:
    """
    The values of one parameter, by their place 0, 1, 2 ...

    Args:
        size: How many there are.

        value: Gives the value at a place.

        place: Gives the place of a value, or raises `ValueError`.
    """

    size: int
    value: Callable[[int], Value]
    place: Callable[[Value], int]


@dataclass(frozen=True, slots=True)
class _Level:
    """
    One parameter in the order of the walk.

    Args:
        checks: Whether it is the last one that some constraint names.
    """

    parameter: Parameter
    axis: Axis
    checks: bool


def axis_of(distribution: Distribution) -> Axis | None:
    """
    Return the values of *distribution*; `None` where they cannot be counted.
    """
    match distribution:
        case Int():
            return _int_axis(distribution)
        case Float() if distribution.size() == 1:
            return _listed(distribution.values())
        case Float() if distribution.step is not None:
            return _stepped_axis(distribution)
        case Categorical():
            weights = distribution.weights or (1.0,) * len(distribution.choices)
            choices = zip(distribution.choices, weights, strict=True)
            return _listed(tuple(choice for choice, weight in choices if weight > 0))
        case Constant():
            return _listed((distribution.value,))
    return None


def _listed(values: tuple[Value, ...]) -> Axis:
    places = {canonical(value): place for place, value in enumerate(values)}

    def place_of(value: Value) -> int:
        try:
            return places[canonical(value)]
        except KeyError:
            raise ValueError(f"{value!r} is none of {values!r}") from None

    return Axis(len(values), values.__getitem__, place_of)


def _int_axis(distribution: Int) -> Axis:
    values = range(distribution.low, distribution.high + 1, distribution.step)
    return Axis(distribution.size(), values.__getitem__, lambda value: values.index(int(value)))


def _stepped_axis(distribution: Float) -> Axis:
    grid = distribution.grid()

    def place_of(value: Value) -> int:
        if not is_number(value) or not grid.holds(value):
            raise ValueError(f"{value!r} is out of range")
        return grid.place(value)

    return Axis(grid.size, grid.value, place_of)


class Lattice:
    """
    The configurations of a countable space, the first parameter slowest.

    Parameters come in the user's order, a child behind its parents; an
    inactive one is left out. What breaks a constraint is left out as early as
    the constraint's last parameter has its value.

    Args:
        space: What is allowed.

        fixed: Values that are given; only what agrees with them is walked.
    """

    def __init__(self, space: Space, *, fixed: Configuration | None = None) -> None:
        self._space = space
        self._levels: list[_Level] = []
        self.countable = True
        parameters = _walking_order(space)
        last = _last_names(space, parameters)
        for parameter in parameters:
            if fixed is not None and parameter.name in fixed:
                axis: Axis | None = _listed((fixed[parameter.name],))
            else:
                axis = axis_of(parameter.distribution)
            if axis is None:
                self.countable = False
            else:
                self._levels.append(_Level(parameter, axis, parameter.name in last))

    def walk(
        self, *, after: Configuration | None = None, steps: int = MAX_STEPS
    ) -> Iterator[dict[str, Value]]:
        """
        Yield every configuration that satisfies the constraints, in order.

        Args:
            after: Begin behind this one; `None` for the beginning.

            steps: How many values may be looked at.

        Raises:
            OutOfStepsError: If *steps* did not suffice.

            ValueError: If *after* is not among them.
        """
        if not self.countable:
            raise ValueError("the space must be countable, got one with a continuous parameter")
        if not self._levels:
            if after is None and self._space.satisfies_constraints({}):
                yield {}
            return
        start = None if after is None else self._path(after)
        yield from self._walk(start, steps)

    def _walk(self, start: list[int] | None, steps: int) -> Iterator[dict[str, Value]]:
        levels, found, path = self._levels, dict[str, Value](), list[int]()
        cursors = [self._places(found, path, start)]
        while cursors:
            level = levels[len(cursors) - 1]
            found.pop(level.parameter.name, None)
            del path[len(cursors) - 1 :]
            place = next(cursors[-1], _END)
            if place == _END:
                cursors.pop()
                continue
            steps -= 1
            if steps < 0:
                raise OutOfStepsError
            path.append(place)
            if place != _NOWHERE:
                found[level.parameter.name] = level.axis.value(place)
            if level.checks and not self._space.satisfies_constraints(found):
                continue
            if len(path) == len(levels):
                yield {name: found[name] for name in self._space.by_name if name in found}
            else:
                cursors.append(self._places(found, path, start))

    def _places(
        self, found: Mapping[str, Value], path: list[int], start: list[int] | None
    ) -> Iterator[int]:
        """
        Iterate over the places of the next level, given the ones before it.
        """
        depth = len(path)
        level = self._levels[depth]
        is_last = depth + 1 == len(self._levels)
        begins = start is not None and path == start[:depth]
        if not level.parameter.is_active(found):
            return iter(() if begins and is_last else (_NOWHERE,))
        first = start[depth] + is_last if begins and start is not None else 0
        return iter(range(max(first, 0), level.axis.size))

    def _path(self, configuration: Configuration) -> list[int]:
        return [
            level.axis.place(configuration[level.parameter.name])
            if level.parameter.name in configuration
            else _NOWHERE
            for level in self._levels
        ]


def _walking_order(space: Space) -> list[Parameter]:
    """
    Return the parameters as the user wrote them, but parents before children.
    """
    waiting = list(space.parameters)
    placed: dict[str, Parameter] = {}
    while waiting:
        place = next(
            place
            for place, parameter in enumerate(waiting)
            if all(parent in placed for parent in parameter.when)
        )
        parameter = waiting.pop(place)
        placed[parameter.name] = parameter
    return list(placed.values())


def _last_names(space: Space, order: list[Parameter]) -> set[str]:
    """
    Return at which parameters some constraint knows all of its values.
    """
    places = {parameter.name: place for place, parameter in enumerate(order)}
    names = [expression.names() for expression in space.expressions]
    # A constraint without names is settled from the start.
    always = {order[0].name} if order and not all(names) else set()
    return always | {max(group, key=places.__getitem__) for group in names if group}


def count_configurations(
    space: Space, *, steps: int = MAX_STEPS, enough: int | None = None
) -> int | None:
    """
    Return the exact number of configurations; `None` if that is not cheap.

    Parameters that neither a condition nor a constraint ties together are
    counted apart, so only what is tied together has to be walked.

    Args:
        space: What is allowed.

        steps: How many values may be looked at for each such part.

        enough: A number from which on it does not matter how many there are.
    """
    if not space.satisfies_constraints({}):
        return 0
    counts = [_count_part(part, steps, enough) for part in _parts(space)]
    if 0 in counts:
        return 0
    return None if None in counts else math.prod(count or 0 for count in counts)


def _count_part(space: Space, steps: int, enough: int | None) -> int | None:
    lattice = Lattice(space)
    if not lattice.countable:
        return None
    one_parent = all(len(parameter.when) < 2 for parameter in space.parameters)  # noqa: PLR2004
    if one_parent and not space.constraints and not _has_zero_weights(space):
        return space.size()
    count = 0
    try:
        for count, _ in enumerate(lattice.walk(steps=steps), start=1):
            if enough is not None and count >= enough:
                return None
    except OutOfStepsError:
        return None
    return count


def _has_zero_weights(space: Space) -> bool:
    return any(
        isinstance(parameter.distribution, Categorical)
        and 0 in (parameter.distribution.weights or ())
        for parameter in space.parameters
    )


def _parts(space: Space) -> list[Space]:
    """
    Return spaces whose product is *space*.
    """
    ties = [{parameter.name, *parameter.when} for parameter in space.parameters]
    ties += [set(expression.names()) for expression in space.expressions if expression.names()]
    group_of = _joined(ties)
    parameters: dict[str, list[Parameter]] = {}
    constraints: dict[str, list[str]] = {}
    for parameter in space.parameters:
        parameters.setdefault(group_of[parameter.name], []).append(parameter)
    for expression in space.expressions:
        for name in sorted(expression.names())[:1]:
            constraints.setdefault(group_of[name], []).append(expression.text)
    return [
        Space(parameters=tuple(items), constraints=tuple(constraints.get(group, ())))
        for group, items in parameters.items()
    ]


def _joined(ties: Iterable[set[str]]) -> dict[str, str]:
    """
    Return for each name one that stands for all that it is tied together with.
    """
    leader: dict[str, str] = {}

    def find(name: str) -> str:
        while (above := leader.setdefault(name, name)) != name:
            leader[name] = leader[above]  # half the way for whoever asks next
            name = above
        return name

    for tie in ties:
        first = find(min(tie))
        for other in tie:
            leader[find(other)] = first
    return {name: find(name) for name in tuple(leader)}
