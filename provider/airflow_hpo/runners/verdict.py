"""
What the end of a process means for a trial, in words a person understands.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from airflow_hpo.errors import TrialFailedError
from airflow_hpo.model.job import JobResult, JobState
from airflow_hpo.model.trial import Failure
from airflow_hpo.runners.files import Ending, Handle, this_host
from airflow_hpo.runners.output import tail

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["LOST", "result_of", "unknown_job", "verdict"]

LOST = JobResult(
    failure=Failure.INFRASTRUCTURE,
    reason=(
        "ended without leaving an exit code: the machine was restarted, "
        "or the job was killed together with its supervisor"
    ),
)
"""The result of a job that nobody saw end."""

# So many last lines of output tell why a job failed.
_LINES = 20

# A shell reports the death of its child by a signal as 128 and its number.
_SIGNALLED = 128

_OUTSIDE: dict[int | None, str] = {
    signal.SIGKILL: "killed by SIGKILL from outside; most often that is the kernel short of memory",
    signal.SIGTERM: "ended by SIGTERM from outside, as when a machine shuts down",
}

_STARVED = "killed by the kernel, which was short of memory"

_SHELL = {
    126: "exit code 126: the command cannot be executed",
    127: "exit code 127: the command was not found",
}


def result_of(handle: str, state: JobState) -> JobResult:
    """
    Return how the job of *handle*, now in *state*, ended, as its files say.

    Raises:
        TrialFailedError: If it is not known here, or has not ended.
    """
    job = Handle.parse(handle)
    if job is None or state is JobState.UNKNOWN:
        raise unknown_job(handle)
    if state is not JobState.DONE:
        raise TrialFailedError(f"only a job that has ended has a result, got {job.key}")
    ending = job.ending()
    if ending is None:
        return LOST
    return verdict(ending, timeout_s=job.timeout_s, log=job.files.log)


def unknown_job(handle: str) -> TrialFailedError:
    """
    Return the error that says why nothing is known about *handle* here.
    """
    job = Handle.parse(handle)
    if job is None:
        return TrialFailedError(f"a handle must be one that submit returned, got {handle!r}")
    where = "" if job.is_here else f"; it was started on {job.host}"
    return TrialFailedError(f"the job is not known on {this_host()}: {job.key}{where}")


def verdict(ending: Ending, *, timeout_s: float | None, log: Path) -> JobResult:
    """
    Return what *ending* means.

    Args:
        ending: What is on record about the job's end.

        timeout_s: How long it might have taken.

        log: Its output; the last lines tell what the code did wrong.
    """
    if ending.cause == "cancel":
        return JobResult(exit_code=ending.exit_code, reason="cancelled", cancelled=True)
    if ending == Ending():
        return LOST
    failure, reason = _blame(ending, timeout_s=timeout_s, log=log)
    starved = ending.oom and _signal(ending) == signal.SIGKILL
    return JobResult(
        exit_code=ending.exit_code,
        failure=failure,
        reason=_STARVED if starved and failure is Failure.INFRASTRUCTURE else reason,
        out_of_memory=starved,
    )


def _blame(
    ending: Ending, *, timeout_s: float | None, log: Path
) -> tuple[Failure | None, str | None]:
    if ending.cause == "timeout":
        return Failure.TIMEOUT, f"took longer than {timeout_s:g} s"
    if ending.reason is not None:
        return ending.failure or Failure.CODE, ending.reason
    number = signal.SIGTERM if ending.cause == "signal" else _signal(ending)
    if number in _OUTSIDE:
        return Failure.INFRASTRUCTURE, _OUTSIDE[number]
    if ending.exit_code == 0:
        return None, None
    return Failure.CODE, f"{_what(ending, number)}{_last_lines(log)}"


def _signal(ending: Ending) -> int | None:
    """
    Return the signal that ended the command or, as its shell tells, a child.
    """
    if ending.signal is None and (ending.exit_code or 0) > _SIGNALLED:
        return (ending.exit_code or 0) - _SIGNALLED
    return ending.signal


def _what(ending: Ending, number: int | None) -> str:
    code = ending.exit_code or 0
    if number in set(signal.Signals):
        return f"exit code {code}: killed by {signal.Signals(number).name}"
    return _SHELL.get(code, f"exit code {code}")


def _last_lines(log: Path) -> str:
    lines = tail(log, _LINES)
    return "\n".join(["; last lines of output:", *lines]) if lines else "; there was no output"
