"""
Values as JSON text: what goes in comes out, type included.

Text is ASCII with escapes, so that any database keeps it, whatever its own
encoding, and even text that no encoding can hold (a lone surrogate, a NUL).
NaN and infinities are kept as JavaScript spells them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from airflow_hpo.model.values import Value

__all__ = ["copy", "dump", "parse"]


def dump(value: Value, *, sort_keys: bool = False) -> str:
    """
    Return *value* as JSON text.

    Tuples become lists, and numbers of numeric libraries plain numbers.

    Args:
        value: Any JSON value.

        sort_keys: Whether equal mappings give equal text, however filled.

    Raises:
        ValueError: If JSON has no form for something in it.
    """
    if value.__class__ is dict and not value:
        return "{}"
    return json.dumps(value, default=_plain, sort_keys=sort_keys, separators=(",", ":"))


def parse(text: str) -> Value:
    """
    Return the value that `dump` was given.
    """
    # Most mappings of most trials are empty.
    return {} if text == "{}" else json.loads(text)


def copy(value: Value) -> Value:
    """
    Return *value* as it would come back from a database.
    """
    return parse(dump(value))


def _plain(value: Any) -> Value:  # noqa: ANN401 - whatever json cannot write
    if isinstance(value, Mapping):
        return dict(value)
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        return value.item()  # a number of numpy or torch
    raise ValueError(f"values must be JSON-compatible, got {type(value).__name__}: {value!r:.100}")
