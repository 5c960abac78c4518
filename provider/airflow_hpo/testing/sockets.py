"""
What goes over a service's socket, taken down for tests.
"""

from __future__ import annotations

import re
import shutil
import socket
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["RecordingProxy"]

_REQUEST = re.compile(
    rb"^((?:GET|POST|PUT|DELETE|HEAD) [^\r\n]+) HTTP/1.1\r\n(.*?)\r\n\r\n", re.DOTALL | re.MULTILINE
)


class RecordingProxy:
    """
    Stands in front of a service on a Unix socket, and takes down what it is asked.

    Args:
        url: Of the service, such as ``unix:///run/podman/podman.sock``.
    """

    def __init__(self, url: str) -> None:
        self._target = url.removeprefix("unix://")
        # Not under a long path: a socket's has room for some hundred characters.
        self._folder = Path(tempfile.mkdtemp(prefix="hpo-px-", dir="/tmp"))
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(self._folder / "sock"))
        self._server.listen()
        self._heard: list[bytearray] = []

    @property
    def url(self) -> str:
        """
        Where clients find it.
        """
        return f"unix://{self._folder / 'sock'}"

    @property
    def requests(self) -> list[tuple[str, bytes]]:
        """
        The first line of each request, without the protocol, and its body.
        """
        found = []
        for data in map(bytes, self._heard):
            for match in _REQUEST.finditer(data):
                size = re.search(rb"(?i)content-length: *(\d+)", match[2])
                end = match.end() + (int(size[1]) if size else 0)
                found.append((match[1].decode(), data[match.end() : end]))
        return found

    def __enter__(self) -> Self:
        """
        Start; returns at once.
        """
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """
        Take no more clients.
        """
        self._server.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            service = socket.socket(socket.AF_UNIX)
            service.connect(self._target)
            heard = bytearray()
            self._heard.append(heard)
            for source, target, copy in ((client, service, heard), (service, client, None)):
                threading.Thread(target=_pass_on, args=(source, target, copy), daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket, copy: bytearray | None) -> None:
    with suppress(OSError):
        while data := source.recv(2**16):
            if copy is not None:
                copy += data
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
