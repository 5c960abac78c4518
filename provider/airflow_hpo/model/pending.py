"""
Failed trials that are likely to be tried again: not to be held against a study yet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_hpo.model.trial import Failure, TrialState

if TYPE_CHECKING:
    from airflow_hpo.model.record import StudyRecord
    from airflow_hpo.model.trial import Trial
    from airflow_hpo.model.trial_spec import Retries

__all__ = ["awaits_retry", "unsettled"]

# Whoever tries a failed trial again has begun after so many seconds, or never will.
_RETRY_S = 900.0


def awaits_retry(trial: Trial, retries: Retries, now: float) -> bool:
    """
    Return whether a failed trial is likely to be tried again by itself.
    """
    if trial.state is not TrialState.FAILED or trial.finished is None:
        return False
    allowed = {Failure.CODE: retries.code, Failure.INFRASTRUCTURE: retries.infrastructure}
    limit = allowed.get(trial.failure or Failure.TIMEOUT, 0)
    return 0 < trial.attempt <= limit and now - trial.finished < _RETRY_S


def unsettled(record: StudyRecord, waits: Callable[[Trial], bool]) -> StudyRecord:
    """
    Return *record* with those failed trials as waiting that *waits* names.
    """
    if not any(trial.state is TrialState.FAILED and waits(trial) for trial in record.trials):
        return record
    trials = (
        replace(trial, state=TrialState.WAITING)
        if trial.state is TrialState.FAILED and waits(trial)
        else trial
        for trial in record.trials
    )
    return replace(record, trials=tuple(trials))
