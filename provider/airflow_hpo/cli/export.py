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


def register(app: typer.Typer) -> None:
    """
    Add the commands to *app*.
    """
    app.command("export", epilog="Example: hpo export digits --to csv -o digits.csv")(_export)
    app.command("report", epilog="Example: hpo report digits -o digits-report")(_report)


def _export(
    study: StudyArgument,
    *,
    to: Annotated[
        _Kind, typer.Option("--to", help="jsonl is what hpo suggest --history reads.")
    ] = _Kind.CSV,
    file: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Default: standard output."),
    ] = None,
    storage: StorageOption = None,
) -> None:
    """
    Write every trial of a study: one row, or one JSON object, a trial.
    """
    from airflow_hpo.report import write_text

    text = _text(open_study(storage, study), to)
    if file is None:
        typer.echo(text, nl=False)
        return
    try:
        write_text(file, text)
    except OSError as error:
        refuse(f"{file} cannot be written: {error.strerror}")


def _text(study: Study, kind: _Kind) -> str:
    from airflow_hpo.report import to_json, trial_columns, trial_rows, write_csv

    record = study.record()
    if kind is _Kind.JSONL:
        metrics = [objective.metric for objective in study.blueprint.objectives]
        return "".join(f"{_line(trial, metrics)}\n" for trial in record.trials)
    rows = trial_rows(record, study.blueprint)
    if kind is _Kind.JSON:
        return to_json(list(rows))
    text = io.StringIO()
    write_csv(rows, text, columns=trial_columns(record, study.blueprint))
    return text.getvalue()


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
    Write a study's report: a summary, and every trial as CSV and JSON.
    """
    from dataclasses import asdict

    from airflow_hpo.driver import study_folder
    from airflow_hpo.report import write_report

    opened = open_study(storage, study)
    target = folder or study_folder(artifacts_folder(artifacts), study)
    try:
        files = write_report(opened.record(), opened.blueprint, target)
    except OSError as error:
        refuse(f"{target} cannot be written to: {error.strerror}")
    paths = {name: str(path) for name, path in asdict(files).items()}
    if output is Format.JSON:
        show_json(paths)
        return
    for path in paths.values():
        say(path)
