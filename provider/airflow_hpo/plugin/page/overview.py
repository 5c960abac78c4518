"""
SNAPSHOT -> OVERVIEW: what the head of the page shows.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.bounds import bounds_text
from airflow_hpo.model.distribution import Categorical, Constant, Float, Int, LogNormal, Normal
from airflow_hpo.report import finite, trial_columns
from airflow_hpo.report.figures import INSTALL, can_draw, charts_of
from airflow_hpo.report.figures.rungs import rung_rows
from airflow_hpo.report.figures.timeline import idle, spans

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_hpo.model.blueprint import Blueprint
    from airflow_hpo.model.space import Parameter
    from airflow_hpo.plugin.page.places import Place
    from airflow_hpo.plugin.page.shelf import Snapshot

__all__ = ["overview", "place_json"]

# So many runs are listed at most, the latest ones.
_RUNS = 50


def overview(snapshot: Snapshot) -> dict[str, Any]:
    """
    Return all about a study but its trials, JSON-compatible.
    """
    record, blueprint, places = snapshot.record, snapshot.blueprint, snapshot.places
    best = snapshot.summary["best"]
    laid = spans(snapshot.events, now=time.time())
    found = {
        **snapshot.summary,
        "version": snapshot.version,
        "description": blueprint.description,
        "aims": [objective.aim for objective in blueprint.objectives],
        "best_task": None if best is None else place_json(places.get(best["number"])),
        "runs": _runs(places),
        "use": idle(laid),
        "rungs": rung_rows(record),
        "settings": _settings(blueprint, record.seed),
        "space": [_parameter(parameter) for parameter in blueprint.space.parameters],
        "constraints": list(blueprint.space.constraints),
        "source": {
            "dialect": blueprint.source.dialect,
            "file": blueprint.source.file,
            "text": blueprint.source.text,
        },
        "columns": trial_columns(record, blueprint),
        "tunable": [parameter.name for parameter in blueprint.space.tunable],
        "charts": [
            {"name": chart.name, "title": chart.title} for chart in charts_of(record, blueprint)
        ],
        "install": None if can_draw() else INSTALL,
        "is_live": record.stop is None,
    }
    return {key: finite(value) for key, value in found.items()}


def place_json(place: Place | None) -> dict[str, Any] | None:
    """
    Return a task instance as plain data.
    """
    return None if place is None else place._asdict()


def _runs(places: Mapping[int, Place]) -> list[dict[str, Any]]:
    """
    Return the DAG runs that ran trials, the latest first, with their numbers of trials.
    """
    counts = Counter((place.dag, place.run) for _, place in sorted(places.items()))
    latest = list(counts.items())[::-1][:_RUNS]
    return [{"dag": dag, "run": run, "trials": count} for (dag, run), count in latest]


def _settings(blueprint: Blueprint, seed: int) -> dict[str, Any]:
    """
    Return what holds of the study's latest run, the trigger form's changes included.
    """
    budget, execution = blueprint.budget, blueprint.execution
    found: dict[str, Any] = {
        "strategy": blueprint.strategy.name,
        "strategy options": blueprint.strategy.options or None,
        "startup trials": blueprint.strategy.startup_trials,
        "seed": seed,
        **{name.replace("_", " "): value for name, value in budget.model_dump().items()},
        "mode": execution.mode,
        "batch size": execution.batch_size if execution.mode == "batch" else None,
        "concurrency": execution.concurrency,
        "pruner": None if blueprint.pruner is None else blueprint.pruner.name,
        "warm start": None if blueprint.warm_start is None else blueprint.warm_start.source.words,
        "runner": blueprint.trial.runner.name,
        "trial timeout s": blueprint.trial.timeout_s,
        "on failure": blueprint.trial.on_failure,
    }
    stops = [_rule(rule.model_dump(exclude_none=True)) for rule in blueprint.stop]
    found |= {"stop when": stops or None}
    return {name: value for name, value in found.items() if value is not None}


def _rule(rule: Mapping[str, Any]) -> str:
    if rule["kind"] == "expression":
        return str(rule["expression"])
    if rule["kind"] == "plateau":
        return f"{rule['trials']} trials bring less than {rule['min_delta']:g}"
    for key, word in (("at_least", "at least"), ("at_most", "at most")):
        if key in rule:
            return f"{rule['metric']} is {word} {rule[key]:g}"
    return f"{rule['metric']} is within {rule['tolerance']:g} of {rule['target']:g}"


def _parameter(parameter: Parameter) -> dict[str, Any]:
    """
    Return a parameter and its bounds; values where they can be listed.
    """
    item = parameter.distribution
    values, text = None, ""
    if isinstance(item, Categorical):
        values = list(item.choices)
    elif isinstance(item, Constant):
        values = [item.value]
    else:
        text = _range(item)
    return {
        "name": parameter.name,
        "kind": item.kind,
        "text": text,
        "values": values,
        "when": {name: list(given) for name, given in parameter.when.items()},
    }


def _range(item: Float | Int | Normal | LogNormal) -> str:
    if isinstance(item, (Float, Int)):
        words = [bounds_text(item)]
        words += ["logarithmic"] if item.log else []
    else:
        words = [f"mean {item.mean:g}, deviation {item.deviation:g}"]
    return ", ".join(words + ([] if item.step in {None, 1} else [f"step {item.step:g}"]))
