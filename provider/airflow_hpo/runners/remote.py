"""
What runners have in common whose jobs run under another service's hands.

Such a runner says how a job is started there, seen, read and ended. The rest is
here: one job for one key, output and result kept in the workspace, patience with
a service that does not answer for a while, and not asking it more often than is
useful.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from airflow_hpo.errors import TrialFailedError
from airflow_hpo.model.job import JobState
from airflow_hpo.model.trial import Failure
from airflow_hpo.runners.base import ENDED, FoundJob, RunnerOptions
from airflow_hpo.runners.files import Ending, JobFiles
from airflow_hpo.runners.output import read_lines
from airflow_hpo.runners.remote_handle import RemoteHandle
from airflow_hpo.runners.transcript import position_file, writing
from airflow_hpo.runners.verdict import verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_hpo.model.job import Job, JobResult
    from airflow_hpo.runners.transcript import Pen

__all__ = ["LEFT", "AwayError", "RemoteHandle", "RemoteOptions", "RemoteRunner", "Sight"]

LEFT = "left"
"""Cause of an ending after which something of the job is still there: it waits to start, or others
of its containers run."""

# How long a service may be out of reach before its jobs count as lost, in seconds.
_PATIENCE_S = 300.0

_DELETED = Ending(
    reason="the job is gone: somebody deleted it before its end was seen",
    failure=Failure.INFRASTRUCTURE,
)


class AwayError(Exception):
    """
    The service does not answer just now, or not as it should.
    """


class RemoteOptions(RunnerOptions):
    """
    Options of every runner whose jobs run elsewhere.

    Args:
        poll_s: Seconds between two questions to the service about one job.
    """

    poll_s: float = Field(default=2.0, gt=0)


@dataclass(frozen=True, slots=True)
class Sight:
    """
    What the service shows of a job.

    Args:
        state: Where it is.

        ending: How it ended, if it did.
    """

    state: JobState
    ending: Ending | None = None

    @classmethod
    def ended(cls, ending: Ending) -> Sight:
        """
        Return what a job looks like that ended so.
        """
        return cls(JobState.DONE, ending)


class RemoteRunner:
    """
    Base of runners whose jobs run under another service's hands.

    A subclass gives `_start`, `_look`, `_read`, `_stop` and `_search`. They raise
    `AwayError` where the service does not answer. What they keep between calls
    only saves questions: another process can take over at any moment.
    """

    options_class: ClassVar[type[RemoteOptions]] = RemoteOptions
    needs_command: ClassVar[bool] = True

    def __init__(self, options: Any) -> None:  # noqa: ANN401 - the subclass's own
        self.options = options
        self._seen: dict[tuple[str, str], tuple[float, JobState]] = {}
        self._read_at: dict[tuple[str, str], float] = {}
        self._answered = time.monotonic()

    def _start(self, job: Job) -> RemoteHandle:
        """
        Start *job* unless it is there already; return its handle.
        """
        raise NotImplementedError

    def _see_to(self, handle: RemoteHandle, job: Job) -> None:
        """
        Do what is left to do for *job*, once its *handle* is on record; again whenever it is
        handed in.
        """

    def _look(self, job: RemoteHandle) -> Sight | None:
        """
        Return what there is to see of *job*; `None` if the service does not know it.
        """
        raise NotImplementedError

    def _read(self, job: RemoteHandle, pen: Pen, *, last: bool) -> None:
        """
        Copy output that is new; all of it if it is the *last* time.
        """
        raise NotImplementedError

    def _stop(self, job: RemoteHandle) -> None:
        """
        End *job*, copy its last words, and return when it is gone.
        """
        raise NotImplementedError

    def _search(self, study: str, trial: int, *, workspace: str) -> Iterable[RemoteHandle]:
        """
        Return the jobs of a trial that the service knows.
        """
        raise NotImplementedError

    def submit(self, job: Job) -> str:
        """
        Start *job* unless it was started before; returns its handle.

        Jobs of the trial's older attempts that still run are ended first.

        Raises:
            TrialInvalidError: If it can never start.
            TrialFailedError: If it could not start this time.
        """
        try:
            if job.attempt > 1:
                self._end_older(job)
            files = JobFiles.of(job)
            with files.lock():
                handle = RemoteHandle.read(files.handle)
                if handle is None or handle.key != job.key:
                    handle = self._start(job)
                    files.clear()
                    position_file(files).unlink(missing_ok=True)
                    files.handle.write_text(handle.text + "\n", "utf-8")
            self._see_to(handle, job)
        except AwayError as error:
            raise TrialFailedError(f"the job could not be started: {error}") from error
        return handle.text

    def _end_older(self, job: Job) -> None:
        for other in self._search(job.study, job.trial, workspace=job.workspace):
            if other.attempt < job.attempt:
                self.cancel(other.text)

    def state(self, handle: str) -> JobState:
        """
        Return where the job is.
        """
        job = RemoteHandle.parse(handle)
        return JobState.UNKNOWN if job is None else self._state(job)

    def _state(self, job: RemoteHandle) -> JobState:
        if job.is_superseded:
            return JobState.UNKNOWN
        if job.ending() is not None:
            return JobState.DONE
        try:
            state = self._settled(job, self._look(job))
        except AwayError as error:
            return self._remembered(job, error)
        self._answered = time.monotonic()
        self._seen[job.id] = (self._answered, state)
        return state

    def _settled(self, job: RemoteHandle, sight: Sight | None) -> JobState:
        """
        Return where the job is; of one that ended, keep all there is.
        """
        if sight is not None and sight.ending is None:
            return sight.state
        if sight is None and not job.files.handle.exists():
            return JobState.UNKNOWN
        _note(job)
        with writing(job.files) as pen:
            if sight is not None:
                self._read(job, pen, last=True)
            ending = (sight and sight.ending) or _DELETED
            if job.ending() is None:
                job.end(Ending(cause="cancel") if job.files.cancel.exists() else ending)
        return JobState.DONE

    def _remembered(self, job: RemoteHandle, error: AwayError) -> JobState:
        """
        Return where the job was last: a service that is away for a while ends no job.
        """
        if time.monotonic() - self._answered > _PATIENCE_S:
            raise TrialFailedError(f"for {_PATIENCE_S:g} s, {error}") from error
        return self._seen.get(job.id, (0.0, JobState.PENDING))[1]

    def logs(self, handle: str, since: int) -> tuple[Sequence[str], int]:
        """
        Return a page of complete lines after cursor *since*, and a new cursor.
        """
        job = RemoteHandle.parse(handle)
        if job is None or job.is_superseded:
            return [], since
        ended = job.ending() is not None
        if not ended and self._is_due(job):
            try:
                with writing(job.files) as pen:
                    self._read(job, pen, last=False)
            except AwayError:
                pass  # there will be another time
            self._read_at[job.id] = time.monotonic()
        return read_lines(job.files.log, since, ended=ended)

    def _is_due(self, job: RemoteHandle) -> bool:
        age = time.monotonic() - self._read_at.get(job.id, -1e9)
        return age >= float(self.options.poll_s)

    def wait(self, handle: str, seconds: float, *, since: int | None = None) -> JobState:
        """
        Return the job's state after *seconds*, or earlier if there is news.

        The service is asked every ``poll_s`` seconds, however often this is called.
        """
        job = RemoteHandle.parse(handle)
        if job is None:
            return JobState.UNKNOWN
        deadline = time.monotonic() + seconds
        while True:
            state = self._lately(job)
            left = deadline - time.monotonic()
            if state in ENDED or left <= 0:
                return state
            if since is not None and self.logs(handle, since)[0]:
                return state
            self._nap(job, min(self.options.poll_s, left))

    def _nap(self, job: RemoteHandle, seconds: float) -> None:
        """
        Sleep for *seconds*, or less where there may be news of *job* before.
        """
        del job
        time.sleep(seconds)

    def _lately(self, job: RemoteHandle) -> JobState:
        when, state = self._seen.get(job.id, (-1e9, JobState.PENDING))
        is_fresh = time.monotonic() - when < self.options.poll_s and job.ending() is None
        return state if is_fresh else self._state(job)

    def result(self, handle: str) -> JobResult:
        """
        Return how the job ended.

        Raises:
            TrialFailedError: If it is not known, or has not ended.
        """
        job = RemoteHandle.parse(handle)
        if job is None:
            raise TrialFailedError(f"a handle must be one that submit returned, got {handle!r}")
        state = self._state(job)
        if state is JobState.UNKNOWN:
            where = ", ".join(f"{name} {value}" for name, value in job.place.items())
            raise TrialFailedError(f"the job is not known any more: {job.key} ({where})")
        ending = job.ending()
        if ending is None:
            raise TrialFailedError(f"only a job that has ended has a result, got {job.key}")
        if ending.cause == LEFT:
            self._stop_patiently(job)
        return verdict(ending, timeout_s=job.timeout_s, log=job.files.log)

    def find(self, *, study: str, trial: int, workspace: str) -> Sequence[FoundJob]:
        """
        Return the jobs of a trial that the service knows, running or ended.

        Raises:
            TrialFailedError: If it does not answer.
        """
        try:
            found = list(self._search(study, trial, workspace=workspace))
        except AwayError as error:
            raise TrialFailedError(f"jobs cannot be looked for: {error}") from error
        return [FoundJob(each.text, each.attempt, each.step) for each in found]

    def cancel(self, handle: str) -> None:
        """
        End the job and everything it started; returns when it is gone.

        Raises:
            TrialFailedError: If the service does not answer.
        """
        job = RemoteHandle.parse(handle)
        if job is None or self._state(job) in ENDED:
            return
        _note(job)
        with writing(job.files):
            job.files.cancel.touch()
        self._stop_patiently(job)
        with writing(job.files):
            if job.ending() is None:
                job.end(Ending(cause="cancel"))

    def _stop_patiently(self, job: RemoteHandle) -> None:
        deadline = time.monotonic() + job.grace_s + 10 * self.options.poll_s
        while (error := self._failed_to_stop(job)) is not None:
            if time.monotonic() > deadline:
                raise TrialFailedError(f"the job could not be ended: {error}") from error
            time.sleep(self.options.poll_s)

    def _failed_to_stop(self, job: RemoteHandle) -> AwayError | None:
        try:
            self._stop(job)
        except AwayError as error:
            return error
        return None


def _note(job: RemoteHandle) -> None:
    """
    Write down that *job* exists, where who made it died before doing so.

    Otherwise whoever hands it in once more, after it has ended, would start it again.
    """
    with writing(job.files):
        if RemoteHandle.read(job.files.handle) is None:
            job.files.handle.write_text(job.text + "\n", "utf-8")
