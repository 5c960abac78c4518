"""
FILE -> TRIALS: CSV, JSON and JSON lines, by the file's name.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from airflow_hpo.errors import StudyError
from airflow_hpo.history.lines import read_json_lines
from airflow_hpo.history.tables import read_csv, read_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_hpo.history.told import Entry, Told
    from airflow_hpo.model.blueprint import Blueprint

__all__ = ["describe", "find_file", "read_entries", "read_file"]

# Larger ones are no list of trials.
_MOST_BYTES = 256 * 2**20

# So many problems of a file are listed.
_LISTED = 50


def find_file(blueprint: Blueprint, file: str) -> Path:
    """
    Return where *file* of a blueprint lies: beside the blueprint, unless absolute.
    """
    source = blueprint.source.file
    folder = Path() if not source or source.startswith("<") else Path(source).absolute().parent
    return folder / file


def read_entries(text: str, blueprint: Blueprint, *, suffix: str) -> list[Entry]:
    """
    Return the trials that *text* holds, with what is wrong with each.

    Args:
        text: The whole file.

        blueprint: Says what columns and values mean.

        suffix: ``.csv``, ``.json``, or anything else for JSON lines.
    """
    if suffix == ".csv":
        return list(read_csv(text, blueprint))
    if suffix == ".json":
        return list(read_json(text, blueprint))
    metrics = [objective.metric for objective in blueprint.objectives]
    return list(read_json_lines(text, metrics))


def read_file(path: Path, blueprint: Blueprint) -> list[Told]:
    """
    Return the trials of a file.

    Raises:
        StudyError: With all that is wrong with it, each with its line.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            limit = _MOST_BYTES // 2**20
            raise StudyError(f"a file of trials must have at most {limit} MiB, got {path}")
        text = path.read_bytes().decode("utf-8-sig", "replace")
    except OSError as error:
        raise StudyError(f"{path} cannot be read: {error.strerror or error}") from error
    entries = read_entries(text, blueprint, suffix=path.suffix.lower())
    problems = [(entry.line, message) for entry in entries for message in entry.problems]
    if problems:
        raise StudyError(describe(str(path), problems))
    return [entry.told for entry in entries if entry.told is not None]


def describe(file: str, problems: Sequence[tuple[int, str]]) -> str:
    """
    Return the message that lists *problems*: lines of *file* with what is wrong.
    """
    noun = "problem" if len(problems) == 1 else "problems"
    lines = [f"{file}:{line}: {message}" for line, message in problems[:_LISTED]]
    more = len(problems) - len(lines)
    return "\n".join(
        [f"{len(problems)} {noun} in history:", *lines, *([f"and {more} more"] if more else [])]
    )
