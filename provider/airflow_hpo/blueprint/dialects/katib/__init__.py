"""
The dialect of Katib: an Experiment of ``kubeflow.org/v1beta1``.

The resource is read as it stands: objective, algorithm, parameters, early
stopping, and a trial template that is a Job. What an Experiment has no key for
stands in a section ``airflow_hpo``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_hpo.blueprint.checks import complete
from airflow_hpo.blueprint.dialects.base import source_of
from airflow_hpo.blueprint.dialects.katib.study import read_draft

if TYPE_CHECKING:
    from airflow_hpo.blueprint.document import Document
    from airflow_hpo.blueprint.problems import Problems
    from airflow_hpo.model.blueprint import Blueprint

__all__ = ["KatibDialect"]


class KatibDialect:
    """
    Reads a mapping of the kind ``Experiment``.
    """

    name = "katib"

    def claims(self, document: Document) -> bool:
        """
        Return whether the file is an Experiment, or has the template of one's trials.
        """
        data = document.data
        if not isinstance(data, dict) or "hpo" in data:
            return False
        spec = data.get("spec")
        if data.get("kind") == "Experiment" and "apiVersion" in data:
            return True
        return isinstance(spec, dict) and "trialTemplate" in spec

    def parse(self, document: Document, problems: Problems) -> tuple[Blueprint, ...]:
        """
        Return the one blueprint of *document*.
        """
        draft = read_draft(document.data, problems)
        blueprint = complete(draft, problems, source_of(document, self.name))
        return () if blueprint is None else (blueprint,)
