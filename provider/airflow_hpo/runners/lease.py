"""
Leases of GPUs among all jobs of one host: locks on files, no daemon.

A device is a file in a common folder, and a lease a lock on a stretch of it:
all of it for a whole device, less for a share. The locks belong to the open
files, which the job's processes inherit: the kernel lets go of them when the
last of those processes is gone, however it ended, and never before.

The supervisor of a job loads this file by its path: it imports next to nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import time

TYPE_CHECKING = False  # importing typing would cost as much as all the rest
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any

__all__ = ["WHOLE", "Lease", "is_supported", "obtain"]

WHOLE = 1_000_000
"""The length of a device; a share of 0.25 is a quarter of it."""

# Seconds between two looks for free devices.
_TRY_S = 0.25

# What the system's locks are told: kind, whence, start, length, process.
_FLOCK = struct.Struct("hhqqi4x")


def is_supported() -> bool:
    """
    Return whether this system has locks that belong to open files.
    """
    return hasattr(fcntl, "F_OFD_SETLK")


def _say(text: str) -> None:
    os.write(2, f"GPU: {text}\n".encode())


def obtain(
    orders: Mapping[str, Any],
    *,
    sleep: Callable[[float], object],
    ends: Callable[[], bool],
    say: Callable[[str], object] = _say,
) -> list[str] | None:
    """
    Wait for devices, and return their names; what is going on is said in the job's output.

    Args:
        orders: The arguments of a `Lease`, among others.

        sleep: Sleeps for so many seconds, or less.

        ends: Whether to give up; then the answer is `None`.

        say: Is told what is going on; by default, it is written to standard error.
    """
    gpus, devices = orders["gpus"], orders["devices"]
    lease = Lease(orders["folder"], devices, gpus)
    began, waited = time.monotonic(), ""
    while (names := lease.take()) is None:
        if ends():
            return None
        if not waited:
            waited = "waiting"
            say(f"waiting for {gpus:g} of {', '.join(devices)}: too few are free")
        sleep(_TRY_S)
    share = f"{gpus:g} of " if gpus < 1 else ""
    say(f"{share}{', '.join(names)}{waited and f', after {time.monotonic() - began:.0f} s'}")
    return names


class Lease:
    """
    What one job wants of a host's devices, and holds once it has it.

    **How it works.** `take` looks at all devices while nobody else does. A share
    goes to the device that has the least left where it fits, so that whole
    devices stay free. Of those that wait for whole devices, one at a time keeps
    what it finds until it has enough: small jobs cannot starve it for ever.

    Args:
        folder: Of the files; common to all who share the devices.

        devices: Their names, the preferred first.

        gpus: How many whole ones, or the share of one.
    """

    def __init__(self, folder: str, devices: Sequence[str], gpus: float) -> None:
        self._devices = devices
        self._count = int(gpus) if gpus >= 1 else 0
        self._share = 0 if gpus >= 1 else -int(-gpus * WHOLE // 1)
        _make_folder(folder)
        self._turn = _open(folder, "turn")
        self._queue = _open(folder, "queue")
        self._files = [_open(folder, f"device-{name}") for name in devices]
        self._open = [self._turn, self._queue, *self._files]

    def take(self) -> list[str] | None:
        """
        Return the names of the devices that are ours from now on; `None` for too few free.
        """
        with _locked(self._turn):
            free = [_free(file, 0, WHOLE) for file in self._files]
            sizes = [sum(high - low for low, high in each) for each in free]
            chosen = self._shared(sizes) if self._share else self._whole(sizes)
            if chosen is None and not self._count:
                return None
            wanted = self._most(sizes) if chosen is None else chosen
            for index, file in enumerate(self._files):
                if index not in wanted:
                    _lock(file, fcntl.F_UNLCK, 0, WHOLE)
            for index in wanted:
                _hold(self._files[index], free[index], self._share or WHOLE)
        return None if chosen is None else self._keep(chosen)

    def _shared(self, sizes: Sequence[int]) -> list[int] | None:
        """
        Return the device that a share fits on best.
        """
        fitting = [index for index, size in enumerate(sizes) if size >= self._share]
        return [min(fitting, key=lambda index: sizes[index])] if fitting else None

    def _whole(self, sizes: Sequence[int]) -> list[int] | None:
        """
        Return devices that nobody else has any part of.
        """
        ready = [index for index, size in enumerate(sizes) if size == WHOLE]
        return ready[: self._count] if len(ready) >= self._count else None

    def _most(self, sizes: Sequence[int]) -> list[int]:
        """
        Return the devices to keep the free parts of while waiting: none unless it is our turn.
        """
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(self._queue, fcntl.LOCK_EX | fcntl.LOCK_NB)
            order = sorted(range(len(sizes)), key=lambda index: -sizes[index])
            return order[: self._count]
        return []

    def _keep(self, chosen: Sequence[int]) -> list[str]:
        """
        Let the job inherit what was chosen, and let go of all else.
        """
        kept = [self._files[index] for index in chosen]
        self._close({self._turn, self._queue, *self._files} - set(kept))
        for file in kept:
            os.set_inheritable(file, True)  # noqa: FBT003 - its only way
        self._open = kept
        return [self._devices[index] for index in chosen]

    def release(self) -> None:
        """
        Let go at once, as far as this process is concerned.
        """
        self._close(self._open)
        self._open = []

    def _close(self, files: Iterable[int]) -> None:
        for file in files:
            os.close(file)


def _make_folder(folder: str) -> None:
    # For all users of the host: whoever comes first makes it.
    before = os.umask(0)
    try:
        os.makedirs(folder, mode=0o1777, exist_ok=True)  # noqa: PTH103
    finally:
        os.umask(before)


def _open(folder: str, name: str) -> int:
    path = os.path.join(folder, name.replace("/", "_"))  # noqa: PTH118
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    before = os.umask(0)
    try:
        while True:
            # Apart: what exists and is somebody else's must not be opened to be made.
            with contextlib.suppress(FileNotFoundError):
                return os.open(path, flags)
            with contextlib.suppress(FileExistsError):
                return os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666)
    finally:
        os.umask(before)


@contextlib.contextmanager
def _locked(file: int) -> Iterator[None]:
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


def _free(file: int, low: int, high: int) -> list[tuple[int, int]]:
    """
    Return the stretches of a device that no other open file has a lock on.
    """
    if low >= high:
        return []
    asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, low, high - low, 0)
    kind, _, start, length, _ = _FLOCK.unpack(fcntl.fcntl(file, fcntl.F_OFD_GETLK, asked))
    if kind == fcntl.F_UNLCK:
        return [(low, high)]
    # It is any of those in the way, not the first.
    return [*_free(file, low, start), *_free(file, start + length, high)]


def _hold(file: int, free: Iterable[tuple[int, int]], size: int) -> None:
    """
    Lock as much as *size* of the *free* stretches.
    """
    for low, high in free:
        length = min(size, high - low)
        if length > 0:
            _lock(file, fcntl.F_WRLCK, low, length)
            size -= length


def _lock(file: int, kind: int, start: int, length: int) -> None:
    fcntl.fcntl(file, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, start, length, 0))
