"""
What a SQL storage says about its URL, and what it does when the database fails.
"""

from __future__ import annotations

import os
import pickle
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from airflow_hpo.errors import StorageError, StudyNotFoundError
from airflow_hpo.model.trial import Measurement, Outcome, Suggestion, TrialState
from airflow_hpo.storage import default_url, open_storage, sql_database, sql_engine
from airflow_hpo.storage.memory import MemoryStorage
from airflow_hpo.storage.sql import SqlStorage
from airflow_hpo.testing.storage_tasks import make_study, propose_count


@pytest.fixture(name="file")
def _file(tmp_path):
    """
    Where a SQLite file will be.
    """
    return tmp_path / "studies.db"


@pytest.fixture(name="sqlite")
def _sqlite(file):
    """
    A storage on that file.
    """
    storage = open_storage(f"sqlite:///{file}")
    yield storage
    storage.close()


@pytest.fixture(name="postgres")
def _postgres(postgres_url):
    """
    A storage on a PostgreSQL.
    """
    storage = open_storage(postgres_url)
    yield storage
    storage.close()


@pytest.fixture(name="impatient")
def _impatient(monkeypatch):
    """
    Tries that follow each other without a pause.
    """
    monkeypatch.setattr(sql_database, "_DELAYS_S", (0.0, 0.0))


class TestUrls:
    """
    Which URLs are understood, and what is shown of them.
    """

    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("sqlite:////a/b.db", "sqlite:////a/b.db"),
            ("sqlite+pysqlite:////a/b.db", "sqlite:////a/b.db"),
            ("postgres://host/db", "postgresql+psycopg://host/db"),
            ("postgresql://host/db", "postgresql+psycopg://host/db"),
            ("postgresql+psycopg://host/db", "postgresql+psycopg://host/db"),
            ("postgresql+psycopg2://host/db", "postgresql+psycopg2://host/db"),
            ("postgresql://u:secret@host:5433/db", "postgresql+psycopg://u:***@host:5433/db"),
            (
                "postgresql://host/db?password=secret&sslpassword=secret&sslmode=require",
                (
                    "postgresql+psycopg://host/db?password=%2A%2A%2A&sslmode=require"
                    "&sslpassword=%2A%2A%2A"
                ),
            ),
        ],
    )
    def test_known_urls(self, url, shown):
        """
        Other spellings are understood, and a password is never shown.
        """
        storage = SqlStorage(url)

        assert repr(storage) == f"SqlStorage({shown!r})"
        assert repr(pickle.loads(pickle.dumps(storage))) == repr(storage)

    @pytest.mark.parametrize(
        ("url", "message"),
        [
            ("mysql://u:secret@host/db", r"one of sqlite, postgresql or memory, got mysql://$"),
            ("postgresql+asyncpg://u:secret@h/db", r"got postgresql\+asyncpg://$"),
            ("secret", "got text that is not a URL$"),
            ("postgresql//u:secret@host", "got text that is not a URL$"),
            ("postgresql://u:secret@host:port/db", "got text that is not a URL$"),
            ("sqlite://", "must name a file, .* use memory://NAME$"),
            ("sqlite:///:memory:", "must name a file"),
            ("sqlite:///file:x?mode=memory&uri=true", "must name a file"),
            ("sqlite://u:secret@host/file.db", "must name a file"),
        ],
    )
    def test_other_urls_are_refused(self, url, message):
        """
        The rule is named, and never the password.
        """
        with pytest.raises(StorageError, match=message) as caught:
            open_storage(url)

        assert "secret" not in str(caught.value)
        assert caught.value.__cause__ is None

    def test_relative_paths_are_of_the_process_that_made_them(self, tmp_path, monkeypatch):
        """
        A storage that is sent to another folder means the same file.
        """
        monkeypatch.chdir(tmp_path)
        storage = open_storage("sqlite:///here.db")
        monkeypatch.chdir("/")

        make_study(pickle.loads(pickle.dumps(storage)))

        assert (tmp_path / "here.db").is_file()

    def test_home_is_understood(self, tmp_path, monkeypatch):
        """
        A path may begin with a tilde.
        """
        monkeypatch.setenv("HOME", str(tmp_path))

        make_study(open_storage("sqlite:///~/studies.db"))

        assert (tmp_path / "studies.db").is_file()

    @pytest.mark.parametrize("name", ["a b.db", "100%.db", "grüße 你好.db", "a'b\"c.db", "x#y.db"])
    def test_file_names_may_be_odd(self, tmp_path, name):
        """
        Nothing in a path has a meaning of its own.
        """
        folder = tmp_path / "50% of 'it'"

        make_study(open_storage(f"sqlite:///{folder}/{name}"))

        assert (folder / name).is_file()

    def test_default_is_under_airflow_home(self, tmp_path, monkeypatch):
        """
        The command line and the DAGs of one machine see the same studies.
        """
        monkeypatch.delenv("HPO_STORAGE", raising=False)
        monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))

        assert default_url() == f"sqlite:///{tmp_path}/hpo/studies.db"
        make_study(open_storage())
        assert (tmp_path / "hpo" / "studies.db").is_file()

    def test_environment_names_the_storage(self, monkeypatch):
        """
        ``HPO_STORAGE`` is what counts where no URL is given.
        """
        monkeypatch.setenv("HPO_STORAGE", "memory://from the environment")

        assert open_storage() is open_storage("memory://from the environment")
        assert isinstance(open_storage(), MemoryStorage)
        assert open_storage() is not open_storage("memory://another")
        assert repr(make_study(MemoryStorage())) == "MemoryStorage(<1 studies>)"


