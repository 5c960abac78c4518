"""
What a dialect is, and what all of them use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from pydantic import BaseModel, ValidationError

from airflow_hpo.model.blueprint import Source
from airflow_hpo.model.explain import flaws

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_hpo.blueprint.document import Document, Path
    from airflow_hpo.blueprint.problems import Problems
    from airflow_hpo.model.blueprint import Blueprint

__all__ = ["Dialect", "build", "source_of"]

_Model = TypeVar("_Model", bound=BaseModel)


@runtime_checkable
class Dialect(Protocol):
    """
    Reads files of one vocabulary. Made without arguments; holds no state.

    It notes every problem it finds, not the first: with the collector's
    document at hand each gets its place. What is not about the vocabulary but
    about the study is left to `airflow_hpo.blueprint.checks.complete`.
    """

    @property
    def name(self) -> str:
        """
        Its name in the table of dialects.
        """

    def claims(self, document: Document) -> bool:
        """
        Return whether *document* is written in this dialect, right or wrong.

        Must be quick, and never raise.
        """

    def parse(self, document: Document, problems: Problems) -> tuple[Blueprint, ...]:
        """
        Return the studies of *document*, in its order.

        Args:
            document: One that it claims.

            problems: Gets all that is wrong. Where there are errors, what is
                returned is of no account.
        """


def source_of(document: Document, dialect: str) -> Source:
    """
    Return where the blueprints of *document* come from.
    """
    return Source(dialect=dialect, file=document.file, text=document.text, sha256=document.sha256)


def build(
    model: type[_Model],
    values: Mapping[str, Any],
    path: Path,
    problems: Problems,
    *,
    hint: str | None = None,
) -> _Model | None:
    """
    Return a *model* of *values*, or note at *path* why there is none.

    Args:
        model: Part of a blueprint.

        values: Its arguments, already of the right shapes.

        path: Where they stand; a flaw of one of them is noted below it.

        problems: Gets the flaws.

        hint: For flaws that bring none.
    """
    try:
        return model(**values)
    except ValidationError as error:
        for flaw in flaws(error, model):
            here, message = (*path, *flaw.path), flaw.message
            if not problems.document.has(*here):
                # The model's name of it, which the file does not know.
                here = path
                message = str(flaw).replace(": ", " ", 1) if message.startswith("must") else message
            problems.error(here, message, hint=flaw.hint or hint)
    return None
