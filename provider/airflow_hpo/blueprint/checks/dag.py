"""
Checks of the DAG's own settings.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from airflow_hpo.blueprint.checks.retuning import check_retuning
from airflow_hpo.blueprint.cron import schedule_problem
from airflow_hpo.blueprint.problems import show
from airflow_hpo.model.retuning import ScheduleSpec

if TYPE_CHECKING:
    from airflow_hpo.blueprint.checks.draft import Draft
    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.blueprint.problems import Problems

__all__ = ["check_dag", "check_study_template"]

# What Airflow allows.
_DAG_ID = re.compile(r"[\w.-]{1,250}")
# The part of ISO 8601 that every Python reads.
_DATE = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2})?)?"
)
_CLASS = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
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
    _check_schedule(dag.schedule, problems)
    check_retuning(draft, problems)
    if dag.start_date is not None and not _is_date(dag.start_date):
        problems.error(
            ("dag", "start_date"),
            f"must be a date, got {show(dag.start_date)}",
            hint='write "2026-01-31", or "2026-01-31T06:00:00+00:00"',
        )
    untimed = not _is_timed(dag.schedule) and not problems.touches(("dag", "schedule"))
    if dag.catchup and (dag.start_date is None or untimed):
        problems.error(("dag", "catchup"), "needs a schedule and a start_date", at_key=True)
    if dag.schedule == "@continuous" and dag.max_active_runs not in {None, 1}:
        message = f"must be 1 where the schedule is @continuous, got {dag.max_active_runs}"
        problems.error(("dag", "max_active_runs"), message)


def _check_schedule(schedule: str | ScheduleSpec | None, problems: Problems) -> None:
    """
    Note a cron expression, a time zone or a timetable's name that cannot be one.
    """
    whole: Path = ("dag", "schedule")
    path = whole
    if isinstance(schedule, str):
        cron = schedule
    elif schedule is not None:
        cron, path = schedule.cron or "", (*whole, "cron")
        zone, timetable = schedule.timezone, schedule.timetable
        if zone is not None and not _is_zone(zone):
            message = f"must be the name of a time zone, got {show(zone)}"
            problems.error((*whole, "timezone"), message, hint="write Europe/Berlin")
        if timetable is not None and _CLASS.fullmatch(timetable) is None:
            message = f"must be a timetable's name or module.Class, got {show(timetable)}"
            problems.error((*whole, "timetable"), message)
    problem = schedule_problem(cron) if schedule is not None and cron else None
    if problem is not None:
        problems.error(path, problem[0], hint=problem[1])


def _is_timed(schedule: str | ScheduleSpec | None) -> bool:
    if isinstance(schedule, ScheduleSpec):
        return schedule.cron is not None or schedule.timetable is not None
    return schedule is not None


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        return False
    return True


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
