"""
A study's report as it was written last, from wherever the files of studies are kept.
"""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import HTTPException

from airflow_hpo.driver.stored import read, sizes
from airflow_hpo.driver.workspace import study_folder
from airflow_hpo.hooks.study import StudyHook

__all__ = ["KINDS", "written", "written_sizes"]

KINDS: Mapping[str, str] = {
    "report.html": "text/html; charset=utf-8",
    "summary.md": "text/markdown; charset=utf-8",
    "summary.json": "application/json",
    "trials.csv": "text/csv; charset=utf-8",
    "trials.json": "application/json",
    "trials.parquet": "application/vnd.apache.parquet",
}
"""What may be fetched, by name, with its type: nothing else is ever opened."""

# Bytes of the largest file that is held in the server's memory to be sent.
_MOST = 64 * 2**20


def written_sizes(study: str) -> dict[str, int]:
    """
    Return the names of the files of the report of *study*, and their sizes in bytes.

    Raises:
        StorageError: If they cannot be listed.
    """
    found = sizes(study_folder(StudyHook().artifacts(), study) / "report")
    return {name: found[name] for name in KINDS if name in found}


def written(study: str, name: str) -> bytes:
    """
    Return what a file of the report of *study* holds.

    Raises:
        HTTPException: If there is no such file, or it is too large to be sent.

        StorageError: If it cannot be read.
    """
    size = written_sizes(study).get(name)
    if size is None:
        raise HTTPException(404, "there is no such file")
    if size > _MOST:
        raise HTTPException(
            413,
            f"{name} has {size} bytes, and {_MOST} are sent at most: fetch it from the artifacts",
        )
    return read(study_folder(StudyHook().artifacts(), study) / "report" / name)
