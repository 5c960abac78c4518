"""
Runs a job as a process of this machine, under a supervisor that outlives us.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar
from uuid import uuid4

from airflow_hpo.errors import TrialInvalidError
from airflow_hpo.model.job import JobState
from airflow_hpo.runners.base import ENDED, FoundJob, RunnerOptions
from airflow_hpo.runners.files import Ending, Handle, JobFiles, jobs_in
from airflow_hpo.runners.launch import (
    TOKEN,
    inherited_environment,
    job_environment,
    launch,
    reap,
)
from airflow_hpo.runners.output import read_lines
from airflow_hpo.runners.supervisor import is_alive
from airflow_hpo.runners.verdict import LOST, result_of, unknown_job

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from airflow_hpo.model.job import Job, JobResult

__all__ = ["SubprocessOptions", "SubprocessRunner"]

# Seconds that a supervisor gets beyond the job's own grace to clear up.
_PATIENCE_S = 15.0

# Bounds of the seconds between two looks at a job that may have printed
# something; in between, a fiftieth of its age.
_SHORTEST_LOOK_S = 0.002
_LONGEST_LOOK_S = 0.05


class SubprocessOptions(RunnerOptions):
    """
    Options of the subprocess runner.

    Args:
        pass_environment:
            Names, or patterns such as ``AIRFLOW_CONN_AWS_*``, of variables
            that are otherwise kept from the job.
    """

    pass_environment: tuple[str, ...] = ()


class SubprocessRunner:
    """
    Runs each job with ``/bin/sh -c`` on this machine.

    **How it works.** A small supervisor process starts the command in a
    process group of its own, in the job's *workdir*, with standard output and
    error going to one file. It notes the exit code, enforces the time limit,
    and ends what the command left behind: when a job is over, nothing of it
    runs any more. It goes on when this process is killed; any process with
    the handle can follow, cancel, and read the result.

    **Environment.** What this process has, less Airflow's secrets
    (``AIRFLOW__*``, ``AIRFLOW_CONN_*``, ``AIRFLOW_VAR_*``, ``_AIRFLOW_*`` and
    ``HPO_STORAGE``; see *pass_environment*), plus the job's own. Unless the
    job sets ``PATH``, the folder of the running Python comes first in it, so
    that ``python`` is this Python, virtual environment or not.
    ``PYTHONUNBUFFERED`` is 1 unless somebody says otherwise.

    **What it does not do.** It limits neither memory nor disk, and it keeps no
    secret from code that looks for it: that runs as the same user.

    **Known limitation.** Processes that leave the command's process group are
    ended too on Linux only, and so are those of a job whose supervisor was
    killed.
    """

    options_class: ClassVar[type[RunnerOptions]] = SubprocessOptions
    needs_command: ClassVar[bool] = True

    def __init__(self, options: SubprocessOptions) -> None:
        self.options = options

    def submit(self, job: Job) -> str:
        """
        Start *job* unless it was started before; returns its handle.

        Jobs of the trial's older attempts that still run are ended first.

        Raises:
            TrialInvalidError: If it can never start: its folder is missing, or
                the system refuses such a command.
            TrialFailedError: If it could not start this time.
        """
        workdir = job.workdir or job.workspace
        if not Path(workdir).is_dir():
            raise TrialInvalidError(f"the folder that the command starts in is missing: {workdir}")
        files = JobFiles.of(job)
        with files.lock():
            known = Handle.read(files.handle)
            if known is not None and known.key == job.key:
                return known.text
            for older in _unfinished(job, files):
                self.cancel(older.text)
            files.clear()
            return self._start(job).text

    def _start(self, job: Job) -> Handle:
        handle = Handle.of(job, token=uuid4().hex)
        inherited = inherited_environment(self.options.pass_environment)
        environment = job_environment(job, inherited, token=handle.token)
        return launch(job, handle, environment=environment, inherited=inherited)

    def state(self, handle: str) -> JobState:
        """
        Return where the job is.
        """
        job = Handle.parse(handle)
        reap()
        return JobState.UNKNOWN if job is None else job.state()

    def logs(self, handle: str, since: int) -> tuple[Sequence[str], int]:
        """
        Return a page of complete lines after cursor *since*, and a new cursor.
        """
        job = Handle.parse(handle)
        return ([], since) if job is None else job.lines(since)

    def wait(self, handle: str, seconds: float, *, since: int | None = None) -> JobState:
        """
        Return the job's state after *seconds*, or earlier if there is news.
        """
        job = Handle.parse(handle)
        if job is None:
            return JobState.UNKNOWN
        deadline = time.monotonic() + seconds
        has_news = _news(job.files.log, since)
        with _bell(job.pid) as sleep:
            while True:
                state = self.state(handle)
                left = deadline - time.monotonic()
                if state in ENDED or left <= 0 or has_news():
                    return state
                look = (time.time() - job.began) / 50
                sleep(min(left, max(_SHORTEST_LOOK_S, min(look, _LONGEST_LOOK_S))))

    def result(self, handle: str) -> JobResult:
        """
        Return how the job ended.

        Raises:
            TrialFailedError: If it is not known here, or has not ended.
        """
        result = result_of(handle, self.state(handle))
        job = Handle.parse(handle)
        if result is LOST and job is not None:
            _sweep(job)  # its supervisor was killed; the rest perhaps was not
        return result

    def find(self, *, study: str, trial: int, workspace: str) -> Sequence[FoundJob]:
        """
        Return the jobs of a trial that were started on this machine.
        """
        own = [each for each in jobs_in(Path(workspace), f"{study}/{trial}") if each.is_here]
        return [FoundJob(each.text, each.attempt, each.name.rpartition(".")[0]) for each in own]

    def cancel(self, handle: str) -> None:
        """
        End the job and everything it started; returns when it is gone.

        Raises:
            TrialFailedError: If it runs on another machine.
        """
        job = Handle.parse(handle)
        if job is None or job.ending() is not None:
            return
        if not job.is_here:
            raise unknown_job(handle)
        if is_alive(job.pid, job.started):
            job.files.cancel.touch()
            _end_supervisor(job)
        _sweep(job)


def _unfinished(job: Job, files: JobFiles) -> Iterator[Handle]:
    """
    Yield the jobs that have to end before *job* starts.

    Raises:
        TrialInvalidError: If another trial uses the workspace.
    """
    for path in files.handle.parent.glob("*.json"):
        other = Handle.read(path)
        if other is None or not other.is_here or other.ending() is not None:
            continue
        if other.owner != Handle.of(job).owner:
            if other.state() not in ENDED:
                raise TrialInvalidError(
                    f"a workspace belongs to one trial, got {job.workspace}, where {other.key} runs"
                )
        elif other.attempt < job.attempt or other.name == files.name:
            yield other


def _end_supervisor(job: Handle) -> None:
    """
    Let the supervisor end the job; if it does not, end the supervisor.
    """
    for number, seconds in (
        (signal.SIGTERM, job.grace_s + _PATIENCE_S),
        (signal.SIGKILL, _PATIENCE_S),
    ):
        with contextlib.suppress(ProcessLookupError):
            os.kill(job.pid, number)
            os.kill(job.pid, signal.SIGCONT)  # who is stopped cannot hear
        deadline = time.monotonic() + seconds
        with _bell(job.pid) as sleep:
            while is_alive(job.pid, job.started) and time.monotonic() < deadline:
                sleep(_LONGEST_LOOK_S)
    reap()
    if job.ending() is None:
        job.end(Ending(cause="cancel"))


def _sweep(job: Handle) -> None:
    """
    Kill what is left of a job whose supervisor is gone (Linux only).
    """
    mark = f"{TOKEN}={job.token}".encode()
    deadline = time.monotonic() + _PATIENCE_S
    while (left := _marked(mark)) and time.monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_SHORTEST_LOOK_S)


def _marked(mark: bytes) -> list[int]:
    """
    Return the processes that have *mark* in their environment.
    """
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        # Of other users' processes nobody may read it, of zombies it is empty.
        with contextlib.suppress(OSError):
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


def _news(log: Path, since: int | None) -> Callable[[], bool]:
    """
    Return a function that tells whether there is output after *since*.
    """
    seen = _size(log) if since is None else -1

    def look() -> bool:
        nonlocal seen
        size = _size(log)
        if size == seen:
            return False
        seen = size
        # Half a line is no news: whoever came back for it would come in vain.
        return since is None or bool(read_lines(log, since, ended=False)[0])

    return look


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


@contextlib.contextmanager
def _bell(pid: int) -> Iterator[Callable[[float], object]]:
    """
    Yield a sleep that ends at once when process *pid* does, where that exists.
    """
    try:
        process = os.pidfd_open(pid)
    except (AttributeError, OSError):
        yield time.sleep
        return
    try:
        poll = select.poll()
        poll.register(process, select.POLLIN)
        yield lambda seconds: poll.poll(seconds * 1000)
    finally:
        os.close(process)
