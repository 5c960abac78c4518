"""
MODEL -> TEXT: a blueprint in the native dialect, which can say all of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_hpo.blueprint.dialects.writing import Written
from airflow_hpo.blueprint.dump import dump

if TYPE_CHECKING:
    from airflow_hpo.model.blueprint import Blueprint

__all__ = ["write"]


def write(blueprint: Blueprint) -> Written:
    """
    Return *blueprint* in the native dialect; nothing gets lost.
    """
    return Written(dump(blueprint))
