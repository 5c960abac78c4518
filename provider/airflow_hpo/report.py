"""
STUDY -> FILES: the summary, and every trial as CSV and JSON.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from airflow_hpo.model.actual import actual
from airflow_hpo.model.objective import best_trial
from airflow_hpo.model.pareto import pareto_front
from airflow_hpo.model.trial import TrialState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from airflow_hpo.model.blueprint import Blueprint
    from airflow_hpo.model.record import StudyRecord
    from airflow_hpo.model.trial import Trial
    from airflow_hpo.model.values import Value

__all__ = [
    "ReportFiles",
    "finite",
    "summarise",
    "summary_markdown",
    "to_json",
    "trial_columns",
    "trial_rows",
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


def summarise(record: StudyRecord, blueprint: Blueprint) -> dict[str, Any]:
    """
    Return what a person wants to know of a study, JSON-compatible.

    With several objectives ``best`` is the best by the first of them, and
    ``front`` has the trials that no other beats in every objective.
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
        **_front(record, blueprint),
        "trials": len(record.trials),
        "states": {state: count for state, count in states.items() if count},
        "budget": blueprint.budget.model_dump(exclude_none=True),
        "planned": dict(record.plan),
        "actual": actual(
            record.trials, full=1.0 if blueprint.resource is None else blueprint.resource.max
        ),
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


def _front(record: StudyRecord, blueprint: Blueprint) -> dict[str, Any]:
    if len(blueprint.objectives) == 1:
        return {}
    front = pareto_front(blueprint.objectives, record.trials)
    return {"front": [_best(trial, blueprint) for trial in front]}


def _iso(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, tz=timezone.utc).isoformat()


def trial_columns(record: StudyRecord, blueprint: Blueprint) -> list[str]:
    """
    Return the keys of each of `trial_rows`, which a study without trials has too.

    Parameters are ``parameter.NAME``, objective values ``value.METRIC``, final
    metrics ``metric.NAME``.
    """
    parameters = _names(blueprint.space.by_name, (trial.configuration for trial in record.trials))
    metrics = _names({}, (trial.metrics for trial in record.trials))
    return [
        "number",
        "state",
        "sampler",
        *(f"value.{objective.metric}" for objective in blueprint.objectives),
        *(f"parameter.{name}" for name in parameters),
        *(f"metric.{name}" for name in metrics),
        "resource",
        "attempt",
        "started",
        "finished",
        "duration_s",
        "reason",
    ]


def trial_rows(record: StudyRecord, blueprint: Blueprint) -> Iterator[dict[str, Value]]:
    """
    Yield one flat mapping a trial, all with the same keys in the same order.

    What a trial does not have is `None`.
    """
    columns = trial_columns(record, blueprint)
    names = [objective.metric for objective in blueprint.objectives]
    for trial in record.trials:
        found = {
            "number": trial.number,
            "state": trial.state.value,
            "sampler": trial.sampler,
            **_prefixed("value", dict(zip(names, trial.values or (), strict=False))),
            **_prefixed("parameter", trial.configuration),
            **_prefixed("metric", trial.metrics),
            "resource": trial.resource,
            "attempt": trial.attempt,
            "started": _iso(trial.started),
            "finished": _iso(trial.finished),
            "duration_s": trial.duration,
            "reason": trial.reason,
        }
        yield {column: found.get(column) for column in columns}


def _prefixed(prefix: str, mapping: Mapping[str, Value]) -> dict[str, Value]:
    return {f"{prefix}.{name}": value for name, value in mapping.items()}


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
    lines = [f"# Study {_cell(summary['study'])}", ""]
    if summary["stop"] is not None:
        lines += [f"Ended: {_cell(summary['stop']['reason'])}.", ""]
    counts = ", ".join(f"{count} {state}" for state, count in summary["states"].items())
    lines += [f"{summary['trials']} trials ({counts or 'none yet'}).", ""]
    if best is None:
        lines += ["No trial is complete."]
    elif "front" in summary:
        lines += _front_lines(summary["front"])
    else:
        value = ", ".join(f"{name} = {value:.6g}" for name, value in best["values"].items())
        lines += [f"Best: trial {best['number']} with {value}.", ""]
        lines += ["| parameter | value |", "|---|---|"]
        lines += [f"| {_cell(name)} | {_cell(it)} |" for name, it in best["parameters"].items()]
    return "\n".join([*lines, *_plan_lines(summary), ""])


