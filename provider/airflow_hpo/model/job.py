"""
Jobs: what a runner executes for a trial, and how that ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

from airflow_hpo.model.trial import Failure
from airflow_hpo.model.values import Value

__all__ = ["Job", "JobResult", "JobState"]


class JobState(str, Enum):
    """
    Where a job is, as its runner sees it.
    """

    PENDING = "pending"
    """Accepted, not started (a queued container, an unscheduled pod)."""

    RUNNING = "running"
    """Started."""

    DONE = "done"
    """Ended, whichever way; `JobResult` says how."""

    UNKNOWN = "unknown"
    """The runner does not know this handle (any more)."""


@dataclass(frozen=True, slots=True)
class Job:
    """
    One piece of work for a runner. Plain data: it survives JSON.

    Args:
        study: The study's name.

        trial: The trial's number.

        attempt: Counts from 1.

        step: Name of the step within the trial.

        command: One line for a POSIX shell, values already quoted.

        configuration: The trial's parameters, with their types.

        environment: Variables added to the runner's own surroundings.

        workspace: Folder of this trial's files (absolute; exists).

        folders:
            What else of this machine the job uses: the study's folder, with
            what its trials share and the checkpoints that they go on from.

        workdir: Folder the command starts in; `None` for the workspace.

        timeout_s: Seconds the job may take; `None` for no limit.

        grace_s: Seconds between asking it to end and killing it.

        options: The runner's own settings (image, namespace, callable ...).

        gpus: Devices it needs: a whole number, or a share of one (0.5).

        token:
            What else tells it apart, such as the moment its attempt began: a
            study that is deleted and made anew repeats names and numbers.
    """

    study: str
    trial: int
    attempt: int
    workspace: str
    command: str = ""
    step: str = "trial"
    configuration: Mapping[str, Value] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    folders: tuple[str, ...] = ()
    workdir: str | None = None
    timeout_s: float | None = None
    grace_s: float = 5.0
    options: Mapping[str, Any] = field(default_factory=dict)
    gpus: float = 0.0
    token: str = ""

    @property
    def key(self) -> str:
        """
        What makes this job different from every other: never run it twice.
        """
        mark = f"#{self.token}" if self.token else ""
        return f"{self.study}/{self.trial}/{self.attempt}/{self.step}{mark}"

    def to_dict(self) -> dict[str, Any]:
        """
        Return the job as JSON-compatible data.
        """
        return asdict(self)


@dataclass(frozen=True, slots=True)
class JobResult:
    """
    How a job ended.

    Args:
        exit_code: 0 for success; `None` where there is none (evicted, lost).

        failure: The kind of failure; `None` for success or a cancelled job.

        reason: Why, in words, for anything but success.

        cancelled: Whether it ended because somebody called `cancel`.

        out_of_memory: Whether it was killed for want of memory, where that is known.
    """

    exit_code: int | None = None
    failure: Failure | None = None
    reason: str | None = None
    cancelled: bool = False
    out_of_memory: bool = False

    @property
    def ok(self) -> bool:
        """
        Whether the job ended well.
        """
        return self.failure is None and not self.cancelled and self.exit_code in {0, None}
