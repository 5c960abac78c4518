"""
Transactions on one database: connect, prepare, retry, and say what went wrong.

Knows engines, locks and files; nothing of studies.

**SQLite.** The file is in WAL mode: readers never wait. Every writing
transaction begins with ``BEGIN IMMEDIATE``, so none is refused half-way, and
waits up to a minute for the others. ``synchronous=FULL``: a commit reaches the
disk before the call returns, so it outlives a power cut and not only a killed
process. At a journal's pace (a few commits a trial) that costs nothing that
anyone sees. The file is made for its owner's eyes only.

**PostgreSQL.** Read committed for writers, which lock the row they change;
repeatable read for readers, so that what they gather is of one moment.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError, SQLAlchemyError

from airflow_hpo.errors import StorageError
from airflow_hpo.storage import schema
from airflow_hpo.storage.sql_engine import dispose_engine, engine_for
from airflow_hpo.storage.sql_file import file_turn, make_file
from airflow_hpo.storage.sql_url import parse_url, show_url, sqlite_file

if TYPE_CHECKING:
    from sqlalchemy import Engine

__all__ = ["Database"]

T = TypeVar("T")

# Seconds between tries; about ten in all. A SQLite file that is busy has been
# waited for during a minute by then, at each of them.
_DELAYS_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 3.2)

# Not the global generator: a user's seed belongs to the user.
_RANDOM = random.SystemRandom()

# Serialization failure, deadlock, lock not available, too many connections,
# shut down by an operator or a crash, starting up.
_TRANSIENT_STATES = {"40001", "40P01", "55P03", "53300", "57P01", "57P02", "57P03"}
_TRANSIENT_TEXTS = (
    "database is locked",
    "database table is locked",
    "database schema is locked",
    "locking protocol",
)

# A refused connection is tried again, but not if the server answered.
_LASTING_TEXTS = (
    "authentication failed",
    "does not exist",
    "no pg_hba.conf entry",
    "no password supplied",
    "could not translate host name",
    "failed to resolve host",
)

# Any number will do, as long as it is always the same.
_ADVISORY_LOCK = 0x68706F5F6A6F7572

_REVISION = text(f"SELECT version_num FROM {schema.VERSION_TABLE}")  # noqa: S608 - our name


class Database:
    """
    Runs pieces of work as transactions; makes the tables at first use.

    Holds nothing but the URL, so it can be pickled and forked: engines belong
    to the process.

    Args:
        url: As in `parse_url`.
    """

    def __init__(self, url: str) -> None:
        self.url = parse_url(url)
        self.file = sqlite_file(self.url)

    def __str__(self) -> str:
        """
        Return the URL without its secrets.
        """
        return show_url(self.url)

    def read(self, work: Callable[[Connection], T]) -> T:
        """
        Return what *work* finds; all it reads is of one moment.
        """
        return self._run(work, write=False)

    def write(self, work: Callable[[Connection], T]) -> T:
        """
        Return what *work* returns, once all it wrote is durable.

        Where the database went away *work* is called again, although its
        transaction may have been committed: it must be idempotent.
        """
        return self._run(work, write=True)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """
        Wait for the other processes that want a turn at this SQLite file.

        Unlike a transaction it holds up nobody who only wants to write.
        """
        file = self.url.database or ""
        # Entered by hand: only what the lock itself raises is ours to explain.
        with ExitStack() as stack:
            with self._explained():
                make_file(Path(file))
                stack.enter_context(file_turn(f"{file}.lock"))
            yield

    def close(self) -> None:
        """
        Close the connections that nobody uses.
        """
        dispose_engine(self.url)

    def _run(self, work: Callable[[Connection], T], *, write: bool) -> T:
        for delay in _DELAYS_S:
            try:
                return self._once(work, write=write)
            except DBAPIError as error:
                if not _is_transient(error):
                    raise self._error(_first_line(error)) from error
            # Never the same for two that stumbled over each other.
            time.sleep(delay * _RANDOM.uniform(0.5, 1.5))
        try:
            return self._once(work, write=write)
        except DBAPIError as error:
            raise self._error(_first_line(error)) from error

    def _once(self, work: Callable[[Connection], T], *, write: bool) -> T:
        if self.file is not None:
            with self._explained():
                make_file(self.file)
        with self._engine().connect() as connection:
            if not connection.info.get("hpo_prepared"):
                self._prepare(connection)
                connection.info["hpo_prepared"] = True
            if self.file is not None:
                _begin_with(connection, "BEGIN IMMEDIATE" if write else "BEGIN")
            elif not write:
                connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                return work(connection)

    def _engine(self) -> Engine:
        try:
            return engine_for(self.url)
        except ImportError as error:
            raise self._error(
                f"{error.name or error} is not installed; "
                "pip install 'airflow-provider-hpo[postgres]'"
            ) from error
        except SQLAlchemyError as error:
            raise self._error(f"{type(error).__name__} in its URL") from None

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """
        Say what is wrong with the file or its folder.
        """
        try:
            yield
        except OSError as error:
            raise self._error(f"cannot create {error.filename}: {error.strerror}") from error

    def _prepare(self, connection: Connection) -> None:
        """
        See that the tables are those that this version knows.
        """
        try:
            with connection.begin():
                current = self._is_current(connection)
        except (OperationalError, ProgrammingError) as error:
            if not _is_missing_table(error):
                raise
            current = False
        if current:
            return
        if self.file is None:
            with connection.begin():
                lock = text("SELECT pg_advisory_xact_lock(:key)")
                connection.execute(lock, {"key": _ADVISORY_LOCK})
                self._upgrade(connection)
            return
        with self.turn():
            # Kept in the file, and only possible outside of a transaction.
            with _begin_with(connection, "").begin():
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            with _begin_with(connection, "BEGIN IMMEDIATE").begin():
                self._upgrade(connection)

    def _upgrade(self, connection: Connection) -> None:
        # Whoever had the lock before may have done it by now.
        made = inspect(connection).has_table(schema.VERSION_TABLE)
        if not (made and self._is_current(connection)):
            schema.upgrade(connection)

    def _is_current(self, connection: Connection) -> bool:
        """
        Return whether the tables are up to date; they must exist.

        Raises:
            StorageError: If they are of a newer version.
        """
        found: str | None = connection.scalar(_REVISION)
        if found is not None and not schema.is_known(found):
            raise self._error(
                f"it was written by a newer version (tables of revision {found}, this version "
                f"knows {schema.REVISION}); upgrade airflow-provider-hpo"
            )
        return found == schema.REVISION

    def _error(self, what: str) -> StorageError:
        return StorageError(f"the study journal at {self} cannot be used: {what}")


def _begin_with(connection: Connection, statement: str) -> Connection:
    return connection.execution_options(hpo_begin=statement)


def _is_missing_table(error: DBAPIError) -> bool:
    return _state(error) == "42P01" or "no such table" in str(error.orig)


def _is_transient(error: DBAPIError) -> bool:
    """
    Return whether the same call may pass in a moment.
    """
    state, message = _state(error), str(error.orig)
    if error.connection_invalidated or state in _TRANSIENT_STATES:
        return True
    if any(words in message for words in _TRANSIENT_TEXTS):
        return True
    # Without a state nobody answered: the server is away, or on its way up.
    unanswered = hasattr(error.orig, "diag") and state is None
    return (
        isinstance(error, OperationalError)
        and unanswered
        and not any(words in message for words in _LASTING_TEXTS)
    )


def _state(error: DBAPIError) -> str | None:
    """
    Return PostgreSQL's code for the error, under either driver's name for it.
    """
    return getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)


def _first_line(error: DBAPIError) -> str:
    lines = str(error.orig).strip().splitlines()
    return lines[0] if lines else type(error.orig).__name__
