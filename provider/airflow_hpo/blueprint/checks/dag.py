"""
Checks of the DAG's own settings.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING

from airflow_hpo.blueprint.cron import schedule_problem
from airflow_hpo.blueprint.problems import show

if TYPE_CHECKING:
    from airflow_hpo.blueprint.checks.draft import Draft
    from airflow_hpo.blueprint.problems import Problems

__all__ = ["check_dag", "check_study_template"]

# What Airflow allows.
_DAG_ID = re.compile(r"[\w.-]{1,250}")
# The part of ISO 8601 that every Python reads.
_DATE = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2})?)?"
)
_BRACES = re.compile(r"\{\{|\}\}|\{%|%\}|\{#|#\}")
_CLOSING = {"{{": "}}", "{%": "%}", "{#": "#}"}


def check_dag(draft: Draft, problems: Problems) -> None:
    """
    Note what Airflow would not take.
    """
    dag = draft.dag
    if dag is None:
        return
    if dag.id is not None and _DAG_ID.fullmatch(dag.id) is None:
        rule = "must have letters, digits, dots, dashes and underscores only, 250 at most"
        problems.error(("dag", "id"), f"{rule}, got {show(dag.id)}")
    if dag.schedule is not None:
        problem = schedule_problem(dag.schedule)
        if problem is not None:
            problems.error(("dag", "schedule"), problem[0], hint=problem[1])
    if dag.start_date is not None and not _is_date(dag.start_date):
        problems.error(
            ("dag", "start_date"),
            f"must be a date, got {show(dag.start_date)}",
            hint='write "2026-01-31", or "2026-01-31T06:00:00+00:00"',
        )
    if dag.catchup and (dag.schedule is None or dag.start_date is None):
        problems.error(("dag", "catchup"), "needs a schedule and a start_date", at_key=True)
    if dag.schedule == "@continuous" and dag.max_active_runs not in {None, 1}:
        message = f"must be 1 where the schedule is @continuous, got {dag.max_active_runs}"
        problems.error(("dag", "max_active_runs"), message)


def _is_date(text: str) -> bool:
    if _DATE.fullmatch(text) is None:
        return False
    try:
        datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return False
    return True


def check_study_template(draft: Draft, problems: Problems) -> None:
    """
    Note braces of the study's name that do not pair; Airflow fills in the rest.
    """
    opened: str | None = None
    for match in _BRACES.finditer(draft.study or ""):
        brace = match.group()
        if opened is None and brace in _CLOSING:
            opened = brace
        elif opened is not None and brace == _CLOSING[opened]:
            opened = None
        else:
            problems.error(("study",), f"must have its braces in pairs, got {show(draft.study)}")
            return
    if opened is not None:
        problems.error(("study",), f"must have its braces in pairs, got {show(draft.study)}")