class TestFiles:
    """
    What a file can do to a storage.
    """

    def test_path_through_a_file_is_an_error(self, file):
        """
        The folder that cannot be made is named, and why.
        """
        file.write_text("not a folder")
        storage = open_storage(f"sqlite:///{file}/new/studies.db")

        with pytest.raises(StorageError, match=rf"{file}/new/studies.db cannot be used: cannot"):
            storage.studies()

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
    def test_read_only_folder_is_an_error(self, tmp_path):
        """
        The file that cannot be made is named, and why.
        """
        tmp_path.chmod(0o500)

        with pytest.raises(StorageError, match=r"cannot create .*studies\.db: Permission denied"):
            open_storage(f"sqlite:///{tmp_path}/studies.db").studies()

    def test_other_file_is_an_error(self, file):
        """
        A file that is no database is not touched.
        """
        file.write_text("dear diary, " * 1000)

        with pytest.raises(StorageError, match="cannot be used: file is not a database"):
            open_storage(f"sqlite:///{file}").studies()

        assert file.read_text() == "dear diary, " * 1000

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
    def test_folder_that_became_read_only_is_an_error(self, sqlite, tmp_path):
        """
        A call that cannot wait for its turn says why.
        """
        make_study(sqlite)
        for path in tmp_path.glob("*.lock"):
            path.unlink()
        tmp_path.chmod(0o500)

        with pytest.raises(StorageError, match=r"cannot create .*\.lock: Permission denied"):
            sqlite.append("study", "key", propose_count(1))

    def test_folder_is_an_error(self, tmp_path):
        """
        A folder in the place of the file is reported as one.
        """
        with pytest.raises(StorageError, match="cannot be used: unable to open database file"):
            open_storage(f"sqlite:///{tmp_path}").studies()

    def test_deleted_file_is_made_anew(self, file, sqlite):
        """
        Nothing is written to a file that is no longer there.
        """
        make_study(sqlite, 1)
        for path in file.parent.glob("studies.db*"):
            path.unlink()

        assert not sqlite.studies()
        make_study(sqlite, 2)

        assert len(open_storage(f"sqlite:///{file}").load("study").trials) == 2

    def test_replaced_file_is_used(self, file, sqlite, tmp_path):
        """
        After another journal is moved into its place, that one counts.
        """
        other = open_storage(f"sqlite:///{tmp_path}/other.db")
        make_study(other, 2).close()
        make_study(sqlite, 1)
        for path in file.parent.glob("studies.db*"):
            path.unlink()

        (tmp_path / "other.db").rename(file)

        assert len(sqlite.load("study").trials) == 2

    def test_busy_file_is_waited_for(self, file, sqlite):
        """
        Whoever locks the file for a while delays a call, and no more.
        """
        make_study(sqlite, 1)
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with ThreadPoolExecutor(1) as pool:
                started = pool.submit(sqlite.start, "study", 0, key="key")
                time.sleep(0.2)
                assert not started.done()
                assert sqlite.load("study").trials[0].attempt == 0
                other.execute("COMMIT")

                assert started.result(timeout=60).attempt == 1

    @pytest.mark.usefixtures("impatient")
    def test_file_that_stays_busy_is_an_error(self, file, monkeypatch):
        """
        In the end a call gives up, and says what it waited for.
        """
        monkeypatch.setattr(sql_engine, "_BUSY_TIMEOUT_S", 0.01)
        storage = make_study(open_storage(f"sqlite:///{file}"), 1)
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")

            with pytest.raises(StorageError, match="cannot be used: database is locked"):
                storage.start("study", 0, key="key")

            other.execute("COMMIT")
        assert storage.start("study", 0, key="key").attempt == 1
        storage.close()

    def test_few_files_are_kept_open(self, tmp_path):
        """
        A process that visits many journals does not run out of files.
        """
        storages = [open_storage(f"sqlite:///{tmp_path}/{index}.db") for index in range(20)]
        for storage in storages:
            make_study(storage, 1)

        kept = {name.split("-")[0] for name in _open_files(tmp_path)}
        assert 0 < len(kept) <= 8
        assert all(len(storage.load("study").trials) == 1 for storage in storages)

    def test_commits_reach_the_disk(self, sqlite):
        """
        The file is in WAL mode and synchronous to the full.
        """
        modes = sqlite._database.read(
            lambda connection: [
                connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "synchronous")
            ]
        )

        assert modes == ["wal", 2]


