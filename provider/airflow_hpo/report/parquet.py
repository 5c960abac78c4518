"""
ROWS -> PARQUET: one typed column each, for pandas, Polars, DuckDB and the like.

Imported where a file is wanted: it needs pyarrow, which is an extra.
"""

from __future__ import annotations

import importlib.util
import io
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_hpo.report.files import finite

if TYPE_CHECKING:
    from airflow_hpo.model.values import Value

__all__ = ["INSTALL", "can_write_parquet", "to_parquet"]

INSTALL = "pip install 'airflow-provider-hpo[parquet]'"
"""What brings pyarrow along."""

# Columns that hold moments, as ISO 8601.
_MOMENTS = {"started", "finished"}


def can_write_parquet() -> bool:
    """
    Return whether pyarrow is there.
    """
    return importlib.util.find_spec("pyarrow") is not None


def to_parquet(rows: Sequence[Mapping[str, Value]], columns: Sequence[str]) -> bytes:
    """
    Return *rows* as a Parquet file.

    A column is of whole numbers, numbers, truth values, text or moments where
    all its values are; otherwise it is text, and what is no text stands in it
    as JSON.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = {name: _array(pa, name, [row[name] for row in rows]) for name in columns}
    file = io.BytesIO()
    pq.write_table(pa.table(arrays), file)
    return file.getvalue()


def _array(pa: Any, name: str, values: list[Value]) -> Any:  # noqa: ANN401 - pyarrow has no types
    present = [value for value in values if value is not None]
    if name in _MOMENTS:
        moments = [None if value is None else datetime.fromisoformat(value) for value in values]
        return pa.array(moments, pa.timestamp("us", tz="UTC"))
    kinds = {type(value) for value in present}
    if kinds == {bool}:
        return pa.array(values, pa.bool_())
    if kinds == {int} and all(-(2**63) <= value < 2**63 for value in present):
        return pa.array(values, pa.int64())
    if kinds and kinds <= {int, float} and float in kinds:
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    return pa.array([_text(value) for value in values], pa.string())


def _text(value: Value) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(finite(value), ensure_ascii=False)
