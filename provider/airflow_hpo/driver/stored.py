"""
Files of studies, looked at where they are kept: here, or at an address.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from airflow_hpo.driver.stores import store_of
from airflow_hpo.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["read", "sizes"]


def sizes(folder: Path) -> dict[str, int]:
    """
    Return the files right in *folder*, wherever they are kept: their names and bytes.

    Raises:
        StorageError: If that cannot be found out.
    """
    store = store_of(folder)
    if store is not None:
        return store.sizes(folder)
    found = folder.iterdir() if folder.is_dir() else ()
    return {path.name: path.stat().st_size for path in found if _is_plain(path)}


def read(path: Path) -> bytes:
    """
    Return what a file holds, wherever it is kept: nothing of it is left on this machine.

    Raises:
        StorageError: If it cannot be read.
    """
    store = store_of(path)
    if store is not None:
        return store.read(path)
    try:
        # What another process put there meanwhile may lead elsewhere.
        with open(path, "rb", opener=_without_links) as file:
            return file.read()
    except OSError as error:
        raise StorageError(f"{path.name} cannot be read: {error.strerror}") from error


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _without_links(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW)
