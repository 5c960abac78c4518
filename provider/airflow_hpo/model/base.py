"""
The base of every document: frozen, and closed to unknown keys.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["Document"]


class Document(BaseModel):
    """
    A value that is read from and written to JSON or YAML as a mapping.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        # What a letter is differs between the engines; the rest of us, Airflow
        # among it, goes by Python's.
        regex_engine="python-re",
        ser_json_inf_nan="strings",
    )
