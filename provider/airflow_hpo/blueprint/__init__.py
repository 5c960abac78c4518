"""
TEXT -> MODEL: blueprints are read, checked as a whole, and written.

Every problem of a file is reported at once, with line and column.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.document import read_document
from airflow_hpo.blueprint.dump import dump
from airflow_hpo.blueprint.finding import dialect_of
from airflow_hpo.blueprint.problems import Problems
from airflow_hpo.blueprint.text import MAX_BYTES
from airflow_hpo.errors import BlueprintError, Problem

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from airflow_hpo.model.blueprint import Blueprint

__all__ = [
    "check",
    "check_text",
    "dump",
    "load_blueprint",
    "load_blueprints",
    "parse_blueprints",
]


def load_blueprints(
    path: str | os.PathLike[str],
    *,
    problems: list[Problem] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> tuple[Blueprint, ...]:
    """
    Return every blueprint in the file at *path*, in its order.

    Args:
        path: A YAML or JSON file in any dialect.

        problems: Gets the warnings, if anybody wants to see them.

        defaults: For top-level keys that the file does not have.

    Raises:
        OSError: If the file cannot be read.

        BlueprintError: With everything that is wrong in it.
    """
    content = _content(path)
    return parse_blueprints(content, file=str(path), problems=problems, defaults=defaults)


def load_blueprint(
    path: str | os.PathLike[str],
    *,
    problems: list[Problem] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> Blueprint:
    """
    Return the only blueprint in the file at *path*; arguments as above.

    Raises:
        OSError: If the file cannot be read.

        BlueprintError: With everything that is wrong in it; also if it holds
            several blueprints.
    """
    blueprints = load_blueprints(path, problems=problems, defaults=defaults)
    if len(blueprints) != 1:
        names = ", ".join(blueprint.name for blueprint in blueprints) or "none"
        message = f"the file must hold one blueprint, got {names}"
        raise BlueprintError([Problem("", message, file=str(path), line=1, column=1)])
    return blueprints[0]


def parse_blueprints(
    text: str | bytes,
    *,
    file: str = "<blueprint>",
    problems: list[Problem] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> tuple[Blueprint, ...]:
    """
    Return every blueprint in *text*, in its order.

    Args:
        text: YAML or JSON, in any dialect; or the bytes of such a file.

        file: Its name: for messages, and what relative folders start from.

        problems: Gets the warnings, if anybody wants to see them.

        defaults: For top-level keys that the text does not have.

    Raises:
        BlueprintError: With everything that is wrong.
    """
    document = read_document(text, file=file)
    if defaults:
        document = document.completed(defaults)
    found = Problems(document, warnings=problems is not None)
    blueprints = dialect_of(document).parse(document, found)
    if found.errors:
        raise BlueprintError(found.found)
    if problems is not None:
        problems.extend(found.found)
    return blueprints


def check(path: str | os.PathLike[str]) -> tuple[Problem, ...]:
    """
    Return everything that is wrong or noteworthy in the file at *path*.

    Errors and warnings come in the file's order; nothing in the file raises.

    Raises:
        OSError: If the file cannot be read.
    """
    return check_text(_content(path), file=str(path))


def check_text(text: str | bytes, *, file: str = "<blueprint>") -> tuple[Problem, ...]:
    """
    Return everything that is wrong or noteworthy in *text*, in its order.
    """
    problems: list[Problem] = []
    try:
        parse_blueprints(text, file=file, problems=problems)
    except BlueprintError as error:
        return error.problems
    return BlueprintError(problems).problems


def _content(path: str | os.PathLike[str]) -> bytes:
    with Path(path).open("rb") as file:
        # One byte more than is allowed is enough to refuse it.
        return file.read(MAX_BYTES + 1)
