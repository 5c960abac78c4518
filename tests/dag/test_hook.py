"""
From an Airflow connection to the journal.
"""

from __future__ import annotations

import json

import pytest

pytest.importorskip("airflow")

from airflow_hpo.errors import StorageError
from airflow_hpo.hooks import StudyHook
from airflow_hpo.hooks.compat import AirflowNotFoundException


@pytest.fixture(name="connect")
def _connect(monkeypatch):
    """
    Makes the Airflow connection ``hpo_default``.
    """

    def connect(**parts):
        monkeypatch.setenv("AIRFLOW_CONN_HPO_DEFAULT", json.dumps(parts))

    return connect


def test_a_url_in_the_extra_field_is_the_journal(connect, tmp_path):
    """
    Any URL that the storage understands may stand there.
    """
    connect(conn_type="hpo", extra={"url": f"sqlite:///{tmp_path}/studies.db"})

    storage = StudyHook().storage()
    storage.create("one", definition={}, seed=1, plan={})

    assert (tmp_path / "studies.db").is_file()
    assert StudyHook().test_connection() == (True, "the journal holds 1 study")


@pytest.mark.parametrize(
    ("parts", "shown"),
    [
        (
            {
                "conn_type": "postgres",
                "host": "db",
                "login": "me",
                "password": "p/w",
                "schema": "s",
            },
            "postgresql+psycopg://me:***@db/s",
        ),
        (
            {"conn_type": "postgres", "host": "::1", "port": 5433, "extra": {"sslmode": "require"}},
            "postgresql+psycopg://[::1]:5433/?sslmode=require",
        ),
        (
            {
                "conn_type": "hpo",
                "login": "me",
                "password": "p@w",
                "extra": {"url": "postgresql://db/studies"},
            },
            "postgresql+psycopg://me:***@db/studies",
        ),
        (
            {"conn_type": "hpo", "login": "me", "extra": {"url": "postgresql://you@db/studies"}},
            "postgresql+psycopg://you@db/studies",
        ),
        ({"conn_type": "sqlite", "host": "/tmp/a.db"}, "sqlite:////tmp/a.db"),
    ],
)
def test_connections_become_urls(connect, parts, shown):
    """
    A connection of another type serves as it is, and no secret is shown.
    """
    connect(**parts)

    storage = StudyHook().storage()

    assert shown in repr(storage)
    assert str(parts.get("password")) not in repr(storage)


def test_without_a_connection_the_journal_is_a_file(database, home):
    """
    Nobody has to set anything up: SQLite under Airflow's home.
    """
    assert str(home / "hpo" / "studies.db") in repr(StudyHook().storage())


def test_another_connection_must_be_there(database):
    """
    A connection that was named and is missing was misspelt.
    """
    with pytest.raises(AirflowNotFoundException, match="elsewhere"):
        StudyHook("elsewhere").storage()


@pytest.mark.parametrize("url", ["airflow-db-not-allowed:///", None])
def test_airflow_s_own_database_is_refused(connect, url):
    """
    Neither the URL that a task's process sees, nor the real one, is taken.
    """
    from airflow.configuration import conf

    connect(conn_type="hpo", extra={"url": url or conf.get("database", "sql_alchemy_conn")})

    with pytest.raises(StorageError, match="must be a database of its own, got Airflow's"):
        StudyHook().storage()
    assert StudyHook().test_connection()[0] is False


def test_a_host_without_a_url_is_refused(connect):
    """
    A connection of type hpo does not say which database its host runs.
    """
    connect(conn_type="hpo", host="db", password="secret")

    with pytest.raises(StorageError, match="got a host and no url") as caught:
        StudyHook().storage()
    assert "secret" not in str(caught.value)


def test_the_folder_of_files(connect, monkeypatch, database, home, tmp_path):
    """
    The connection says where files go, else the configuration, else Airflow's home.
    """
    assert StudyHook().artifacts() == home / "hpo" / "studies"

    monkeypatch.setenv("AIRFLOW__HPO__ARTIFACTS", str(tmp_path / "configured"))
    assert StudyHook().artifacts() == tmp_path / "configured"

    connect(conn_type="hpo", extra={"artifacts": str(tmp_path / "connected")})
    assert StudyHook().artifacts() == tmp_path / "connected"


def test_the_configuration_names_the_connection(connect, monkeypatch, tmp_path):
    """
    Where an operator names none, the option ``[hpo] conn_id`` does.
    """
    connect(conn_type="hpo")
    monkeypatch.setenv("AIRFLOW__HPO__CONN_ID", "other")

    assert StudyHook().hpo_conn_id == "other"
    assert StudyHook("mine").hpo_conn_id == "mine"


def test_secrets_are_masked_in_logs(connect):
    """
    A password that stands in a URL does not reach a task's log.
    """
    from airflow.sdk._shared.secrets_masker import redact

    connect(conn_type="hpo", extra={"url": "postgresql://me:open%2Fsesame@db/studies"})
    StudyHook().storage()

    assert "sesame" not in str(redact("it was open/sesame, written open%2Fsesame"))
