"""
Rows: how the journal's values lie in its tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from airflow_hpo.model.record import Attempt, Event, StudyRecord
from airflow_hpo.model.stop import Stop
from airflow_hpo.model.trial import Failure, Measurement, Outcome, Trial, TrialState
from airflow_hpo.storage import codec
from airflow_hpo.storage.sql_statements import END

if TYPE_CHECKING:
    from sqlalchemy import Row

__all__ = [
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
        return dict.fromkeys(END)
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
