"""
Which dialect a document is written in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_hpo.blueprint.dialects import DIALECTS
from airflow_hpo.errors import DialectError, Problem

if TYPE_CHECKING:
    from airflow_hpo.blueprint.dialects.base import Dialect
    from airflow_hpo.blueprint.document import Document

__all__ = ["dialect_of"]


def dialect_of(document: Document) -> Dialect:
    """
    Return the dialect that claims *document*.

    Raises:
        DialectError: If none does, or several do.
    """
    native: Dialect = DIALECTS.load("native")()
    if native.claims(document):
        return native  # its mark is unmistakable: no need to load the others
    others = [name for name in DIALECTS.names() if name != "native"]
    claiming: list[Dialect] = [
        dialect
        for dialect in (DIALECTS.load(name)() for name in others)
        if dialect.claims(document)
    ]
    if len(claiming) == 1:
        return claiming[0]
    if claiming:
        names = ", ".join(dialect.name for dialect in claiming)
        raise _refusal(document, f"must be written in one dialect, got {names}", None)
    hint = "start the file with hpo: 1"
    raise _refusal(document, "must be a blueprint, got a file that no dialect claims", hint)


def _refusal(document: Document, message: str, hint: str | None) -> DialectError:
    line, column = document.where()
    return DialectError([Problem("", message, hint, file=document.file, line=line, column=column)])
