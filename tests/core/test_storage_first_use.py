"""
A new database is made once, however many processes come first at once.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from functools import partial
from itertools import chain

import pytest
import sqlalchemy

from airflow_hpo.errors import StorageError, StudyNotFoundError
from airflow_hpo.storage import open_storage
from airflow_hpo.storage.schema import REVISION, VERSION_TABLE, is_known, metadata
from airflow_hpo.testing.processes import run_together
from airflow_hpo.testing.storage_tasks import create_and_ask, make_study, propose_count

_PROCESSES = 8


def _clash(storages):
    """
    Let eight processes come first at once, and check what they made.
    """
    tasks = [partial(create_and_ask, storages, index) for index in range(_PROCESSES)]

    per_storage = zip(*run_together(tasks), strict=True)

    for storage, results in zip(storages, per_storage, strict=True):
        record = storage.load("study")
        assert {record.seed} == {seed for seed, _ in results}
        numbers = sorted(chain.from_iterable(numbers for _, numbers in results))
        assert numbers == list(range(_PROCESSES * 2))
        assert numbers == [trial.number for trial in record.trials]
        kinds = [event.kind for event in storage.events("study")]
        assert kinds == ["created"] + ["asked"] * _PROCESSES


def test_eight_processes_make_a_sqlite_file_without_a_clash(tmp_path):
    """
    Folders, file, tables and study are made once; nobody hears of a lock.
    """
    _clash([open_storage(f"sqlite:///{tmp_path}/{index}/new/studies.db") for index in range(5)])


def test_eight_processes_make_the_tables_in_postgresql_without_a_clash(postgres_urls):
    """
    Tables and study are made once; nobody hears of a table that exists.
    """
    _clash([open_storage(postgres_urls()) for _ in range(3)])


_FIRST_CALLS = {
    "load": lambda storage: storage.load("study"),
    "append": lambda storage: storage.append("study", "key", propose_count(1)),
    "start": lambda storage: storage.start("study", 0, key="key"),
    "stop": lambda storage: storage.stop("study", None),
    "delete": lambda storage: storage.delete("study"),
}


@pytest.mark.parametrize("call", _FIRST_CALLS)
def test_any_call_may_be_the_first(tmp_path, class_postgres_url, call):
    """
    Whatever is asked first of a new database, there is no such study.
    """
    for url in (f"sqlite:///{tmp_path}/new/studies.db", class_postgres_url):
        with pytest.raises(StudyNotFoundError, match="no study named 'study'"):
            _FIRST_CALLS[call](open_storage(url))


@pytest.fixture(name="file")
def _file(tmp_path):
    """
    A SQLite file with the journal's tables.
    """
    file = tmp_path / "studies.db"
    storage = make_study(open_storage(f"sqlite:///{file}"))
    storage.close()
    return file


def _mode(path):
    return oct(path.stat().st_mode & 0o777)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_new_file_is_for_its_owner_alone(tmp_path, umask):
    """
    Whatever the umask, nobody else can read studies; folders of others stay.
    """
    tmp_path.chmod(0o755)
    file = tmp_path / "a" / "b" / "studies.db"
    old = os.umask(umask)
    try:
        storage = make_study(open_storage(f"sqlite:///{file}"), 1)
        modes = {path.name: _mode(path) for path in file.parent.iterdir()}
        storage.close()
    finally:
        os.umask(old)

    assert set(modes.values()) == {"0o600"}
    assert {"studies.db", "studies.db-wal", "studies.db.lock"} <= set(modes)
    assert [_mode(file.parent), _mode(tmp_path / "a"), _mode(tmp_path)] == [
        "0o700",
        "0o700",
        "0o755",
    ]


def test_file_that_exists_keeps_its_mode(file):
    """
    Who opened a journal to others is not contradicted.
    """
    file.chmod(0o660)

    make_study(open_storage(f"sqlite:///{file}"), 1)

    assert _mode(file) == "0o660"


def test_making_a_storage_touches_nothing(tmp_path):
    """
    Neither a folder nor a file is made before the first call.
    """
    storage = open_storage(f"sqlite:///{tmp_path}/new/studies.db")

    assert "studies.db" in repr(storage)
    assert not list(tmp_path.iterdir())


_OPEN = """
import sys
from airflow_hpo.storage import open_storage
assert "sqlalchemy" not in sys.modules
assert open_storage(sys.argv[1]).load("study").name == "study"
print("alembic" in sys.modules)
"""


def test_opening_what_is_up_to_date_loads_no_alembic(file):
    """
    Migrations cost nothing where there is nothing to migrate.
    """
    command = [sys.executable, "-c", _OPEN, f"sqlite:///{file}"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)

    assert done.stdout == "False\n"


def _set_revision(file, revision):
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(f"DELETE FROM {VERSION_TABLE}")
        if revision is not None:
            connection.execute(f"INSERT INTO {VERSION_TABLE} VALUES (?)", (revision,))


def test_newer_tables_are_refused(file):
    """
    The message says that it is this version which is too old.
    """
    _set_revision(file, "9999")
    storage = open_storage(f"sqlite:///{file}")

    message = f"newer version .*revision 9999, .*{REVISION}.*; upgrade airflow-provider-hpo"
    for call in (storage.studies, lambda: storage.load("study"), lambda: make_study(storage)):
        with pytest.raises(StorageError, match=message):
            call()


def test_database_may_hold_a_version_table_without_tables(tmp_path):
    """
    Where making the tables was undone half-way, they are made now.
    """
    file = tmp_path / "studies.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"CREATE TABLE {VERSION_TABLE} (version_num VARCHAR(32) NOT NULL)")

    assert make_study(open_storage(f"sqlite:///{file}")).load("study").name == "study"


def test_newest_revision_is_the_one_that_the_code_knows():
    """
    `REVISION` is the head of the migrations.
    """
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", "airflow_hpo:storage/migrations")
    scripts = ScriptDirectory.from_config(config)

    assert scripts.get_heads() == [REVISION]
    assert all(is_known(script.revision) for script in scripts.walk_revisions())
    assert not is_known("9999")


def _differences(url):
    """
    Return how the tables that migrations made differ from those the code uses.
    """
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    engine = sqlalchemy.create_engine(url)
    with engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True}
        context = MigrationContext.configure(
            connection, opts={**options, "version_table": VERSION_TABLE}
        )
        found = compare_metadata(context, metadata)
    engine.dispose()
    return found


def test_migrations_make_the_tables_that_the_code_uses(file, postgres_url):
    """
    Neither database's tables differ from the schema.
    """
    make_study(open_storage(postgres_url)).close()

    assert not _differences(f"sqlite:///{file}")
    assert not _differences(postgres_url.replace("postgresql:", "postgresql+psycopg:"))


def test_journal_of_the_first_version_is_brought_up_to_date(file):
    """
    What was told before attempts had a memory is still there, and they have one now.
    """
    from alembic import command
    from alembic.config import Config

    url = f"sqlite:///{file}"
    started = make_study(open_storage(url), 2).start("study", 0, key="key")
    engine = sqlalchemy.create_engine(url)
    config = Config()
    config.set_main_option("script_location", "airflow_hpo:storage/migrations")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
    engine.dispose()
    open_storage(url).close()

    storage = open_storage(url)
    assert storage.load("study").trials[0] == started
    storage.remember("study", 0, {"a": 1}, attempt=1)
    (attempt,) = storage.attempts("study", 0)
    assert (attempt.key, attempt.memory) == ("key", {"a": 1})


def test_migrations_can_be_taken_back(file):
    """
    Downgrading leaves nothing behind but the empty version table.
    """
    from alembic import command
    from alembic.config import Config

    engine = sqlalchemy.create_engine(f"sqlite:///{file}")
    config = Config()
    config.set_main_option("script_location", "airflow_hpo:storage/migrations")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")

    names = [name for name in sqlalchemy.inspect(engine).get_table_names() if "sqlite" not in name]
    assert names == [VERSION_TABLE]
    assert make_study(open_storage(f"sqlite:///{file}")).load("study").name == "study"
    engine.dispose()


def test_journal_shares_a_database(tmp_path, postgres_url):
    """
    Tables of others, and the version of their migrations, are left alone.
    """
    for url in (f"sqlite:///{tmp_path}/shared.db", postgres_url):
        engine = sqlalchemy.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
        with engine.begin() as connection:
            for statement in (
                "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)",
                "INSERT INTO alembic_version VALUES ('theirs')",
                "CREATE TABLE study (name VARCHAR(10))",
            ):
                connection.exec_driver_sql(statement)

        make_study(open_storage(url), 1).close()

        with engine.connect() as connection:
            versions = connection.exec_driver_sql("SELECT version_num FROM alembic_version").all()
        names = set(sqlalchemy.inspect(engine).get_table_names()) - {"sqlite_sequence"}
        engine.dispose()
        assert [tuple(version) for version in versions] == [("theirs",)]
        assert names - {"alembic_version", "study"} == {VERSION_TABLE, *metadata.tables}
