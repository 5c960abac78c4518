"""
VALUES -> FILES: CSV and JSON that any reader takes, written whole or not at all.
"""

from __future__ import annotations

import csv
import json
import math
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_hpo.model.values import Value

__all__ = ["finite", "to_json", "write_bytes", "write_csv", "write_text"]


def write_csv(rows: Iterable[Mapping[str, Value]], file: TextIO, *, columns: Sequence[str]) -> None:
    """
    Write *rows* as CSV: text as it is, `None` empty, anything else as JSON.

    Text that a spreadsheet would run as a formula is preceded by an apostrophe.
    """
    plain = csv.writer(file, lineterminator="\n")
    # A carriage return is quoted by some versions of Python only.
    quoted = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
    plain.writerow([_csv_cell(column) for column in columns])
    for row in rows:
        cells = [_csv_cell(row[column]) for column in columns]
        writer = quoted if any("\r" in cell for cell in cells) else plain
        writer.writerow(cells)


def _csv_cell(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    return json.dumps(value, ensure_ascii=False)


# A spreadsheet runs text that begins with one of these.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001


def to_json(value: Value) -> str:
    """
    Return *value* as indented JSON text that any reader takes.

    JSON has no NaN and no infinity: they become text.
    """
    return json.dumps(finite(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def finite(value: Value) -> Value:
    """
    Return *value* with the numbers that JSON does not have as text.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


def write_text(path: Path, text: str) -> None:
    """
    Write *text* to *path* whole or not at all, in UTF-8.
    """
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """
    Write *data* to *path* whole or not at all.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
