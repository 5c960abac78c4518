"""
The dialect of ClearML: the arguments of a ``HyperParameterOptimizer`` as a file.

A file has the arguments by their names, parameters as ClearML writes them
(``{type: UniformParameterRange, name: ..., ...}``). What ClearML stores of an
optimisation, ``parameter_optimization_space`` and ``opt``, is read too. What
ClearML has no argument for stands in a section ``airflow_hpo``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from airflow_hpo.blueprint.checks import complete
from airflow_hpo.blueprint.dialects.base import source_of
from airflow_hpo.blueprint.dialects.clearml.keys import SPACES
from airflow_hpo.blueprint.dialects.clearml.metrics import metric_name, objectives_of
from airflow_hpo.blueprint.dialects.clearml.ranges import read_range
from airflow_hpo.blueprint.dialects.clearml.space import external_name
from airflow_hpo.blueprint.dialects.clearml.study import read_draft
from airflow_hpo.blueprint.document import read_document
from airflow_hpo.blueprint.problems import Problems
from airflow_hpo.errors import BlueprintError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_hpo.blueprint.document import Document
    from airflow_hpo.model.blueprint import Blueprint
    from airflow_hpo.model.distribution import Distribution
    from airflow_hpo.model.values import Value

__all__ = ["ClearmlDialect", "distribution_of", "external_name", "metric_name", "objectives_of"]

_MARKS = (*SPACES, "objective_metric_title", "base_task_id")


class ClearmlDialect:
    """
    Reads a mapping with ``hyper_parameters``, or with other arguments of ClearML's.
    """

    name = "clearml"

    def claims(self, document: Document) -> bool:
        """
        Return whether the file has an argument that only ClearML has.
        """
        return isinstance(document.data, dict) and any(name in document.data for name in _MARKS)

    def parse(self, document: Document, problems: Problems) -> tuple[Blueprint, ...]:
        """
        Return the one blueprint of *document*.
        """
        draft = read_draft(document.data, problems)
        blueprint = complete(draft, problems, source_of(document, self.name))
        return () if blueprint is None else (blueprint,)


def distribution_of(value: Mapping[str, Value], *, grid: bool = False) -> Distribution:
    """
    Return what one of ClearML's ranges draws from.

    Args:
        value: The range as ClearML stores it.

        grid: Whether every value is tried: then there is an end to them.

    Raises:
        BlueprintError: With everything that is wrong with it.
    """
    document = read_document(json.dumps(value), file=f"<{value.get('type')}>")
    problems = Problems(document, warnings=False)
    distribution = read_range(document.data, (), problems, grid=grid)
    if distribution is None:
        raise BlueprintError(problems.found)
    return distribution
