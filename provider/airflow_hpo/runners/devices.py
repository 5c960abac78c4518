"""
Which GPUs this host has for its jobs, and under which names.

What ``HPO_GPUS`` says, such as ``0,1,2``; otherwise what NVML tells. Either way
no more than the ``CUDA_VISIBLE_DEVICES`` of this process allows. Where NVML can
be read, each device goes by its UUID: whoever writes numbers and whoever writes
UUIDs mean the same device, and nobody else gets it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_hpo.errors import TrialInvalidError
from airflow_hpo.runners.lease import is_supported

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["CONFIGURED", "LOCKS", "VISIBLE", "devices_for", "lock_folder"]

CONFIGURED = "HPO_GPUS"
"""Variable that lists this host's devices; ``none`` for none."""

LOCKS = "HPO_GPU_LOCKS"
"""Variable that names the folder of leases."""

VISIBLE = "CUDA_VISIBLE_DEVICES"
"""Variable that tells CUDA which devices there are."""

# In memory, and the same for services that have a /tmp of their own.
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - a folder is made in it, for everybody

_HOW = f"install airflow-provider-hpo[gpu], or set {CONFIGURED}=0,1 for the worker"


def lock_folder(environment: Mapping[str, str]) -> str:
    """
    Return the folder in which this host's devices are leased.
    """
    named = environment.get(LOCKS)
    if named:
        return named
    import tempfile

    usable = os.access(_SHARED_MEMORY, os.W_OK | os.X_OK)
    return os.path.join(_SHARED_MEMORY if usable else tempfile.gettempdir(), "airflow-hpo-gpus")  # noqa: PTH118


def devices_for(gpus: float, environment: Mapping[str, str]) -> tuple[str, ...]:
    """
    Return the devices that a job which needs *gpus* may be given.

    Args:
        gpus: How many, or the share of one.

        environment: What this process was told.

    Raises:
        TrialInvalidError: If this host can never give so many.
    """
    host = _Host.look(environment)
    if not is_supported():
        raise TrialInvalidError(f"GPUs can be shared out on Linux only, got {_asked(gpus)}")
    if len(host.devices) < gpus:
        raise TrialInvalidError(
            f"{os.uname().nodename} must have the GPUs that the trial asks for, "
            f"{_asked(gpus)}, got {host}"
        )
    return host.devices


def _asked(gpus: float) -> str:
    return f"{gpus:g} {'GPU' if gpus <= 1 else 'GPUs'}"


@dataclass(frozen=True, slots=True)
class _Host:
    """
    The devices of this host, and who says so.
    """

    devices: tuple[str, ...]
    told: str

    def __str__(self) -> str:
        """
        Return what there is, and where that can be changed.
        """
        found = ", ".join(self.devices) or "none"
        return f"{len(self.devices)} ({found}; {self.told})"

    @classmethod
    def look(cls, environment: Mapping[str, str]) -> _Host:
        """
        Return what configuration, NVML and CUDA's variable come to.
        """
        found, trouble = _read_nvml()
        configured = _words(environment.get(CONFIGURED) or None)
        visible = _words(environment.get(VISIBLE))
        if configured is not None:
            names, told = _named(configured, found, CONFIGURED), f"{CONFIGURED} says so"
        elif found is not None:
            names, told = [unit for device in found for unit in device], "NVML says so"
        elif visible is not None:
            names, told = _named(visible, None, VISIBLE), f"{VISIBLE} says so"
        else:
            return cls((), f"NVML cannot be read: {trouble}; {_HOW}")
        if visible is not None:
            allowed = _named(visible, found, VISIBLE)
            if len(allowed) < len(names):
                told = f"{VISIBLE} allows no more"
            names = [name for name in names if name in allowed]
        return cls(tuple(dict.fromkeys(names)), told)


def _words(text: str | None) -> list[str] | None:
    """
    Return what a list with commas holds, as CUDA reads it: up to what is no device.
    """
    if text is None:
        return None
    words = [word.strip() for word in text.split(",")]
    ends = [index for index, word in enumerate(words) if word.lower() in {"", "-1", "none"}]
    return words[: min(ends, default=len(words))]


def _named(words: Sequence[str], found: Sequence[Sequence[str]] | None, variable: str) -> list[str]:
    """
    Return the devices that *words* name, each by its UUID where that is known.

    Raises:
        TrialInvalidError: If one of them does not exist.
    """
    if found is None:
        return list(words)
    units = [unit for device in found for unit in device]
    names: list[str] = []
    for word in words:
        if word.isdigit():
            own = list(found[int(word)]) if int(word) < len(found) else []
        else:
            own = [unit for unit in units if unit.lower().startswith(word.lower())]
        if not own:
            known = ", ".join(f"{index} = {'/'.join(each)}" for index, each in enumerate(found))
            raise TrialInvalidError(
                f"{variable} must name GPUs of this host ({known or 'it has none'}), got {word!r}"
            )
        names += own
    return names


def _read_nvml() -> tuple[list[list[str]] | None, str]:
    """
    Return the units of each device (one, or its MIG instances); or `None`, and why.
    """
    try:
        import pynvml  # type: ignore[import-untyped]
    except ImportError:
        return None, "nvidia-ml-py is not installed"
    try:
        pynvml.nvmlInit()
        try:
            count = pynvml.nvmlDeviceGetCount()
            handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(count)]
            return [list(_units(pynvml, handle)) for handle in handles], ""
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError as error:
        return None, str(error)


def _units(nvml: Any, handle: Any) -> Iterator[str]:  # noqa: ANN401 - a module, a C pointer
    """
    Yield the UUID of a device, or those of the instances that it is split into.
    """
    try:
        split = nvml.nvmlDeviceGetMigMode(handle)[0] == nvml.NVML_DEVICE_MIG_ENABLE
    except nvml.NVMLError:  # it knows no such thing
        split = False
    if not split:
        yield nvml.nvmlDeviceGetUUID(handle)
        return
    for index in range(nvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
        with suppress(nvml.NVMLError):  # so many are possible, fewer were made
            yield nvml.nvmlDeviceGetUUID(nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index))
