"""
Checks of several objectives together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_hpo.blueprint.checks.draft import Draft
    from airflow_hpo.blueprint.problems import Problems

__all__ = ["check_objectives"]


def check_objectives(draft: Draft, problems: Problems) -> None:
    """
    Note metrics that are named twice: their values are kept by name.
    """
    seen: set[str] = set()
    for index, objective in enumerate(draft.objectives):
        if objective.metric in seen:
            problems.error(
                ("objective", index, "metric"),
                f"must be another metric for each objective, got {objective.metric} again",
            )
        seen.add(objective.metric)
