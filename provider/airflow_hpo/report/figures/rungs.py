"""
LADDERS -> RUNGS: how many trials each rung planned, ran and promoted, and their values.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from airflow_hpo.model.ladder import Place, place_of
from airflow_hpo.report.figures.base import COLOURS, Asked, empty, plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_hpo.model.record import StudyRecord
    from airflow_hpo.model.trial import Trial

__all__ = ["rung_rows", "rungs"]


def rung_rows(record: StudyRecord) -> list[dict[str, Any]]:
    """
    Return a row a rung: what was planned for it and what became of it.

    A rung that nobody planned, as in an asynchronous ladder, has `None` there.
    """
    found: dict[Place, list[Trial]] = defaultdict(list)
    for trial in record.trials:
        place = place_of(trial)
        if place is not None:
            found[place].append(trial)
    planned = _planned(record)
    rows = []
    for place in sorted({*found, *planned}, key=lambda each: (each[0], -each[1], each[2])):
        trials, plan = found.get(place, []), planned.get(place, {})
        above = found.get(place.above(), [])
        rows.append(
            {
                **place._asdict(),
                "resource": trials[0].resource if trials else plan.get("resource"),
                "planned": plan.get("trials"),
                "trials": len(trials),
                "ended": sum(1 for trial in trials if trial.is_final),
                "promoted": len(above),
                "to_promote": plan.get("promote"),
            }
        )
    return rows


def _planned(record: StudyRecord) -> dict[Place, Mapping[str, Any]]:
    return {
        Place(bracket.get("iteration", 0), bracket["bracket"], rung["rung"]): rung
        for bracket in record.plan.get("brackets") or ()
        for rung in bracket["rungs"]
    }


def rungs(asked: Asked) -> dict[str, Any]:
    """
    Return the values that trials had at each rung, lines where one was promoted.
    """
    objective = asked.blueprint.objectives[0]
    trials = asked.record.trials
    done = [trial for trial in trials if trial.values and place_of(trial) is not None]
    if not done:
        return empty("no trial of a rung is complete yet")
    names = sorted({_column(trial) for trial in done}, key=_order)
    unit = asked.blueprint.resource.name if asked.blueprint.resource else ""
    places = {column: place for place, column in enumerate(names)}
    data = [_climbs(done, trials, places), _dots(done, places)]
    layout = {
        "xaxis": {
            "tickvals": list(places.values()),
            "ticktext": [
                f"bracket {bracket}<br>rung {rung}<br>{amount:g} {plain(unit)}"
                for _, bracket, rung, amount in names
            ],
        },
        "yaxis": {"title": {"text": plain(objective.metric)}},
        "showlegend": False,
    }
    return {"data": data, "layout": layout, "note": ""}


def _column(trial: Trial) -> tuple[int, int, int, float]:
    place = place_of(trial) or Place(0, 0, 0)
    return (place.iteration, place.bracket, place.rung, trial.resource or 0.0)


def _order(column: tuple[int, int, int, float]) -> tuple[int, int, int]:
    """
    Return what brackets are sorted by: as in the plan's table.
    """
    return (column[0], -column[1], column[2])


def _dots(done: Sequence[Trial], places: Mapping[Any, int]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [places[_column(trial)] for trial in done],
        "y": [(trial.values or (0.0,))[0] for trial in done],
        "marker": {"color": [COLOURS[trial.state] for trial in done], "size": 8, "opacity": 0.8},
        "customdata": [trial.number for trial in done],
        "hovertemplate": "trial %{customdata}<br>%{y:.6g}<extra></extra>",
    }


def _climbs(
    done: Sequence[Trial], trials: Sequence[Trial], places: Mapping[Any, int]
) -> dict[str, Any]:
    """
    Return one broken line through all pairs of a trial and what it was promoted to.
    """
    x: list[float | None] = []
    y: list[float | None] = []
    for trial in done:
        origin = trial.labels.get("from", trial.parent)
        before = trials[origin] if isinstance(origin, int) and origin < len(trials) else None
        if before is not None and before.values and trial.values:
            x += [places.get(_column(before)), places[_column(trial)], None]
            y += [before.values[0], trial.values[0], None]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": y,
        "line": {"width": 1, "color": "rgba(128,128,128,0.5)"},
        "hoverinfo": "skip",
    }
