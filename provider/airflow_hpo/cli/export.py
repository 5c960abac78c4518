"""
``hpo export`` and ``hpo report``: a study as files.
"""

from __future__ import annotations

import io
import json
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from airflow_hpo.cli.options import (
    ArtifactsOption,
    FormatOption,
    StorageOption,
    StudyArgument,
    artifacts_folder,
    open_study,
)
from airflow_hpo.cli.output import Format, refuse, say, show_json

if TYPE_CHECKING:
    from airflow_hpo.model.trial import Trial
    from airflow_hpo.study import Study

__all__ = ["register"]


class _Kind(str, Enum):
    CSV = "csv"
    JSON = "json"
    JSONL = "jsonl"
    PARQUET = "parquet"
    OPTUNA = "optuna"


_UrlArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[URL]",
        help="With --to optuna: a database as Optuna takes it (sqlite:///FILE, "
        "postgresql://...), or a file for Optuna's journal.",
        show_default=False,
    ),
]
_ToOption = Annotated[
    _Kind,
    typer.Option("--to", help="jsonl is what hpo suggest --history reads; parquet needs -o."),
]
_AsOption = Annotated[
    str | None,
    typer.Option(
        "--as",
        metavar="NAME",
        help="With --to optuna: what the study is called there. Default: as here.",
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """
    Add the commands to *app*.
    """
    app.command("export", epilog="Example: hpo export digits --to csv -o digits.csv")(_export)
    app.command("report", epilog="Example: hpo report digits -o digits-report")(_report)


def _export(
    study: StudyArgument,
    url: _UrlArgument = None,
    *,
    to: _ToOption = _Kind.CSV,
    file: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Default: standard output."),
    ] = None,
    name: _AsOption = None,
    storage: StorageOption = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """
    Write every trial of a study: a row or an object each, or a study of Optuna's.

    With --to optuna the copy has all trials with their states, distributions,
    intermediate values and reasons; Optuna's own tools need nothing else.

    With --format json it is said as JSON what was written where.
    """
    _check_target(url, to=to, file=file, name=name, output=output)
    opened = open_study(storage, study)
    if to is _Kind.OPTUNA:
        from airflow_hpo.storage.optuna_copy import copy_to_optuna

        name = study if name is None else name
        count = copy_to_optuna(opened.record(measurements=True), url or "", name=name)
        _written({"study": study, "to": to.value, "name": name, "trials": count}, output=output)
        return
    data = _data(opened, to)
    if file is None:
        typer.echo(data.decode(), nl=False)
        return
    _write(file, data)
    if output is Format.JSON:
        show_json({"study": study, "to": to.value, "file": str(file)})


def _check_target(
    url: str | None, *, to: _Kind, file: Path | None, name: str | None, output: Format
) -> None:
    """
    Refuse what does not go together.
    """
    if to is _Kind.OPTUNA:
        if url is None or file is not None:
            refuse("--to optuna must be followed by a URL, as in --to optuna sqlite:///optuna.db")
        return
    if url is not None or name is not None:
        refuse("a URL and --as must be given with --to optuna")
    if file is None and (to is _Kind.PARQUET or output is Format.JSON):
        refuse("--to parquet and --format json must be given with -o FILE")


def _written(fields: dict[str, Any], *, output: Format) -> None:
    if output is Format.JSON:
        show_json(fields)
    else:
        say(f"{fields['trials']} trials written as study {fields['name']}")


def _write(file: Path, data: bytes) -> None:
    from airflow_hpo.report import write_bytes

    try:
        write_bytes(file, data)
    except OSError as error:
        refuse(f"{file} cannot be written: {error.strerror}")


def _data(study: Study, kind: _Kind) -> bytes:
    from airflow_hpo.report import to_json, trial_columns, trial_rows, write_csv

    record = study.record()
    if kind is _Kind.JSONL:
        metrics = [objective.metric for objective in study.blueprint.objectives]
        return "".join(f"{_line(trial, metrics)}\n" for trial in record.trials).encode()
    rows = list(trial_rows(record, study.blueprint))
    columns = trial_columns(record, study.blueprint)
    if kind is _Kind.JSON:
        return to_json(rows).encode()
    if kind is _Kind.PARQUET:
        return _parquet(rows, columns)
    text = io.StringIO()
    write_csv(rows, text, columns=columns)
    return text.getvalue().encode()


def _parquet(rows: list[dict[str, Any]], columns: list[str]) -> bytes:
    from airflow_hpo.report import parquet

    if not parquet.can_write_parquet():
        refuse(f"--to parquet needs pyarrow: {parquet.INSTALL}")
    return parquet.to_parquet(rows, columns)


def _line(trial: Trial, metrics: list[str]) -> str:
    from airflow_hpo.report import finite

    values = None if trial.values is None else dict(zip(metrics, trial.values, strict=True))
    fields: dict[str, Any] = {
        "number": trial.number,
        "configuration": dict(trial.configuration),
        "state": trial.state.value,
        "values": values,
        "metrics": dict(trial.metrics),
        "sampler": trial.sampler,
        "resource": trial.resource,
        "reason": trial.reason,
    }
    return json.dumps(finite(fields), ensure_ascii=False, allow_nan=False)


def _report(
    study: StudyArgument,
    *,
    folder: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="DIR", help="Default: the study's folder of --artifacts."
        ),
    ] = None,
    artifacts: ArtifactsOption = None,
    storage: StorageOption = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """
    Write a study's report: a page with charts, a summary, and every trial.

    The page, report.html, needs no other file, no server and no network. Charts
    are in it where Plotly is installed, trials.parquet is there where pyarrow is.
    """
    from dataclasses import asdict, astuple

    from airflow_hpo.driver import keep, study_folder
    from airflow_hpo.report import report_on

    opened = open_study(storage, study)
    target = folder or study_folder(artifacts_folder(artifacts), study)
    try:
        files = report_on(opened, target)
        keep(target, astuple(files))
    except OSError as error:
        refuse(f"{target} cannot be written to: {error.strerror}")
    paths = {name: str(path) for name, path in asdict(files).items() if path is not None}
    if output is Format.JSON:
        show_json(paths)
        return
    for path in paths.values():
        say(path)
