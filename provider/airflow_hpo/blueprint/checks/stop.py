"""
Checks of the rules that end the study.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_hpo.blueprint.problems import show
from airflow_hpo.model.expression import Expression
from airflow_hpo.model.registry import did_you_mean
from airflow_hpo.model.stop import EXECUTION_NAMES, ExpressionRule, MetricRule

if TYPE_CHECKING:
    from airflow_hpo.blueprint.checks.draft import Draft
    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.blueprint.problems import Problems

__all__ = ["check_stop"]


def check_stop(draft: Draft, problems: Problems) -> None:
    """
    Note what the rules name that does not exist, and what looks upside down.
    """
    if draft.trial is not None and draft.trial.until is not None:
        for name in sorted(Expression.parse(draft.trial.until).names()):
            _check_name(name, ("trial", "until"), draft, problems)
    for index, rule in draft.stop.items():
        path = ("stop", index)
        if isinstance(rule, ExpressionRule):
            for name in sorted(Expression.parse(rule.expression).names()):
                _check_name(name, path, draft, problems)
        elif isinstance(rule, MetricRule):
            _warn_of_direction(rule, path, draft, problems)
        elif len(draft.objectives) > 1:
            # By the first alone it would end studies that still gain elsewhere.
            message = f"plateau must have one objective to look at, got {len(draft.objectives)}"
            problems.error(path, message, hint="end the study by its budget, or by an expression")


def _check_name(name: str, path: Path, draft: Draft, problems: Problems) -> None:
    scope, _, rest = name.partition(".")
    if scope in {"parameter", "parameters"} and rest not in draft.names:
        hint = did_you_mean(rest, draft.names)
        problems.error(path, f"{scope}. must name a parameter, got {show(rest)}", hint=hint)
    elif scope == "execution" and rest not in EXECUTION_NAMES:
        known = ", ".join(EXECUTION_NAMES)
        hint = did_you_mean(rest, EXECUTION_NAMES)
        problems.error(path, f"execution. must name one of {known}, got {show(rest)}", hint=hint)
    elif name in draft.names and name not in {item.metric for item in draft.objectives}:
        problems.warn(
            path,
            f"names without a prefix are metrics, got {name}, which is a parameter too",
            hint=f"write parameter.{name} for the parameter",
        )


def _warn_of_direction(rule: MetricRule, path: Path, draft: Draft, problems: Problems) -> None:
    against = {"maximize": "at_most", "minimize": "at_least"}
    for objective in draft.objectives:
        name = against.get(objective.direction or "")
        if objective.metric == rule.metric and name and getattr(rule, name) is not None:
            meant = "at_least" if name == "at_most" else "at_most"
            problems.warn(
                (*path, name),
                f"ends the study with a bad trial: the objective is to {objective.aim}",
                hint=f"did you mean {meant!r}?",
                at_key=True,
            )
