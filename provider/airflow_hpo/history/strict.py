"""
ENTRIES -> TRIALS of this very study: whatever does not fit is an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_hpo.model.stop import to_number
from airflow_hpo.model.trial import Trial, TrialState
from airflow_hpo.strategies.points import configuration_problems

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_hpo.history.told import Entry, Told
    from airflow_hpo.model.blueprint import Blueprint

__all__ = ["as_own_trials"]


def as_own_trials(
    entries: Sequence[Entry], blueprint: Blueprint
) -> tuple[tuple[Trial, ...], list[tuple[int, str]]]:
    """
    Return the trials, numbered in their order, and what is wrong by line.

    Without a ``state`` a trial is complete, and needs its values.
    """
    trials: list[Trial] = []
    problems: list[tuple[int, str]] = []
    for entry in entries:
        problems += ((entry.line, message) for message in entry.problems)
        if entry.told is None:
            continue
        wrong = list(_problems(entry.told, blueprint))
        problems += ((entry.line, message) for message in wrong)
        if not wrong:
            trials.append(_own(entry.told, len(trials), blueprint))
    return tuple(trials), problems


def _problems(told: Told, blueprint: Blueprint) -> Iterator[str]:
    yield from configuration_problems(blueprint.space, told.configuration)
    metrics = [objective.metric for objective in blueprint.objectives]
    missing = [metric for metric in metrics if metric not in told.values]
    if told.values:
        yield from (f"values must have {metric}, got {dict(told.values)}" for metric in missing)
    elif told.state is None:
        yield "values or a state must be given, got neither"
    elif told.state is TrialState.COMPLETE:
        yield "a complete trial must have its values, got none"


def _own(told: Told, number: int, blueprint: Blueprint) -> Trial:
    values = tuple(
        told.values[objective.metric] for objective in blueprint.objectives if told.values
    )
    return Trial(
        number=number,
        configuration=blueprint.space.arrange(told.configuration),
        state=told.state or TrialState.COMPLETE,
        sampler=told.sampler,
        values=values or None,
        metrics=told.metrics,
        resource=to_number(told.resource),
    )
