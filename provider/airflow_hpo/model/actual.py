"""
What a study really did, in the terms of a plan.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from airflow_hpo.model.ladder import place_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_hpo.model.trial import Trial

__all__ = ["actual", "spent_by"]


def spent_by(trial: Trial, trials: Mapping[int, Trial], *, full: float) -> float:
    """
    Return how much of the resource *trial* spends.

    Args:
        trial: One that resumes spends what comes on top of its parent's.

        trials: All of the study, by number.

        full: What a trial spends that was told no limit.
    """
    parent = None if trial.parent is None else trials.get(trial.parent)
    before = 0.0 if parent is None else parent.resource or 0.0
    return (full if trial.resource is None else trial.resource) - before


def actual(trials: Sequence[Trial], *, full: float = 1.0) -> dict[str, Any]:
    """
    Return trials, rungs, resource, parallelism and times, JSON-compatible.

    Args:
        trials: All of the study; those that never began are left out.

        full: The resource's maximum; 1 where none is declared.
    """
    begun = [trial for trial in trials if trial.attempt > 0]
    by_number = {trial.number: trial for trial in trials}
    spent = float(sum(spent_by(trial, by_number, full=full) for trial in begun))
    starts = [trial.started for trial in begun if trial.started is not None]
    ends = [trial.finished for trial in begun if trial.finished is not None]
    return {
        "trials": len(begun),
        "brackets": _brackets(begun),
        "total_resource": spent,
        "full_trials": spent / full,
        "peak_parallelism": _peak(begun),
        "wall_clock_s": max(ends) - min(starts) if starts and ends else None,
        "trial_time_s": sum(trial.duration or 0.0 for trial in begun),
    }


def _brackets(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """
    Return the trials of each rung that had some, in the order of the plan's table.
    """
    places = Counter(place for trial in trials if (place := place_of(trial)) is not None)
    resource = {place_of(trial): trial.resource for trial in trials}
    found: dict[tuple[int, int], list[dict[str, Any]]] = {}
    for place in sorted(places, key=lambda each: (each.iteration, -each.bracket, each.rung)):
        rungs = found.setdefault((place.iteration, place.bracket), [])
        rungs.append({"rung": place.rung, "trials": places[place], "resource": resource[place]})
    return [
        {"iteration": iteration, "bracket": bracket, "rungs": rungs}
        for (iteration, bracket), rungs in found.items()
    ]


def _peak(trials: Sequence[Trial]) -> int:
    """
    Return how many trials ran at the same time at most.
    """
    moments = []
    for trial in trials:
        if trial.started is not None and trial.finished is not None:
            # An end comes before a start at the same moment.
            moments += [(trial.started, 1), (trial.finished, -1)]
    running = peak = 0
    for _, change in sorted(moments):
        running += change
        peak = max(peak, running)
    return peak