def _plan_lines(summary: Mapping[str, Any]) -> list[str]:
    """
    Return planned beside actual as a table; nothing for a study without a plan.
    """
    planned, done = summary["planned"], summary["actual"]
    if not planned.get("trials"):
        return []
    rows = [["trials", planned["trials"], done["trials"]]]
    ran = {
        (bracket["iteration"], bracket["bracket"], rung["rung"]): rung["trials"]
        for bracket in done["brackets"]
        for rung in bracket["rungs"]
    }
    for bracket in planned.get("brackets", ()):
        for rung in bracket["rungs"]:
            place = (bracket.get("iteration", 0), bracket["bracket"], rung["rung"])
            turn = f"iteration {place[0]}, " if place[0] else ""
            what = f"{turn}bracket {place[1]}, rung {place[2]} on {rung['resource']:g}"
            rows.append([what, rung["trials"], ran.get(place, 0)])
    rows += [
        [key.replace("_", " "), f"{planned[key]:.6g}", f"{done[key]:.6g}"]
        for key in ("total_resource", "full_trials", "peak_parallelism")
        if key in planned  # an earlier version's plan may lack it
    ]
    return [
        "",
        "| | planned at most | actual |",
        "|---|---|---|",
        *(_row([str(cell) for cell in row]) for row in rows),
    ]


def _front_lines(front: Sequence[Mapping[str, Any]]) -> list[str]:
    """
    Return a Pareto front as a table, parameters that a trial lacks left empty.
    """
    metrics = list(front[0]["values"])
    parameters = list(dict.fromkeys(name for trial in front for name in trial["parameters"]))
    names = ["trial", *map(_cell, metrics), *map(_cell, parameters)]
    rows = [
        [
            str(trial["number"]),
            *(f"{value:.6g}" for value in trial["values"].values()),
            *(
                _cell(trial["parameters"][name]) if name in trial["parameters"] else ""
                for name in parameters
            ),
        ]
        for trial in front
    ]
    noun = "trial is" if len(front) == 1 else "trials are"
    return [
        f"Pareto front: {len(front)} {noun} beaten by no other in every objective.",
        "",
        _row(names),
        "|---" * len(names) + "|",
        *map(_row, rows),
    ]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: Value) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
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
    table = io.StringIO()
    write_csv(rows, table, columns=trial_columns(record, blueprint))
    write_text(files.summary, to_json(summary))
    write_text(files.markdown, summary_markdown(summary))
    write_text(files.trials_csv, table.getvalue())
    write_text(files.trials_json, to_json(rows))
    return files


def write_csv(rows: Iterable[Mapping[str, Value]], file: TextIO, *, columns: Sequence[str]) -> None:
    """
    Write *rows* as CSV: text as it is, `None` empty, anything else as JSON.

    Text that a spreadsheet would run as a formula is preceded by an apostrophe.
    """
    plain = csv.writer(file, lineterminator="\n")
    # A carriage return is quoted by some versions of Python only.
    quoted = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
    plain.writerow([_csv_cell(column) for column in columns])
    for row in rows:
        cells = [_csv_cell(row[column]) for column in columns]
        writer = quoted if any("\r" in cell for cell in cells) else plain
        writer.writerow(cells)


def _csv_cell(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    return json.dumps(value, ensure_ascii=False)


# A spreadsheet runs text that begins with one of these.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001


def to_json(value: Value) -> str:
    """
    Return *value* as indented JSON text that any reader takes.

    JSON has no NaN and no infinity: they become text.
    """
    return json.dumps(finite(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def finite(value: Value) -> Value:
    """
    Return *value* with the numbers that JSON does not have as text.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


def write_text(path: Path, text: str) -> None:
    """
    Write *text* to *path* whole or not at all, in UTF-8.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
