"""
Metrics from a file that the training code writes: JSON, JSON lines or CSV.
"""

from __future__ import annotations

import csv
import json
import os
import stat
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from airflow_hpo.metrics.base import CollectorOptions, Meter, Notes
from airflow_hpo.metrics.text import MAX_LINE, flat_metrics, from_text, parse_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_hpo.model.trial import Measurement
    from airflow_hpo.model.values import Value

__all__ = ["FileCollector", "FileOptions"]

FileFormat = Literal["json", "json_lines", "csv"]

_BY_SUFFIX: dict[str, FileFormat] = {
    ".json": "json",
    ".jsonl": "json_lines",
    ".ndjson": "json_lines",
    ".csv": "csv",
}

# Bytes of the longest line; and of a JSON document.
_LINE = 4 * 2**20
_DOCUMENT = 16 * 2**20

# Bytes at the end of what was read that tell whether a file is still the same.
_COMPARED = 4096

# Seconds by which a file may seem older than it is: kernels stamp files with a
# clock that ticks a hundred times a second, some file systems in whole seconds.
_TICK_S = 0.02
_SECOND_S = 1.0


class FileOptions(CollectorOptions):
    """
    Options of the file format.

    Args:
        path:
            Relative to the trial's own folder, which the code finds in
            ``HPO_OUTPUT_DIR``.

        format:
            ``json`` (an object, or a list of them, read at the end),
            ``json_lines``, or ``csv`` with a header; both are read as they
            grow. By default what the path's suffix says.

        delimiter: Between the cells of a CSV file.
    """

    path: str = Field(min_length=1)
    format: FileFormat | None = None
    delimiter: str = Field(default=",", min_length=1, max_length=1)

    @field_validator("path")
    @classmethod
    def _inside(cls, path: str) -> str:
        parts = PurePosixPath(path)
        if parts.is_absolute() or ".." in parts.parts or "\0" in path:
            raise ValueError(f"path must lie within the trial's own folder, got {path!r}")
        return path

    @model_validator(mode="after")
    def _told(self) -> FileOptions:
        if self.format is None and PurePosixPath(self.path).suffix not in _BY_SUFFIX:
            known = ", ".join(_BY_SUFFIX)
            raise ValueError(
                f"format must be given where the path does not end in {known}, got {self.path!r}"
            )
        return self

    @property
    def kind(self) -> FileFormat:
        """
        The format, given or by suffix.
        """
        return self.format or _BY_SUFFIX[PurePosixPath(self.path).suffix]


class FileCollector:
    """
    Reads a file in the trial's folder: rows as they come, a document at the end.

    A file that is written anew with more rows behind the same ones, as by code
    that saves its whole history each epoch, goes on where it was; one with
    other rows is read from its start. What an older attempt left is passed
    over until this attempt writes to it.
    """

    options_class: ClassVar[type[CollectorOptions]] = FileOptions
    rereads: ClassVar[bool] = True

    def __init__(
        self,
        options: FileOptions,
        *,
        resource: str | None = None,
        workspace: str | None = None,
        since: float | None = None,
    ) -> None:
        if workspace is None:
            raise ValueError("metrics from a file need a trial's folder, got none")
        self._options = options
        self._meter = Meter(options, resource)
        self._notes = Notes()
        self._file = _GrowingFile(Path(workspace) / options.path, since)
        self._table = _Table(options.delimiter, self._notes)

    @property
    def notes(self) -> Sequence[str]:
        """
        What was passed over and why.
        """
        return self._notes.sentences()

    def feed(self, lines: Sequence[str], now: float) -> list[Measurement]:  # noqa: ARG002
        """
        Return what was added to the file; the output itself does not matter.
        """
        return [] if self._options.kind == "json" else self._rows(now, ended=False)

    def finish(self, now: float) -> list[Measurement]:
        """
        Return the rest of the file.
        """
        if not self._file.is_there():
            self._notes.add(f"the metrics file {self._options.path} was not written")
            return []
        if self._options.kind == "json":
            found = self._document()
            return [self._meter.measurement(metrics, now) for metrics in found if metrics]
        return self._rows(now, ended=True)

    def _rows(self, now: float, *, ended: bool) -> list[Measurement]:
        measurements = []
        for line, is_first in self._file.lines(ended=ended):
            if self._options.kind == "csv":
                metrics = self._table.row(line, is_first=is_first)
            else:
                metrics = parse_line(line, self._notes)
            if metrics:
                measurements.append(self._meter.measurement(metrics, now))
        return measurements

    def _document(self) -> Iterator[dict[str, Value]]:
        data = self._file.content(_DOCUMENT + 1)
        if len(data) > _DOCUMENT:
            self._notes.add(f"{self._options.path} is longer than {_DOCUMENT} bytes")
            return
        try:
            document = json.loads(data.decode("utf-8-sig"))
        except (ValueError, RecursionError):
            self._notes.add(f"{self._options.path} is no JSON document")
            return
        for item in document if isinstance(document, list) else [document]:
            if isinstance(item, dict):
                yield flat_metrics(item, self._notes)
            else:
                self._notes.add(f"{self._options.path} holds something else than objects")


