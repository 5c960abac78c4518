"""
A container's output, read as it comes.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_hpo.runners.docker_engine import Engine

__all__ = ["PAGE", "Follower"]

PAGE = 2**20
"""Bytes of output that are handled at once."""


class Follower(threading.Thread):
    """
    Reads a container's output as it comes, for somebody to take.

    It is a convenience: what it misses is read when the job has ended.

    Args:
        engine: The container's.

        name: The container's.
    """

    def __init__(self, engine: Engine, name: str) -> None:
        super().__init__(name=f"follow {name}", daemon=True)
        self.bell = threading.Event()
        self._engine = engine
        self._container = name
        self._room = threading.Condition()
        self._start_of_data = 0
        self._data = bytearray()
        self._closed = False
        self._since = time.monotonic()

    @property
    def age_s(self) -> float:
        """
        Seconds since it was made.
        """
        return time.monotonic() - self._since

    def run(self) -> None:
        """
        Read until the container ends, or the engine is away.
        """
        with suppress(Exception):
            for chunk in self._engine.output(self._container, follow=True):
                with self._room:
                    self._room.wait_for(lambda: self._closed or len(self._data) < PAGE)
                    if self._closed:
                        break
                    self._data += chunk
                self.bell.set()
        self.bell.set()

    def close(self) -> None:
        """
        Read no more: all that is left is read otherwise.
        """
        with self._room:
            self._closed = True
            self._room.notify()

    def take(self) -> tuple[int, bytes]:
        """
        Return what has come since the last time, and where in the output that begins.
        """
        with self._room:
            if self.is_alive():
                self.bell.clear()
            start, data = self._start_of_data, bytes(self._data)
            self._start_of_data += len(data)
            self._data.clear()
            self._room.notify()
        return start, data
