"""
Starts the supervisor of a job: its environment, its orders, its answer.
"""

from __future__ import annotations

import errno
import json
import marshal
import os
import subprocess
import sys
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from airflow_hpo.errors import TrialError, TrialFailedError, TrialInvalidError
from airflow_hpo.runners import lease, supervisor
from airflow_hpo.runners.devices import VISIBLE, devices_for, lock_folder
from airflow_hpo.runners.files import Handle, JobFiles

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_hpo.model.job import Job

__all__ = ["TOKEN", "adopt", "inherited_environment", "job_environment", "launch", "reap"]

TOKEN = "HPO_JOB_TOKEN"  # noqa: S105 - the name of a variable
"""Variable that marks everything a job starts."""

# Variables that user code has no business with: they hold the passwords of
# Airflow's database, of its connections and of the study journal.
_SECRET = ("AIRFLOW__*", "AIRFLOW_CONN_*", "AIRFLOW_VAR_*", "_AIRFLOW_*", "HPO_STORAGE")

# What a machine short of something says; anything else will be said again.
_PASSING = frozenset(
    {errno.EAGAIN, errno.ENOMEM, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE}
)

# Supervisors that this process started and has not seen end: until they are
# asked about they stay behind as zombies.
_children: dict[int, subprocess.Popen[bytes]] = {}


def inherited_environment(shown: Sequence[str]) -> dict[str, str]:
    """
    Return the environment of this process, less what is secret.

    Args:
        shown: Patterns of names that are passed on all the same.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if not _matches(name, _SECRET) or _matches(name, shown)
    }


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def job_environment(job: Job, inherited: Mapping[str, str], *, token: str) -> dict[str, str]:
    """
    Return the variables that the job's command sees.
    """
    path = inherited.get("PATH", os.defpath)
    ours = str(Path(sys.executable).parent)
    if path.split(os.pathsep)[0] != ours:
        path = os.pathsep.join([ours, path])
    return {"PYTHONUNBUFFERED": "1", **inherited, "PATH": path, **job.environment, TOKEN: token}


def launch(
    job: Job, handle: Handle, *, environment: Mapping[str, str], inherited: Mapping[str, str]
) -> Handle:
    """
    Start *job* under a supervisor; returns the handle with what that adds.

    Args:
        job: What to run.

        handle: What is known of it beforehand.

        environment: The command's variables.

        inherited: The supervisor's own: the command's might upset it.

    Raises:
        TrialInvalidError: If it can never start.
        TrialFailedError: If it could not start this time.
    """
    reap()
    try:
        answer = _ask(_orders(job, handle, environment), job, handle, inherited)
    except (UnicodeEncodeError, OSError) as error:
        raise _refusal(getattr(error, "errno", None) or 0, str(error)) from error
    started = Handle.parse(answer)
    if started is not None:
        return started
    number, _, reason = answer.strip().partition(" ")
    if not number.isdigit():
        raise TrialFailedError("the job's supervisor ended before the command started")
    raise _refusal(int(number), reason)


def _orders(job: Job, handle: Handle, environment: Mapping[str, str]) -> dict[str, Any]:
    files = handle.files
    return {
        "command": _encode(job.command),
        "environment": {_encode(name): _encode(text) for name, text in environment.items()},
        "timeout_s": job.timeout_s,
        "grace_s": job.grace_s,
        "handle_file": os.fsencode(files.handle),
        "result_file": os.fsencode(files.result),
        "cancel_file": os.fsencode(files.cancel),
        "head": json.dumps(handle.head)[:-1],
        "lease": _lease(job, environment) if job.gpus else None,
    }


def _lease(job: Job, environment: Mapping[str, str]) -> dict[str, Any]:
    """
    Return which devices the supervisor has to choose from, and how.

    Raises:
        TrialInvalidError: If this host has too few for *job*.
    """
    if VISIBLE in job.environment:
        text = f"{VISIBLE} must not be set for a trial that asks for GPUs: it is given some"
        raise TrialInvalidError(f"{text}, got {job.environment[VISIBLE]!r}")
    return {
        "module": lease.__file__,
        "folder": lock_folder(environment),
        "devices": list(devices_for(job.gpus, environment)),
        "gpus": job.gpus,
        "waiting_file": os.fsencode(JobFiles.of(job).waiting),
    }


def _encode(text: str) -> bytes:
    # Always UTF-8, whatever the locale says; bytes that were none stay as they are.
    return text.encode("utf-8", "surrogateescape")


def _ask(orders: dict[str, Any], job: Job, handle: Handle, inherited: Mapping[str, str]) -> str:
    """
    Start a supervisor, hand it its orders, and return its first line.
    """
    with handle.files.log.open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - running a command is what it is for
            # Isolated: neither user code's PYTHON* variables nor its folder count.
            [sys.executable, "-I", "-S", supervisor.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=job.workdir or job.workspace,
            env=inherited,
            start_new_session=True,
        )
    adopt(process)
    try:
        with cast("IO[bytes]", process.stdout) as answers:
            with suppress(BrokenPipeError), cast("IO[bytes]", process.stdin) as pipe:
                pipe.write(marshal.dumps(orders))
            return answers.readline().decode("utf-8", "replace")
    except BaseException:
        process.terminate()  # it takes the command along
        raise


def _refusal(number: int, reason: str) -> TrialError:
    if number == errno.E2BIG:
        reason = "it is longer, or has a longer environment, than the system passes on"
    text = f"the command cannot be started: {reason}"
    return TrialFailedError(text) if number in _PASSING else TrialInvalidError(text)


def adopt(process: subprocess.Popen[bytes]) -> None:
    """
    Have `reap` look after *process*, which outlives its purpose here.
    """
    _children[process.pid] = process


def reap() -> None:
    """
    Let go of supervisors that have ended.
    """
    for pid, process in list(_children.items()):
        if process.poll() is not None:
            _children.pop(pid, None)
