"""
Checks of the configurations that are tried first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_hpo.blueprint.checks.space import name_hint, values_of
from airflow_hpo.blueprint.problems import show
from airflow_hpo.model.distribution import Constant
from airflow_hpo.model.values import canonical

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_hpo.blueprint.checks.draft import Draft
    from airflow_hpo.blueprint.problems import Problems
    from airflow_hpo.model.space import Parameter, Space
    from airflow_hpo.model.values import Value

__all__ = ["check_points"]


def check_points(draft: Draft, space: Space | None, problems: Problems) -> None:
    """
    Note what of the points lies outside the space.
    """
    for index, point in draft.points.items():
        path = ("points", index)
        for name, value in point.items():
            if name in draft.parameters:
                _check_value((*path, name), draft.parameters[name], value, problems)
            elif name not in draft.broken:
                message = f"must be a parameter, got {show(name)}"
                hint = name_hint(name, draft.names)
                problems.error((*path, name), message, hint=hint, at_key=True)
        if space is not None and not problems.touches(path):
            _check_together(path, point, space, problems)
    if draft.budget is not None and len(draft.points) > draft.budget.trials:
        problems.warn(
            ("points",),
            f"only the first {draft.budget.trials} are tried (budget.trials), "
            f"got {len(draft.points)}",
            at_key=True,
        )


def _check_value(
    path: tuple[str | int, ...], parameter: Parameter, value: Value, problems: Problems
) -> None:
    distribution = parameter.distribution
    if not distribution.contains(value):
        rule = f"must be a value that {parameter.name} takes ({values_of(distribution)})"
        problems.error(path, f"{rule}, got {show(value)}")


def _check_together(
    path: tuple[str | int, ...], point: Mapping[str, Value], space: Space, problems: Problems
) -> None:
    known = {
        parameter.name: parameter.distribution.value
        for parameter in space.parameters
        if isinstance(parameter.distribution, Constant)
    }
    known |= {
        name: space.by_name[name].distribution.cast(value)
        for name, value in point.items()
        if name in space.by_name
    }
    for name in point:
        for parent, values in space.by_name[name].when.items() if name in space.by_name else ():
            labels = {canonical(value) for value in values}
            if parent in known and canonical(known[parent]) not in labels:
                message = f"is not used: it is not active where {parent} is {show(known[parent])}"
                problems.warn((*path, name), message, at_key=True)
    for expression in space.expressions:
        if expression.names() <= known.keys() and not expression.holds(known.__getitem__):
            got = ", ".join(f"{name}={show(known[name])}" for name in sorted(expression.names()))
            problems.error(path, f"must satisfy {expression.text!r}, got {got}")
