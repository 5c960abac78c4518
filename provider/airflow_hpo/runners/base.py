"""
What a runner is: it takes a job somewhere, and tells how it goes.

* A runner is made from its options and holds nothing else: another process
  with the same options and the handle can take over at any moment.
* `submit` is idempotent per ``job.key``: while that job is alive or its result
  is known, submitting it again returns the same handle and starts nothing.
* `logs` may be called at any time, also after the end, and loses no line. One
  call returns a page of bounded size: call again until the cursor stays, as
  `pages` does.
* A runner whose jobs run on other machines than the one that submitted them has
  ``is_remote = True``: tasks may then leave their jobs to Airflow's triggerer.
* One whose jobs do not see this machine's folders has ``shares_folders = False``:
  what they write to ``HPO_OUTPUT_URI`` is then fetched. Where that depends on the
  folder, it has a method ``shares``, which is asked instead.
* `cancel` asks, waits ``grace_s``, then kills; what the job started goes with
  it. Cancelling what has ended is a no-op.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from airflow_hpo.model.base import Document
from airflow_hpo.model.job import JobState

if TYPE_CHECKING:
    from airflow_hpo.model.job import Job, JobResult

__all__ = [
    "ENDED",
    "FoundJob",
    "Runner",
    "RunnerOptions",
    "Searchable",
    "pages",
    "wait_by_polling",
]

ENDED = frozenset({JobState.DONE, JobState.UNKNOWN})
"""States after which nothing more comes."""

# Seconds between two looks at a job: short at first, so that a short job costs
# little, then longer, so that a long one does.
_FIRST_PAUSE_S = 0.002
_LONGEST_PAUSE_S = 1.0


class RunnerOptions(Document):
    """
    A runner's own options; each runner declares a subclass.
    """

    def problems(self, folder: Path | None) -> Iterable[tuple[str, str]]:  # noqa: ARG002
        """
        Yield what is wrong though each option is right by itself: an option, and the rule.

        Args:
            folder: Where paths are relative to; `None` where nobody knows yet.
        """
        return ()


@runtime_checkable
class Runner(Protocol):
    """
    Executes jobs somewhere. See the module's docstring for the contract.
    """

    options_class: ClassVar[type[RunnerOptions]]
    needs_command: ClassVar[bool]

    def __init__(self, options: Any) -> None:  # noqa: ANN401 - its own RunnerOptions
        """
        Keep *options*; connect to nothing yet.
        """

    def submit(self, job: Job) -> str:
        """
        Start *job* and return its handle: JSON text that any process can use.

        Raises:
            TrialInvalidError: If it can never start (no such image, no shell).
            TrialFailedError: If it could not start this time.
        """

    def state(self, handle: str) -> JobState:
        """
        Return where the job is.
        """

    def logs(self, handle: str, since: int) -> tuple[Sequence[str], int]:
        """
        Return the complete lines of output after cursor *since*, and a new cursor.

        Standard output and error are in the order the job wrote them. The
        last line counts as complete once the job has ended. 0 is the start.
        """

    def wait(self, handle: str, seconds: float, *, since: int | None = None) -> JobState:
        """
        Return the job's state after *seconds*, or earlier if there is news.

        It is news that the job has ended, or that there is a complete line of
        output after the cursor *since*; by default, after this moment.
        """

    def result(self, handle: str) -> JobResult:
        """
        Return how the job ended; only once its state is ``done``.

        Raises:
            TrialFailedError: If the runner lost the job.
        """

    def cancel(self, handle: str) -> None:
        """
        End the job and everything it started; returns when it is gone.
        """


@dataclass(frozen=True, slots=True)
class FoundJob:
    """
    A job of a trial that a runner found without having been told its handle.

    Args:
        handle: As `Runner.submit` returned it.

        attempt: The trial's attempt that it belongs to.

        step: The step that it is.
    """

    handle: str
    attempt: int
    step: str


@runtime_checkable
class Searchable(Protocol):
    """
    A runner that finds its jobs again by study and trial, so that no stray is lost.
    """

    def find(self, *, study: str, trial: int, workspace: str) -> Sequence[FoundJob]:
        """
        Return the jobs of a trial that are known here, running or ended.
        """


def pages(runner: Runner, handle: str, since: int) -> Iterator[tuple[Sequence[str], int]]:
    """
    Yield all the output there is after cursor *since*, page by page.

    Args:
        runner: The job's.

        handle: The job's.

        since: Where to go on; 0 is the start.

    Yields:
        Complete lines, and the cursor after them.
    """
    while True:
        lines, cursor = runner.logs(handle, since)
        if cursor == since and not lines:
            return
        yield lines, cursor
        since = cursor


def wait_by_polling(
    runner: Runner, handle: str, seconds: float, *, since: int | None = None
) -> JobState:
    """
    Do what `Runner.wait` promises by asking again and again.

    For runners that have nothing better. Pauses grow from two milliseconds to
    a second, so it asks about ten times in the first second.
    """
    deadline = time.monotonic() + seconds
    pause = _FIRST_PAUSE_S
    while True:
        state = runner.state(handle)
        if state in ENDED or time.monotonic() >= deadline:
            return state
        if since is not None and runner.logs(handle, since)[0]:
            return state
        time.sleep(max(0.0, min(pause, deadline - time.monotonic())))
        pause = min(pause * 2, _LONGEST_PAUSE_S)
