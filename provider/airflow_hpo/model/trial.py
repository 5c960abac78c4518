"""
Trials: their states, the moves between them, and what is measured.

`TRANSITIONS` is the one table of legal moves; the storage enforces it and the
documentation's picture is drawn from it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from airflow_hpo.errors import StudyError
from airflow_hpo.model.values import Configuration, Value

__all__ = [
    "FINAL_STATES",
    "TRANSITIONS",
    "Failure",
    "Measurement",
    "Outcome",
    "Suggestion",
    "Trial",
    "TrialState",
    "check_move",
]


class TrialState(str, Enum):
    """
    Where a trial is in its life.
    """

    WAITING = "waiting"
    """Suggested and recorded; nothing runs yet."""

    RUNNING = "running"
    """A job works on it."""

    PAUSED = "paused"
    """At a rung, awaiting the verdict (promotion-type halving only)."""

    COMPLETE = "complete"
    """Ended well; has its objective values."""

    PRUNED = "pruned"
    """Ended early on purpose; its measurements still teach."""

    INFEASIBLE = "infeasible"
    """No value exists for this configuration: do not retry, do learn."""

    FAILED = "failed"
    """The machine's fault or a crash: not shown to the sampler."""


class Failure(str, Enum):
    """
    Why a trial failed: decides whether running it again may help.
    """

    INFRASTRUCTURE = "infrastructure"
    """A lost worker, an evicted pod: nothing to do with the configuration."""

    CODE = "code"
    """The user's code ended with a non-zero exit code."""

    TIMEOUT = "timeout"
    """The trial's own time limit passed."""


FINAL_STATES = frozenset(
    {TrialState.COMPLETE, TrialState.PRUNED, TrialState.INFEASIBLE, TrialState.FAILED}
)

TRANSITIONS: Mapping[TrialState, frozenset[TrialState]] = {
    TrialState.WAITING: frozenset(
        # A trial that never started can fail (its task died) or be called off.
        {TrialState.RUNNING, TrialState.FAILED, TrialState.PRUNED}
    ),
    TrialState.RUNNING: FINAL_STATES | {TrialState.PAUSED},
    TrialState.PAUSED: frozenset({TrialState.RUNNING, *FINAL_STATES}),
    # Only a new attempt leads out of a final state; its outcome supersedes.
    TrialState.COMPLETE: frozenset({TrialState.RUNNING}),
    TrialState.PRUNED: frozenset({TrialState.RUNNING}),
    TrialState.INFEASIBLE: frozenset({TrialState.RUNNING}),
    TrialState.FAILED: frozenset({TrialState.RUNNING}),
}


def check_move(number: int, old: TrialState, new: TrialState) -> None:
    """
    Refuse a move that the table does not hold.

    Raises:
        StudyError: If trial *number* cannot go from *old* to *new*.
    """
    if new not in TRANSITIONS[old]:
        legal = ", ".join(sorted(state.value for state in TRANSITIONS[old]))
        raise StudyError(
            f"trial {number} cannot go from {old.value} to {new.value}; legal moves: {legal}"
        )


@dataclass(frozen=True, slots=True)
class Measurement:
    """
    Metric values at one point of a trial.

    Args:
        metrics: Values by name, with the types they were printed in.

        time: Seconds since the epoch, UTC.

        resource: How much of the resource was spent; `None` if not said.
    """

    metrics: Mapping[str, Value]
    time: float
    resource: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    How one attempt at a trial ended.

    Args:
        state: A final state (or ``paused`` at a rung).

        values: One number per objective, as measured; for complete trials.

        metrics: The last value of every metric that was seen.

        reason: Why it ended so, in words a person understands.

        failure: The kind of failure, where *state* is ``failed``.

        exit_code: Of the user's code, where it ended by itself.

        time: When it ended, in seconds since the epoch; `None` means now.
    """

    state: TrialState
    values: tuple[float, ...] | None = None
    metrics: Mapping[str, Value] = field(default_factory=dict)
    reason: str | None = None
    failure: Failure | None = None
    exit_code: int | None = None
    time: float | None = None

    def __post_init__(self) -> None:
        """
        Refuse an outcome that contradicts itself.
        """
        if self.state is TrialState.COMPLETE and not self.values:
            raise ValueError("a complete trial must have its objective values")
        if self.state is TrialState.COMPLETE and any(map(math.isnan, self.values or ())):
            # It would be neither better nor worse than any other, for ever.
            raise ValueError(f"a complete trial's values must not be nan, got {self.values}")
        if self.state in {TrialState.WAITING, TrialState.RUNNING}:
            raise ValueError(f"an outcome must be final or paused, got {self.state.value}")


@dataclass(frozen=True, slots=True)
class Suggestion:
    """
    A configuration proposed but not yet a trial.

    Args:
        configuration: One value per active parameter, constants included.

        sampler: What proposed it: ``random``, ``tpe``, ``point`` ...

        resource: The resource to reach; `None` outside multi-fidelity.

        parent: Number of the trial that it resumes, if any.

        labels: The strategy's own notes, such as bracket and rung.
    """

    configuration: Configuration
    sampler: str
    resource: float | None = None
    parent: int | None = None
    labels: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trial:
    """
    One evaluation of one configuration, as the journal knows it now.

    Where it was run again, everything here is of the latest attempt.

    Args:
        number: 0, 1, 2 ... within the study.

        configuration: One value per active parameter, constants included.

        state: Where it is in its life.

        sampler: What proposed it.

        key: Which ask made it; the same key never makes new trials.

        values: One number per objective, once complete.

        measurements: First to last; empty unless they were asked for.

        attempt: Counts from 1; 0 before the first.

        created: When it was suggested, in seconds since the epoch.
    """

    number: int
    configuration: Configuration
    state: TrialState = TrialState.WAITING
    sampler: str = "unknown"
    key: str = ""
    resource: float | None = None
    parent: int | None = None
    labels: Mapping[str, Value] = field(default_factory=dict)
    values: tuple[float, ...] | None = None
    metrics: Mapping[str, Value] = field(default_factory=dict)
    measurements: tuple[Measurement, ...] = ()
    reason: str | None = None
    failure: Failure | None = None
    exit_code: int | None = None
    attempt: int = 0
    created: float | None = None
    started: float | None = None
    finished: float | None = None

    @property
    def is_final(self) -> bool:
        """
        Whether nothing more will happen unless somebody runs it again.
        """
        return self.state in FINAL_STATES

    @property
    def is_complete(self) -> bool:
        """
        Whether it ended well and has its objective values.
        """
        return self.state is TrialState.COMPLETE

    @property
    def is_counted(self) -> bool:
        """
        Whether it counts towards the budget.

        The machine's fault costs nothing, nor does a trial that was called
        off before it started.
        """
        if self.state is TrialState.FAILED:
            return self.failure is not Failure.INFRASTRUCTURE
        return self.state is not TrialState.PRUNED or self.attempt > 0

    @property
    def duration(self) -> float | None:
        """
        Seconds from start to end of the latest attempt, once both are known.
        """
        if self.started is None or self.finished is None:
            return None
        return self.finished - self.started
