"""
JOB -> CONTAINER: its name, its labels, what it runs and what it sees.
"""

from __future__ import annotations

import getpass
import os
import re
from fnmatch import fnmatchcase
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_hpo.runners.docker_gpus import requests_of
from airflow_hpo.runners.docker_state import LATE
from airflow_hpo.runners.files import JobFiles
from airflow_hpo.runners.shell import MAKE_FOLDERS, inside, refuse_unfit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_hpo.model.job import Job
    from airflow_hpo.runners.docker_options import DockerMount, DockerOptions

__all__ = [
    "HANDLE",
    "LABEL",
    "LEASE",
    "container_name",
    "host_settings",
    "labels_of",
    "settings_of",
]

LABEL = "airflow_hpo"
"""Begins the names of labels that tell whose a container is."""

HANDLE = f"{LABEL}.handle"
"""Label that holds the job's handle."""

LEASE = f"{LABEL}.lease"
"""Label that holds which GPUs are leased for it, as JSON."""

# What the container's first process does: it joins errors and output, so that
# they keep their order, passes SIGTERM on to everybody, and ends a job past its
# limit even if nobody follows it. Whatever is left ends with the container. As
# the first process of a container it may signal all others at once; where it is
# not that (with an init of its own, or the host's processes), only the command.
_FIRST = """\
FOLDERS
/bin/sh -c -- "$1" 2>&1 </dev/null &
child=$!
exec 2>/dev/null
all=$child
[ $$ != 1 ] || all=-1
trap 'kill -TERM $all; kill -CONT $all' TERM
trap 'late=1' USR1
if [ -n "$2" ]; then
  (
    sleep "$2" || exit
    kill -USR1 $$
    kill -TERM $all
    kill -CONT $all
    sleep "$3"
    kill -KILL $all
  ) >/dev/null &
fi
while :; do
  wait "$child"
  code=$?
  [ "$code" -gt 128 ] && kill -0 "$child" || break
done
[ -z "$late" ] || exit LATE
exit "$code"
""".replace("LATE", str(LATE)).replace("FOLDERS\n", MAKE_FOLDERS)

# Folder of a container that does not see the workspace: its own, writable for everybody.
_ROOT = "/tmp/hpo"  # noqa: S108

# Bytes that Linux passes on to a new process as arguments and variables.
_MOST = 2_000_000


def container_name(job: Job) -> str:
    """
    Return the name of the one container that runs *job*, readable and unlike any other.
    """
    mark = sha256(f"{job.workspace}\n{job.key}".encode()).hexdigest()[:12]
    plain = re.sub(r"[^a-zA-Z0-9_.-]+", "-", f"{job.study[:40]}-{job.trial}-{job.attempt}")
    return f"hpo-{plain}-{re.sub(r'[^a-zA-Z0-9_.-]+', '-', job.step)[:20]}-{mark}"


def labels_of(job: Job) -> dict[str, str]:
    """
    Return the labels that tell whose the container is.
    """
    own = {
        "study": job.study,
        "trial": str(job.trial),
        "attempt": str(job.attempt),
        "step": job.step,
        "workspace": job.workspace,
    }
    return {f"{LABEL}.{name}": value for name, value in own.items()}


def sees(folder: str, options: DockerOptions) -> bool:
    """
    Return whether a job sees *folder* of this machine, by us or by one of its own mounts.
    """
    around = {Path(folder), *Path(folder).parents}
    own = (each for each in options.mounts if each.kind != "tmpfs")
    return options.mount_folders or any(Path(each.target) in around for each in own)


def settings_of(job: Job, options: DockerOptions, *, rootless: bool) -> dict[str, Any]:
    """
    Return what the container is made with, in the Docker SDK's words.

    Raises:
        TrialInvalidError: If no container can be started with that.
    """
    environment = _environment(job, options)
    refuse_unfit(job.command, environment, most=_MOST)
    limit = "" if job.timeout_s is None else _decimal(job.timeout_s)
    program, *arguments = [*options.entrypoint, "/bin/sh"]
    first = ["-c", _FIRST, "hpo", job.command, limit, _decimal(job.grace_s)]
    names = {"domainname", "hostname", "mac_address", "platform"}
    return {
        "entrypoint": [program],
        "command": [*arguments, *first],
        "environment": environment,
        "working_dir": options.workdir or _seen_workdir(job, options),
        "user": _user(options, rootless=rootless),
        **{name: value for name, value in options.extra.items() if name in names},
    }


