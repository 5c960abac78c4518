"""
What calls on a SQL storage have in common: to find a study or a trial, and to add what is new.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, Table, insert
from sqlalchemy.dialects import postgresql, sqlite

from airflow_hpo.storage import rules, schema
from airflow_hpo.storage import sql_rows as rows
from airflow_hpo.storage import sql_statements as statements
from airflow_hpo.storage.sql_url import show_url

if TYPE_CHECKING:
    from airflow_hpo.model.record import Event
    from airflow_hpo.model.trial import Trial

__all__ = [
    "find_study",
    "find_trial",
    "insert_new",
    "keep_events",
]


def find_study(connection: Connection, study: str, *, lock: bool = False) -> Row[Any]:
    """
    Return the row of *study*, kept from others' changes with *lock*.

    Raises:
        StudyNotFoundError: With the nearest names, if there is none.
    """
    statement = statements.LOCK_STUDY if lock else statements.STUDY
    found = connection.execute(statement, {"study": study}).one_or_none()
    if found is None:
        names = connection.scalars(statements.NAMES).all()
        where = show_url(connection.engine.url)
        raise rules.missing_study(study, where=where, names=names)
    return found


def find_trial(
    connection: Connection, study: str, number: int, *, lock: bool = False
) -> tuple[int, Trial]:
    """
    Return the id of *study* and its trial *number*, kept from others' changes with *lock*.

    Raises:
        StudyNotFoundError: If there is no such study.

        StudyError: If it has no such trial.
    """
    statement = statements.LOCK_TRIAL if lock else statements.TRIAL
    found = connection.execute(statement, {"study": study, "number": number}).one_or_none()
    if found is None:
        study_id = find_study(connection, study).id
        count = connection.scalar(statements.COUNT, {"study_id": study_id}) or 0
        raise rules.missing_trial(study, number, count=count)
    return found[0], rows.to_trial(found[1:])


def insert_new(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """
    Return an insert that leaves alone what is there already.

    Inline, as it would otherwise return the new keys and not count them.
    """
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing().inline()
    return postgresql.insert(table).on_conflict_do_nothing().inline()


def keep_events(connection: Connection, study_id: int, events: Iterable[Event]) -> None:
    """
    Add *events* to those of a study.
    """
    connection.execute(insert(schema.event), [rows.event_row(one, study_id) for one in events])
