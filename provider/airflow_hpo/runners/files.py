"""
What a job leaves in its trial's workspace, and where.

::

    trial.1.log                 all output of step "trial", attempt 1
    .jobs/trial.1.json          the handle: who runs it, since when
    .jobs/trial.1.result.json   how it ended; not there before
    .jobs/trial.1.cancel        there if somebody asked to end it
    .jobs/trial.1.waiting       there while it waits for its GPUs
    .jobs/trial.1.keeper        which process holds a container's GPUs
    .jobs/lock                  held while a job is being started

Whoever has the handle can find out about the job; no runner keeps anything in
memory. A handle whose job was followed by another one in the same place (a
study that was made anew) is no longer known.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow_hpo.errors import TrialFailedError
from airflow_hpo.model.job import JobState
from airflow_hpo.model.trial import Failure
from airflow_hpo.runners.base import ENDED
from airflow_hpo.runners.output import read_lines
from airflow_hpo.runners.supervisor import is_alive

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_hpo.model.job import Job

__all__ = ["Ending", "Handle", "JobFiles", "jobs_in", "this_host"]

# What a file system without locks says; one machine alone rarely needs them.
_NO_LOCKS = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS})


def this_host() -> str:
    """
    Return the name that tells this machine from those it shares folders with.
    """
    return os.uname().nodename


@dataclass(frozen=True, slots=True)
class JobFiles:
    """
    The files of one job.

    Args:
        folder: The trial's workspace.

        name: Step and attempt, fit for a file's name.
    """

    folder: Path
    name: str

    @classmethod
    def of(cls, job: Job) -> JobFiles:
        """
        Return the files of *job*; nothing is made.
        """
        return cls(Path(job.workspace), f"{quote(job.step, safe='')}.{job.attempt}")

    @property
    def log(self) -> Path:
        """
        All output, in the order in which it was written.
        """
        return self.folder / f"{self.name}.log"

    @property
    def handle(self) -> Path:
        """
        The handle's text; there once the job has started.
        """
        return self.folder / ".jobs" / f"{self.name}.json"

    @property
    def result(self) -> Path:
        """
        How the job ended, as JSON.
        """
        return self.folder / ".jobs" / f"{self.name}.result.json"

    @property
    def cancel(self) -> Path:
        """
        A mark that somebody asked to end the job.
        """
        return self.folder / ".jobs" / f"{self.name}.cancel"

    @property
    def waiting(self) -> Path:
        """
        A mark that the command has not started: there are too few GPUs free.
        """
        return self.folder / ".jobs" / f"{self.name}.waiting"

    @property
    def keeper(self) -> Path:
        """
        Which process holds the GPUs of the job's container, as JSON.
        """
        return self.folder / ".jobs" / f"{self.name}.keeper"

    def clear(self) -> None:
        """
        Make room for a new job of this name.
        """
        for path in (self.handle, self.result, self.cancel, self.waiting, self.keeper):
            path.unlink(missing_ok=True)
        self.log.write_bytes(b"")

    @contextmanager
    def lock(self) -> Iterator[None]:
        """
        Keep other processes from starting a job in this workspace.

        Raises:
            TrialFailedError: If nothing can be written there.
        """
        try:
            self.handle.parent.mkdir(exist_ok=True)
            file = (self.handle.parent / "lock").open("a")
        except OSError as error:
            raise TrialFailedError(f"the workspace cannot be written to: {error}") from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise
            yield


@dataclass(frozen=True, slots=True)
class Ending:
    """
    How a job's process ended.

    Args:
        exit_code: As a shell reports it; `None` if nobody knows.

        signal: The signal that ended it, if one did.

        cause:
            What ended it before its time: ``cancel``, ``timeout``, or
            ``signal`` where its supervisor was told to.

        reason: Why it failed, in words, where that is known better.

        failure: The kind of failure, where *reason* is given.

        oom: Whether the kernel killed processes for want of memory meanwhile.
    """

    exit_code: int | None = None
    signal: int | None = None
    cause: str | None = None
    reason: str | None = None
    failure: Failure | None = None
    oom: bool = False


@dataclass(frozen=True, slots=True)
class Handle:
    """
    One job that was started, as any process can look at it.

    Args:
        key: The job's key.

        owner: Study and trial.

        attempt: The trial's attempt.

        folder: The workspace.

        name: Of the job's files.

        host: The machine it was started on.

        grace_s: Seconds between asking it to end and killing it.

        timeout_s: Seconds it may take; `None` for no limit.

        token: Marks the environment of everything the job started.

        pid: The process that knows how the job ends.

        started: When that process started, in the system's unit.

        began: The same in seconds since the epoch.
    """

    key: str
    owner: str
    attempt: int
    folder: str
    name: str
    host: str
    grace_s: float
    timeout_s: float | None
    token: str
    pid: int = 0
    started: int = 0
    began: float = 0.0

    @classmethod
    def of(cls, job: Job, *, token: str = "") -> Handle:
        """
        Return what is known of *job* before it starts.
        """
        files = JobFiles.of(job)
        return cls(
            key=job.key,
            owner=f"{job.study}/{job.trial}",
            attempt=job.attempt,
            folder=str(files.folder),
            name=files.name,
            host=this_host(),
            grace_s=job.grace_s,
            timeout_s=job.timeout_s,
            token=token,
        )

    @classmethod
    def parse(cls, text: str) -> Handle | None:
        """
        Return the handle that *text* is; `None` if it is none.
        """
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError, RecursionError):
            return None

    @classmethod
    def read(cls, path: Path) -> Handle | None:
        """
        Return the handle in the file at *path*; `None` if there is none.
        """
        try:
            return cls.parse(path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError):
            return None

    @property
    def head(self) -> dict[str, Any]:
        """
        What is known before the job starts.
        """
        known = asdict(self)
        return {name: known[name] for name in known if name not in {"pid", "started", "began"}}

    @property
    def text(self) -> str:
        """
        The handle as it is handed out.
        """
        return json.dumps(asdict(self))

    @property
    def files(self) -> JobFiles:
        """
        The job's files.
        """
        return JobFiles(Path(self.folder), self.name)

    @property
    def is_here(self) -> bool:
        """
        Whether the job was started on this machine.
        """
        return self.host == this_host()

    def ending(self) -> Ending | None:
        """
        Return how the job ended; `None` as long as that is not on record.
        """
        try:
            fields = json.loads(self.files.result.read_text("utf-8"))
        except (OSError, ValueError):
            return None
        if fields.get("key") != self.key:
            return None
        failure = fields.get("failure")
        return Ending(
            exit_code=fields.get("exit_code"),
            signal=fields.get("signal"),
            cause=fields.get("cause"),
            reason=fields.get("reason"),
            failure=None if failure is None else Failure(failure),
            oom=bool(fields.get("oom")),
        )

    def end(self, ending: Ending) -> None:
        """
        Put on record how the job ended.
        """
        path = self.files.result
        new = path.with_suffix(".new")
        new.write_text(json.dumps(self.head | asdict(ending)) + "\n", "utf-8")
        new.replace(path)

    def state(self) -> JobState:
        """
        Return where the job is.
        """
        known = Handle.read(self.files.handle)
        if known is not None and known.key != self.key:
            return JobState.UNKNOWN
        if self.ending() is not None:
            return JobState.DONE
        if self.is_here and is_alive(self.pid, self.started):
            return JobState.PENDING if self.files.waiting.exists() else JobState.RUNNING
        # It may have ended between the two looks. Where it did not, nobody saw
        # its end; on another machine, or without its files, nobody can tell.
        if self.ending() is not None or (self.is_here and known is not None):
            return JobState.DONE
        return JobState.UNKNOWN

    def lines(self, since: int) -> tuple[Sequence[str], int]:
        """
        Return a page of output after cursor *since*, and the new cursor.
        """
        ended = self.state() in ENDED  # asked before the file is read
        known = Handle.read(self.files.handle)
        if known is None or known.key != self.key:
            return [], since
        return read_lines(self.files.log, since, ended=ended)


def jobs_in(workspace: Path, owner: str) -> list[Handle]:
    """
    Return the jobs of *owner* (study and trial) that were started in *workspace*.
    """
    found = (Handle.read(path) for path in sorted((workspace / ".jobs").glob("*.json")))
    return [handle for handle in found if handle is not None and handle.owner == owner]
