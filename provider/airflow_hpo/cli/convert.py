"""
``hpo convert``: a blueprint in the words of another tool, and what those lack.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from airflow_hpo.cli.options import BlueprintArgument, FormatOption, NameOption, read_some
from airflow_hpo.cli.output import Format, complain, refuse, say, show_json

if TYPE_CHECKING:
    from airflow_hpo.blueprint.dialects.writing import Written
    from airflow_hpo.model.blueprint import Blueprint

__all__ = ["register"]

_ToOption = Annotated[
    str, typer.Option("--to", metavar="DIALECT", help="native, valohai or polyaxon.")
]
_OutputOption = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        metavar="PATH",
        help="A file; or a folder, for a file NAME.yaml of each blueprint. "
        "Default: standard output.",
        show_default=False,
    ),
]
_StrictOption = Annotated[
    bool, typer.Option("--strict", help="Write nothing where something would get lost.")
]


def register(app: typer.Typer) -> None:
    """
    Add the command to *app*.
    """
    app.command("convert", epilog="Example: hpo convert digits.yaml --to native")(_convert)


def _convert(
    file: BlueprintArgument,
    *,
    to: _ToOption,
    target: _OutputOption = None,
    blueprint: NameOption = None,
    strict: _StrictOption = False,
    output: FormatOption = Format.TEXT,
) -> None:
    """
    Write a blueprint in another dialect, and list what that cannot express.

    The list goes to standard error. Exit code 0: written. 1: the blueprint is
    wrong; or, with --strict, something would get lost. 2: cannot be done.
    """
    from airflow_hpo.blueprint.convert import convert

    _check_target(to)
    found = read_some(file, blueprint)
    places = _places(found, target, file)
    written = [convert(each, to=to) for each in found]
    lossy = any(each.losses for each in written)
    if strict and lossy:
        places = [None] * len(places)
    elif target is not None:
        _save(written, places, target)
    if output is Format.JSON:
        show_json([_as_data(*each) for each in zip(found, written, places, strict=True)])
    else:
        _show(found, written, to, shown=target is None and not (strict and lossy))
    raise typer.Exit(1 if strict and lossy else 0)


def _check_target(to: str) -> None:
    from airflow_hpo.blueprint.dialects import WRITERS

    if to not in WRITERS:
        refuse(f"--to must be one of {', '.join(WRITERS.names())}, got {to!r}")


def _places(found: list[Blueprint], target: Path | None, file: Path) -> list[Path | None]:
    """
    Return where each blueprint is to be written; `None` for standard output.
    """
    names = [f"{blueprint.name}.yaml" for blueprint in found]
    if target is None:
        return [None] * len(found)
    is_folder = target.is_dir() or len(found) > 1
    places = [target / name for name in names] if is_folder else [target]
    if is_folder and target.exists() and not target.is_dir():
        refuse(f"{target} must be a folder: {file} holds {len(found)} blueprints")
    if any(place.exists() and place.samefile(file) for place in places if file.exists()):
        refuse(f"{target} must not be the file that is read")
    return list(places)


def _save(written: list[Written], places: list[Path | None], target: Path) -> None:
    from airflow_hpo.report import write_text

    try:
        for each, place in zip(written, places, strict=True):
            if place is not None:
                place.parent.mkdir(parents=True, exist_ok=True)
                write_text(place, each.text)
    except OSError as error:
        refuse(f"{target} cannot be written to: {error.strerror}")


def _as_data(blueprint: Blueprint, written: Written, place: Path | None) -> dict[str, Any]:
    return {
        "blueprint": blueprint.name,
        "file": None if place is None else str(place),
        "text": written.text,
        "losses": [{"path": loss.path, "message": loss.message} for loss in written.losses],
    }


def _show(found: list[Blueprint], written: list[Written], to: str, *, shown: bool) -> None:
    if shown and len(found) > 1:
        names = ", ".join(blueprint.name for blueprint in found)
        refuse(f"there are {len(found)} blueprints ({names}): choose one with --blueprint, or -o")
    for blueprint, each in zip(found, written, strict=True):
        if shown:
            say(each.text.removesuffix("\n"))
        if each.losses:
            noun = "thing" if len(each.losses) == 1 else "things"
            complain(f"{blueprint.name}: {len(each.losses)} {noun} that {to} cannot express:")
        for loss in each.losses:
            complain(f"  {loss}")
