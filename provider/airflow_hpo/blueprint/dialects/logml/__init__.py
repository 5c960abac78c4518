"""
The dialect of Log(ML): the section ``hyper_parameter_optimization`` of its config.

A trial is one run of the whole Log(ML) workflow without its own search. It
gets a config of its own: the file's, with the trial's values merged over
``functions``. The study's loss is what Log(ML) minimises: the evaluation on
the validation data, read from its log.

What a config has no place for (which program to run, where) may stand in a
section ``airflow_hpo``, which Log(ML) passes over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_hpo.blueprint.checks import complete
from airflow_hpo.blueprint.dialects.base import source_of
from airflow_hpo.blueprint.dialects.logml.keys import SEARCH
from airflow_hpo.blueprint.dialects.logml.study import read_draft
from airflow_hpo.blueprint.dialects.own import OWN
from airflow_hpo.blueprint.problems import show

if TYPE_CHECKING:
    from airflow_hpo.blueprint.document import Document
    from airflow_hpo.blueprint.problems import Problems
    from airflow_hpo.model.blueprint import Blueprint
    from airflow_hpo.model.values import Value

__all__ = ["LogmlDialect"]


class LogmlDialect:
    """
    Reads a mapping with the key ``hyper_parameter_optimization``.
    """

    name = "logml"

    def claims(self, document: Document) -> bool:
        """
        Return whether the file is a config of Log(ML) with a search, or one of its models.
        """
        return isinstance(document.data, dict) and (
            SEARCH in document.data or _is_of_models(document.data)
        )

    def parse(self, document: Document, problems: Problems) -> tuple[Blueprint, ...]:
        """
        Return the one blueprint of *document*; none where the search is switched off.
        """
        data = document.data
        if SEARCH not in data:
            _refuse_models(data, problems)
            return ()
        if not isinstance(data[SEARCH], dict):
            problems.error((SEARCH,), f"must be a mapping, got {show(data[SEARCH])}")
            return ()
        draft = read_draft(data, problems)
        if data[SEARCH].get("enable", True) is False:
            message = "is false: the file makes no study"
            problems.warn((SEARCH, "enable"), message, hint="write true, or leave it out")
            return ()
        blueprint = complete(draft, problems, source_of(document, self.name))
        return () if blueprint is None else (blueprint,)


def _is_of_models(data: dict[str, Value]) -> bool:
    """
    Return whether this is one of the files that a ``model_search`` includes.
    """
    return all(isinstance(item, dict) for item in data.values()) and any(
        SEARCH in item for name, item in data.items() if name != OWN
    )


def _refuse_models(data: dict[str, Value], problems: Problems) -> None:
    for name, item in data.items():
        if SEARCH in item:
            problems.error(
                (name,),
                "a model of a model search is not supported yet",
                hint="merge it into a config of its own, its sections at the top level",
                at_key=True,
            )
