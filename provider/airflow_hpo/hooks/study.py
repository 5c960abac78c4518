"""
AIRFLOW CONNECTION -> STORAGE: where the journal and the files of studies are.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from airflow.sdk import BaseHook
from airflow.sdk.log import mask_secret

from airflow_hpo.driver import artifacts_at, default_artifacts
from airflow_hpo.errors import HpoError, StorageError
from airflow_hpo.hooks.compat import AirflowNotFoundException, conf
from airflow_hpo.storage import default_url, open_storage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import Connection

    from airflow_hpo.storage.base import Storage

__all__ = ["StudyHook"]

# What Airflow puts in place of its own database's URL in a task's process.
_FORBIDDEN_SCHEME = "airflow-db-not-allowed"

# Types of connections that say in their fields where a database is.
_DATABASES = {"postgres": "postgresql", "postgresql": "postgresql", "sqlite": "sqlite"}

# Options that runners know as variables.
_OF_THE_HOST = {"gpus": "HPO_GPUS", "gpu_locks": "HPO_GPU_LOCKS"}

# Extra fields of a PostgreSQL connection that the URL takes over.
_POSTGRES_OPTIONS = ("sslmode", "sslrootcert", "sslcert", "sslkey", "connect_timeout")


class StudyHook(BaseHook):
    """
    Reach the study journal through an Airflow connection.

    **How it works.** A connection of type ``hpo`` holds the database's URL in
    its extra field ``url``; user name and password may stand in the
    connection's own fields instead. A connection of type ``postgres`` or
    ``sqlite`` serves as it is. Where nobody made the connection
    ``hpo_default``, the journal is a SQLite file under Airflow's home.

    **What it does not do.** It never uses Airflow's own database: a task's
    process cannot reach that, and the two have migrations of their own.

    **Known limitation.** Only the default connection may be missing: another
    one that is not there was probably misspelt, and is an error.

    Args:
        hpo_conn_id:
            The connection. By default the one that ``[hpo] conn_id`` names,
            which is ``hpo_default`` unless somebody set it.
    """

    conn_name_attr = "hpo_conn_id"
    default_conn_name = "hpo_default"
    conn_type = "hpo"
    hook_name = "Hyperparameter studies"

    def __init__(self, hpo_conn_id: str | None = None, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(**kwargs)
        self.hpo_conn_id = hpo_conn_id or _setting("conn_id") or self.default_conn_name

    def get_conn(self) -> Storage:
        """
        Return the journal, as hooks call it.
        """
        return self.storage()

    def storage(self) -> Storage:
        """
        Return the journal; nothing is connected to before the first call.

        Raises:
            StorageError: If the connection does not say where it is.
        """
        connection = self._connection()
        url = default_url() if connection is None else _url(connection)
        _refuse_airflow_database(url)
        return open_storage(url)

    def artifacts(self) -> Path:
        """
        Return the folder of the trials' files and the reports.

        Where they are kept elsewhere, as at ``s3://bucket/studies``, it is the
        folder of this machine that they are worked with in.

        The connection's extra field ``artifacts``, else ``[hpo] artifacts``,
        else ``HPO_ARTIFACTS``, else a folder under Airflow's home.
        """
        connection = self._connection()
        named = None if connection is None else _extra(connection).get("artifacts")
        folder = named or _setting("artifacts")
        return artifacts_at(str(folder)) if folder else default_artifacts()

    def tell_runners(self) -> None:
        """
        Let runners, which know nothing of Airflow, hear what ``[hpo]`` says of this host.

        What this process's environment says already counts more.
        """
        for option, variable in _OF_THE_HOST.items():
            value = _setting(option)
            if value and not os.environ.get(variable):
                os.environ[variable] = value

    def test_connection(self) -> tuple[bool, str]:
        """
        Return whether the journal can be read, and what was found.
        """
        try:
            count = len(self.storage().studies())
        except HpoError as error:
            return False, str(error)
        return True, f"the journal holds {count} {'study' if count == 1 else 'studies'}"

    def _connection(self) -> Connection | None:
        try:
            return self.get_connection(self.hpo_conn_id)
        except AirflowNotFoundException:
            if self.hpo_conn_id != self.default_conn_name:
                raise
            return None


def _setting(name: str) -> str:
    """
    Return an option of the section ``[hpo]``; empty where it is not set.
    """
    return str(conf.get("hpo", name, fallback="") or "")


def _extra(connection: Connection) -> Mapping[str, Any]:
    extra: Any = connection.extra_dejson  # whatever JSON somebody wrote
    return extra if isinstance(extra, dict) else {}


def _url(connection: Connection) -> str:
    """
    Return the URL that *connection* stands for, and keep its secrets out of logs.
    """
    url = _extra(connection).get("url")
    if url:
        url = _with_credentials(str(url), connection)
    elif connection.conn_type in _DATABASES:
        url = _built_url(connection, _DATABASES[connection.conn_type])
    elif connection.host:
        raise StorageError(
            f"connection {connection.conn_id!r} must hold the database's URL in its extra field "
            "url, such as postgresql://host/database, got a host and no url"
        )
    else:
        url = default_url()
    _hide_secrets(url, connection)
    return url


def _hide_secrets(url: str, connection: Connection) -> None:
    parts = urlsplit(url)
    written = parts.password or ""
    query = [value for name, value in parse_qsl(parts.query) if "password" in name.lower()]
    for secret in {written, unquote(written), connection.password, *query}:
        if secret:
            mask_secret(secret)


def _with_credentials(url: str, connection: Connection) -> str:
    """
    Return *url* with the connection's user name and password, if it has none.
    """
    parts = urlsplit(url)
    if not connection.login or parts.username or not parts.netloc:
        return url
    return urlunsplit(parts._replace(netloc=f"{_credentials(connection)}{parts.netloc}"))


def _built_url(connection: Connection, dialect: str) -> str:
    """
    Return the URL that a connection's own fields describe.
    """
    if dialect == "sqlite":
        return f"sqlite:///{connection.host or connection.schema or ''}"
    host = connection.host or "localhost"
    host = f"[{host}]" if ":" in host else host  # an IPv6 address
    port = f":{connection.port}" if connection.port else ""
    database = quote(connection.schema or "", safe="")
    extra = _extra(connection)
    query = urlencode({name: extra[name] for name in _POSTGRES_OPTIONS if extra.get(name)})
    url = f"{dialect}://{_credentials(connection)}{host}{port}/{database}"
    return f"{url}?{query}" if query else url


def _credentials(connection: Connection) -> str:
    if not connection.login:
        return ""
    user = quote(connection.login, safe="")
    if not connection.password:
        return f"{user}@"
    return f"{user}:{quote(connection.password, safe='')}@"


def _refuse_airflow_database(url: str) -> None:
    # In a task's process Airflow has put the forbidden scheme in place of its
    # own URL; elsewhere the URL itself can be compared.
    own = conf.get("database", "sql_alchemy_conn", fallback="")
    if url.startswith(_FORBIDDEN_SCHEME) or url == own:
        raise StorageError(
            "the study journal must be a database of its own, got Airflow's; "
            "put another URL into the connection, such as postgresql://host/studies"
        )
