"""
``hpo generate``: a DAG file to read, review and change.
"""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from airflow_hpo.cli.options import BlueprintArgument, FormatOption, NameOption, read_some
from airflow_hpo.cli.output import Format, complain, refuse, say, show_json

if TYPE_CHECKING:
    from airflow_hpo.model.blueprint import Blueprint

__all__ = ["register"]

_OutputOption = Annotated[
    Path,
    typer.Option(
        "-o",
        "--output",
        metavar="PATH",
        help="A folder, for a file NAME.py of each blueprint; or a .py file.",
    ),
]
_ForceOption = Annotated[
    bool, typer.Option("--force", help="Write over files that were changed by hand.")
]

# What keeps a file from being written, by where it comes from.
_KEPT = {
    "edited": "was changed by hand and is left as it is; --force writes over it",
    "foreign": "was not made by hpo generate and is left as it is; --force writes over it",
}


def register(app: typer.Typer) -> None:
    """
    Add the command to *app*.
    """
    app.command("generate", epilog="Example: hpo generate digits.yaml -o dags/")(_generate)


def _generate(
    file: BlueprintArgument,
    *,
    target: _OutputOption = Path("dags"),
    blueprint: NameOption = None,
    force: _ForceOption = False,
    output: FormatOption = Format.TEXT,
) -> None:
    """
    Write the DAG of a blueprint as a Python file.

    It has the same tasks as the DAG that is made without such a file. Made
    again, it is written anew unless somebody has changed it since.

    Exit code 0: written, or as it should be already. 1: the blueprint is wrong,
    or a file was changed by hand. 2: cannot be done.
    """
    found = read_some(file, blueprint)
    if str(file) == "-":
        refuse("a DAG file names its blueprint's file: standard input has none")
    places = [_place(each, target) for each in found]
    if target.suffix == ".py" and len(found) > 1:
        refuse(f"{target} must be a folder: {file} holds {len(found)} blueprints")
    done = [_write(each, place, force) for each, place in zip(found, places, strict=True)]
    if output is Format.JSON:
        show_json(done)
    else:
        for each in done:
            kept = _KEPT.get(each["state"])
            (complain if kept else say)(f"{each['file']}: {kept or each['state']}")
    raise typer.Exit(1 if any(each["state"] in _KEPT for each in done) else 0)


def _place(blueprint: Blueprint, target: Path) -> Path:
    """
    Return the file that a blueprint's DAG is written to: a module that can be imported.
    """
    if target.suffix == ".py":
        return target
    return target / f"{re.sub(r'[^0-9A-Za-z_]', '_', blueprint.dag_id)}.py"


def _write(blueprint: Blueprint, place: Path, force: bool) -> dict[str, Any]:  # noqa: FBT001
    from airflow_hpo.report import write_text
    from airflow_hpo.report.dag_file import dag_file, origin_of

    version = import_module("airflow_hpo").__version__
    text = dag_file(blueprint, target=place, version=version)
    answer = {"blueprint": blueprint.name, "dag": blueprint.dag_id, "file": str(place)}
    try:
        old = place.read_text("utf-8") if place.exists() else None
        if old == text:
            return {**answer, "state": "unchanged"}
        origin = "generated" if old is None else origin_of(old)
        if origin != "generated" and not force:
            return {**answer, "state": origin}
        place.parent.mkdir(parents=True, exist_ok=True)
        write_text(place, text)
    except OSError as error:
        refuse(f"{place} cannot be written to: {error.strerror}")
    return {**answer, "state": "written"}
