"""
The file of a SQLite database: made for its owner alone, and queued for.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["file_turn", "make_file"]


class _Held(threading.local):
    """
    The locks that this thread holds.
    """

    def __init__(self) -> None:
        self.paths: set[str] = set()


_HELD = _Held()


def make_file(file: Path) -> None:
    """
    Make *file* and the folders above it, unless they exist.

    Raises:
        OSError: If that cannot be done.
    """
    if file.exists():
        return
    for folder in reversed(file.parents):
        if not folder.is_dir():
            folder.mkdir(mode=0o700, exist_ok=True)
    os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


@contextmanager
def file_turn(path: str) -> Iterator[None]:
    """
    Wait until no other thread or process is in here with *path*; make it if need be.

    The kernel lets the next one in when this process ends, however it ends. A
    thread that is in here already need not wait for itself.

    Raises:
        OSError: If *path* cannot be made.
    """
    if path in _HELD.paths:
        yield
        return
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        _HELD.paths.add(path)
        yield
    finally:
        _HELD.paths.discard(path)
        # Closing alone would not do if a fork holds the file open as well.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)
