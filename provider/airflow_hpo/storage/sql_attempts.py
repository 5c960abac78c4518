"""
What each call on a trial that is there does, inside the transaction it is given.

Every function may be called again after its transaction was committed without
anybody hearing of it: it then finds what it did, and does nothing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sqlalchemy import insert

from airflow_hpo.model.record import Attempt
from airflow_hpo.model.trial import TrialState
from airflow_hpo.storage import codec, rules, schema
from airflow_hpo.storage import sql_rows as rows
from airflow_hpo.storage import sql_statements as statements
from airflow_hpo.storage.sql_basics import find_trial, insert_new, keep_events

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from airflow_hpo.model.trial import Measurement, Outcome, Trial
    from airflow_hpo.model.values import Value

__all__ = [
    "attempts",
    "finish",
    "measure",
    "measurements",
    "remember",
    "start",
]


def start(
    connection: Connection, study: str, number: int, *, key: str, at: float | None = None
) -> Trial:
    """
    Begin a new attempt, or find the one that *key* began.
    """
    study_id, old = find_trial(connection, study, number, lock=True)
    place = {"study_id": study_id, "number": number}
    if old.attempt:
        for row in connection.execute(statements.ATTEMPTS, place).all():
            attempt = rows.to_attempt(row)
            if attempt.key == key:
                return rules.of_attempt(old, attempt)
    now = time.time() if at is None else at
    trial = rules.begin(old, now=now)
    begun = {"attempt": trial.attempt, "started": now}
    connection.execute(insert(schema.attempt), {**place, **begun, "key": key})
    changes = {**rows.outcome_row(None), **begun, "state": trial.state.value}
    connection.execute(
        statements.BEGIN_TRIAL, {"_study_id": study_id, "_number": number, **changes}
    )
    keep_events(connection, study_id, rules.begin_events(old, key=key, now=now))
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
    study_id, trial = find_trial(connection, study, number, lock=True)
    rules.check_attempt(trial, attempt)
    place = {"study_id": study_id, "number": number, "attempt": attempt}
    new = rows.measurement_rows(measurements, first=first, **place)
    if not new:
        return
    if attempt == trial.attempt and trial.state is TrialState.RUNNING:
        last = connection.scalar(statements.LAST_POSITION, place)
        metrics = rules.live_metrics(
            trial.metrics, measurements, first=first, last=-1 if last is None else last
        )
        keys = {"_study_id": study_id, "_number": number}
        connection.execute(statements.MEASURED, {**keys, "metrics": codec.dump(metrics)})
    connection.execute(insert_new(connection, schema.measurement), new)


def measurements(
    connection: Connection, study: str, number: int, *, attempt: int | None
) -> tuple[Measurement, ...]:
    """
    Return what an attempt measured; the latest where it is `None`.
    """
    study_id, trial = find_trial(connection, study, number)
    wanted = trial.attempt if attempt is None else attempt
    if not 0 <= wanted <= trial.attempt:
        raise rules.missing_attempt(number, wanted, latest=trial.attempt)
    place = {"study_id": study_id, "number": number, "attempt": wanted}
    return tuple(map(rows.to_measurement, connection.execute(statements.MEASUREMENTS, place)))


def attempts(connection: Connection, study: str, number: int) -> tuple[Attempt, ...]:
    """
    Return every attempt at a trial, oldest first.
    """
    study_id, _ = find_trial(connection, study, number)
    place = {"study_id": study_id, "number": number}
    return tuple(map(rows.to_attempt, connection.execute(statements.ATTEMPTS, place)))


def remember(
    connection: Connection, study: str, number: int, data: Mapping[str, Value], *, attempt: int
) -> None:
    """
    Add *data* to what is kept for whoever takes over an attempt.
    """
    study_id, trial = find_trial(connection, study, number, lock=True)
    rules.check_attempt(trial, attempt)
    place = {"study_id": study_id, "number": number, "attempt": attempt}
    known = rows.to_attempt(connection.execute(statements.ATTEMPT, place).one())
    keys = {f"_{name}": value for name, value in place.items()}
    text = codec.dump({**known.memory, **data})
    connection.execute(statements.REMEMBER, {**keys, "memory": text})


def finish(
    connection: Connection, study: str, number: int, outcome: Outcome, *, attempt: int
) -> Trial:
    """
    Keep how an attempt ended, and return the trial.
    """
    study_id, trial = find_trial(connection, study, number, lock=True)
    place = {"study_id": study_id, "number": number, "attempt": attempt}
    row = connection.execute(statements.ATTEMPT, place).one_or_none()
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
        connection.execute(statements.END_ATTEMPT, {**keys, **changes})
    event = rules.end_event(trial, kept, attempt=known, now=now)
    keep_events(connection, study_id, [event])
    if attempt != trial.attempt:
        return trial
    del keys["_attempt"]
    connection.execute(statements.END_TRIAL, {**keys, **changes})
    return rules.end(trial, kept)
