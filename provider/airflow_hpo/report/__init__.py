"""
STUDY -> FILES: the summary, and every trial as CSV and JSON.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_hpo.report.files import finite, to_json, write_bytes, write_csv, write_text
from airflow_hpo.report.summary import summarise, trial_columns, trial_rows
from airflow_hpo.report.words import shown_volume, summary_markdown

if TYPE_CHECKING:
    from airflow_hpo.model.blueprint import Blueprint
    from airflow_hpo.model.record import StudyRecord

__all__ = [
    "ReportFiles",
    "finite",
    "shown_volume",
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

        trials_csv: One row a trial.

        trials_json: One object a trial, types kept.
    """

    summary: Path
    markdown: Path
    trials_csv: Path
    trials_json: Path


def write_report(record: StudyRecord, blueprint: Blueprint, folder: Path) -> ReportFiles:
    """
    Write the report of a study into *folder* and return where its files lie.

    Each file appears whole or not at all: a reader never sees half of one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = ReportFiles(
        folder / "summary.json",
        folder / "summary.md",
        folder / "trials.csv",
        folder / "trials.json",
    )
    summary = summarise(record, blueprint)
    rows = list(trial_rows(record, blueprint))
    table = io.StringIO()
    write_csv(rows, table, columns=trial_columns(record, blueprint))
    write_text(files.summary, to_json(summary))
    write_text(files.markdown, summary_markdown(summary))
    write_text(files.trials_csv, table.getvalue())
    write_text(files.trials_json, to_json(rows))
    return files
