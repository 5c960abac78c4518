"""
What each call on a study does, inside the transaction it is given.

Every function may be called again after its transaction was committed without
anybody hearing of it: it then finds what it did, and does nothing.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Connection, Row, insert

from airflow_hpo.errors import StudyNotFoundError
from airflow_hpo.model.record import NOTES, Event, StudyRecord, StudySummary
from airflow_hpo.storage import codec, rules, schema
from airflow_hpo.storage import sql_rows as rows
from airflow_hpo.storage import sql_statements as statements
from airflow_hpo.storage.sql_basics import find_study, insert_new, keep_events

if TYPE_CHECKING:
    from airflow_hpo.model.stop import Stop
    from airflow_hpo.model.trial import Measurement, Suggestion, Trial

__all__ = [
    "Asked",
    "Opening",
    "add_trials",
    "ask",
    "create",
    "delete",
    "events",
    "exists",
    "load",
    "redefine",
    "stop",
    "studies",
]

_NOTE_DIGESTS = [rows.digest(kind, of="noted") for kind in NOTES]


def exists(connection: Connection, study: str) -> bool:
    """
    Return whether there is such a study.
    """
    return connection.scalar(statements.ID, {"study": study}) is not None


def create(
    connection: Connection, study: str, *, definition: str, seed: int, plan: str
) -> StudyRecord:
    """
    Make *study* unless it is there; *definition* and *plan* are JSON text.
    """
    now = time.time()
    row = {"name": study, "definition": definition, "seed": seed, "plan": plan, "created": now}
    options = {"preserve_rowcount": True}
    statement = insert_new(connection, schema.study)
    if connection.execute(statement, row, execution_options=options).rowcount == 1:
        keep_events(connection, find_study(connection, study).id, [Event("created", now)])
    return load(connection, study)


def load(connection: Connection, study: str, *, measurements: bool = False) -> StudyRecord:
    """
    Return the study as it stands.
    """
    return _record(connection, find_study(connection, study), measurements=measurements)


def _record(connection: Connection, study: Row[Any], *, measurements: bool) -> StudyRecord:
    place = {"study_id": study.id}
    found = connection.execute(statements.TRIALS, place).all()
    noted = connection.execute(statements.NOTED, {**place, "digests": _NOTE_DIGESTS})
    notes = [(kind, data) for kind, data in noted]
    if not measurements:
        return rows.to_record(study, map(rows.to_trial, found), notes)
    measured: dict[int, list[Measurement]] = {}
    for number, *row in connection.execute(statements.STUDY_MEASUREMENTS, place):
        measured.setdefault(number, []).append(rows.to_measurement(row))
    trials = (rows.to_trial(row, tuple(measured.get(row[0], ()))) for row in found)
    return rows.to_record(study, trials, notes)


def redefine(connection: Connection, study: str, definition: str) -> None:
    """
    Put *definition*, JSON text, in the place of the one that *study* has.
    """
    found = find_study(connection, study, lock=True)
    old, new = codec.parse(found.definition), codec.parse(definition)
    if codec.dump(old, sort_keys=True) != codec.dump(new, sort_keys=True):
        connection.execute(statements.REDEFINE, {"_study_id": found.id, "definition": definition})
        keep_events(connection, found.id, [rules.redefined(old, now=time.time())])


def studies(connection: Connection) -> tuple[StudySummary, ...]:
    """
    Return a line about every study, newest first.
    """
    found: dict[str, StudySummary] = {}
    for row in connection.execute(statements.STATES):
        old = found.get(row.name)
        states = {} if old is None else dict(old.states)
        if row.state is not None:
            states[row.state] = row[-1]
        total = sum(states.values())
        found[row.name] = StudySummary(row.name, row.created, total, states, rows.to_stop(row))
    return tuple(found.values())


class Asked(NamedTuple):
    """
    The trials that a key got before.
    """

    trials: tuple[Trial, ...]


class Opening(NamedTuple):
    """
    Where new trials go: the study as it stands, and its id.
    """

    study_id: int
    record: StudyRecord


def ask(connection: Connection, study: str, key: str, *, measurements: bool) -> Asked | Opening:
    """
    Return what *key* got before, or the study that is to be added to.

    The caller sees to it that nobody else adds to it meanwhile; on PostgreSQL
    the transaction itself does.
    """
    found = find_study(connection, study, lock=True)
    known = connection.scalar(statements.ONCE, {"study_id": found.id, "once": rows.digest(key)})
    if known is None:
        return Opening(found.id, _record(connection, found, measurements=measurements))
    place = codec.parse(known)
    first, count = place["first"], place["count"]
    return Asked(_record(connection, found, measurements=False).trials[first : first + count])


def add_trials(
    connection: Connection, opening: Opening, key: str, suggestions: Sequence[Suggestion]
) -> tuple[Trial, ...]:
    """
    Keep *suggestions* as the trials of *key*, and return them.
    """
    study, study_id = opening.record.name, opening.study_id
    if connection.scalar(statements.ID, {"study": study}) != study_id:
        raise StudyNotFoundError(f"study {study!r} was deleted while trials were suggested for it")
    now, first = time.time(), len(opening.record.trials)
    trials = rules.new_trials(suggestions, first=first, key=key, now=now)
    if trials:
        connection.execute(
            insert(schema.trial), [rows.trial_row(trial, study_id) for trial in trials]
        )
    event = rules.asked(key, first=first, count=len(trials), now=now)
    row = rows.event_row(event, study_id, once=rows.digest(key))
    connection.execute(insert(schema.event), row)
    return trials


def stop(connection: Connection, study: str, reason: Stop | None) -> None:
    """
    Keep why the study ended, or that it goes on.
    """
    found = find_study(connection, study, lock=True)
    if (found.stop_rule is None) != (reason is None):
        connection.execute(statements.STOP, {"_study_id": found.id, **rows.stop_row(reason)})
        keep_events(connection, found.id, [rules.stop_event(reason, now=time.time())])


def events(connection: Connection, study: str) -> tuple[Event, ...]:
    """
    Return what happened, oldest first.
    """
    found = connection.execute(statements.EVENTS, {"study": study}).all()
    if not found:  # a study has one at least
        find_study(connection, study)
    return tuple(map(rows.to_event, found))


def delete(connection: Connection, study: str) -> None:
    """
    Remove the study and everything about it.
    """
    found = find_study(connection, study, lock=True)
    for statement in statements.DELETE:
        connection.execute(statement, {"_study_id": found.id})