def _open_files(folder):
    """
    Return the names of the files in *folder* that this process has open.
    """
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        pytest.skip("which files are open can't be told here")
    links = [os.path.realpath(path) for path in descriptors.iterdir()]
    return {Path(link).name for link in links if link.startswith(str(folder))}


class TestWaiting:
    """
    Who waits for whom.
    """

    @pytest.fixture(name="storage", params=["sqlite", "postgres"])
    def _storage(self, request):
        return request.getfixturevalue(request.param)

    def test_nobody_but_the_asking_waits_for_propose(self, storage):
        """
        While a strategy thinks, trials of the same study start, measure and end.
        """
        make_study(storage, 2)
        thinking, done = threading.Event(), threading.Event()

        def think(record):
            thinking.set()
            assert done.wait(60)
            return [Suggestion({"seen": len(record.trials)}, "test")]

        with ThreadPoolExecutor(2) as pool:
            slow = pool.submit(storage.append, "study", "slow", think)
            assert thinking.wait(60)
            quick = pool.submit(storage.append, "study", "quick", propose_count(1))
            make_study(storage, name="other")
            storage.start("study", 0, key="key")
            storage.measure("study", 0, [Measurement({}, 0.0)], attempt=1, first=0)
            storage.finish("study", 0, Outcome(TrialState.COMPLETE, values=(1.0,)), attempt=1)
            assert storage.load("study").trials[0].is_complete
            assert not quick.done()
            done.set()

            assert [slow.result(60)[0].number, quick.result(60)[0].number] == [2, 3]

    def test_asking_within_an_ask_does_not_wait_for_itself(self, sqlite):
        """
        A strategy that asks the study for trials is refused, rather than stuck.
        """
        make_study(sqlite)

        def ask(_):
            sqlite.append("study", "inner", propose_count(1))
            return [Suggestion({}, "test")]

        with pytest.raises(StorageError, match="cannot be used: UNIQUE constraint failed"):
            sqlite.append("study", "outer", ask)

        assert [trial.key for trial in sqlite.load("study").trials] == ["inner"]

    def test_study_that_is_deleted_while_a_strategy_thinks_stays_deleted(self, sqlite):
        """
        Suggestions for a study that is gone are kept nowhere.
        """
        make_study(sqlite, 1)

        def delete(_):
            sqlite.delete("study")
            make_study(sqlite)
            return [Suggestion({}, "test")]

        with pytest.raises(StudyNotFoundError, match="deleted while trials were suggested"):
            sqlite.append("study", "key", delete)

        assert not sqlite.load("study").trials


