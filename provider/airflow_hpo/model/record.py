"""
What the journal knows: one study's record, and the events of its life.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from airflow_hpo.model.stop import Stop
from airflow_hpo.model.trial import Outcome, Trial
from airflow_hpo.model.values import Value

__all__ = ["NOTES", "Attempt", "Event", "StudyRecord", "StudySummary"]

NOTES = ("warm_started", "space_changed", "strategy_chosen", "interval", "champion_checked")
"""What is noted about a study once and for all: kinds of events."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """
    One try at a trial; the trial itself shows the latest.

    Args:
        attempt:
            Counts from 1; 0 stands for a trial that ended before anything
            started.

        key: What makes it unique within the trial; empty for attempt 0.

        started: Seconds since the epoch; `None` for attempt 0.

        outcome: How it ended; `None` while it runs, or where nobody told.

        memory:
            What whoever worked on it left for whoever takes over, JSON-compatible.
    """

    attempt: int
    key: str = ""
    started: float | None = None
    outcome: Outcome | None = None
    memory: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Event:
    """
    Something that happened, kept for ever.

    Args:
        kind:
            ``created``, ``asked``, ``started``, ``finished``, ``superseded``
            (a new attempt took the place of an outcome), ``finished_late`` (an
            attempt that is no longer the latest ended), ``stopped``,
            ``reopened``, ``redefined`` (with the definition as it was before),
            ``announced`` (somebody was told of something), ``promoted`` (its best
            trial became a champion) or one of `NOTES`.

        time: Seconds since the epoch, UTC.

        trial: The trial it is about, if any.

        data: Details, JSON-compatible.
    """

    kind: str
    time: float
    trial: int | None = None
    data: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StudyRecord:
    """
    One study as it stands.

    Args:
        name: Unique within the storage.

        definition: The blueprint as JSON-compatible data.

        seed: From which every trial's own seed derives.

        created: Seconds since the epoch, UTC.

        trials: Ascending by number, 0, 1, 2 ... without a gap.

        stop: Why it ended; `None` while it may go on.

        plan: What was planned when it began, JSON-compatible.

        notes: What was noted once and for all, by kind.
    """

    name: str
    definition: Mapping[str, Value]
    seed: int
    created: float
    trials: tuple[Trial, ...] = ()
    stop: Stop | None = None
    plan: Mapping[str, Value] = field(default_factory=dict)
    notes: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StudySummary:
    """
    One line about a study: for lists, without loading its trials.
    """

    name: str
    created: float
    trials: int
    states: Mapping[str, int]
    stop: Stop | None = None