class _Table:
    """
    Turns the lines of a CSV file into metrics.
    """

    def __init__(self, delimiter: str, notes: Notes) -> None:
        self._delimiter = delimiter
        self._notes = notes
        self._names: list[str] | None = None
        self._open = ""  # a row whose quoted cell goes on in the next line

    def row(self, line: str, *, is_first: bool) -> dict[str, Value]:
        """
        Return the cells of one row by name; nothing for the header.
        """
        if is_first:
            self._names, self._open = None, ""
        line = self._open + line
        if line.count('"') % 2 and len(line) < MAX_LINE:
            self._open = line + "\n"
            return {}
        self._open = ""
        try:
            cells = next(csv.reader([line], delimiter=self._delimiter), [])
        except csv.Error:
            self._notes.add("a row of the metrics file is no CSV")
            return {}
        if self._names is None:
            self._names = [cell.strip() for cell in cells] or None
            return {}
        named = zip(self._names, cells, strict=False)
        return {name: from_text(cell) for name, cell in named if name and cell.strip()}


class _GrowingFile:
    """
    A file that somebody else writes, read as it grows.

    Args:
        path: Where it is, or will be.

        since: A file that was last written before that is not there yet.
    """

    def __init__(self, path: Path, since: float | None) -> None:
        self._path = path
        self._since = since
        self._read = 0
        self._before = b""  # the end of what was read

    def is_there(self) -> bool:
        """
        Return whether this attempt has written it.
        """
        return self._status() is not None

    def content(self, limit: int) -> bytes:
        """
        Return the file's first *limit* bytes.
        """
        with self._path.open("rb") as file:
            return file.read(limit)

    def lines(self, *, ended: bool) -> Iterator[tuple[str, bool]]:
        """
        Yield the complete lines that were not read before.

        Each comes with whether the file starts with it. The last line counts
        as complete once the attempt has *ended*.
        """
        if not self.is_there():
            return
        with self._path.open("rb") as file:
            file.seek(self._read - len(self._before))
            if file.read(len(self._before)) != self._before:
                self._read, self._before = file.seek(0), b""
            for line in _whole_lines(file, ended=ended):
                is_first = self._read == 0
                self._read += len(line)
                self._before = (self._before + line)[-_COMPARED:]
                text = line.decode("utf-8-sig" if is_first else "utf-8", "replace")
                yield text.rstrip("\r\n"), is_first

    def _status(self) -> os.stat_result | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        if not stat.S_ISREG(status.st_mode):  # a pipe would make us wait
            return None
        slack = _SECOND_S if status.st_mtime.is_integer() else _TICK_S
        is_old = self._since is not None and status.st_mtime + slack < self._since
        return None if is_old else status


def _whole_lines(file: BinaryIO, *, ended: bool) -> Iterator[bytes]:
    for line in iter(lambda: file.readline(_LINE), b""):
        if line.endswith(b"\n") or ended or len(line) == _LINE:
            yield line
