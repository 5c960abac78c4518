"""
STUDY -> FILES: the summary, a page with charts, and every trial as CSV, JSON and Parquet.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_hpo.report.files import finite, to_json, write_bytes, write_csv, write_text
from airflow_hpo.report.html import study_html
from airflow_hpo.report.parquet import can_write_parquet, to_parquet
from airflow_hpo.report.summary import summarise, trial_columns, trial_rows
from airflow_hpo.report.words import shown_volume, summary_markdown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_hpo.model.blueprint import Blueprint
    from airflow_hpo.model.record import Event, StudyRecord
    from airflow_hpo.model.trial import Measurement
    from airflow_hpo.study import Study

__all__ = [
    "ReportFiles",
    "finite",
    "report_on",
    "shown_volume",
    "study_html",
    "summarise",
    "summary_markdown",
    "to_json",
    "trial_columns",
    "trial_rows",
    "write_bytes",
    "write_csv",
    "write_report",
    "write_text",
]


@dataclass(frozen=True, slots=True)
class ReportFiles:
    """
    Where a report lies.

    Args:
        summary:
            JSON: status, stop reason, best trial, planned beside actual; with
            several objectives the Pareto front too.

        markdown: The same for people.

        html: The same with charts and trials, in one file that needs no other.

        trials_csv: One row a trial.

        trials_json: One object a trial, types kept.

        trials_parquet: One typed row a trial; `None` where pyarrow is missing.
    """

    summary: Path
    markdown: Path
    html: Path
    trials_csv: Path
    trials_json: Path
    trials_parquet: Path | None = None


def report_on(study: Study, folder: Path) -> ReportFiles:
    """
    Write the report of *study* as it stands into *folder*; see `write_report`.
    """
    from airflow_hpo.report.figures.curves import followed

    record, journal = study.record(), study.storage
    return write_report(
        record,
        study.blueprint,
        folder,
        events=journal.events(study.name),
        measured={
            number: journal.measurements(study.name, number)
            for number in followed(record, study.blueprint)
        },
    )


def write_report(
    record: StudyRecord,
    blueprint: Blueprint,
    folder: Path,
    *,
    events: Sequence[Event] = (),
    measured: Mapping[int, Sequence[Measurement]] | None = None,
) -> ReportFiles:
    """
    Write the report of a study into *folder* and return where its files lie.

    Each file appears whole or not at all: a reader never sees half of one.

    Args:
        record: The study.

        blueprint: What it optimises.

        folder: Is made where it is missing.

        events: For the timeline.

        measured: By trial number, for the learning curves.
    """
    folder.mkdir(parents=True, exist_ok=True)
    summary = summarise(record, blueprint)
    rows, columns = list(trial_rows(record, blueprint)), trial_columns(record, blueprint)
    table = io.StringIO()
    write_csv(rows, table, columns=columns)
    files = ReportFiles(
        folder / "summary.json",
        folder / "summary.md",
        folder / "report.html",
        folder / "trials.csv",
        folder / "trials.json",
        folder / "trials.parquet" if can_write_parquet() else None,
    )
    write_text(files.summary, to_json(summary))
    write_text(files.markdown, summary_markdown(summary))
    write_text(files.trials_csv, table.getvalue())
    write_text(files.trials_json, to_json(rows))
    if files.trials_parquet is not None:
        write_bytes(files.trials_parquet, to_parquet(rows, columns))
    write_text(files.html, study_html(record, blueprint, events=events, measured=measured))
    return files
