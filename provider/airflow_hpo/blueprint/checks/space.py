"""
Checks of the search space: conditions, constraints, steps.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pydantic import ValidationError

from airflow_hpo.blueprint.problems import show
from airflow_hpo.blueprint.template import ALL_PARAMETERS
from airflow_hpo.model.distribution import Categorical, Constant, Distribution, Float, Int
from airflow_hpo.model.explain import flaws
from airflow_hpo.model.expression import Expression
from airflow_hpo.model.registry import did_you_mean
from airflow_hpo.model.space import Parameter, Space

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_hpo.blueprint.checks.draft import Draft
    from airflow_hpo.blueprint.problems import Problems

__all__ = ["check_space", "name_hint", "values_of", "warn_of_steps"]


def check_space(draft: Draft, problems: Problems) -> Space | None:
    """
    Return the space of what was not refused; `None` if that is none.
    """
    if ALL_PARAMETERS in draft.names:
        problems.error(
            ("space", ALL_PARAMETERS),
            f"{ALL_PARAMETERS} stands for all parameters in commands and is no parameter's name",
            at_key=True,
        )
    lost = _lost(draft)
    parameters = {
        name: parameter for name, parameter in draft.parameters.items() if name not in lost
    }
    constraints = dict(draft.constraints)
    for index, text in draft.constraints.items():
        if lost and _names(text) & lost:
            _explain_constraint(("constraints", index), text, draft.names, problems)
            del constraints[index]
    before = problems.errors
    try:
        space = Space(
            parameters=tuple(parameters.values()), constraints=tuple(constraints.values())
        )
    except ValidationError as error:
        _explain(parameters, constraints, problems)
        if problems.errors == before:
            for flaw in flaws(error, Space):
                problems.error(("space",), str(flaw))
        return None
    searching = draft.strategy is None or draft.strategy.name != "manual"
    if not space.tunable and not lost and searching and not problems.touches(("space",)):
        problems.error(("space",), "must have a parameter to search, got none", at_key=True)
    return space


def _lost(draft: Draft) -> set[str]:
    """
    Return the broken parameters, and those whose conditions name them.
    """
    lost = set(draft.broken)
    grown = True
    while grown:
        children = {
            name
            for name, parameter in draft.parameters.items()
            if lost.intersection(parameter.when)
        }
        grown = not children <= lost
        lost |= children
    return lost


def _names(text: str) -> frozenset[str]:
    try:
        return Expression.parse(text).names()
    except ValueError:
        return frozenset()


def _explain(
    parameters: Mapping[str, Parameter], constraints: Mapping[int, str], problems: Problems
) -> None:
    """
    Note why there is no such space, each thing at its place.
    """
    for name, parameter in parameters.items():
        for parent, values in parameter.when.items():
            path = ("space", name, "when", parent)
            if parent not in parameters:
                hint = did_you_mean(parent, parameters)
                message = f"must be a parameter, got {show(parent)}"
                problems.error(path, message, hint=hint, at_key=True)
                continue
            distribution = parameters[parent].distribution
            for value in values:
                if not distribution.contains(value):
                    rule = f"must be a value that {parent} takes ({values_of(distribution)})"
                    problems.error(path, f"{rule}, got {show(value)}")
    circle = _circle(parameters)
    if circle:
        message = f"conditions must not run in a circle, got {' -> '.join(circle)}"
        problems.error(("space", circle[0], "when"), message)
    for index, text in constraints.items():
        _explain_constraint(("constraints", index), text, parameters, problems)


def _circle(parameters: Mapping[str, Parameter]) -> list[str]:
    """
    Return the names along a circle of conditions, the first one again at the end.
    """
    for start in parameters:
        way, seen = [start], {start}
        while True:
            parents = [name for name in parameters[way[-1]].when if name in parameters]
            following = start if start in parents else next(iter(parents), None)
            if following is None or (following in seen and following != start):
                break
            way.append(following)
            seen.add(following)
            if following == start:
                return way
    return []


def _explain_constraint(
    path: tuple[str | int, ...], text: str, names: Iterable[str], problems: Problems
) -> None:
    known = set(names)
    try:
        expression = Expression.parse(text)
    except ValueError as error:
        problems.error(path, str(error))
        return
    for name in sorted(expression.names() - known):
        message = f"must name parameters only, got {name}"
        problems.error(path, message, hint=name_hint(name, known))


def name_hint(name: str, known: Iterable[str]) -> str | None:
    """
    Return what may have been meant by *name*, which is none of *known*.

    Example:
        >>> name_hint("hidden-batch", {"hidden", "batch"})
        'write spaces around the minus: hidden - batch'
    """
    names = set(known)
    terms = _terms(name.split("-"), names)
    if terms is not None:
        return f"write spaces around the minus: {' - '.join(terms)}"
    bare = re.sub(r"^parameters?\.", "", name)
    return f"write {bare}" if bare in names else did_you_mean(name, names)


def _terms(parts: list[str], names: set[str]) -> list[str] | None:
    """
    Return the names that *parts* make when joined by dashes, the longest first.
    """
    if not parts:
        return []
    # Beyond a few parts nobody means a formula, and trying all ways takes long.
    for length in range(len(parts) if len(parts) <= _MOST_PARTS else 0, 0, -1):
        term = "-".join(parts[:length])
        rest = _terms(parts[length:], names) if term in names else None
        if rest is not None:
            return [term, *rest]
    return None


_MOST_PARTS = 10


def values_of(distribution: Distribution) -> str:
    """
    Return which values *distribution* has, in a person's words.

    Example:
        >>> values_of(Int(low=16, high=128, step=16))
        '16 to 128 in steps of 16'
    """
    match distribution:
        case Categorical():
            shown = ", ".join(map(show, distribution.choices[:_SHOWN_CHOICES]))
            return shown if len(distribution.choices) <= _SHOWN_CHOICES else f"{shown}, ..."
        case Constant():
            return show(distribution.value)
        case Float() | Int():
            text = f"{show(distribution.low)} to {show(distribution.high)}"
            step = distribution.step
            return text if step in {None, 1} else f"{text} in steps of {show(step)}"
    text = "a number" if distribution.kind == "normal" else "a number, 0 or above"
    step = distribution.step
    return text if step is None else f"{text}, in multiples of {show(step)}"


_SHOWN_CHOICES = 10


def warn_of_steps(draft: Draft, problems: Problems) -> None:
    """
    Warn of steps that do not reach the upper bound.
    """
    for name, parameter in draft.parameters.items():
        distribution = parameter.distribution
        if not isinstance(distribution, (Float, Int)) or distribution.step in {None, 1}:
            continue
        if isinstance(distribution, Float) and distribution.anchor == "zero":
            continue
        last = distribution.low
        if distribution.low < distribution.high:
            last = distribution.from_unit(1.0)
        if last != distribution.high:
            problems.warn(
                ("space", name, "step"),
                f"should divide the range, got {show(distribution.step)}: "
                f"the largest value is {show(last)}, not {show(distribution.high)}",
            )
