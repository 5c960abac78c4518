"""
Why a study ends, or goes on again: its budget, its rules, and what the journal knows besides.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_hpo.model.decision import decide, reached
from airflow_hpo.model.stop import Stop
from airflow_hpo.model.trial import Failure, TrialState
from airflow_hpo.study.suggesting import exhausted, is_ladder, suggest, waits

if TYPE_CHECKING:
    from airflow_hpo.model.blueprint import Blueprint
    from airflow_hpo.model.record import StudyRecord
    from airflow_hpo.storage.base import Storage

__all__ = ["ending"]


def ending(
    record: StudyRecord, blueprint: Blueprint, *, storage: Storage, now: float
) -> Stop | None:
    """
    Return why the study in *record* ends, or stays ended; `None` if it goes on.

    Args:
        record: The study as it stands.

        blueprint: What it optimises, and how.

        storage: Where its attempts and measurements are read, if they matter.

        now: Seconds since the epoch.
    """
    if record.stop is not None and record.stop.rule == "user":
        return record.stop
    stop = _failure_stop(record, blueprint) or decide(
        blueprint.budget,
        blueprint.stop,
        blueprint.objectives,
        record.trials,
        now=now,
        earlier_s=_earlier_s(record, blueprint, storage=storage),
    )
    if stop is None and record.stop is not None:
        return record.stop if _still_holds(record, blueprint, storage=storage) else None
    if stop is None and _has_climbed(record, blueprint):
        return exhausted(record, blueprint)
    return stop


def _failure_stop(record: StudyRecord, blueprint: Blueprint) -> Stop | None:
    if blueprint.trial.on_failure != "stop":
        return None
    for trial in record.trials:
        if trial.state is TrialState.FAILED and trial.is_counted:
            reason = f"trial {trial.number} failed: {trial.reason}"
            return Stop("on_failure", reason, trial.number)
    return None


def _earlier_s(record: StudyRecord, blueprint: Blueprint, *, storage: Storage) -> float:
    """
    Return the seconds of attempts that later ones superseded, if a budget counts them.

    What the machine lost costs nothing.
    """
    if blueprint.budget.trial_time_s is None:
        return 0.0
    spent = 0.0
    for trial in record.trials:
        if trial.attempt <= 1:
            continue
        for old in storage.attempts(record.name, trial.number)[:-1]:
            ended = old.outcome.time if old.outcome is not None else None
            lost = old.outcome is not None and old.outcome.failure is Failure.INFRASTRUCTURE
            if ended is not None and old.started is not None and not lost:
                spent += max(0.0, ended - old.started)
    return spent


def _still_holds(record: StudyRecord, blueprint: Blueprint, *, storage: Storage) -> bool:
    """
    Return whether an earlier decision stands though the trials' last values say nothing.
    """
    stop = record.stop
    if stop is not None and stop.rule == "exhausted":
        # A lost trial or another list of points gives it something to try.
        return not suggest(record, blueprint, 1)
    if stop is None or stop.rule not in {"metric", "expression"} or stop.trial is None:
        return False
    # It may have been any measurement of that trial that reached the goal.
    trial = record.trials[stop.trial]
    if trial.state in {TrialState.FAILED, TrialState.INFEASIBLE}:
        return False
    measured = storage.measurements(record.name, trial.number)
    then = replace(trial, metrics={})
    return reached(blueprint.stop, blueprint.objectives, then, measured) is not None


def _has_climbed(record: StudyRecord, blueprint: Blueprint) -> bool:
    """
    Return whether it is a ladder on which nobody can move up or begin any more.
    """
    if not is_ladder(blueprint) or not record.trials or waits(record, blueprint):
        return False
    return not suggest(record, blueprint, 1)
