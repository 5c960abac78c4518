"""
The dialect of Polyaxon: groups with ``hptuning``, operations with a ``matrix``.

An experiment is a trial. It gets its parameters by its command, a Jinja
template, and by ``POLYAXON_PARAMS``.

What a file has no place for (a metric where no algorithm names one, where
trials run) may stand in a section ``airflow_hpo``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_hpo.blueprint.checks import complete
from airflow_hpo.blueprint.dialects.base import source_of
from airflow_hpo.blueprint.dialects.polyaxon.newer import ALGORITHMS as NEWER
from airflow_hpo.blueprint.dialects.polyaxon.newer import read_newer
from airflow_hpo.blueprint.dialects.polyaxon.older import ALGORITHMS as OLDER
from airflow_hpo.blueprint.dialects.polyaxon.older import read_older
from airflow_hpo.blueprint.dialects.polyaxon.study import read_draft

if TYPE_CHECKING:
    from airflow_hpo.blueprint.document import Document
    from airflow_hpo.blueprint.problems import Problems
    from airflow_hpo.model.blueprint import Blueprint
    from airflow_hpo.model.values import Value

__all__ = ["PolyaxonDialect"]


class PolyaxonDialect:
    """
    Reads a Polyaxonfile with a search; those without one are nobody's.
    """

    name = "polyaxon"

    def claims(self, document: Document) -> bool:
        """
        Return whether the file is a group or an operation with a search.
        """
        data = document.data
        if not isinstance(data, dict) or "hpo" in data:
            return False
        return "hptuning" in data or _is_oldest(data) or _is_newer(data) or bool(_searches(data))

    def parse(self, document: Document, problems: Problems) -> tuple[Blueprint, ...]:
        """
        Return the one blueprint of *document*.
        """
        data = document.data
        if _is_newer(data) and "hptuning" not in data:
            reading = read_newer(data, problems)
        elif "hptuning" in data or _is_oldest(data):
            reading = read_older(data, problems)
        else:
            _refuse_dag(data, problems)
            return ()
        draft = read_draft(reading, problems)
        blueprint = complete(draft, problems, source_of(document, self.name))
        return () if blueprint is None else (blueprint,)


def _is_oldest(data: dict[str, Value]) -> bool:
    settings = data.get("settings")
    return isinstance(settings, dict) and ("matrix" in settings or any(map(settings.get, OLDER)))


def _is_newer(data: dict[str, Value]) -> bool:
    matrix = data.get("matrix")
    if not isinstance(matrix, dict):
        return "matrix" in data and data.get("kind") == "operation"
    return data.get("kind") == "operation" or matrix.get("kind") in NEWER


def _searches(data: dict[str, Value]) -> dict[int, Value]:
    """
    Return the operations of a DAG of Polyaxon's that have a search.
    """
    run = data.get("run")
    found = run.get("operations") if isinstance(run, dict) and run.get("kind") == "dag" else None
    operations = found if isinstance(found, list) else []
    return {
        index: operation
        for index, operation in enumerate(operations)
        if isinstance(operation, dict) and "matrix" in operation
    }


def _refuse_dag(data: dict[str, Value], problems: Problems) -> None:
    for index in _searches(data):
        problems.error(
            ("run", "operations", index),
            "a search within a DAG of Polyaxon's is not supported",
            hint="put the operation in a file of its own",
            at_key=True,
        )
