"""
The native dialect as a JSON Schema, for editors that complete and check.
"""

from __future__ import annotations

from typing import Any

from airflow_hpo.blueprint.dialects.native.keys import BLUEPRINT

__all__ = ["json_schema"]


def json_schema() -> dict[str, Any]:
    """
    Return the JSON Schema (2020-12) of a native blueprint.

    It knows every key and the shape of its value. What the keys mean together
    (bounds, names in commands, ...) only ``hpo check`` knows.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Blueprint",
        "description": "One study of a hyperparameter optimisation.",
        **BLUEPRINT.schema(),
    }
