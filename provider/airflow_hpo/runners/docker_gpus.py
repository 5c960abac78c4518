"""
Which GPUs a container gets: those of this host that were leased for it, or what its engine chooses.

A lease is held by a *keeper*, a process of its own (see `docker_keeper`), for as
long as the container runs: the container itself cannot hold locks of this host.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, cast

from airflow_hpo.errors import TrialFailedError, TrialInvalidError
from airflow_hpo.runners.devices import VISIBLE, devices_for, lock_folder
from airflow_hpo.runners.files import this_host
from airflow_hpo.runners.launch import adopt, inherited_environment, reap
from airflow_hpo.runners.lease import is_supported
from airflow_hpo.runners.supervisor import is_alive

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow_hpo.model.job import Job
    from airflow_hpo.runners.docker_options import DockerOptions
    from airflow_hpo.runners.files import JobFiles
    from airflow_hpo.runners.remote_handle import RemoteHandle

__all__ = ["is_kept", "keep", "lease_of", "leased", "request_for", "requests_of"]

# What a GPU is called by the Container Device Interface, in front of its number or UUID.
_CDI = "nvidia.com/gpu"

# Seconds after which a keeper of another machine is given up that says nothing;
# it does so every minute.
_STALE_S = 180.0


def leased(job: Job, options: DockerOptions, *, is_local: bool) -> float:
    """
    Return how many of this host's GPUs, or what share of one, *job* has to lease.

    Args:
        job: What is to run.

        options: The runner's own; devices that they name, or ``all``, are not shared out.

        is_local: Whether its engine runs on this host.
    """
    if not is_local or not is_supported() or "device_requests" in options.extra:
        return 0.0
    if options.gpus is None:
        return job.gpus
    return options.gpus if isinstance(options.gpus, int) else 0.0


def lease_of(job: Job, gpus: float) -> dict[str, Any]:
    """
    Return which devices there are to choose from, and how, as `lease.obtain` takes it.

    Raises:
        TrialInvalidError: If this host has too few.
    """
    # The container's own variable counts its own devices.
    own = {name: text for name, text in job.environment.items() if name != VISIBLE}
    environment = {**os.environ, **own}
    devices = devices_for(gpus, environment)
    return {"folder": lock_folder(environment), "devices": list(devices), "gpus": gpus}


def request_for(names: Sequence[str], *, is_podman: bool) -> dict[str, Any]:
    """
    Return how an engine is asked for just the devices of *names*: a ``DeviceRequest``'s arguments.

    Example:
        >>> request_for(["GPU-9c40"], is_podman=False)
        {'device_ids': ['GPU-9c40'], 'capabilities': [['gpu']]}
        >>> request_for(["GPU-9c40"], is_podman=True)
        {'driver': 'cdi', 'device_ids': ['nvidia.com/gpu=GPU-9c40']}
    """
    if is_podman or all("=" in name for name in names):
        known = [name if "=" in name else f"{_CDI}={name}" for name in names]
        return {"driver": "cdi", "device_ids": known}
    return {"device_ids": list(names), "capabilities": [["gpu"]]}


def requests_of(job: Job, options: DockerOptions, make: Any) -> list[Any]:  # noqa: ANN401
    """
    Return what an engine is asked for that is to choose the devices itself, or is told them.

    Raises:
        TrialInvalidError: If it is told fewer than the trial asks for.
    """
    wanted = math.ceil(job.gpus) if options.gpus is None else options.gpus
    if wanted == 0:
        return []
    if not isinstance(wanted, tuple):
        return [make(count=-1 if wanted == "all" else wanted, capabilities=[["gpu"]])]
    if job.gpus > 0 and len(wanted) < job.gpus:
        raise TrialInvalidError(
            f"gpus of the runner must be as many as the trial asks for, {job.gpus:g}, "
            f"got {', '.join(wanted)}"
        )
    return [make(**request_for(wanted, is_podman=False))]


def is_kept(files: JobFiles) -> bool:
    """
    Return whether the job's keeper lives: on another machine, whether it did lately.
    """
    try:
        known = json.loads(files.keeper.read_text("utf-8"))
        host, pid, started = known["host"], int(known["pid"]), int(known["started"])
        age_s = time.time() - files.keeper.stat().st_mtime
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return is_alive(pid, started) if host == this_host() else age_s < _STALE_S


def keep(
    job: RemoteHandle, base_url: str | None, container: Mapping[str, Any] | None = None
) -> None:
    """
    See to it that *job* has a keeper.

    Args:
        job: Whose GPUs it keeps.

        base_url: Where the engine is.

        container: What to make once there are devices; `None` where it is there.

    Raises:
        TrialFailedError: If none can be started.
    """
    reap()
    try:
        with _alone(job.files):
            if not is_kept(job.files):
                _start({"handle": job.text, "base_url": base_url, "container": container})
    except (OSError, UnicodeError) as error:
        raise TrialFailedError(f"the container's GPUs cannot be kept: {error}") from error


@contextmanager
def _alone(files: JobFiles) -> Iterator[None]:
    files.keeper.parent.mkdir(parents=True, exist_ok=True)
    with files.keeper.with_suffix(".keeping").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _start(orders: Mapping[str, Any]) -> None:
    """
    Start a keeper; returns when it is on record and has had its first look for devices.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "airflow_hpo.runners.docker_keeper"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env=inherited_environment(()),
        start_new_session=True,
    )
    adopt(process)
    with cast("IO[bytes]", process.stdin) as pipe:
        pipe.write(json.dumps(orders).encode())
    with cast("IO[bytes]", process.stdout) as answers:
        if not answers.readline():
            raise OSError("the process that does it ended at once")
