"""
The native dialect: ``hpo: 1``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_hpo.blueprint.checks import complete
from airflow_hpo.blueprint.dialects.base import source_of
from airflow_hpo.blueprint.dialects.native.keys import BLUEPRINT, VERSION
from airflow_hpo.blueprint.dialects.native.reader import read_draft
from airflow_hpo.blueprint.shapes import BROKEN

if TYPE_CHECKING:
    from airflow_hpo.blueprint.document import Document
    from airflow_hpo.blueprint.problems import Problems
    from airflow_hpo.model.blueprint import Blueprint

__all__ = ["NativeDialect"]


class NativeDialect:
    """
    Reads a mapping with the key ``hpo``.
    """

    name = "native"

    def claims(self, document: Document) -> bool:
        """
        Return whether the file is marked as a native blueprint.
        """
        return isinstance(document.data, dict) and "hpo" in document.data

    def parse(self, document: Document, problems: Problems) -> tuple[Blueprint, ...]:
        """
        Return the one blueprint of *document*.
        """
        if VERSION.read(document.data["hpo"], ("hpo",), problems) is BROKEN:
            return ()  # another version may mean anything by its keys
        found = BLUEPRINT.read(document.data, (), problems)
        draft = read_draft(found, document.data, problems)
        blueprint = complete(draft, problems, source_of(document, self.name))
        return () if blueprint is None else (blueprint,)
