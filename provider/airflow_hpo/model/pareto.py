"""
Several objectives: which losses beat which, and how good a set of them is.

Pure arithmetic on losses, each to be minimised; infinite ones are as bad as
can be.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

from airflow_hpo.model.objective import loss

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_hpo.model.objective import Objective
    from airflow_hpo.model.trial import Trial

__all__ = [
    "crowding",
    "dominates",
    "front_indices",
    "hypervolume",
    "measured_front",
    "pareto_front",
    "ranks",
]

Losses: TypeAlias = "Sequence[float]"


def dominates(left: Losses, right: Losses) -> bool:
    """
    Return whether *left* is nowhere worse than *right*, and somewhere better.

    Example:
        >>> dominates((1, 2), (1, 3)), dominates((1, 2), (1, 2)), dominates((0, 3), (1, 2))
        (True, False, False)
    """
    pairs = list(zip(left, right, strict=True))
    return all(one <= other for one, other in pairs) and any(one < other for one, other in pairs)


def front_indices(losses: Sequence[Losses]) -> list[int]:
    """
    Return the places of all that nothing dominates, ascending.

    Equal losses do not dominate each other: all of them are on the front, or
    none is.

    Example:
        >>> front_indices([(1, 3), (2, 2), (3, 3), (2, 2)])
        [0, 1, 3]
    """
    best = set(_front(sorted({tuple(item) for item in losses})))
    return [place for place, item in enumerate(losses) if tuple(item) in best]


def _front(points: Sequence[tuple[float, ...]]) -> list[tuple[float, ...]]:
    """
    Return those of *points*, sorted and different, that nothing dominates.
    """
    kept: list[tuple[float, ...]] = []
    # In this order nothing is dominated by what comes behind it; with two
    # objectives the latest one that was kept is the hardest to beat.
    pairs = bool(points) and len(points[0]) == 2  # noqa: PLR2004 - a flight of steps
    for point in points:
        if not any(dominates(other, point) for other in (kept[-1:] if pairs else kept)):
            kept.append(point)
    return kept


def ranks(losses: Sequence[Losses]) -> list[int]:
    """
    Return for each which front it is on: 0, or how often fronts were removed.

    Example:
        >>> ranks([(1, 3), (2, 2), (3, 3), (4, 4)])
        [0, 0, 1, 2]
    """
    fronts: list[list[tuple[float, ...]]] = []
    found: dict[tuple[float, ...], int] = {}
    for point in sorted({tuple(item) for item in losses}):
        place = _first_free(fronts, point)
        if place == len(fronts):
            fronts.append([])
        fronts[place].append(point)
        found[point] = place
    return [found[tuple(item)] for item in losses]


def _first_free(fronts: Sequence[Sequence[Losses]], point: Losses) -> int:
    """
    Return the first front none of whose members dominates *point*.
    """
    low, high = 0, len(fronts)
    while low < high:  # whoever is beaten by one front is beaten by all before
        middle = (low + high) // 2
        if any(dominates(other, point) for other in reversed(fronts[middle])):
            low = middle + 1
        else:
            high = middle
    return low


def crowding(losses: Sequence[Losses]) -> list[float]:
    """
    Return for each how much room there is around it: its crowding distance.

    It sums over the objectives how far apart the neighbours on both sides are,
    in shares of the whole range; who is outermost has infinite room. Of equal
    losses the first has the room, and the others have none.

    Example:
        >>> crowding([(0, 4), (1, 2), (4, 0), (1, 2)])
        [inf, 2.0, inf, 0.0]
    """
    points = sorted({tuple(item) for item in losses})
    room = dict.fromkeys(points, 0.0)
    for axis in range(len(points[0]) if points else 0):
        values = sorted({point[axis] for point in points if math.isfinite(point[axis])})
        width = values[-1] - values[0] if values else 0.0
        ordered = sorted(points, key=lambda point: (point[axis], point))
        for place, point in enumerate(ordered):
            if place in {0, len(ordered) - 1}:
                room[point] = math.inf
            elif width > 0:
                gap = ordered[place + 1][axis] - ordered[place - 1][axis]
                room[point] += 0.0 if math.isnan(gap) else gap / width
    seen: set[tuple[float, ...]] = set()
    found: list[float] = []
    for item in losses:
        point = tuple(item)
        found.append(0.0 if point in seen else room[point])
        seen.add(point)
    return found


def hypervolume(losses: Sequence[Losses], reference: Losses) -> float:
    """
    Return how much of the space better than *reference* is dominated.

    Exact for any number of objectives, and quick for two; from three on it
    takes longer and longer with the size of the front. What is not better than
    the reference in every objective adds nothing.

    Args:
        losses: Any, also dominated ones.

        reference: A point that is bad in every objective.

    Example:
        >>> hypervolume([(1, 2), (2, 1)], (3, 3))
        3.0
    """
    corner = tuple(map(float, reference))
    inside = {
        tuple(map(float, item))
        for item in losses
        if all(value < bound for value, bound in zip(item, corner, strict=True))
    }
    return _volume(_non_dominated(inside), corner)


def _non_dominated(points: Iterable[tuple[float, ...]]) -> list[tuple[float, ...]]:
    return _front(sorted(set(points)))


def _volume(front: Sequence[tuple[float, ...]], corner: tuple[float, ...]) -> float:
    """
    Return the volume that *front*, sorted and free of dominated points, has.
    """
    if not front:
        return 0.0
    if len(corner) == 1:
        return corner[0] - front[0][0]
    if len(corner) == 2:  # noqa: PLR2004 - a flight of steps
        tops = [corner[1], *(point[1] for point in front)]
        return math.fsum(
            (corner[0] - point[0]) * (top - point[1])
            for point, top in zip(front, tops, strict=False)
        )
    return math.fsum(
        _box(point, corner) - _volume(_limited(front[place + 1 :], point), corner)
        for place, point in enumerate(front)
    )


def _limited(
    front: Sequence[tuple[float, ...]], point: tuple[float, ...]
) -> list[tuple[float, ...]]:
    """
    Return what of *front* lies in the box of *point*.
    """
    return _non_dominated(tuple(map(max, other, point)) for other in front)


def _box(point: tuple[float, ...], corner: tuple[float, ...]) -> float:
    return math.prod(bound - value for value, bound in zip(point, corner, strict=True))


# From so many objectives on, fronts of more points take too long to measure.
_MOST_POINTS = {2: 100_000, 3: 1_000, 4: 300}
_MOST_ELSE = 100


def measured_front(
    objectives: Sequence[Objective], trials: Iterable[Trial]
) -> tuple[float | None, dict[str, float]]:
    """
    Return the hypervolume of the *trials*, and the reference point by metric.

    An objective that names no reference is measured from the worst value that
    a complete trial has: better ones then count only among the same trials.
    `None` where there is no complete trial, or where it would take too long.
    """
    values = [trial.values for trial in trials if trial.is_complete and trial.values]
    if not values:
        return None, {}
    reference = tuple(
        max((each[axis] for each in values), key=objective.loss)
        if objective.reference is None
        else objective.reference
        for axis, objective in enumerate(objectives)
    )
    named = {item.metric: value for item, value in zip(objectives, reference, strict=True)}
    losses = [loss(objectives, each) for each in values]
    front = _non_dominated(losses)
    if len(front) > _MOST_POINTS.get(len(objectives), _MOST_ELSE):
        return None, named
    return hypervolume(front, loss(objectives, reference)), named


def pareto_front(objectives: Sequence[Objective], trials: Iterable[Trial]) -> list[Trial]:
    """
    Return the complete trials that no other beats, best first by objective.

    Trials with equal values are all in it. With one objective they are those
    that are as good as the best.
    """
    complete = [trial for trial in trials if trial.is_complete and trial.values]
    losses = [loss(objectives, trial.values or ()) for trial in complete]
    front = [(losses[place], complete[place].number, place) for place in front_indices(losses)]
    return [complete[place] for _, _, place in sorted(front)]