class TestServers:
    """
    What a server can do to a storage.
    """

    @pytest.fixture(name="hang_up")
    def _hang_up(self, postgres_server, postgres_url):
        """
        Ends every connection to the database, as a restart does.
        """
        import psycopg

        name = postgres_url.split("/")[3].split("?")[0]

        def hang_up():
            with psycopg.connect(postgres_server, autocommit=True) as connection:
                query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
                assert connection.execute(query, (name,)).fetchall()

        return hang_up

    def test_lost_connection_is_made_again(self, postgres, hang_up):
        """
        Between two calls a server may be restarted.
        """
        make_study(postgres, 1)
        calls = [
            lambda: postgres.start("study", 0, key="key"),
            lambda: postgres.measure("study", 0, [Measurement({}, 0.0)], attempt=1, first=0),
            lambda: postgres.finish("study", 0, Outcome(TrialState.FAILED), attempt=1),
            lambda: postgres.append("study", "key", propose_count(1)),
            lambda: postgres.load("study"),
        ]

        for call in calls:
            hang_up()
            call()

        assert [trial.state for trial in postgres.load("study").trials] == [
            TrialState.FAILED,
            TrialState.WAITING,
        ]

    def test_connection_lost_while_a_strategy_thinks(self, postgres, hang_up):
        """
        It is asked again, and one answer is kept.
        """
        make_study(postgres, 1)
        calls = []

        def think(record):
            calls.append(record)
            if len(calls) == 1:
                hang_up()
            return [Suggestion({"call": len(calls)}, "test")]

        (trial,) = postgres.append("study", "key", think)

        assert trial.configuration == {"call": 2}
        assert len(postgres.load("study").trials) == 2

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            ("/test_", "/nowhere_", 'database "nowhere_.*" does not exist'),
            ("postgres@", "nobody:secret@", 'role "nobody" does not exist'),
        ],
    )
    def test_server_that_says_no_is_asked_once(self, postgres_url, monkeypatch, old, new, message):
        """
        The server's words come through at once, the password never.
        """
        monkeypatch.setattr(sql_database, "_DELAYS_S", (3600,))

        with pytest.raises(StorageError, match=message) as caught:
            open_storage(postgres_url.replace(old, new)).studies()

        assert "secret" not in f"{caught.value}{caught.value.__cause__}"

    @pytest.mark.usefixtures("impatient")
    def test_server_that_is_away_is_an_error(self, tmp_path):
        """
        Nobody answers: that is said, with the URL and without the password.
        """
        pytest.importorskip("psycopg")
        url = f"postgresql://user:secret@/db?host={tmp_path}"

        with pytest.raises(StorageError, match=r"user:\*\*\*@/db.* cannot be used: ") as caught:
            open_storage(url).studies()

        assert "secret" not in f"{caught.value}{caught.value.__cause__}"

    def test_missing_driver_is_named(self):
        """
        What to install is in the message.
        """
        if _is_installed("psycopg2"):
            pytest.skip("psycopg2 is installed")

        with pytest.raises(StorageError, match=r"psycopg2 is not installed; pip install .*\[post"):
            open_storage("postgresql+psycopg2://host/db").studies()

    def test_values_stay_out_of_errors(self, postgres):
        """
        A statement that fails shows no parameter of a trial.
        """
        make_study(postgres, 1)

        with pytest.raises(StorageError) as caught:
            postgres.append(
                "study", "key", lambda _: [Suggestion({"x": "private"}, "test", parent=2**40)]
            )

        assert "private" not in f"{caught.value}{caught.value.__cause__}"


def _is_installed(name):
    from importlib.util import find_spec

    return find_spec(name) is not None


def test_threads_share_a_storage(sqlite):
    """
    Any number of threads may use one storage, each with calls of its own.
    """
    make_study(sqlite, 16)

    def live(number):
        sqlite.start("study", number, key="key")
        sqlite.finish("study", number, Outcome(TrialState.PRUNED), attempt=1)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(live, range(16)))

    assert sqlite.studies()[0].states == {"pruned": 16}
