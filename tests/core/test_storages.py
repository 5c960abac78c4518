"""
Every storage keeps the contract.
"""

from __future__ import annotations

import pytest

from airflow_hpo.storage import open_storage
from airflow_hpo.storage.memory import MemoryStorage
from airflow_hpo.testing.storages import SharedStorageContract, StorageContract


def _emptied(url):
    """
    Open the storage that a class's tests share: making tables takes the longest.
    """
    storage = open_storage(url)
    yield storage
    for summary in storage.studies():
        storage.delete(summary.name)


@pytest.fixture(scope="class", name="class_sqlite_url")
def _class_sqlite_url(tmp_path_factory):
    return f"sqlite:///{tmp_path_factory.mktemp('sqlite') / 'new folder' / 'studies.db'}"


class TestMemoryStorage(StorageContract):
    """
    Studies in memory.
    """

    @pytest.fixture(name="storage")
    def _storage(self):
        return MemoryStorage()


class TestSqliteStorage(SharedStorageContract):
    """
    Studies in a file.
    """

    @pytest.fixture(name="storage")
    def _storage(self, class_sqlite_url):
        yield from _emptied(class_sqlite_url)


class TestPostgresStorage(SharedStorageContract):
    """
    Studies in a server.
    """

    @pytest.fixture(name="storage")
    def _storage(self, class_postgres_url):
        yield from _emptied(class_postgres_url)
