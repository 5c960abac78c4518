"""
What each call on a SQL storage does, inside the transaction it is given.

Every function may be called again after its transaction was committed without
anybody hearing of it: it then finds what it did, and does nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Connection, Row, Table, insert
from sqlalchemy.dialects import postgresql, sqlite

from airflow_hpo.errors import StudyNotFoundError
from airflow_hpo.model.record import NOTES, Attempt, Event, StudyRecord, StudySummary
from airflow_hpo.model.trial import TrialState
from airflow_hpo.storage import codec, rules, schema
from airflow_hpo.storage import sql_rows as rows
from airflow_hpo.storage.sql_url import show_url

if TYPE_CHECKING:
    from airflow_hpo.model.stop import Stop
    from airflow_hpo.model.trial import Measurement, Outcome, Suggestion, Trial
    from airflow_hpo.model.values import Value

__all__ = [
    "Asked",
    "Opening",
    "add_trials",
    "ask",
    "attempts",
    "claim",
    "create",
    "delete",
    "events",
    "exists",
    "finish",
    "load",
    "measure",
    "measurements",
    "note",
    "noted",
    "redefine",
    "remember",
    "start",
    "stop",
    "studies",
]


def _insert_new(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """
    Return an insert that leaves alone what is there already.

    Inline, as it would otherwise return the new keys and not count them.
    """
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing().inline()
    return postgresql.insert(table).on_conflict_do_nothing().inline()


def _find(connection: Connection, study: str, *, lock: bool = False) -> Row[Any]:
    statement = rows.LOCK_STUDY if lock else rows.STUDY
    found = connection.execute(statement, {"study": study}).one_or_none()
    if found is None:
        names = connection.scalars(rows.NAMES).all()
        where = show_url(connection.engine.url)
        raise rules.missing_study(study, where=where, names=names)
    return found


def _find_trial(
    connection: Connection, study: str, number: int, *, lock: bool = False
) -> tuple[int, Trial]:
    statement = rows.LOCK_TRIAL if lock else rows.TRIAL
    found = connection.execute(statement, {"study": study, "number": number}).one_or_none()
    if found is None:
        study_id = _find(connection, study).id
        count = connection.scalar(rows.COUNT, {"study_id": study_id}) or 0
        raise rules.missing_trial(study, number, count=count)
    return found[0], rows.to_trial(found[1:])


def _keep_events(connection: Connection, study_id: int, events: Iterable[Event]) -> None:
    connection.execute(insert(schema.event), [rows.event_row(one, study_id) for one in events])


def exists(connection: Connection, study: str) -> bool:
    """
    Return whether there is such a study.
    """
    return connection.scalar(rows.ID, {"study": study}) is not None


def create(
    connection: Connection, study: str, *, definition: str, seed: int, plan: str
) -> StudyRecord:
    """
    Make *study* unless it is there; *definition* and *plan* are JSON text.
    """
    now = time.time()
    row = {"name": study, "definition": definition, "seed": seed, "plan": plan, "created": now}
    options = {"preserve_rowcount": True}
    statement = _insert_new(connection, schema.study)
    if connection.execute(statement, row, execution_options=options).rowcount == 1:
        _keep_events(connection, _find(connection, study).id, [Event("created", now)])
    return load(connection, study)


def load(connection: Connection, study: str, *, measurements: bool = False) -> StudyRecord:
    """
    Return the study as it stands.
    """
    return _record(connection, _find(connection, study), measurements=measurements)


def _record(connection: Connection, study: Row[Any], *, measurements: bool) -> StudyRecord:
    place = {"study_id": study.id}
    found = connection.execute(rows.TRIALS, place).all()
    noted = connection.execute(rows.NOTED, {**place, "digests": _NOTE_DIGESTS})
    notes = [(kind, data) for kind, data in noted]
    if not measurements:
        return rows.to_record(study, map(rows.to_trial, found), notes)
    measured: dict[int, list[Measurement]] = {}
    for number, *row in connection.execute(rows.STUDY_MEASUREMENTS, place):
        measured.setdefault(number, []).append(rows.to_measurement(row))
    trials = (rows.to_trial(row, tuple(measured.get(row[0], ()))) for row in found)
    return rows.to_record(study, trials, notes)


_NOTE_DIGESTS = [rows.digest(kind, of="noted") for kind in NOTES]


def redefine(connection: Connection, study: str, definition: str) -> None:
    """
    Put *definition*, JSON text, in the place of the one that *study* has.
    """
    found = _find(connection, study, lock=True)
    old, new = codec.parse(found.definition), codec.parse(definition)
    if codec.dump(old, sort_keys=True) != codec.dump(new, sort_keys=True):
        connection.execute(rows.REDEFINE, {"_study_id": found.id, "definition": definition})
        _keep_events(connection, found.id, [rules.redefined(old, now=time.time())])


def noted(connection: Connection, study: str, kind: str) -> Mapping[str, Value] | None:
    """
    Return what is noted under *kind*; `None` if nothing is.
    """
    place = {"study_id": _find(connection, study).id, "once": rows.digest(kind, of="noted")}
    found = connection.scalar(rows.ONCE, place)
    return None if found is None else codec.parse(found)


def note(
    connection: Connection, study: str, kind: str, data: Mapping[str, Value]
) -> Mapping[str, Value]:
    """
    Keep *data* under *kind*, unless something is there, and return what is.
    """
    event = Event(kind, time.time(), data=data)
    row = rows.event_row(event, _find(connection, study).id, once=rows.digest(kind, of="noted"))
    connection.execute(_insert_new(connection, schema.event), row)
    return noted(connection, study, kind) or {}


def noted_of_all(connection: Connection, kind: str) -> dict[str, Mapping[str, Value]]:
    """
    Return what is noted under *kind* about each study.
    """
    place = {"once": rows.digest(kind, of="noted")}
    return {name: codec.parse(data) for name, data in connection.execute(rows.NOTED_OF_ALL, place)}


def promote(connection: Connection, study: str, key: str, event: Event) -> None:
    """
    Keep the *event* of a promotion, unless there is one with this *key*.
    """
    once = rows.digest(key, of="promoted")
    row = rows.event_row(event, _find(connection, study).id, once=once)
    connection.execute(_insert_new(connection, schema.event), row)


def promotions(connection: Connection) -> tuple[Mapping[str, Value], ...]:
    """
    Return what is known of all promotions, oldest first.
    """
    return tuple(codec.parse(data) for (data,) in connection.execute(rows.PROMOTIONS))


def claim(connection: Connection, study: str, key: str, token: str) -> bool:
    """
    Return whether the caller, who is called *token*, is the first with *key*.

    The token is what tells the first from others where a call is repeated.
    """
    study_id = _find(connection, study).id
    event = rules.announced(key, now=time.time())
    event = Event(event.kind, event.time, data={**event.data, "by": token})
    once = rows.digest(key, of="announced")
    row = rows.event_row(event, study_id, once=once)
    connection.execute(_insert_new(connection, schema.event), row)
    known = connection.scalar(rows.ONCE, {"study_id": study_id, "once": once})
    return known is not None and codec.parse(known)["by"] == token


def studies(connection: Connection) -> tuple[StudySummary, ...]:
    """
    Return a line about every study, newest first.
    """
    found: dict[str, StudySummary] = {}
    for row in connection.execute(rows.STATES):
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
    found = _find(connection, study, lock=True)
    known = connection.scalar(rows.ONCE, {"study_id": found.id, "once": rows.digest(key)})
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
    if connection.scalar(rows.ID, {"study": study}) != study_id:
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


def start(
    connection: Connection, study: str, number: int, *, key: str, at: float | None = None
) -> Trial:
    """
    Begin a new attempt, or find the one that *key* began.
    """
    study_id, old = _find_trial(connection, study, number, lock=True)
    place = {"study_id": study_id, "number": number}
    if old.attempt:
        for row in connection.execute(rows.ATTEMPTS, place).all():
            attempt = rows.to_attempt(row)
            if attempt.key == key:
                return rules.of_attempt(old, attempt)
    now = time.time() if at is None else at
    trial = rules.begin(old, now=now)
    begun = {"attempt": trial.attempt, "started": now}
    connection.execute(insert(schema.attempt), {**place, **begun, "key": key})
    changes = {**rows.outcome_row(None), **begun, "state": trial.state.value}
    connection.execute(rows.BEGIN_TRIAL, {"_study_id": study_id, "_number": number, **changes})
    _keep_events(connection, study_id, rules.begin_events(old, key=key, now=now))
    return trial


def measure(
    connection: Connection,
    study: str,
    number: int,
    measurements: Sequence[Measurement],
    *,
    attempt: int,
    first: int,
) -> None:
    """
    Add to what an attempt measured.
    """
    study_id, trial = _find_trial(connection, study, number, lock=True)
    rules.check_attempt(trial, attempt)
    place = {"study_id": study_id, "number": number, "attempt": attempt}
    new = rows.measurement_rows(measurements, first=first, **place)
    if not new:
        return
    if attempt == trial.attempt and trial.state is TrialState.RUNNING:
        last = connection.scalar(rows.LAST_POSITION, place)
        metrics = rules.live_metrics(
            trial.metrics, measurements, first=first, last=-1 if last is None else last
        )
        keys = {"_study_id": study_id, "_number": number}
        connection.execute(rows.MEASURED, {**keys, "metrics": codec.dump(metrics)})
    connection.execute(_insert_new(connection, schema.measurement), new)


def measurements(
    connection: Connection, study: str, number: int, *, attempt: int | None
) -> tuple[Measurement, ...]:
    """
    Return what an attempt measured; the latest where it is `None`.
    """
    study_id, trial = _find_trial(connection, study, number)
    wanted = trial.attempt if attempt is None else attempt
    if not 0 <= wanted <= trial.attempt:
        raise rules.missing_attempt(number, wanted, latest=trial.attempt)
    place = {"study_id": study_id, "number": number, "attempt": wanted}
    return tuple(map(rows.to_measurement, connection.execute(rows.MEASUREMENTS, place)))


def attempts(connection: Connection, study: str, number: int) -> tuple[Attempt, ...]:
    """
    Return every attempt at a trial, oldest first.
    """
    study_id, _ = _find_trial(connection, study, number)
    place = {"study_id": study_id, "number": number}
    return tuple(map(rows.to_attempt, connection.execute(rows.ATTEMPTS, place)))


def remember(
    connection: Connection, study: str, number: int, data: Mapping[str, Value], *, attempt: int
) -> None:
    """
    Add *data* to what is kept for whoever takes over an attempt.
    """
    study_id, trial = _find_trial(connection, study, number, lock=True)
    rules.check_attempt(trial, attempt)
    place = {"study_id": study_id, "number": number, "attempt": attempt}
    known = rows.to_attempt(connection.execute(rows.ATTEMPT, place).one())
    keys = {f"_{name}": value for name, value in place.items()}
    text = codec.dump({**known.memory, **data})
    connection.execute(rows.REMEMBER, {**keys, "memory": text})


def finish(
    connection: Connection, study: str, number: int, outcome: Outcome, *, attempt: int
) -> Trial:
    """
    Keep how an attempt ended, and return the trial.
    """
    study_id, trial = _find_trial(connection, study, number, lock=True)
    place = {"study_id": study_id, "number": number, "attempt": attempt}
    row = connection.execute(rows.ATTEMPT, place).one_or_none()
    if row is None and attempt != 0:
        raise rules.missing_attempt(number, attempt, latest=trial.attempt)
    known = Attempt(0) if row is None else rows.to_attempt(row)
    now = time.time()
    kept = rules.settle(number, outcome, attempt=known, now=now)
    if kept is None:
        return trial
    changes = rows.outcome_row(kept)
    keys = {f"_{name}": value for name, value in place.items()}
    if row is None:
        connection.execute(insert(schema.attempt), {**place, **changes, "key": ""})
    else:
        connection.execute(rows.END_ATTEMPT, {**keys, **changes})
    event = rules.end_event(trial, kept, attempt=known, now=now)
    _keep_events(connection, study_id, [event])
    if attempt != trial.attempt:
        return trial
    del keys["_attempt"]
    connection.execute(rows.END_TRIAL, {**keys, **changes})
    return rules.end(trial, kept)


def stop(connection: Connection, study: str, reason: Stop | None) -> None:
    """
    Keep why the study ended, or that it goes on.
    """
    found = _find(connection, study, lock=True)
    if (found.stop_rule is None) != (reason is None):
        connection.execute(rows.STOP, {"_study_id": found.id, **rows.stop_row(reason)})
        _keep_events(connection, found.id, [rules.stop_event(reason, now=time.time())])


def events(connection: Connection, study: str) -> tuple[Event, ...]:
    """
    Return what happened, oldest first.
    """
    found = connection.execute(rows.EVENTS, {"study": study}).all()
    if not found:  # a study has one at least
        _find(connection, study)
    return tuple(map(rows.to_event, found))


def delete(connection: Connection, study: str) -> None:
    """
    Remove the study and everything about it.
    """
    found = _find(connection, study, lock=True)
    for statement in rows.DELETE:
        connection.execute(statement, {"_study_id": found.id})
