"""
Optuna's own plots of our studies.

Imported where a chart is drawn and nowhere else, since it loads Optuna.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import TYPE_CHECKING, Any

import optuna  # noqa: TID253 - see above
from optuna import visualization  # noqa: TID253 - see above
from optuna.importance import PedAnovaImportanceEvaluator  # noqa: TID253 - see above

from airflow_hpo.report.figures.base import Asked, empty, plain
from airflow_hpo.report.figures.thin import thinned
from airflow_hpo.storage.optuna_trials import metric_names
from airflow_hpo.storage.optuna_view import optuna_study
from airflow_hpo.strategies._optuna_memory import quiet

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

__all__ = ["contour", "front", "history", "importance", "parallel", "slices"]

# So many trials each plot draws at most: what a browser shows at once, and what
# a contour's grid of all pairs of values still fits into.
_HISTORY, _LINES, _POINTS, _GRID = 2000, 600, 1500, 150

# So many parameters at most where nobody chose any.
_AXES, _SLICES, _PAIR = 12, 8, 2


def _said(draw: Callable[[Asked], dict[str, Any]]) -> Callable[[Asked], dict[str, Any]]:
    """
    Let *draw* answer with a reason in words where Optuna has nothing to draw.
    """

    @wraps(draw)
    def drawn(asked: Asked) -> dict[str, Any]:
        try:
            with quiet(), warnings.catch_warnings():
                # What Optuna leaves out or guesses is no news to who looks at a chart.
                warnings.simplefilter("ignore")
                return draw(asked)
        except (ValueError, RuntimeError) as error:
            return empty(str(error))

    return drawn


@_said
def history(asked: Asked) -> dict[str, Any]:
    """
    Return the values by trial, and the best so far.
    """
    record, note = thinned(asked.record, asked.blueprint.objectives, most=_HISTORY)
    # Optuna takes a trial's number for its place in a list: ours are put back behind it.
    numbers = [trial.number for trial in record.trials]
    trials = tuple(replace(trial, number=place) for place, trial in enumerate(record.trials))
    study = optuna_study(replace(record, trials=trials))
    found = _figure(visualization.plot_optimization_history(study, **_target(asked)), note)
    for trace in found["data"]:
        trace["x"] = [numbers[place] for place in trace["x"]]
    return found


@_said
def front(asked: Asked) -> dict[str, Any]:
    """
    Return two or three objectives against each other, the front marked.
    """
    study, note = _study(asked, most=_POINTS)
    names = metric_names(asked.blueprint.objectives)
    return _figure(visualization.plot_pareto_front(study, target_names=names), note)


@_said
def parallel(asked: Asked) -> dict[str, Any]:
    """
    Return a line a trial through all parameters.
    """
    if not _complete(asked):
        return empty("no trial is complete yet")
    study, note = _study(asked, most=_LINES)
    params = _params(asked, most=_AXES)
    figure = visualization.plot_parallel_coordinate(study, params=params, **_target(asked))
    return _figure(figure, note)


@_said
def importance(asked: Asked) -> dict[str, Any]:
    """
    Return how much each parameter decides about being among the good trials.
    """
    if _complete(asked) < 2:  # noqa: PLR2004 - one has nothing to be compared with
        return empty("importance needs two complete trials")
    study, note = _study(asked, most=_HISTORY)
    if any(parameter.when for parameter in asked.blueprint.space.tunable):
        note = "; ".join(filter(None, [note, "conditional parameters are left out"]))
    figure = visualization.plot_param_importances(
        study, evaluator=PedAnovaImportanceEvaluator(), **_target(asked, losses=True)
    )
    return _figure(figure, note)


@_said
def slices(asked: Asked) -> dict[str, Any]:
    """
    Return the values over each parameter alone.
    """
    if not _complete(asked):
        return empty("no trial is complete yet")
    study, note = _study(asked, most=_POINTS)
    params = _params(asked, most=_SLICES)
    return _figure(visualization.plot_slice(study, params=params, **_target(asked)), note)


@_said
def contour(asked: Asked) -> dict[str, Any]:
    """
    Return the values over two parameters.
    """
    if not _complete(asked):
        return empty("no trial is complete yet")
    study, note = _study(asked, most=_GRID)
    params = _params(asked, most=_PAIR)[:_PAIR]
    return _figure(visualization.plot_contour(study, params=params, **_target(asked)), note)


def _complete(asked: Asked) -> int:
    return sum(1 for trial in asked.record.trials if trial.is_complete)


def _study(asked: Asked, *, most: int) -> tuple[optuna.Study, str]:
    record, note = thinned(asked.record, asked.blueprint.objectives, most=most)
    return optuna_study(record), note


def _params(asked: Asked, *, most: int) -> list[str]:
    """
    Return the parameters to draw: those asked for that trials have had, else the first ones.
    """
    had = {
        name for trial in asked.record.trials if trial.is_complete for name in trial.configuration
    }
    tunable = [item.name for item in asked.blueprint.space.tunable if item.name in had]
    return [name for name in asked.params if name in tunable] or tunable[:most]


def _target(asked: Asked, *, losses: bool = False) -> dict[str, Any]:
    """
    Return what tells Optuna which objective is drawn, or its loss.
    """
    objectives = asked.blueprint.objectives
    names = metric_names(objectives)
    place = min(max(asked.objective, 0), len(names) - 1)
    if len(names) == 1:
        return {"target_name": names[0]}
    sign = -1.0 if losses and objectives[place].direction == "maximize" else 1.0
    return {"target_name": names[place], "target": _value_at(place, sign)}


def _value_at(place: int, sign: float) -> Callable[[FrozenTrial], float]:
    return lambda trial: sign * float(trial.values[place])


def _figure(figure: Any, note: str) -> dict[str, Any]:  # noqa: ANN401 - Plotly is optional
    """
    Return a figure as plain data, without the template: a page has its own.
    """
    found: dict[str, Any] = json.loads(figure.to_json())
    layout = {key: each for key, each in found.get("layout", {}).items() if key != "template"}
    for own in ("title", "plot_bgcolor", "paper_bgcolor"):  # the page's affair
        layout.pop(own, None)
    for mark in layout.get("annotations", ()):
        mark.get("font", {}).pop("color", None)
    return {"data": plain(found.get("data", [])), "layout": plain(layout), "note": note}
