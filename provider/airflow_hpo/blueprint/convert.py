"""
MODEL -> TEXT: a blueprint in any dialect that can be written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_hpo.blueprint.dialects import WRITERS

if TYPE_CHECKING:
    from airflow_hpo.blueprint.dialects.writing import Writer, Written
    from airflow_hpo.model.blueprint import Blueprint

__all__ = ["convert"]


def convert(blueprint: Blueprint, *, to: str) -> Written:
    """
    Return *blueprint* as a file of the dialect *to*, and what got lost.

    Raises:
        ValueError: If there is no such dialect, or it cannot be written.
    """
    write: Writer = WRITERS.load(to)
    return write(blueprint)
