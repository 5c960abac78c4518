"""
Arguments and options that several commands have.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from airflow_hpo.cli.output import Format, complain, refuse

if TYPE_CHECKING:
    from airflow_hpo.errors import Problem
    from airflow_hpo.model.blueprint import Blueprint
    from airflow_hpo.storage.base import Storage
    from airflow_hpo.study import Study

__all__ = [
    "ArtifactsOption",
    "BlueprintArgument",
    "FormatOption",
    "NameOption",
    "StorageOption",
    "StudyArgument",
    "artifacts_folder",
    "is_stdin",
    "known_studies",
    "open_journal",
    "open_study",
    "read_blueprint",
    "read_blueprints",
    "read_bytes",
    "read_some",
    "shown_name",
    "unreadable",
]

FormatOption = Annotated[
    Format, typer.Option("--format", help="Who reads it: a person or a program.")
]

StorageOption = Annotated[
    str | None,
    typer.Option(
        "--storage",
        metavar="URL",
        help="The journal of studies: a SQLite or PostgreSQL URL. "
        "Default: $HPO_STORAGE, else SQLite under Airflow's home.",
        show_default=False,
    ),
]

ArtifactsOption = Annotated[
    str | None,
    typer.Option(
        "--artifacts",
        metavar="DIR|URL",
        help="Folder of trials' files and reports, or s3://BUCKET/PATH. "
        "Default: $HPO_ARTIFACTS, else under Airflow's home.",
        show_default=False,
    ),
]

BlueprintArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="The blueprint, in any dialect; - for stdin.")
]

NameOption = Annotated[
    str | None,
    typer.Option(
        "--blueprint",
        metavar="NAME",
        help="Which blueprint of FILE, where it holds several.",
        show_default=False,
    ),
]


def known_studies(incomplete: str) -> list[str]:
    """
    Return the studies that a name may be completed to; none where the journal cannot be read.
    """
    from airflow_hpo.errors import HpoError

    try:
        names = [summary.name for summary in open_journal(None).studies()]
    except (HpoError, OSError):
        return []
    return [name for name in names if name.startswith(incomplete)]


StudyArgument = Annotated[
    str,
    typer.Argument(metavar="STUDY", help="The study's name.", autocompletion=known_studies),
]


def open_journal(url: str | None) -> Storage:
    """
    Return the journal that ``--storage`` names.
    """
    from airflow_hpo.storage import open_storage

    return open_storage(url)


def open_study(url: str | None, name: str) -> Study:
    """
    Return the study called *name* of the journal that ``--storage`` names.

    Raises:
        StudyNotFoundError: With the nearest names, if there is none.
    """
    from airflow_hpo.errors import StudyNotFoundError
    from airflow_hpo.study import Study

    storage = open_journal(url)
    try:
        return Study.load(storage, name)
    except StudyNotFoundError:
        known = [summary.name for summary in storage.studies()]
        raise StudyNotFoundError(_not_found(name, known)) from None


def _not_found(name: str, known: list[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=3, cutoff=0.5)
    message = f"no study is called {name!r}"
    if near:
        return f"{message}\n    hint: did you mean {' or '.join(map(repr, near))}?"
    if not known:
        return f"{message}: there are no studies yet"
    return f"{message}\n    hint: hpo status lists them"


def read_blueprint(file: Path, name: str | None) -> Blueprint:
    """
    Return the blueprint in *file*, or the one called *name* of several.

    Raises:
        BlueprintError: With all problems of the file.
    """
    found = read_some(file, name)
    if len(found) > 1:
        first = found[0].name
        refuse(f"{file} holds {len(found)} blueprints, choose one: --blueprint {first}")
    return found[0]


def read_some(file: Path, name: str | None) -> list[Blueprint]:
    """
    Return all blueprints in *file*, or only the one called *name*; say the warnings.

    Raises:
        BlueprintError: With all problems of the file.
    """
    warnings: list[Problem] = []
    try:
        blueprints = read_blueprints(file, warnings)
    except OSError as error:
        refuse(unreadable(file, error))
    found = {blueprint.name: blueprint for blueprint in blueprints}
    for warning in warnings:
        complain(str(warning))
    if name is None:
        return list(found.values())
    if name not in found:
        refuse(f"--blueprint must be one of {', '.join(found)}, got {name!r}")
    return [found[name]]


def read_blueprints(file: Path, warnings: list[Problem]) -> tuple[Blueprint, ...]:
    """
    Return all blueprints in *file*, or in standard input for ``-``.

    Raises:
        OSError: If it cannot be read.

        BlueprintError: With all problems of the file.
    """
    from airflow_hpo.blueprint import load_blueprints, parse_blueprints

    if is_stdin(file):
        data = sys.stdin.buffer.read()
        return parse_blueprints(data, file=shown_name(file), problems=warnings)
    return load_blueprints(file, problems=warnings)


def shown_name(file: Path) -> str:
    """
    Return what messages call *file*.
    """
    return "<stdin>" if is_stdin(file) else str(file)


def is_stdin(file: Path) -> bool:
    """
    Return whether *file* stands for standard input.
    """
    return str(file) == "-"


def read_bytes(file: Path) -> bytes:
    """
    Return what is in *file*, or in standard input for ``-``.

    Ends the program where it cannot be read.
    """
    try:
        return sys.stdin.buffer.read() if is_stdin(file) else file.read_bytes()
    except OSError as error:
        refuse(unreadable(file, error))


def unreadable(file: Path, error: OSError) -> str:
    """
    Return the message for a file that cannot be read.
    """
    return f"{shown_name(file)} cannot be read: {error.strerror or error}"


def artifacts_folder(artifacts: str | None) -> Path:
    """
    Return the folder that ``--artifacts`` names, or that of the address that it names.
    """
    from airflow_hpo.driver import artifacts_at, default_artifacts

    return artifacts_at(artifacts) if artifacts else default_artifacts()
