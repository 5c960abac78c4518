"""
Engines: one per database and process, made when first needed.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import DisconnectionError

from airflow_hpo.storage.sql_url import sqlite_file

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

__all__ = ["dispose_engine", "engine_for"]

# So many databases are kept open at once; a process needs one, a test run many.
_MOST_ENGINES = 8

# Seconds that a writer waits for the others (SQLite), or that a server may take
# to answer at all.
_BUSY_TIMEOUT_S = 60
_CONNECT_TIMEOUT_S = 10

# Connections that idled for so many seconds are replaced: a firewall may have
# dropped them without a word, and a query would then wait for minutes.
_RECYCLE_S = 300

_ENGINES: OrderedDict[URL, Engine] = OrderedDict()
_LOCK = threading.Lock()

# Engines of the process that this one was forked from. Their connections must
# neither be used nor closed here, so they are never let go.
_INHERITED: list[Engine] = []


def engine_for(url: URL) -> Engine:
    """
    Return this process's engine for *url*.
    """
    with _LOCK:
        engine = _ENGINES.get(url)
        if engine is None:
            engine = _ENGINES[url] = _sqlite(url) if sqlite_file(url) else _postgres(url)
            if len(_ENGINES) > _MOST_ENGINES:
                _ENGINES.popitem(last=False)[1].dispose()
        _ENGINES.move_to_end(url)
        return engine


def dispose_engine(url: URL) -> None:
    """
    Close the connections to *url* that nobody uses.
    """
    with _LOCK:
        engine = _ENGINES.pop(url, None)
    if engine is not None:
        engine.dispose()


def _forget() -> None:
    global _LOCK  # noqa: PLW0603 - another thread may have held it at the fork
    _LOCK = threading.Lock()
    _INHERITED.extend(_ENGINES.values())
    _ENGINES.clear()


os.register_at_fork(after_in_child=_forget)


def _engine(url: URL, **options: Any) -> Engine:  # noqa: ANN401 - create_engine's own
    return create_engine(
        url,
        pool_size=5,
        max_overflow=-1,  # never a thread that waits for a connection
        pool_use_lifo=True,
        hide_parameters=True,  # configurations may hold what no log should show
        **options,
    )


def _postgres(url: URL) -> Engine:
    arguments: dict[str, Any] = {
        "application_name": "airflow-hpo",
        "connect_timeout": _CONNECT_TIMEOUT_S,
    }
    if url.get_driver_name() == "psycopg":
        arguments["prepare_threshold"] = None  # else PgBouncer gets confused
    given = {name: value for name, value in arguments.items() if name not in url.query}
    return _engine(url, pool_recycle=_RECYCLE_S, connect_args=given)


def _sqlite(url: URL) -> Engine:
    engine = _engine(url, connect_args={"timeout": _BUSY_TIMEOUT_S})
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "checkout", _on_checkout)
    event.listen(engine, "begin", _on_begin)
    return engine


def _on_connect(connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
    # The driver begins no transaction by itself: `_on_begin` says which kind.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA database_list")
    ((_, _, path),) = cursor.fetchall()
    cursor.close()
    record.info["hpo_file"] = path
    record.info["hpo_identity"] = _identity(path)


def _on_checkout(
    _: DBAPIConnection, record: ConnectionPoolEntry, proxy: PoolProxiedConnection
) -> None:
    del proxy
    # Whoever deleted or replaced the file wants nothing written to the old one.
    if _identity(record.info["hpo_file"]) != record.info["hpo_identity"]:
        raise DisconnectionError("the database file was replaced")


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _on_begin(connection: Connection) -> None:
    statement = connection.get_execution_options().get("hpo_begin", "BEGIN")
    if statement:
        connection.exec_driver_sql(statement)
