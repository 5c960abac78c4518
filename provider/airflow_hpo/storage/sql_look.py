"""
What those ask a SQL storage who look again and again: quick answers, nothing loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, bindparam, func, select

from airflow_hpo.model.trial import TrialState
from airflow_hpo.storage.schema import event, measurement, study, trial
from airflow_hpo.storage.sql_studies import exists, load

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["keys", "version"]

_STUDY = (
    select(study.c.id, study.c.created, func.max(event.c.id).label("event"))
    .join(event, event.c.study_id == study.c.id, isouter=True)
    .where(study.c.name == bindparam("study"))
    .group_by(study.c.id, study.c.created)
)

# Measurements of attempts that run: those of others change with an event.
_LIVE = (
    select(func.count())
    .select_from(measurement)
    .join(
        trial,
        and_(
            trial.c.study_id == measurement.c.study_id,
            trial.c.number == measurement.c.number,
            trial.c.attempt == measurement.c.attempt,
        ),
    )
    .where(
        measurement.c.study_id == bindparam("study_id"),
        trial.c.state == TrialState.RUNNING.value,
    )
)

_KEYS = (
    select(trial.c.key)
    .join(study, study.c.id == trial.c.study_id)
    .where(study.c.name == bindparam("study"))
    .group_by(trial.c.key)
    .order_by(func.min(trial.c.number))
)


def version(connection: Connection, study: str) -> str:
    """
    Return what changes with the study: all that happened, and what is measured meanwhile.
    """
    found = connection.execute(_STUDY, {"study": study}).one_or_none()
    if found is None:
        load(connection, study)  # raises, with the names that there are
        return ""
    measured = connection.scalar(_LIVE, {"study_id": found.id})
    return f"{found.id}/{found.created!r}/{found.event}/{measured}"


def keys(connection: Connection, study: str) -> tuple[str, ...]:
    """
    Return the keys of all asks that got trials.
    """
    found = tuple(connection.scalars(_KEYS, {"study": study}))
    if not found and not exists(connection, study):
        load(connection, study)  # raises
    return found
