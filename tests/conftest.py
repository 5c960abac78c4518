"""
Fixtures that every room's tests may use: a PostgreSQL of our own.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import hypothesis
import pytest

from airflow_hpo.testing.postgres import PostgresServer, PostgresUnavailableError

# A change is judged by what it changes: everybody gets the same examples. Whoever wants others says
# HYPOTHESIS_PROFILE=explore, and adds what that finds as an @example.
hypothesis.settings.register_profile("steady", derandomize=True, print_blob=True)
hypothesis.settings.register_profile("explore", derandomize=False, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    Mark the tests that start a PostgreSQL.
    """
    for item in items:
        if {"postgres_server", "own_postgres"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("postgres")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """
    Let tests of one class or file share a process, and with it their fixtures.

    All that start an Airflow share one process: two of them at once would be
    too much for a small machine.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByScope(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            scope = nodeid.partition("[")[0].rpartition("::")[0]
            return "e2e" if scope.startswith("tests/e2e/") else scope

    return ByScope(config, log)


@pytest.fixture(scope="session", name="postgres_server")
def _postgres_server() -> Iterator[str]:
    """
    The URL of a PostgreSQL that runs for as long as these tests do.
    """
    with _serve() as server:
        yield server.url


@contextmanager
def _serve() -> Iterator[PostgresServer]:
    """
    Run a PostgreSQL, or skip the test where there is none.
    """
    try:
        server = PostgresServer()
    except PostgresUnavailableError as error:
        pytest.skip(f"no PostgreSQL to test with: {error}")
    with server:
        yield server


@pytest.fixture(scope="module", name="own_postgres")
def _own_postgres() -> Iterator[PostgresServer]:
    """
    A PostgreSQL that the tests of one file may stop, crash and start.
    """
    with _serve() as server:
        yield server


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
