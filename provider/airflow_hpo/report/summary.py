"""
STUDY -> SUMMARY: what a person wants to know, and a row for each trial.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow_hpo.history import history_notes
from airflow_hpo.model.actual import actual
from airflow_hpo.model.ladder import Place, place_of
from airflow_hpo.model.objective import best_trial
from airflow_hpo.model.pareto import measured_front, pareto_front
from airflow_hpo.model.trial import TrialState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow_hpo.model.blueprint import Blueprint
    from airflow_hpo.model.record import StudyRecord
    from airflow_hpo.model.trial import Trial
    from airflow_hpo.model.values import Value

__all__ = ["summarise", "trial_columns", "trial_rows"]


def summarise(record: StudyRecord, blueprint: Blueprint) -> dict[str, Any]:
    """
    Return what a person wants to know of a study, JSON-compatible.

    With several objectives ``best`` is the best by the first of them, and
    ``front`` has the trials that no other beats in every objective.
    """
    feasible = blueprint.outcomes.feasible(record.trials)
    best = best_trial(blueprint.objectives, feasible)
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
        **_front(feasible, blueprint),
        **_feasibility(record, blueprint),
        "history": history_notes(record, blueprint),
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


def _front(feasible: Sequence[Trial], blueprint: Blueprint) -> dict[str, Any]:
    if len(blueprint.objectives) == 1:
        return {}
    front = pareto_front(blueprint.objectives, feasible)
    volume, reference = measured_front(blueprint.objectives, feasible)
    return {
        "front": [_best(trial, blueprint) for trial in front],
        "hypervolume": {"value": volume, "reference": reference},
    }


def _feasibility(record: StudyRecord, blueprint: Blueprint) -> dict[str, Any]:
    if not blueprint.outcome_constraints:
        return {}
    complete = [trial for trial in record.trials if trial.is_complete]
    return {
        "outcome_constraints": list(blueprint.outcome_constraints),
        "feasible": len(blueprint.outcomes.feasible(complete)),
    }


def _iso(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, tz=timezone.utc).isoformat()


# Where a trial of a ladder stands, and which it resumes.
_LADDER = (*Place._fields, "parent")


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
        *(["feasible"] if blueprint.outcome_constraints else []),
        "sampler",
        *(f"value.{objective.metric}" for objective in blueprint.objectives),
        *(f"parameter.{name}" for name in parameters),
        *(f"metric.{name}" for name in metrics),
        "resource",
        *(_LADDER if any(place_of(trial) for trial in record.trials) else ()),
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
            "feasible": blueprint.outcomes.allow(trial) if trial.is_complete else None,
            "sampler": trial.sampler,
            **_prefixed("value", dict(zip(names, trial.values or (), strict=False))),
            **_prefixed("parameter", trial.configuration),
            **_prefixed("metric", trial.metrics),
            "resource": trial.resource,
            **{name: trial.labels.get(name) for name in Place._fields},
            "parent": trial.parent,
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