def _seen_workdir(job: Job, options: DockerOptions) -> str | None:
    """
    Return the folder that the command starts in; `None` for the image's own.
    """
    folder = job.workdir or job.workspace
    return folder if sees(folder, options) else None


def _decimal(seconds: float) -> str:
    """
    Return *seconds* as every ``sleep`` reads them.
    """
    return f"{seconds:.3f}".rstrip("0").rstrip(".")


def _environment(job: Job, options: DockerOptions) -> dict[str, str]:
    passed = {
        name: value
        for name, value in os.environ.items()
        if any(fnmatchcase(name, pattern) for pattern in options.pass_environment)
    }
    own = {"PYTHONUNBUFFERED": "1"}
    if options.user is None:
        # The image knows no such user: what asks for a home or a name finds one.
        own |= {"HOME": "/tmp", "USER": _user_name()}  # noqa: S108 - the container's own
    given = job.environment if sees(job.workspace, options) else inside(job, _ROOT)
    return {**own, **passed, **given}


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "hpo"


def _user(options: DockerOptions, *, rootless: bool) -> str | None:
    if options.user is not None:
        return None if options.user == "image" else options.user
    # To an engine without root, the container's root is the engine's own user.
    return "0:0" if rootless else f"{os.getuid()}:{os.getgid()}"


def host_settings(job: Job, options: DockerOptions, *, sdk: Any) -> dict[str, Any]:  # noqa: ANN401
    """
    Return what of the host the container gets, in the words of the SDK's ``create_host_config``.

    Args:
        job: What is to run.

        options: The runner's own.

        sdk: The Docker SDK.

    Raises:
        TrialInvalidError: If devices can't be given like that.
    """
    found: dict[str, Any] = {
        "mounts": _mounts(job, options, sdk.types.Mount),
        # Engines cut logs that grow; what is not copied yet must not be lost.
        "log_config": {"Type": "json-file", "Config": {"max-size": "1000g"}},
    }
    if options.cpus is not None:
        found["nano_cpus"] = round(options.cpus * 1e9)
    if options.memory is not None:
        # With swap beyond it the limit would be none.
        found |= {"mem_limit": options.memory, "memswap_limit": options.memory}
    if options.shm_size is not None:
        found["shm_size"] = options.shm_size
    if options.network is not None:
        found["network_mode"] = options.network
    requests = requests_of(job, options, sdk.types.DeviceRequest)
    if requests:
        found["device_requests"] = requests
    names = {"domainname", "hostname", "mac_address", "platform"}
    return found | {name: value for name, value in options.extra.items() if name not in names}


def _mounts(job: Job, options: DockerOptions, make: Any) -> list[Any]:  # noqa: ANN401
    """
    Return the folders that the job sees; ours under the paths that its variables say.
    """
    mounts = [_mount(mount, make) for mount in options.mounts]
    if not options.mount_folders:
        return mounts
    folders = [*job.folders, job.workspace]
    if job.workdir is not None and options.workdir is None:
        folders.append(job.workdir)
    ours = _outermost(folders)
    mounts += [make(target=folder, source=folder, type="bind") for folder in ours]
    # What is on record about the job is not its own to change.
    records = str(JobFiles.of(job).handle.parent)
    mounts.append(make(target=records, source=records, type="bind", read_only=True))
    return mounts


def _outermost(folders: Sequence[str]) -> list[str]:
    """
    Return *folders* less those inside of others.
    """
    paths = {Path(folder) for folder in folders}
    return sorted(str(path) for path in paths if not paths & set(path.parents))


def _mount(mount: DockerMount, make: Any) -> Any:  # noqa: ANN401
    settings: dict[str, Any] = {}
    if mount.kind == "tmpfs":
        settings = {"tmpfs_size": mount.size, "tmpfs_mode": 0o1777}
    return make(
        target=mount.target,
        source=mount.source,
        type=mount.kind,
        read_only=mount.read_only,
        **settings,
    )
