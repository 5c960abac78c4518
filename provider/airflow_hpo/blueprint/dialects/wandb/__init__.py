"""
The dialect of Weights & Biases: the configuration of a sweep.

A file has the keys of a sweep: ``method``, ``metric``, ``parameters``,
``program`` or ``command``, ``early_terminate``, ``run_cap``. What a sweep has
no key for stands in a section ``airflow_hpo``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_hpo.blueprint.checks import complete
from airflow_hpo.blueprint.dialects.base import source_of
from airflow_hpo.blueprint.dialects.wandb.study import read_draft

if TYPE_CHECKING:
    from airflow_hpo.blueprint.document import Document
    from airflow_hpo.blueprint.problems import Problems
    from airflow_hpo.model.blueprint import Blueprint

__all__ = ["WandbDialect"]

_MARKS = ("method", "parameters", "program", "early_terminate", "run_cap")
_ENOUGH = 2


class WandbDialect:
    """
    Reads a mapping with ``method`` and ``parameters``, or with others of a sweep's keys.
    """

    name = "wandb"

    def claims(self, document: Document) -> bool:
        """
        Return whether the file has two keys that sweeps have.
        """
        data = document.data
        if not isinstance(data, dict) or "hpo" in data:
            return False
        return sum(name in data for name in _MARKS) >= _ENOUGH

    def parse(self, document: Document, problems: Problems) -> tuple[Blueprint, ...]:
        """
        Return the one blueprint of *document*.
        """
        draft = read_draft(document.data, problems)
        blueprint = complete(draft, problems, source_of(document, self.name))
        return () if blueprint is None else (blueprint,)
