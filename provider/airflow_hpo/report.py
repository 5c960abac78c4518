"""
STUDY -> FILES: the summary, and every trial as CSV and JSON.
"""

from __future__ import annotations

import csv
import json
import os
import tempfile
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from airflow_hpo.model.objective import best_trial
from airflow_hpo.model.trial import TrialState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from airflow_hpo.model.blueprint import Blueprint
    from airflow_hpo.model.record import StudyRecord
    from airflow_hpo.model.trial import Trial
    from airflow_hpo.model.values import Value

__all__ = [
    "ReportFiles",
    "summarise",
    "summary_markdown",
    "trial_rows",
    "write_csv",
    "write_report",
]


@dataclass(frozen=True, slots=True)
class ReportFiles:
    """
    Where a report lies.

    Args:
        summary: JSON: status, stop reason, best trial, planned beside actual.

        markdown: The same for people.

        trials_csv: One row a trial.

        trials_json: One object a trial, types kept.
    """

    summary: Path
    markdown: Path
    trials_csv: Path
    trials_json: Path


def summarise(record: StudyRecord, blueprint: Blueprint) -> dict[str, Any]:
    """
    Return what a person wants to know of a study, JSON-compatible.
    """
    best = best_trial(blueprint.objectives, record.trials)
    states = {
        state.value: sum(1 for trial in record.trials if trial.state is state)
        for state in TrialState
    }
    return {
        "study": record.name,
        "blueprint": blueprint.name,
        "status": _status(record),
        "stop": None
        if record.stop is None
        else {
            "rule": record.stop.rule,
            "reason": record.stop.reason,
            "trial": record.stop.trial,
        },
        "objectives": [objective.model_dump() for objective in blueprint.objectives],
        "best": None if best is None else _best(best, blueprint),
        "trials": len(record.trials),
        "states": {state: count for state, count in states.items() if count},
        "budget": blueprint.budget.model_dump(exclude_none=True),
        "planned": dict(record.plan),
        "strategy": blueprint.strategy.name,
        "seed": record.seed,
        "created": _iso(record.created),
        "trial_time_s": sum(trial.duration or 0.0 for trial in record.trials),
    }


def _status(record: StudyRecord) -> str:
    if record.stop is not None:
        return "ended"
    return "running" if any(not trial.is_final for trial in record.trials) else "open"


def _best(trial: Trial, blueprint: Blueprint) -> dict[str, Any]:
    return {
        "number": trial.number,
        "values": {
            objective.metric: value
            for objective, value in zip(blueprint.objectives, trial.values or (), strict=True)
        },
        "parameters": dict(trial.configuration),
        "metrics": dict(trial.metrics),
        "duration_s": trial.duration,
    }


def _iso(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, tz=timezone.utc).isoformat()


def trial_rows(record: StudyRecord, blueprint: Blueprint) -> Iterator[dict[str, Value]]:
    """
    Yield one flat mapping a trial, all with the same keys in the same order.

    Parameters are ``parameter.NAME``, objective values ``value.METRIC``, final
    metrics ``metric.NAME``; what a trial does not have is `None`.
    """
    parameters = _names(blueprint.space.by_name, (trial.configuration for trial in record.trials))
    metrics = _names({}, (trial.metrics for trial in record.trials))
    for trial in record.trials:
        values = trial.values or (None,) * len(blueprint.objectives)
        yield {
            "number": trial.number,
            "state": trial.state.value,
            "sampler": trial.sampler,
            **{
                f"value.{objective.metric}": value
                for objective, value in zip(blueprint.objectives, values, strict=True)
            },
            **{f"parameter.{name}": trial.configuration.get(name) for name in parameters},
            **{f"metric.{name}": trial.metrics.get(name) for name in metrics},
            "resource": trial.resource,
            "attempt": trial.attempt,
            "started": _iso(trial.started),
            "finished": _iso(trial.finished),
            "duration_s": trial.duration,
            "reason": trial.reason,
        }


def _names(first: Mapping[str, object], mappings: Iterator[Mapping[str, Value]]) -> list[str]:
    """
    Return every key: those of *first* in its order, then the others sorted.
    """
    others = {name for mapping in mappings for name in mapping} - first.keys()
    return [*first, *sorted(others)]


def summary_markdown(summary: Mapping[str, Any]) -> str:
    """
    Return a summary for people, in Markdown.
    """
    best = summary["best"]
    lines = [f"# Study {summary['study']}", ""]
    if summary["stop"] is not None:
        lines += [f"Ended: {summary['stop']['reason']}.", ""]
    counts = ", ".join(f"{count} {state}" for state, count in summary["states"].items())
    lines += [f"{summary['trials']} trials ({counts or 'none yet'}).", ""]
    if best is None:
        return "\n".join([*lines, "No trial is complete.", ""])
    value = ", ".join(f"{name} = {value:.6g}" for name, value in best["values"].items())
    lines += [f"Best: trial {best['number']} with {value}.", ""]
    lines += ["| parameter | value |", "|---|---|"]
    lines += [f"| {_cell(name)} | {_cell(value)} |" for name, value in best["parameters"].items()]
    return "\n".join([*lines, ""])


def _cell(value: Value) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text.replace("|", "\\|").replace("\n", " ")


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
    _write(files.summary, lambda file: _dump(summary, file))
    _write(files.markdown, lambda file: file.write(summary_markdown(summary)))
    _write(files.trials_csv, lambda file: write_csv(rows, file))
    _write(files.trials_json, lambda file: _dump(rows, file))
    return files


def write_csv(rows: Sequence[Mapping[str, Value]], file: TextIO) -> None:
    """
    Write *rows* as CSV: text as it is, `None` empty, anything else as JSON.
    """
    if not rows:
        return
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(rows[0])
    for row in rows:
        writer.writerow([_csv_cell(value) for value in row.values()])


def _csv_cell(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        # A spreadsheet runs text that begins like a formula.
        return f"'{value}" if value[:1] in {"=", "+", "-", "@", "\t", "\r"} else value
    return json.dumps(value)


def _dump(value: object, file: TextIO) -> None:
    json.dump(value, file, indent=2, ensure_ascii=False)
    file.write("\n")


def _write(path: Path, write: Callable[[TextIO], object]) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            write(file)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
