"""
Points: configurations that a person wants tried first, complete or not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from airflow_hpo.errors import BlueprintError, Problem, SpaceExhaustedError
from airflow_hpo.model.registry import did_you_mean
from airflow_hpo.model.trial import Suggestion, Trial
from airflow_hpo.model.values import Configuration, Value
from airflow_hpo.strategies._draws import Draws, Tried, next_number
from airflow_hpo.strategies._lattice import count_configurations
from airflow_hpo.strategies.base import Options, Strategy, Support

if TYPE_CHECKING:
    from airflow_hpo.model.space import Space

__all__ = [
    "PointsFirst",
    "configuration_problems",
    "distinct_points",
    "from_point",
    "point_problems",
    "points_problems",
]


class PointsFirst:
    """
    Tries the given points first, then what another strategy proposes.

    Trial *n* takes the *n*-th point. Missing values are drawn from that
    trial's random stream, values of inactive parameters are dropped. Where a
    point's configuration was tried already, the strategy proposes instead.

    Args:
        strategy: Proposes what follows the points.

        points: In the order in which they are tried.
    """

    options_class: ClassVar[type[Options]] = Options
    support: ClassVar[Support] = Support(multi_objective=True)

    def __init__(self, strategy: Strategy, points: Sequence[Configuration]) -> None:
        """
        Put *points* in front of *strategy*.
        """
        self.strategy = strategy
        self.points = tuple(points)

    def limit(self, space: Space) -> int | None:
        """
        Return the strategy's own limit and the points, but what the space has.
        """
        own = self.strategy.limit(space)
        if own is None:
            return None
        most = own + len(self.points)
        count = count_configurations(space, enough=most)
        return most if count is None else min(most, count)

    def suggest(
        self, space: Space, trials: Sequence[Trial], count: int, *, seed: int
    ) -> Sequence[Suggestion]:
        """
        Return up to *count* configurations to try next.

        Raises:
            BlueprintError: If a point is not in the space.
        """
        history, found = list(trials), list[Suggestion]()
        points = distinct_points(space, self.points)
        first = next_number(trials)
        for number in range(first, first + count):
            if number >= len(points):
                found += self.strategy.suggest(space, history, count - len(found), seed=seed)
                break
            suggestion = from_point(space, points[number], history, number, seed=seed)
            proposed = (
                [suggestion] if suggestion else self.strategy.suggest(space, history, 1, seed=seed)
            )
            if not proposed:
                break
            found += proposed
            history.append(_waiting(number, proposed[0]))
        return found


def _waiting(number: int, suggestion: Suggestion) -> Trial:
    return Trial(
        number, suggestion.configuration, sampler=suggestion.sampler, labels=suggestion.labels
    )


def point_problems(space: Space, values: Mapping[str, Value]) -> Iterator[str]:
    """
    Yield what is wrong with *values*, of which some may be missing.
    """
    for name, value in values.items():
        parameter = space.by_name.get(name)
        if parameter is None:
            hint = did_you_mean(name, space.by_name)
            yield f"{name} is no parameter of this space" + (f"; {hint}" if hint else "")
        elif not parameter.distribution.contains(value):
            yield f"{name} cannot be {value!r}"


def configuration_problems(space: Space, values: Mapping[str, Value]) -> Iterator[str]:
    """
    Yield what is wrong with *values*, which must be complete.

    Constants need not be given, and what is given for an inactive parameter
    is passed over: a table of trials has all columns in every row.
    """
    wrong = list(point_problems(space, values))
    yield from wrong or space.problems(space.arrange(values))


def _is_complete(space: Space, values: Mapping[str, Value]) -> bool:
    configuration = space.arrange(values)
    return all(
        parameter.name in configuration
        for parameter in space.parameters
        if parameter.is_active(configuration)
    )


def distinct_points(space: Space, points: Sequence[Configuration]) -> list[Configuration]:
    """
    Return the points without those that say the same as an earlier one.

    Incomplete points may repeat: each is a wish for another sample there.

    Raises:
        BlueprintError: If a point is not in the space; it names all of them.
    """
    problems = list(points_problems(space, points))
    if problems:
        raise BlueprintError(problems)
    kept: list[Configuration] = []
    seen = Tried(space, ())
    for point in points:
        configuration = space.arrange(point)
        complete = _is_complete(space, point)
        if not complete or configuration not in seen:
            kept.append(point)
        if complete:
            seen.add(configuration)
    return kept


def points_problems(space: Space, points: Sequence[Configuration]) -> Iterator[Problem]:
    """
    Yield what is wrong with a blueprint's *points*.
    """
    for index, point in enumerate(points):
        yield from _problems(space, point, index)


def _problems(space: Space, point: Configuration, index: int) -> Iterator[Problem]:
    check = configuration_problems if _is_complete(space, point) else point_problems
    for message in check(space, point):
        yield Problem(f"points.{index}", message)


def from_point(
    space: Space, point: Configuration, history: Sequence[Trial], number: int, *, seed: int
) -> Suggestion | None:
    """
    Return the suggestion that *point* stands for; `None` if it was tried.
    """
    draws = Draws(space, history, seed=seed)
    given = {name: space.by_name[name].distribution.cast(value) for name, value in point.items()}
    if _is_complete(space, given):
        complete = space.arrange(given)
        return None if complete in draws.tried else Suggestion(complete, "point")
    try:
        sampled = draws.draw(number, given=given)
    except SpaceExhaustedError:
        values = ", ".join(f"{name}={value!r}" for name, value in point.items())
        raise SpaceExhaustedError(
            f"no configuration with {values} satisfies the constraints, got "
            + "; ".join(space.constraints)
        ) from None
    return None if sampled is None else Suggestion(sampled, "point")
