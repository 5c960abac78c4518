"""
STUDY -> THE SAME STUDY WITH FEWER TRIALS: those that a chart would miss stay.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_hpo.model.pareto import pareto_front

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_hpo.model.objective import Objective
    from airflow_hpo.model.record import StudyRecord
    from airflow_hpo.model.trial import Trial

__all__ = ["thinned"]


def thinned(
    record: StudyRecord, objectives: Sequence[Objective], *, most: int
) -> tuple[StudyRecord, str]:
    """
    Return *record* with at most some *most* trials, and what is to be said of that.

    Every trial that was the best so far stays, and of several objectives the
    front; the others are spread evenly over the study's life.
    """
    trials = record.trials
    if len(trials) <= most:
        return record, ""
    kept = {trial.number for trial in _records(trials, objectives)}
    if len(objectives) > 1:
        kept |= {trial.number for trial in pareto_front(objectives, trials)}
    kept = set(_spread(sorted(kept), most))
    others = [number for number in range(len(trials)) if number not in kept]
    kept |= set(_spread(others, most - len(kept)))
    found = tuple(trial for trial in trials if trial.number in kept)
    note = f"{len(found)} of {len(trials)} trials are drawn: all that were best, others evenly"
    return replace(record, trials=found), note


def _records(trials: Sequence[Trial], objectives: Sequence[Objective]) -> list[Trial]:
    """
    Return the trials that were better than all before them in some objective.
    """
    best = [float("inf")] * len(objectives)
    found: list[Trial] = []
    for trial in trials:
        if not trial.is_complete or not trial.values:
            continue
        losses = [item.loss(value) for item, value in zip(objectives, trial.values, strict=True)]
        if any(new < old for new, old in zip(losses, best, strict=True)):
            found.append(trial)
        best = [min(pair) for pair in zip(losses, best, strict=True)]
    return found


def _spread(numbers: Sequence[int], most: int) -> list[int]:
    """
    Return at most *most* of *numbers*, evenly, the first and the last among them.

    Example:
        >>> _spread([3, 4, 5, 6, 7], 3)
        [3, 5, 7]
    """
    if len(numbers) <= most:
        return list(numbers)
    if most <= 1:
        return list(numbers[:most])
    step = (len(numbers) - 1) / (most - 1)
    return [numbers[round(place * step)] for place in range(most)]
