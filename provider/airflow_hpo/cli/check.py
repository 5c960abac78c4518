"""
``hpo check`` and ``hpo schema``: is a blueprint right, and what may it hold.
"""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from airflow_hpo.cli.options import (
    FormatOption,
    is_stdin,
    read_blueprints,
    shown_name,
    unreadable,
)
from airflow_hpo.cli.output import Format, complain, say, show_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_hpo.errors import Problem
    from airflow_hpo.model.blueprint import Blueprint

__all__ = ["register"]

# What a file in a folder is taken for a blueprint by.
_SUFFIXES = (".yaml", ".yml", ".json")


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
    airflow: Annotated[
        bool,
        typer.Option(
            "--airflow",
            help="Ask this machine's Airflow, too: executors, pools, queues, connections.",
        ),
    ] = False,
    output: FormatOption = Format.TEXT,
) -> None:
    """
    Check blueprints of any dialect: all problems at once, with their places.

    Exit code 0: fine, warnings allowed. 1: there are errors. 2: a file cannot be
    read.
    """
    problems: list[Problem] = []
    unread = False
    ask = _asks_airflow() if airflow else None
    for file, ids in _search(files):
        try:
            found = _problems_of(file, ids, ask)
        except OSError as error:
            unread = True
            complain(unreadable(file, error))
            continue
        problems += found
        if output is Format.TEXT and not found:
            say(f"{shown_name(file)}: fine")
    if output is Format.JSON:
        show_json([_as_data(problem) for problem in problems])
    else:
        _show(problems)
    wrong = any(problem.severity == "error" for problem in problems)
    raise typer.Exit(2 if unread else 1 if wrong else 0)


def _search(files: list[Path]) -> Iterator[tuple[Path, dict[str, str]]]:
    """
    Yield each file once, those of folders in their place and sorted.

    Files of one folder share a mapping of the DAGs that they become: there
    each id must belong to one of them.
    """
    seen: set[Path] = set()
    for file in files:
        is_folder = not is_stdin(file) and file.is_dir()
        ids: dict[str, str] = {}
        for path in sorted(_inside(file)) if is_folder else [file]:
            if path not in seen:
                seen.add(path)
                yield path, ids


def _inside(folder: Path) -> Iterator[Path]:
    """
    Yield what a DAG folder's loader would take for a blueprint.
    """
    found = False
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith(".") and Path(name).suffix.lower() in _SUFFIXES:
                found = True
                yield Path(parent, name)
    if not found:
        complain(f"{folder} holds no blueprints: no file ends in {', '.join(_SUFFIXES)}")


def _asks_airflow() -> Callable[[Blueprint], list[Problem]]:
    """
    Return what asks this machine's Airflow about a blueprint.

    Raises:
        HpoError: If there is none.
    """
    from airflow_hpo.errors import HpoError

    # What Airflow logs is none of the answer.
    with redirect_stdout(sys.stderr):
        try:
            # By name: the program runs without Airflow, too.
            room = import_module("airflow_hpo.factory.check")
        except ImportError as error:
            raise HpoError(f"--airflow needs Apache Airflow on this machine: {error}") from error
        installation = room.Installation()

    def ask(blueprint: Blueprint) -> list[Problem]:
        with redirect_stdout(sys.stderr):
            found: list[Problem] = room.check_for_installation(blueprint, installation)
        return found

    return ask


def _problems_of(
    file: Path, ids: dict[str, str], ask: Callable[[Blueprint], list[Problem]] | None
) -> tuple[Problem, ...]:
    """
    Return what is wrong with *file*; *ids* are taken, and get its own.
    """
    from airflow_hpo.errors import BlueprintError, Problem

    problems: list[Problem] = []
    try:
        blueprints = read_blueprints(file, problems)
    except BlueprintError as error:
        return error.problems
    for blueprint in blueprints:
        other = ids.setdefault(blueprint.dag_id, shown_name(file))
        if other != shown_name(file):
            message = (
                f"a DAG's id must belong to one blueprint, got {blueprint.dag_id!r}, "
                f"which {other} has"
            )
            problems.append(Problem("name", message, file=shown_name(file), line=1, column=1))
        if ask is not None:
            problems += ask(blueprint)
    return BlueprintError(problems).problems


def _as_data(problem: Problem) -> dict[str, object]:
    fields = problem.to_dict()
    names = ("file", "line", "column", "severity", "path", "message", "hint")
    return {name: fields[name] for name in names}


def _show(problems: list[Problem]) -> None:
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
