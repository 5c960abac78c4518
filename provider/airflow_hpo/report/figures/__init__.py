"""
STUDY -> FIGURES: charts as plain data that Plotly draws, for the page and the report.

Where Optuna has a plot it is Optuna's; what it does not know (attempts, lanes,
rungs) is made here. Everything is thinned first: a browser has little use for
more points than a screen has.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from airflow_hpo.errors import StudyError
from airflow_hpo.model.ladder import place_of
from airflow_hpo.model.registry import did_you_mean
from airflow_hpo.report.figures.base import Asked, Chart

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_hpo.model.blueprint import Blueprint
    from airflow_hpo.model.record import StudyRecord

__all__ = ["CHARTS", "Asked", "Chart", "can_draw", "charts_of", "draw"]

INSTALL = "pip install 'airflow-provider-hpo[plots]'"
"""What brings Plotly along."""


def _always(record: StudyRecord, blueprint: Blueprint) -> bool:
    del record, blueprint
    return True


def _several_parameters(record: StudyRecord, blueprint: Blueprint) -> bool:
    del record
    return len(blueprint.space.tunable) > 1


def _several_objectives(record: StudyRecord, blueprint: Blueprint) -> bool:
    del record
    return len(blueprint.objectives) in {2, 3}


def _has_rungs(record: StudyRecord, blueprint: Blueprint) -> bool:
    del blueprint
    return any(place_of(trial) is not None for trial in record.trials)


_ENGINE = "airflow_hpo.report.figures.engine"

CHARTS: Mapping[str, Chart] = {
    chart.name: chart
    for chart in (
        Chart("history", "Optimisation history", f"{_ENGINE}:history", _always),
        Chart("front", "Pareto front", f"{_ENGINE}:front", _several_objectives),
        Chart("curves", "Learning curves", "airflow_hpo.report.figures.curves:curves", _always),
        Chart("timeline", "Timeline", "airflow_hpo.report.figures.timeline:timeline", _always),
        Chart("rungs", "Rungs", "airflow_hpo.report.figures.rungs:rungs", _has_rungs),
        Chart("parallel", "Parallel coordinates", f"{_ENGINE}:parallel", _several_parameters),
        Chart("importance", "Importance", f"{_ENGINE}:importance", _several_parameters),
        Chart("slice", "Slices", f"{_ENGINE}:slices", _always),
        Chart("contour", "Contour", f"{_ENGINE}:contour", _several_parameters),
    )
}
"""All charts, in the order in which a page shows them."""


def can_draw() -> bool:
    """
    Return whether Plotly is installed, without which no chart can be drawn.
    """
    return importlib.util.find_spec("plotly") is not None


def charts_of(record: StudyRecord, blueprint: Blueprint) -> list[Chart]:
    """
    Return the charts that mean something for a study.
    """
    return [chart for chart in CHARTS.values() if chart.fits(record, blueprint)]


def draw(name: str, asked: Asked) -> dict[str, Any]:
    """
    Return a chart as Plotly's JSON: ``data``, ``layout`` and, if any, a ``note``.

    Raises:
        StudyError: If there is no such chart, or Plotly is not installed.
    """
    chart = CHARTS.get(name)
    if chart is None:
        hint = did_you_mean(name, list(CHARTS))
        raise StudyError(
            f"a chart must be one of {', '.join(CHARTS)}, got {name!r}"
            + (f"; {hint}" if hint else "")
        )
    if not can_draw():
        raise StudyError(f"charts need Plotly: {INSTALL}")
    return chart.draw(asked)
