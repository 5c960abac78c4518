"""
STUDY -> HTML: one file that needs no other, no server and no network.
"""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_hpo.model.failure import failure_signature, failure_summary
from airflow_hpo.model.trial import TrialState
from airflow_hpo.report.figures import INSTALL, Asked, Chart, can_draw, charts_of
from airflow_hpo.report.files import finite
from airflow_hpo.report.summary import summarise, trial_columns, trial_rows
from airflow_hpo.report.templates import render_template
from airflow_hpo.report.words import plan_rows

if TYPE_CHECKING:
    from airflow_hpo.model.blueprint import Blueprint
    from airflow_hpo.model.record import Event, StudyRecord
    from airflow_hpo.model.trial import Measurement, Trial
    from airflow_hpo.model.values import Value

__all__ = ["study_html"]

# So many trials stand in the table, and so many numbers beside a failure.
_ROWS, _NUMBERS = 5000, 20

_HOUR, _MINUTE = 3600, 60


def study_html(
    record: StudyRecord,
    blueprint: Blueprint,
    *,
    events: Sequence[Event] = (),
    measured: Mapping[int, Sequence[Measurement]] | None = None,
) -> str:
    """
    Return a study's report as one page.

    Charts are there where Plotly is installed, whose script becomes part of
    the page: about 5 MB.

    Args:
        record: The study.

        blueprint: What it optimises.

        events: For the timeline.

        measured: By trial number, for the learning curves.
    """
    summary = summarise(record, blueprint) | {"description": blueprint.description}
    charts = _charts(record, blueprint, events=events, measured=measured or {})
    rows = [row for row, _ in zip(trial_rows(record, blueprint), range(_ROWS), strict=False)]
    return render_template(
        "report.html",
        # By name: the root's own imports lead to rooms that this one can't have.
        version=import_module("airflow_hpo").__version__,
        written=time.strftime("%Y-%m-%d %H:%M:%S %Z"),
        summary=summary,
        aims=[objective.aim for objective in blueprint.objectives],
        front=summary.get("front"),
        plan=plan_rows(summary),
        failures=_failures(record.trials),
        install=None if can_draw() else INSTALL,
        charts=charts,
        plotly=_safe(_plotly()) if any(chart["json"] for chart in charts) else None,
        columns=trial_columns(record, blueprint),
        rows=rows,
        omitted=max(0, len(record.trials) - _ROWS),
        source=blueprint.source.text,
        file=blueprint.source.file,
        cell=_cell,
        duration=_duration,
    )


def _charts(
    record: StudyRecord,
    blueprint: Blueprint,
    *,
    events: Sequence[Event],
    measured: Mapping[int, Sequence[Measurement]],
) -> list[dict[str, Any]]:
    if not can_draw():
        return []
    asked = Asked(record, blueprint, measured=measured, events=events, now=time.time())
    return [_drawn(chart, asked) for chart in charts_of(record, blueprint)]


def _drawn(chart: Chart, asked: Asked) -> dict[str, Any]:
    try:
        found = chart.draw(asked)
    except Exception as error:  # noqa: BLE001 - a report without a chart is better than none
        found = {"data": [], "note": f"this chart cannot be drawn: {error}"}
    text = None
    if found["data"]:
        figure = {"data": found["data"], "layout": found.get("layout", {})}
        # Within a page's script, only this can end the script.
        text = json.dumps(finite(figure), allow_nan=False).replace("<", "\\u003c")
    return {
        "name": chart.name,
        "title": chart.title,
        "note": found.get("note"),
        "json": text and _safe(text),
    }


def _safe(text: str) -> Any:  # noqa: ANN401 - Jinja's own kind of text
    from markupsafe import Markup

    return Markup(text)  # noqa: S704 - Plotly's own script, or JSON without a <


def _plotly() -> str:
    """
    Return Plotly's script, from the package that is installed here.
    """
    found = importlib.util.find_spec("plotly")
    folders = [] if found is None else found.submodule_search_locations or []
    paths = [Path(folder) / "package_data" / "plotly.min.js" for folder in folders]
    script = next((path.read_text("utf-8") for path in paths if path.is_file()), "")
    return script.replace("</script", "<\\/script")


def _failures(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """
    Return what went wrong, the most frequent first; the same failure once.
    """
    found: dict[tuple[str, str], list[Trial]] = {}
    for trial in trials:
        if trial.state in {TrialState.FAILED, TrialState.INFEASIBLE}:
            kind = trial.failure.value if trial.failure else trial.state.value
            found.setdefault((kind, failure_signature(trial.reason or "")), []).append(trial)
    ordered = sorted(found.items(), key=lambda item: -len(item[1]))
    return [
        {
            "count": len(own),
            "kind": kind,
            "reason": failure_summary(own[-1].reason or ""),
            "numbers": ", ".join(f"#{trial.number}" for trial in own[:_NUMBERS])
            + (" ..." if len(own) > _NUMBERS else ""),
        }
        for (kind, _), own in ordered
    ]


def _cell(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(finite(value), ensure_ascii=False)


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{seconds:.1f} s"
    if whole < _HOUR:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole // 60 % 60:02d} h"
