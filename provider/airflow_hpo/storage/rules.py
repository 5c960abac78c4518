"""
What may happen to a study and its trials: the part that every storage shares.

Pure: a storage looks things up, asks here what becomes of them, and keeps the
answer. So two storages can differ in how they keep a study, not in its story.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from airflow_hpo.errors import StudyError, StudyNotFoundError
from airflow_hpo.model.record import NOTES, Attempt, Event
from airflow_hpo.model.registry import did_you_mean
from airflow_hpo.model.stop import Stop
from airflow_hpo.model.trial import (
    FINAL_STATES,
    Measurement,
    Outcome,
    Suggestion,
    Trial,
    TrialState,
    check_move,
)
from airflow_hpo.model.values import Value
from airflow_hpo.storage import codec

__all__ = [
    "announced",
    "asked",
    "begin",
    "begin_events",
    "check_attempt",
    "check_key",
    "check_measure",
    "check_note",
    "check_study",
    "end",
    "end_event",
    "live_metrics",
    "missing_attempt",
    "missing_study",
    "missing_trial",
    "new_trials",
    "of_attempt",
    "promoted",
    "redefined",
    "settle",
    "stop_event",
]

_NAME_LENGTH = 255


def check_study(study: str, seed: int) -> None:
    """
    Refuse a name or a seed that not every database can keep.
    """
    _check_text("a study's name", study)
    if len(study) > _NAME_LENGTH:
        raise ValueError(
            f"a study's name must have at most {_NAME_LENGTH} characters, got {len(study)}"
        )
    if not 0 <= seed < 2**63:
        raise ValueError(f"a study's seed must be in [0, 2**63), got {seed}")


def check_key(key: str) -> None:
    """
    Refuse a key that could not tell two calls apart.
    """
    _check_text("a key", key)


def _check_text(what: str, text: str) -> None:
    if not text:
        raise ValueError(f"{what} must not be empty, got {text!r}")
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError(f"{what} must not hold NUL or surrogate characters, got {text!r}")


def missing_study(study: str, *, where: str, names: Iterable[str]) -> StudyNotFoundError:
    """
    Return the error for a study that does not exist; *where* is the storage.
    """
    hint = did_you_mean(study, names)
    text = f"{where} holds no study named {study!r}"
    return StudyNotFoundError(text if hint is None else f"{text}; {hint}")


def missing_trial(study: str, number: int, *, count: int) -> StudyError:
    """
    Return the error for a trial that does not exist.
    """
    have = f"its trials are 0 to {count - 1}" if count else "it has no trials"
    return StudyError(f"study {study!r} has no trial {number}; {have}")


def missing_attempt(number: int, attempt: int, *, latest: int) -> StudyError:
    """
    Return the error for an attempt that nobody started.
    """
    have = f"its latest is {latest}" if latest else "none was started"
    return StudyError(f"trial {number} has no attempt {attempt}; {have}")


def new_trials(
    suggestions: Sequence[Suggestion], *, first: int, key: str, now: float
) -> tuple[Trial, ...]:
    """
    Return the trials that *suggestions* become, numbered from *first* on.
    """
    for suggestion in suggestions:
        _check_text("a sampler's name", suggestion.sampler)
    return tuple(
        Trial(
            number=number,
            configuration=codec.copy(suggestion.configuration),
            sampler=suggestion.sampler,
            key=key,
            resource=codec.copy(suggestion.resource),
            parent=suggestion.parent,
            labels=codec.copy(suggestion.labels),
            created=now,
        )
        for number, suggestion in enumerate(suggestions, first)
    )


def asked(key: str, *, first: int, count: int, now: float) -> Event:
    """
    Return the event that says which trials *key* got.
    """
    return Event("asked", now, data={"key": key, "first": first, "count": count})


def announced(key: str, *, now: float) -> Event:
    """
    Return the event that says that what *key* stands for was claimed.
    """
    return Event("announced", now, data={"key": key})


def begin(trial: Trial, *, now: float) -> Trial:
    """
    Return *trial* as a new attempt makes it.

    Raises:
        StudyError: If no attempt can begin in its state.
    """
    if trial.state is not TrialState.RUNNING:  # else the old attempt was lost
        check_move(trial.number, trial.state, TrialState.RUNNING)
    return _as_attempt(trial, trial.attempt + 1, started=now)


def begin_events(old: Trial, *, key: str, now: float) -> tuple[Event, ...]:
    """
    Return what happened when a new attempt at *old* began.
    """
    started = Event("started", now, old.number, {"attempt": old.attempt + 1, "key": key})
    if not old.is_final:
        return (started,)
    lost = {"attempt": old.attempt, "state": old.state.value}
    return (Event("superseded", now, old.number, lost), started)


def of_attempt(trial: Trial, attempt: Attempt) -> Trial:
    """
    Return *trial* as *attempt* at it left it, whether or not it is the latest.
    """
    view = _as_attempt(trial, attempt.attempt, started=attempt.started)
    return view if attempt.outcome is None else end(view, attempt.outcome)


def _as_attempt(trial: Trial, attempt: int, *, started: float | None) -> Trial:
    return replace(
        trial,
        state=TrialState.RUNNING,
        values=None,
        metrics={},
        measurements=(),
        reason=None,
        failure=None,
        exit_code=None,
        attempt=attempt,
        started=started,
        finished=None,
    )


def check_attempt(trial: Trial, attempt: int) -> None:
    """
    Refuse an attempt that never began.

    Raises:
        StudyError: If *trial* has no such attempt.
    """
    if not 0 < attempt <= trial.attempt:
        raise missing_attempt(trial.number, attempt, latest=trial.attempt)


def check_measure(number: int, measurements: Sequence[Measurement], *, first: int) -> None:
    """
    Refuse positions that do not exist.
    """
    if first < 0:
        raise ValueError(
            f"positions of measurements must count from 0, got first={first} "
            f"for {len(measurements)} of trial {number}"
        )


def live_metrics(
    known: Mapping[str, Value], measurements: Sequence[Measurement], *, first: int, last: int
) -> dict[str, Value]:
    """
    Return the last value of every metric of a running attempt.

    Args:
        known: The same before *measurements* came.

        measurements: What is added, in order.

        first: Position of the first of them.

        last: The highest position that was there before; -1 for none.
    """
    early: dict[str, Value] = {}
    late: dict[str, Value] = {}
    for position, measurement in enumerate(measurements, first):
        (late if position > last else early).update(measurement.metrics)
    # What was there already, or fills a gap, is older than what is known.
    return {**early, **known, **late}


def settle(number: int, outcome: Outcome, *, attempt: Attempt, now: float) -> Outcome | None:
    """
    Return what is to be kept of *outcome*; `None` if *attempt* holds it already.

    Args:
        number: The trial's number.

        outcome: How the attempt ended, as told.

        attempt: What is known about the attempt so far.

        now: When it ended, unless the outcome says so itself.

    Raises:
        StudyError: If the attempt cannot end so.
    """
    kept = replace(
        outcome,
        values=None if outcome.values is None else tuple(codec.copy(outcome.values)),
        metrics=codec.copy(outcome.metrics),
        time=float(now if outcome.time is None else outcome.time),
    )
    before = attempt.outcome
    if before is not None and _content(before) == _content(kept):
        return None
    if before is not None and before.state in FINAL_STATES:
        raise StudyError(
            f"attempt {attempt.attempt} at trial {number} has ended as {before.state.value} "
            f"and cannot end a second time, got {_shown(kept, before)}; "
            "legal moves: running, by a new attempt"
        )
    check_move(number, _state(attempt), kept.state)
    return kept


def _state(attempt: Attempt) -> TrialState:
    if attempt.outcome is not None:
        return attempt.outcome.state
    return TrialState.RUNNING if attempt.attempt else TrialState.WAITING


def _content(outcome: Outcome) -> str:
    """
    Return what makes two outcomes the same: all but the time.
    """
    failure = None if outcome.failure is None else outcome.failure.value
    fields = (outcome.state.value, outcome.values, outcome.metrics, outcome.reason)
    return codec.dump([*fields, failure, outcome.exit_code], sort_keys=True)


def _shown(new: Outcome, old: Outcome) -> str:
    same = new.state is old.state
    return f"another outcome as {new.state.value}" if same else new.state.value


def end(trial: Trial, outcome: Outcome) -> Trial:
    """
    Return *trial* as *outcome* of its latest attempt leaves it.
    """
    return replace(
        trial,
        state=outcome.state,
        values=outcome.values,
        metrics=outcome.metrics,
        reason=outcome.reason,
        failure=outcome.failure,
        exit_code=outcome.exit_code,
        finished=outcome.time,
    )


def end_event(trial: Trial, outcome: Outcome, *, attempt: Attempt, now: float) -> Event:
    """
    Return the event of *attempt* at *trial* ending with *outcome*.

    A pause that the outcome takes the place of is kept in it, whole.
    """
    data: dict[str, Value] = {"attempt": attempt.attempt, "state": outcome.state.value}
    if attempt.outcome is not None:
        data["paused"] = {
            "values": attempt.outcome.values,
            "metrics": attempt.outcome.metrics,
            "reason": attempt.outcome.reason,
            "time": attempt.outcome.time,
        }
    late = attempt.attempt != trial.attempt
    return Event("finished_late" if late else "finished", now, trial.number, codec.copy(data))


def check_note(kind: str) -> None:
    """
    Refuse a kind that no study would be loaded with.
    """
    if kind not in NOTES:
        raise ValueError(f"a note must be one of {', '.join(NOTES)}, got {kind!r}")


def promoted(study: str, key: str, data: Mapping[str, Value], *, now: float) -> Event:
    """
    Return the event of a trial of *study* becoming a champion.
    """
    return Event("promoted", now, data=codec.copy({**data, "study": study, "key": key}))


def redefined(definition: Mapping[str, Value], *, now: float) -> Event:
    """
    Return the event of another definition taking the place of *definition*.
    """
    return Event("redefined", now, data={"definition": definition})


def stop_event(stop: Stop | None, *, now: float) -> Event:
    """
    Return the event of the study ending, or being opened again.
    """
    if stop is None:
        return Event("reopened", now)
    return Event("stopped", now, stop.trial, {"rule": stop.rule, "reason": stop.reason})
