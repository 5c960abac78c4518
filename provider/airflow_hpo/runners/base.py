"""
What a runner is: it takes a job somewhere, and tells how it goes.

* A runner is made from its options and holds nothing else: another process
  with the same options and the handle can take over at any moment.
* `submit` is idempotent per ``job.key``: while that job is alive or its result
  is known, submitting it again returns the same handle and starts nothing.
* `logs` may be called at any time, also after the end, and loses no line.
* `cancel` asks, waits ``grace_s``, then kills; what the job started goes with
  it. Cancelling what has ended is a no-op.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from airflow_hpo.model.base import Document

if TYPE_CHECKING:
    from airflow_hpo.model.job import Job, JobResult, JobState

__all__ = ["Runner", "RunnerOptions"]


class RunnerOptions(Document):
    """
    A runner's own options; each runner declares a subclass.
    """


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
