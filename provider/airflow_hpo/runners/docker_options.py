"""
Options of the Docker runner, checked before anything runs and without an engine.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, field_validator

from airflow_hpo.model.base import Document
from airflow_hpo.model.registry import did_you_mean
from airflow_hpo.runners.remote import RemoteOptions

__all__ = ["EXTRA", "DockerMount", "DockerOptions"]

EXTRA = (
    "blkio_weight", "cap_add", "cap_drop", "cgroup_parent", "cgroupns", "cpu_period",
    "cpu_quota", "cpu_shares", "cpuset_cpus", "cpuset_mems", "device_cgroup_rules",
    "device_requests", "devices", "dns", "dns_opt", "dns_search", "extra_hosts", "group_add",
    "init", "ipc_mode", "isolation", "links", "log_config", "mem_reservation",
    "mem_swappiness", "memswap_limit", "oom_kill_disable", "oom_score_adj", "pid_mode",
    "pids_limit", "privileged", "read_only", "runtime", "security_opt", "storage_opt",
    "sysctls", "tmpfs", "ulimits", "userns_mode", "uts_mode", "volume_driver", "volumes_from",
    "domainname", "hostname", "mac_address", "platform",
)  # fmt: skip
"""What `DockerOptions.extra` may hold: the Docker SDK's own names."""

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([bkmgt]?)(?:i?b)?", re.IGNORECASE)
_UNITS = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}

# What Docker itself refuses to run with less of, in bytes.
_LEAST_MEMORY = 6 * 2**20


def _bytes(value: object) -> object:
    """
    Return a size such as ``4g`` in bytes; anything else as it is.
    """
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value)
    if match is None:
        raise ValueError(f"must be bytes or a size such as 512m or 4g, got {value!r}")
    return int(float(match[1]) * _UNITS[match[2].lower()])


Size: TypeAlias = Annotated[int, BeforeValidator(_bytes), Field(ge=0)]
"""Bytes; as text with a unit, powers of 1024 each."""


def _absolute(path: str) -> str:
    if not path.startswith("/"):
        raise ValueError(f"must be an absolute path, got {path!r}")
    return path


Absolute: TypeAlias = Annotated[str, AfterValidator(_absolute)]


def _gpus(value: object) -> str | int | tuple[str, ...] | None:
    """
    Return which devices *value* asks for.
    """
    if value is None or value == "all":
        return value
    if isinstance(value, (list, tuple)) and value:
        return tuple(map(str, value))
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"must be all, a count, or a list of devices, got {value!r}")
    return value


class DockerMount(Document):
    """
    A folder, volume or memory file system that the job sees.

    Args:
        target: Where the job sees it.

        source: A folder of the engine's machine, or a volume's name.

        type: What it is; by default what *source* looks like.

        read_only: Whether the job may only read it.

        size: Bytes that a ``tmpfs`` may hold.
    """

    target: Absolute
    source: str | None = None
    type: Literal["bind", "volume", "tmpfs"] | None = None
    read_only: bool = False
    size: Size | None = None

    @field_validator("source")
    @classmethod
    def _place(cls, value: str | None) -> str | None:
        if value is not None and value.startswith((".", "~")):
            raise ValueError(f"must be an absolute path, or a volume's name, got {value!r}")
        return value

    @property
    def kind(self) -> str:
        """
        What it is, said or not.
        """
        if self.type is not None:
            return self.type
        if self.source is None:
            return "tmpfs"
        return "bind" if self.source.startswith("/") else "volume"


def _mount(value: object) -> object:
    """
    Return ``source:target[:ro]`` as the mapping that it stands for.
    """
    if not isinstance(value, str):
        return value
    source, _, rest = value.partition(":")
    target, _, mode = rest.partition(":")
    if not source or not target.startswith("/") or mode not in {"", "ro", "rw"}:
        raise ValueError(f"must be source:/target, with :ro to read only, got {value!r}")
    return {"source": source, "target": target, "read_only": mode == "ro"}


class DockerOptions(RemoteOptions):
    """
    Options of the Docker runner.

    Args:
        image: What the job runs in, such as ``python:3.12-slim``.

        entrypoint:
            A program, with arguments, in front of the shell that runs the
            command. The image's own is not used.

        workdir:
            Folder of the image that the command starts in. By default it is the
            blueprint's folder, which the job then sees.

        user:
            Whom it runs as: a name, or ``uid:gid``; ``image`` for the image's
            own. By default the user of this process, so that its files are ours.

        pass_environment:
            Names, or patterns such as ``WANDB_*``, of variables of this process
            that the job sees.

        mounts: What else it sees, each ``source:/target[:ro]`` or a mapping.

        mount_folders:
            Whether it sees the study's folder under the same path. Not needed
            where a volume among *mounts* holds it.

        gpus:
            ``all``, a count, or names of devices; by default as many as the
            trial's own ``gpus``.

        cpus: How many it may use; fractions too.

        memory: Bytes it may use, such as ``4g``; beyond, it is killed.

        shm_size: Bytes of ``/dev/shm``, which data loaders share.

        network: ``bridge``, ``host``, ``none``, or a network's name.

        pull: When the image is fetched.

        connection: Airflow connection (type ``docker``) of the image's registry.

        base_url: Where the engine is; by default what ``DOCKER_HOST`` says.

        extra: More of the Docker SDK's arguments, by its names.

        poll_s: Seconds between two looks at a job that says nothing.
    """

    image: str = Field(pattern=r"^[^\s]+$")
    entrypoint: tuple[str, ...] = ()
    workdir: Absolute | None = None
    user: str | None = None
    pass_environment: tuple[str, ...] = ()
    mounts: tuple[Annotated[DockerMount, BeforeValidator(_mount)], ...] = ()
    mount_folders: bool = True
    gpus: Annotated[str | int | tuple[str, ...] | None, PlainValidator(_gpus)] = None
    cpus: float | None = Field(default=None, gt=0)
    memory: Annotated[Size, Field(ge=_LEAST_MEMORY)] | None = None
    shm_size: Size | None = None
    network: str | None = None
    pull: Literal["missing", "always", "never"] = "missing"
    connection: str | None = None
    base_url: str | None = None
    extra: dict[str, Any] = Field(default_factory=dict)
    poll_s: float = Field(default=0.5, gt=0)

    @field_validator("entrypoint", mode="before")
    @classmethod
    def _words(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("extra")
    @classmethod
    def _known(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in value:
            if name not in EXTRA:
                hint = did_you_mean(name, EXTRA)
                meant = f"; {hint}" if hint else ""
                raise ValueError(f"must hold arguments of the Docker SDK, got {name!r}{meant}")
        return value
