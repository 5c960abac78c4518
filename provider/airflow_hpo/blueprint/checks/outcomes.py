"""
Checks of the constraints on outcomes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_hpo.blueprint.checks.space import name_hint
from airflow_hpo.model.expression import Expression
from airflow_hpo.model.registry import did_you_mean
from airflow_hpo.strategies.support import able_to, lacks

if TYPE_CHECKING:
    from airflow_hpo.blueprint.checks.draft import Draft
    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.blueprint.problems import Problems

__all__ = ["check_outcomes"]

_SCOPES = ("parameter", "parameters")


def check_outcomes(draft: Draft, problems: Problems) -> None:
    """
    Note what of the constraints on outcomes says nothing about an outcome.
    """
    for index, text in draft.outcome_constraints.items():
        path = ("outcome_constraints", index)
        try:
            expression = Expression.parse(text)
        except ValueError as error:
            problems.error(path, str(error))
            continue
        _check_names(expression, path, draft, problems)
    if draft.outcome_constraints:
        _check_strategy(draft, problems)


def _check_names(expression: Expression, path: Path, draft: Draft, problems: Problems) -> None:
    metrics = {objective.metric for objective in draft.objectives}
    named = False
    for name in sorted(expression.names()):
        scope, _, rest = name.partition(".")
        if scope in _SCOPES:
            if rest not in draft.names:
                hint = did_you_mean(rest, draft.names)
                problems.error(path, f"{scope}. must name a parameter, got {rest!r}", hint=hint)
        elif name in draft.names - metrics:
            problems.error(
                path,
                f"names without a prefix are metrics, got {name}, which is a parameter",
                hint=f"write parameter.{name}",
            )
        else:
            named = True
            dashed = name_hint(name, metrics | draft.names) if "-" in name else None
            if dashed is not None and dashed.startswith("write spaces"):
                problems.warn(path, f"reads one metric called {name}", hint=dashed)
    if not named and not problems.touches(path):
        problems.error(path, "must name a metric", hint="write it under constraints")


def _check_strategy(draft: Draft, problems: Problems) -> None:
    name = "" if draft.strategy is None else draft.strategy.name
    if lacks(name, "outcome_constraints"):
        able = ", ".join(able_to("outcome_constraints"))
        problems.error(
            ("outcome_constraints",),
            f"strategy {name} cannot keep constraints on outcomes",
            hint=f"these can: {able}",
            at_key=True,
        )
