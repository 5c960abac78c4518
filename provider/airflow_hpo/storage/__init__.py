"""
Storage: study <-> database. The journal is ours, the mathematics is theirs.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_hpo.storage.base import Storage

__all__ = ["default_url", "open_storage"]


def default_url() -> str:
    """
    Return the URL of the journal where nobody configured one.

    ``HPO_STORAGE`` if it is set, else a SQLite file under Airflow's home, so
    that the command line and the DAGs on one machine see the same studies.
    """
    configured = os.environ.get("HPO_STORAGE")
    if configured:
        return configured
    home = Path(os.environ.get("AIRFLOW_HOME") or "~/airflow").expanduser()
    return f"sqlite:///{home / 'hpo' / 'studies.db'}"


def open_storage(url: str | None = None) -> Storage:
    """
    Return the journal at *url*; nothing is connected to before the first call.

    Args:
        url:
            ``sqlite:///FILE``, ``postgresql://USER:PASSWORD@HOST/DATABASE``, or
            ``memory://NAME``, which gives every caller in this process the
            same journal; `default_url` by default.

    Raises:
        StorageError: If it is none of these.
    """
    url = url or default_url()
    if url.startswith("memory://"):
        from airflow_hpo.storage.memory import shared_memory_storage

        return shared_memory_storage(url.removeprefix("memory://"))
    from airflow_hpo.storage.sql import SqlStorage

    return SqlStorage(url)
