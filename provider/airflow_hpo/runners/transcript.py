"""
A job's output, copied line by line from where the job runs into its workspace.

Services that run jobs forget their output, or hand it out by marks of their own.
The copy is the job's log: it only grows, and a cursor into it is a byte offset,
for whoever reads it. Beside it stand its size and the service's own mark, so that
any process goes on copying where another one stopped::

    trial.1.log                 the copy
    .jobs/trial.1.position      how far it goes; what was written after is not counted
    .jobs/trial.1.writer        held while somebody copies
"""

from __future__ import annotations

import fcntl
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_hpo.errors import TrialFailedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from airflow_hpo.runners.files import JobFiles

__all__ = ["Pen", "writing"]


class Pen:
    """
    Writes to the copy of one job's output, while nobody else does.

    Args:
        files: The job's.
    """

    def __init__(self, files: JobFiles) -> None:
        self._log = files.log
        self._position = position_file(files)
        self.size, self.mark = self._known()

    def _known(self) -> tuple[int, Mapping[str, Any]]:
        try:
            known = json.loads(self._position.read_text("utf-8"))
            size, mark = int(known["size"]), dict(known["mark"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0, {}
        # Whoever took the log away gets a new one.
        return (size, mark) if _size(self._log) >= size else (0, {})

    def write(self, data: bytes, mark: Mapping[str, Any]) -> None:
        """
        Append *data*, and keep what the service calls the place behind it.
        """
        with self._log.open("ab") as file:
            # What a killed process wrote without keeping its mark comes again.
            file.truncate(self.size)
            file.write(data)
        self.size += len(data)
        self.mark = dict(mark)
        new = self._position.with_suffix(".new")
        new.write_text(json.dumps({"size": self.size, "mark": self.mark}), "utf-8")
        new.replace(self._position)


@contextmanager
def writing(files: JobFiles) -> Iterator[Pen]:
    """
    Lend the pen of a job's copy; others wait.

    Raises:
        TrialFailedError: If nothing can be written there.
    """
    try:
        # Another machine than the one that started the job may have to make it.
        files.handle.parent.mkdir(parents=True, exist_ok=True)
        with files.handle.with_suffix(".writer").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield Pen(files)
    except OSError as error:
        raise TrialFailedError(f"the workspace cannot be written to: {error}") from error


def position_file(files: JobFiles) -> Path:
    """
    Return the file that says how far the copy goes.
    """
    return files.handle.with_suffix(".position")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
