"""
JOB -> SIGHT: what AWS Batch's description of a job says. Pure: nobody is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_hpo.model.job import JobState
from airflow_hpo.model.trial import Failure
from airflow_hpo.runners.files import Ending
from airflow_hpo.runners.remote import LEFT, Sight

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ENDED_STATUSES", "sight_of"]

ENDED_STATUSES = frozenset({"SUCCEEDED", "FAILED"})
"""States of Batch after which nothing more comes."""

# How reasons begin that are the infrastructure's fault, and what they mean.
_INFRASTRUCTURE = {
    "Host EC2": "its host was taken away, as spot instances are",
    "Task failed to start": "its container did not start",
    "ResourceInitializationError": "its container did not start",
    "DockerTimeoutError": "its host did not start the container in time",
    "CannotInspectContainerError": "its host lost the container",
    "Your Spot Task was interrupted": "its host was taken away, as spot instances are",
}

_CANNOT_PULL = "CannotPull"
_REFUSED = ("not found", "manifest unknown", "denied", "unauthorized", "does not exist", "invalid")
_CANNOT_START = ("CannotStartContainer", "CannotCreateContainer")
_STARVED = "OutOfMemory"
_TOO_LONG = ("Job attempt duration exceeded timeout", "exceeded the configured attemptDuration")

# The least exit code of a command that a signal ended.
_SIGKILLED = 137


def sight_of(
    job: Mapping[str, Any],
    *,
    now: float,
    delay_s: float,
    limit_s: float | None,
    cancelled: str,
) -> Sight:
    """
    Return what *job*, as Batch describes it, says.

    Args:
        job: The description.

        now: Seconds since the epoch.

        delay_s: Seconds after its end until its output is complete.

        limit_s: Seconds after which one that has not started is given up.

        cancelled: How reasons begin that we gave.
    """
    status = job["status"]
    if status in ENDED_STATUSES:
        if now < job.get("stoppedAt", 0) / 1000 + delay_s:
            return Sight(JobState.RUNNING)
        return Sight.ended(_ending(job, cancelled=cancelled))
    if status == "RUNNING":
        return Sight(JobState.RUNNING)
    if limit_s is not None and now - job.get("createdAt", now * 1000) / 1000 > limit_s:
        what = job.get("statusReason") or "the queue had no place for it"
        reason = f"the job did not start within {limit_s:g} s: {what}"
        return Sight.ended(Ending(cause=LEFT, reason=reason, failure=Failure.INFRASTRUCTURE))
    return Sight(JobState.PENDING)


def _ending(job: Mapping[str, Any], *, cancelled: str) -> Ending:
    container = job.get("container") or {}
    code = container.get("exitCode")
    if job["status"] == "SUCCEEDED":
        return Ending(exit_code=0 if code is None else code)
    why, what = str(job.get("statusReason") or ""), str(container.get("reason") or "")
    if why.startswith(cancelled):
        return Ending(exit_code=code, cause="cancel")
    if any(words in why for words in _TOO_LONG):
        return Ending(exit_code=code, cause="timeout")
    if what.startswith(_STARVED):
        return Ending(exit_code=code or _SIGKILLED, oom=True)
    return _blamed(why, what, code=code, terminated=bool(job.get("isTerminated")))


def _blamed(why: str, what: str, *, code: int | None, terminated: bool) -> Ending:
    """
    Return whose fault it was that a job failed.
    """
    for text in (why, what):
        for start, meaning in _INFRASTRUCTURE.items():
            if text.startswith(start):
                return _failed(meaning, text, Failure.INFRASTRUCTURE, code=code)
        if text.startswith(_CANNOT_PULL):
            refused = any(word in text.lower() for word in _REFUSED)
            failure = Failure.CODE if refused else Failure.INFRASTRUCTURE
            return _failed("the image cannot be pulled", text, failure, code=code)
        if text.startswith(_CANNOT_START):
            return _failed("the container cannot be started", text, Failure.CODE, code=code)
    if terminated:
        return _failed("somebody terminated it", why, Failure.INFRASTRUCTURE, code=code)
    if code is not None:
        return Ending(exit_code=code)
    return _failed("it failed without an exit code", why or what, Failure.INFRASTRUCTURE, code=None)


def _failed(meaning: str, text: str, failure: Failure, *, code: int | None) -> Ending:
    return Ending(exit_code=code, reason=f"{meaning}: {text}".rstrip(": "), failure=failure)
