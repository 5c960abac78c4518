"""
``hpo check`` and ``hpo schema``: is a blueprint right, and what may it hold.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from airflow_hpo.cli.options import FormatOption, is_stdin, shown_name, unreadable
from airflow_hpo.cli.output import Format, complain, say, show_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_hpo.errors import Problem

__all__ = ["register"]

# What a file in a folder is taken for a blueprint by.
_SUFFIXES = (".yaml", ".yml")


def register(app: typer.Typer) -> None:
    """
    Add the commands to *app*.
    """
    app.command("check", epilog="Example: hpo check digits.yaml blueprints/")(_check)
    app.command("schema", epilog="Example: hpo schema")(_schema)


def _check(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...", help="Blueprints, or folders that hold some; - for stdin."
        ),
    ],
    *,
    output: FormatOption = Format.TEXT,
) -> None:
    """
    Check blueprints of any dialect: all problems at once, with their places.

    Exit code 0: fine, warnings allowed. 1: there are errors. 2: a file cannot be
    read.
    """
    problems: list[Problem] = []
    fine: list[str] = []
    unread = False
    for file in _search(files):
        try:
            found = _problems_of(file)
        except OSError as error:
            unread = True
            complain(unreadable(file, error))
            continue
        problems += found
        fine += [] if found else [shown_name(file)]
    if output is Format.JSON:
        show_json([_as_data(problem) for problem in problems])
    else:
        _show(problems, fine)
    wrong = any(problem.severity == "error" for problem in problems)
    raise typer.Exit(2 if unread else 1 if wrong else 0)


def _search(files: list[Path]) -> Iterator[Path]:
    """
    Yield each file once, those of folders in their place and sorted.
    """
    seen: set[Path] = set()
    for file in files:
        found = [file]
        if not is_stdin(file) and file.is_dir():
            found = sorted(path for path in file.rglob("*") if _is_blueprint(path, file))
            if not found:
                complain(f"{file} holds no blueprints: no file ends in {', '.join(_SUFFIXES)}")
        for path in found:
            if path not in seen:
                seen.add(path)
                yield path


def _is_blueprint(path: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return path.suffix in _SUFFIXES and not hidden and path.is_file()


def _problems_of(file: Path) -> tuple[Problem, ...]:
    from airflow_hpo.blueprint import check, check_text

    if is_stdin(file):
        return check_text(sys.stdin.buffer.read(), file=shown_name(file))
    return check(file)


def _as_data(problem: Problem) -> dict[str, object]:
    fields = problem.to_dict()
    names = ("file", "line", "column", "severity", "path", "message", "hint")
    return {name: fields[name] for name in names}


def _show(problems: list[Problem], fine: list[str]) -> None:
    for name in fine:
        say(f"{name}: fine")
    if not problems:
        return
    noun = "problem" if len(problems) == 1 else "problems"
    files = len({problem.file for problem in problems})
    where = "blueprint" if files == 1 else f"{files} blueprints"
    say(f"{len(problems)} {noun} in {where}:")
    for problem in problems:
        say(str(problem))


def _schema() -> None:
    """
    Print the JSON Schema of the native dialect, for editors.
    """
    from airflow_hpo.blueprint.schema import json_schema

    show_json(json_schema())
