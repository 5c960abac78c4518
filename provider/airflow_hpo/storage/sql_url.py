"""
URLs of databases: which we can use, where their file is, and no password shown.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from airflow_hpo.errors import StorageError

__all__ = ["parse_url", "show_url", "sqlite_file"]

_POSTGRES = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
    "postgresql+psycopg2": "postgresql+psycopg2",
}
_SQLITE = {"sqlite", "sqlite+pysqlite"}


def parse_url(text: str) -> URL:
    """
    Return the URL in the form in which every process understands it.

    A file's path becomes absolute here, so that a process in another folder
    finds the same file.

    Raises:
        StorageError: If it is not the URL of a database that we can use.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        # Not quoted, and not chained: nobody knows which part is the password.
        raise StorageError(
            "a storage must be sqlite:///FILE, postgresql://USER:PASSWORD@HOST/DATABASE "
            "or memory://NAME, got text that is not a URL"
        ) from None
    if url.drivername in _SQLITE:
        return _sqlite(url)
    if url.drivername in _POSTGRES:
        return url.set(drivername=_POSTGRES[url.drivername])
    raise StorageError(
        f"a storage must be one of sqlite, postgresql or memory, got {url.drivername}://"
    )


def _sqlite(url: URL) -> URL:
    name = url.database or ":memory:"
    if name == ":memory:" or name.startswith("file:") or url.host or url.username:
        raise StorageError(
            "a SQLite storage must name a file, as sqlite:///relative/path.db or "
            f"sqlite:////absolute/path.db, got {show_url(url)}; without a file, use memory://NAME"
        )
    return url.set(drivername="sqlite", database=str(Path(name).expanduser().absolute()))


def sqlite_file(url: URL) -> Path | None:
    """
    Return the database's file; `None` for a database behind a server.
    """
    return Path(url.database or "") if url.get_backend_name() == "sqlite" else None


def show_url(url: URL) -> str:
    """
    Return *url* as text for people: with no secret in it.
    """
    secret = [name for name in url.query if "password" in name.lower()]
    query = dict.fromkeys(secret, "***")
    return url.update_query_dict(query).render_as_string(hide_password=True)
