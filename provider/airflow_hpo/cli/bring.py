"""
``hpo import``: a study of Optuna's or HyperOpt's becomes one of ours.
"""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from airflow_hpo.cli.options import FormatOption, StorageOption, open_journal, read_blueprint
from airflow_hpo.cli.output import Format, complain, refuse, say, show_json

if TYPE_CHECKING:
    from airflow_hpo.history.foreign import ForeignStudy
    from airflow_hpo.model.blueprint import Blueprint

__all__ = ["register"]


class _Tool(str, Enum):
    OPTUNA = "optuna"
    HYPEROPT = "hyperopt"


_SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A storage of Optuna's: the URL of a database, or the file of a journal; "
        "or a pickle of HyperOpt's Trials (.pkl, .pickle).",
    ),
]
_FromOption = Annotated[
    _Tool | None,
    typer.Option(
        "--from", help="Whose it is. Default: a pickle is HyperOpt's.", show_default=False
    ),
]
_NameOption = Annotated[
    str | None,
    typer.Option(
        "--name",
        metavar="NAME",
        help="Which study of Optuna's, where there are several.",
        show_default=False,
    ),
]
_AsOption = Annotated[
    str | None,
    typer.Option(
        "--as",
        metavar="NAME",
        help="What it is called here. Default: as there.",
        show_default=False,
    ),
]
_BlueprintOption = Annotated[
    Path | None,
    typer.Option(
        "--blueprint",
        metavar="FILE",
        help="The blueprint that the study gets: its space, objective and command. "
        "Default: one that is made of the trials, without a command.",
        show_default=False,
    ),
]
_OutputOption = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        metavar="FILE",
        help="Write the study's blueprint there, to be given a command.",
        show_default=False,
    ),
]
_PickleOption = Annotated[
    bool,
    typer.Option(
        "--trust-pickle",
        help="Reading a pickle runs whatever program its author put into it. "
        "Give this only for a file that you or somebody you trust has made.",
    ),
]


def register(app: typer.Typer) -> None:
    """
    Add the command to *app*.
    """
    app.command("import", epilog="Example: hpo import sqlite:///optuna.db --name cnn -o cnn.yaml")(
        _import
    )


def _import(  # noqa: PLR0913 - a command has as many options
    source: _SourceArgument,
    *,
    tool: _FromOption = None,
    name: _NameOption = None,
    study: _AsOption = None,
    blueprint: _BlueprintOption = None,
    file: _OutputOption = None,
    trust_pickle: _PickleOption = False,
    storage: StorageOption = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """
    Bring a study of Optuna's or HyperOpt's in, with all trials that have ended.

    Numbers of trials, values, times, measurements and reasons are kept. A study
    goes on here once its blueprint has a command: write it with -o, edit it,
    and hpo run it; or name the study in warm_start of another blueprint.
    """
    from airflow_hpo.history.bring import bring_in

    foreign = _read(source, tool=tool, name=name, trust_pickle=trust_pickle)
    given = None if blueprint is None else read_blueprint(blueprint, None)
    study = foreign.name if study is None else study
    try:
        record = bring_in(open_journal(storage), foreign, study=study, blueprint=given)
    except ValueError as error:
        refuse(f"{foreign.name!r} cannot be imported as {study!r}: {error}")
    if file is not None:
        _write_blueprint(file, study, storage)
    left = ", ".join(f"{count} {state}" for state, count in foreign.left_out.items())
    if left:
        complain(f"left out, since they have not ended: {left}")
    if output is Format.JSON:
        fields = {"study": study, "from": foreign.tool, "trials": len(record.trials)}
        show_json(fields | {"left_out": dict(foreign.left_out)})
    else:
        say(f"{len(record.trials)} trials of {foreign.tool}'s {foreign.name} are study {study}")


def _read(source: str, *, tool: _Tool | None, name: str | None, trust_pickle: bool) -> ForeignStudy:
    is_pickle = tool is None and Path(source).suffix.lower() in {".pkl", ".pickle"}
    if tool is _Tool.HYPEROPT or is_pickle:
        if not trust_pickle:
            refuse(
                f"{source} is a pickle: reading it runs whatever program its author put into it\n"
                "    hint: if you trust whoever made it, add --trust-pickle"
            )
        from airflow_hpo.history.from_hyperopt import read_hyperopt

        return read_hyperopt(Path(source))
    from airflow_hpo.history.from_optuna import read_optuna

    if "://" not in source and not Path(source).is_file():
        refuse(f"{source} must be a URL such as sqlite:///optuna.db, or a file that is there")
    return read_optuna(source, name)


def _write_blueprint(file: Path, study: str, storage: str | None) -> None:
    from airflow_hpo.blueprint.dump import dump
    from airflow_hpo.report import write_text
    from airflow_hpo.study import Study

    loaded: Blueprint = Study.load(open_journal(storage), study).blueprint
    try:
        write_text(file, dump(loaded))
    except OSError as error:
        refuse(f"{file} cannot be written: {error.strerror}")
