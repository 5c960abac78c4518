"""
Statements: what is asked of the journal's tables, and what is changed in them.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, bindparam, delete, func, select, update

from airflow_hpo.storage.schema import attempt, event, measurement, study, trial

__all__ = [
    "ATTEMPT",
    "ATTEMPTS",
    "BEGIN_TRIAL",
    "COUNT",
    "DELETE",
    "END",
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

# How an attempt ends.
END: dict[str, Any] = {name: bindparam(name) for name in ("state", *_OUTCOME[:5], "finished")}

# Parameters of an update's condition begin with an underscore: the others are
# named after the columns that they change.
BEGIN_TRIAL = (
    update(trial)
    .where(trial.c.study_id == bindparam("_study_id"), trial.c.number == bindparam("_number"))
    .values(END | {"attempt": bindparam("attempt"), "started": bindparam("started")})
)
MEASURED = (
    update(trial)
    .where(trial.c.study_id == bindparam("_study_id"), trial.c.number == bindparam("_number"))
    .values(metrics=bindparam("metrics"))
)
END_TRIAL = (
    update(trial)
    .where(trial.c.study_id == bindparam("_study_id"), trial.c.number == bindparam("_number"))
    .values(END)
)
_THIS_ATTEMPT = update(attempt).where(
    attempt.c.study_id == bindparam("_study_id"),
    attempt.c.number == bindparam("_number"),
    attempt.c.attempt == bindparam("_attempt"),
)
END_ATTEMPT = _THIS_ATTEMPT.values(END)
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
