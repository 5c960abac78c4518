"""
Statements and rows: how the journal's values lie in its tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, delete, func, select, update

from airflow_hpo.model.record import Attempt, Event, StudyRecord
from airflow_hpo.model.stop import Stop
from airflow_hpo.model.trial import Failure, Measurement, Outcome, Trial, TrialState
from airflow_hpo.storage import codec
from airflow_hpo.storage.schema import attempt, event, measurement, study, trial

if TYPE_CHECKING:
    from sqlalchemy import Row

__all__ = [
    "ATTEMPT",
    "ATTEMPTS",
    "BEGIN_TRIAL",
    "COUNT",
    "DELETE",
    "END_ATTEMPT",
    "END_TRIAL",
    "EVENTS",
    "ID",
    "LAST_POSITION",
    "LOCK_STUDY",
    "LOCK_TRIAL",
    "MEASURED",
    "MEASUREMENTS",
    "NAMES",
    "NOTED",
    "NOTED_OF_ALL",
    "ONCE",
    "PROMOTIONS",
    "REDEFINE",
    "REMEMBER",
    "STATES",
    "STOP",
    "STUDY",
    "STUDY_MEASUREMENTS",
    "TRIAL",
    "TRIALS",
    "digest",
    "event_row",
    "measurement_rows",
    "outcome_row",
    "stop_row",
    "to_attempt",
    "to_event",
    "to_measurement",
    "to_record",
    "to_stop",
    "to_trial",
    "trial_row",
]

_OUTCOME = ("objective_values", "metrics", "reason", "failure", "exit_code", "started", "finished")

_TRIAL = (
    trial.c.number,
    trial.c.state,
    trial.c.configuration,
    trial.c.sampler,
    trial.c.key,
    trial.c.resource,
    trial.c.parent,
    trial.c.labels,
    trial.c.created,
    trial.c.attempt,
    *(trial.c[name] for name in _OUTCOME),
)
_ATTEMPT = (
    attempt.c.attempt,
    attempt.c.key,
    attempt.c.state,
    *(attempt.c[name] for name in _OUTCOME),
    attempt.c.memory,
)
_MEASUREMENT = (measurement.c.metrics, measurement.c.time, measurement.c.resource)

STUDY = select(study).where(study.c.name == bindparam("study"))

ID = select(study.c.id).where(study.c.name == bindparam("study"))

LOCK_STUDY = STUDY.with_for_update(key_share=True)

NAMES = select(study.c.name).order_by(study.c.id)

TRIALS = select(*_TRIAL).where(trial.c.study_id == bindparam("study_id")).order_by(trial.c.number)

# One trial, with its study's id in front.
TRIAL = (
    select(trial.c.study_id, *_TRIAL)
    .join(study, study.c.id == trial.c.study_id)
    .where(study.c.name == bindparam("study"), trial.c.number == bindparam("number"))
)

LOCK_TRIAL = TRIAL.with_for_update(of=trial, key_share=True)

COUNT = select(func.count()).select_from(trial).where(trial.c.study_id == bindparam("study_id"))

ATTEMPTS = (
    select(*_ATTEMPT)
    .where(attempt.c.study_id == bindparam("study_id"), attempt.c.number == bindparam("number"))
    .order_by(attempt.c.attempt)
)
ATTEMPT = ATTEMPTS.where(attempt.c.attempt == bindparam("attempt"))

MEASUREMENTS = (
    select(*_MEASUREMENT)
    .where(
        measurement.c.study_id == bindparam("study_id"),
        measurement.c.number == bindparam("number"),
        measurement.c.attempt == bindparam("attempt"),
    )
    .order_by(measurement.c.position)
)

LAST_POSITION = select(func.max(measurement.c.position)).where(
    measurement.c.study_id == bindparam("study_id"),
    measurement.c.number == bindparam("number"),
    measurement.c.attempt == bindparam("attempt"),
)

# Of every trial's latest attempt, with the trial's number in front.
STUDY_MEASUREMENTS = (
    select(measurement.c.number, *_MEASUREMENT)
    .join(
        trial,
        and_(
            trial.c.study_id == measurement.c.study_id,
            trial.c.number == measurement.c.number,
            trial.c.attempt == measurement.c.attempt,
        ),
    )
    .where(measurement.c.study_id == bindparam("study_id"))
    .order_by(measurement.c.number, measurement.c.position)
)

EVENTS = (
    select(event.c.kind, event.c.time, event.c.trial, event.c.data)
    .join(study, study.c.id == event.c.study_id)
    .where(study.c.name == bindparam("study"))
    .order_by(event.c.id)
)

ONCE = select(event.c.data).where(
    event.c.study_id == bindparam("study_id"), event.c.once == bindparam("once")
)

# What was noted about a study once and for all.
NOTED = select(event.c.kind, event.c.data).where(
    event.c.study_id == bindparam("study_id"),
    event.c.once.in_(bindparam("digests", expanding=True)),
)

NOTED_OF_ALL = (
    select(study.c.name, event.c.data)
    .join_from(study, event, event.c.study_id == study.c.id)
    .where(event.c.once == bindparam("once"))
    .order_by(study.c.id)
)

# Few, and asked for once a run: no index is worth its room.
PROMOTIONS = select(event.c.data).where(event.c.kind == "promoted").order_by(event.c.id)

# A line per study and state, newest study first.
STATES = (
    select(
        study.c.name,
        study.c.created,
        study.c.stop_rule,
        study.c.stop_reason,
        study.c.stop_trial,
        trial.c.state,
        func.count(trial.c.number).label("count"),
    )
    .outerjoin(trial, trial.c.study_id == study.c.id)
    .group_by(study.c.id, trial.c.state)
    .order_by(study.c.id.desc(), trial.c.state)
)

_END: dict[str, Any] = {name: bindparam(name) for name in ("state", *_OUTCOME[:5], "finished")}

# Parameters of an update's condition begin with an underscore: the others are
# named after the columns that they change.
BEGIN_TRIAL = (
    update(trial)
    .where(trial.c.study_id == bindparam("_study_id"), trial.c.number == bindparam("_number"))
    .values(_END | {"attempt": bindparam("attempt"), "started": bindparam("started")})
)
MEASURED = (
    update(trial)
    .where(trial.c.study_id == bindparam("_study_id"), trial.c.number == bindparam("_number"))
    .values(metrics=bindparam("metrics"))
)
END_TRIAL = (
    update(trial)
    .where(trial.c.study_id == bindparam("_study_id"), trial.c.number == bindparam("_number"))
    .values(_END)
)
_THIS_ATTEMPT = update(attempt).where(
    attempt.c.study_id == bindparam("_study_id"),
    attempt.c.number == bindparam("_number"),
    attempt.c.attempt == bindparam("_attempt"),
)
END_ATTEMPT = _THIS_ATTEMPT.values(_END)
REMEMBER = _THIS_ATTEMPT.values(memory=bindparam("memory"))
_THIS_STUDY = update(study).where(study.c.id == bindparam("_study_id"))
REDEFINE = _THIS_STUDY.values(definition=bindparam("definition"))
STOP = _THIS_STUDY.values(
    {name: bindparam(name) for name in ("stop_rule", "stop_reason", "stop_trial")}
)

# Children first.
DELETE = (
    *(
        delete(table).where(table.c.study_id == bindparam("_study_id"))
        for table in (event, measurement, attempt, trial)
    ),
    delete(study).where(study.c.id == bindparam("_study_id")),
)

_STATES = {state.value: state for state in TrialState}


def digest(key: str, *, of: str = "asked") -> str:
    """
    Return what stands for the *key* of an ask, or of something else, in the index.
    """
    return sha256(f"{of}:{key}".encode()).hexdigest()


def to_record(
    row: Row[Any], trials: Iterable[Trial], notes: Iterable[tuple[str, str]]
) -> StudyRecord:
    """
    Return the study in *row*; *notes* are pairs of a kind and JSON text.
    """
    return StudyRecord(
        name=row.name,
        definition=codec.parse(row.definition),
        seed=row.seed,
        created=row.created,
        trials=tuple(trials),
        stop=to_stop(row),
        plan=codec.parse(row.plan),
        notes={kind: codec.parse(data) for kind, data in notes},
    )


def to_stop(row: Row[Any]) -> Stop | None:
    """
    Return why the study in *row* ended; `None` while it may go on.
    """
    if row.stop_rule is None:
        return None
    return Stop(codec.parse(row.stop_rule), codec.parse(row.stop_reason), row.stop_trial)


def to_trial(row: Sequence[Any], measurements: tuple[Measurement, ...] = ()) -> Trial:
    """
    Return the trial in *row*, whose columns are those of `TRIALS`.
    """
    number, state, configuration, sampler, key, resource, parent, labels, created, latest = row[:10]
    values, metrics, reason, failure, exit_code, started, finished = row[10:]
    return Trial(
        number=number,
        configuration=codec.parse(configuration),
        state=_STATES[state],
        sampler=sampler,
        key=key,
        resource=None if resource == "null" else codec.parse(resource),
        parent=parent,
        labels=codec.parse(labels),
        values=None if values is None else tuple(codec.parse(values)),
        metrics={} if metrics is None else codec.parse(metrics),
        measurements=measurements,
        reason=None if reason is None else codec.parse(reason),
        failure=None if failure is None else Failure(failure),
        exit_code=exit_code,
        attempt=latest,
        created=created,
        started=started,
        finished=finished,
    )


def to_attempt(row: Sequence[Any]) -> Attempt:
    """
    Return the attempt in *row*, whose columns are those of `ATTEMPTS`.
    """
    number, key, state, values, metrics, reason, failure, exit_code, started, finished = row[:10]
    memory = {} if row[10] is None else codec.parse(row[10])
    if state is None:
        return Attempt(number, key, started, memory=memory)
    outcome = Outcome(
        _STATES[state],
        values=None if values is None else tuple(codec.parse(values)),
        metrics=codec.parse(metrics),
        reason=None if reason is None else codec.parse(reason),
        failure=None if failure is None else Failure(failure),
        exit_code=exit_code,
        time=finished,
    )
    return Attempt(number, key, started, outcome, memory)


def to_measurement(row: Sequence[Any]) -> Measurement:
    """
    Return the measurement in *row*, whose columns are those of `MEASUREMENTS`.
    """
    metrics, time, resource = row
    return Measurement(codec.parse(metrics), time, codec.parse(resource))


def to_event(row: Sequence[Any]) -> Event:
    """
    Return the event in *row*, whose columns are those of `EVENTS`.
    """
    kind, time, number, data = row
    return Event(kind, time, number, codec.parse(data))


def trial_row(new: Trial, study_id: int) -> dict[str, Any]:
    """
    Return the columns of a trial that was just suggested.
    """
    return {
        "study_id": study_id,
        "number": new.number,
        "configuration": codec.dump(new.configuration),
        "state": new.state.value,
        "sampler": new.sampler,
        "key": new.key,
        "resource": codec.dump(new.resource),
        "parent": new.parent,
        "labels": codec.dump(new.labels),
        "created": new.created,
        "attempt": new.attempt,
    }


def outcome_row(outcome: Outcome | None) -> dict[str, Any]:
    """
    Return the columns of how an attempt ended; all empty for `None`.
    """
    if outcome is None:
        return dict.fromkeys(_END)
    return {
        "state": outcome.state.value,
        "objective_values": None if outcome.values is None else codec.dump(outcome.values),
        "metrics": codec.dump(outcome.metrics),
        "reason": None if outcome.reason is None else codec.dump(outcome.reason),
        "failure": None if outcome.failure is None else outcome.failure.value,
        "exit_code": outcome.exit_code,
        "finished": outcome.time,
    }


def stop_row(stop: Stop | None) -> dict[str, Any]:
    """
    Return the columns of why a study ended; all empty for `None`.
    """
    if stop is None:
        return dict.fromkeys(("stop_rule", "stop_reason", "stop_trial"))
    return {
        "stop_rule": codec.dump(stop.rule),
        "stop_reason": codec.dump(stop.reason),
        "stop_trial": stop.trial,
    }


def measurement_rows(
    measurements: Sequence[Measurement], *, first: int, **place: int
) -> list[dict[str, Any]]:
    """
    Return the columns of *measurements*; *place* is study, number and attempt.
    """
    return [
        {
            **place,
            "position": position,
            "time": float(one.time),
            "resource": codec.dump(one.resource),
            "metrics": codec.dump(one.metrics),
        }
        for position, one in enumerate(measurements, first)
    ]


def event_row(one: Event, study_id: int, *, once: str | None = None) -> dict[str, Any]:
    """
    Return the columns of an event.
    """
    return {
        "study_id": study_id,
        "kind": one.kind,
        "time": one.time,
        "trial": one.trial,
        "data": codec.dump(one.data),
        "once": once,
    }
