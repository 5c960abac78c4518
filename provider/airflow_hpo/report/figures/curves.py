"""
MEASUREMENTS -> LEARNING CURVES: how trials come along, those that run in front.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_hpo.model.objective import best_trial
from airflow_hpo.model.stop import to_number
from airflow_hpo.model.trial import TrialState
from airflow_hpo.report.figures.base import COLOURS, Asked, empty, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_hpo.model.blueprint import Blueprint
    from airflow_hpo.model.record import StudyRecord
    from airflow_hpo.model.trial import Measurement, Trial

__all__ = ["curves", "followed"]

# So many ended trials beside those that run, and so many points a curve.
_ENDED, _POINTS = 24, 400


def followed(record: StudyRecord, blueprint: Blueprint) -> list[int]:
    """
    Return the trials whose curves are of interest: running ones, the best, the latest.
    """
    running = [trial for trial in record.trials if trial.state is TrialState.RUNNING]
    ended = [trial for trial in record.trials if trial.is_final and trial.attempt]
    ranked = sorted(
        (trial for trial in ended if trial.is_complete and trial.values),
        key=lambda trial: blueprint.objectives[0].loss((trial.values or (0.0,))[0]),
    )
    found = [*running[-_ENDED:], *ranked[: _ENDED // 2], *reversed(ended[-_ENDED // 2 :])]
    return list(dict.fromkeys(trial.number for trial in found))


def curves(asked: Asked) -> dict[str, Any]:
    """
    Return a line a trial: the objective's metric over the resource, or over its measurements.
    """
    objectives, trials = asked.blueprint.objectives, asked.record.trials
    objective = objectives[min(max(asked.objective, 0), len(objectives) - 1)]
    best = best_trial(objectives, asked.blueprint.outcomes.feasible(trials))
    spent = any(each.resource is not None for many in asked.measured.values() for each in many)
    data = []
    for number in sorted(asked.measured):
        points = _points(asked.measured[number], objective.metric)
        if points:
            is_best = best is not None and best.number == number
            data.append(_line(trials[number], points, is_best=is_best))
    if not data:
        return empty("nothing has been measured yet")
    resource = asked.blueprint.resource
    axis = (resource.name if resource else "resource") if spent else "measurement"
    layout = {
        "xaxis": {"title": {"text": plain(axis)}},
        "yaxis": {"title": {"text": plain(objective.metric)}},
        "hovermode": "closest",
        "showlegend": False,
    }
    return {"data": data, "layout": layout, "note": _note(asked, len(data))}


def _note(asked: Asked, drawn: int) -> str:
    begun = sum(1 for trial in asked.record.trials if trial.attempt)
    if drawn >= begun:
        return ""
    return f"{drawn} of {begun} trials are drawn: those that run, the best and the latest"


def _points(measured: Sequence[Measurement], metric: str) -> list[tuple[float, float]]:
    found = []
    for place, each in enumerate(measured):
        value = to_number(each.metrics.get(metric))
        if value is not None:
            found.append((place + 1 if each.resource is None else each.resource, value))
    step = -(-len(found) // _POINTS) or 1
    return found[::step] + (found[-1:] if (len(found) - 1) % step else [])


def _line(trial: Trial, points: Sequence[tuple[float, float]], *, is_best: bool) -> dict[str, Any]:
    live = trial.state is TrialState.RUNNING
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(points) < 30 or live else "lines",  # noqa: PLR2004 - taste
        "name": f"trial {trial.number}{' (best)' if is_best else ''}, {trial.state.value}",
        "x": [point[0] for point in points],
        "y": [point[1] for point in points],
        "line": {"color": COLOURS[trial.state], "width": 3 if is_best or live else 1.2},
        "marker": {"size": 4},
        "opacity": 1 if is_best or live else 0.55,
        "hovertemplate": "%{fullData.name}<br>%{x}: %{y:.6g}<extra></extra>",
    }
