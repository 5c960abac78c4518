"""
WARM START -> TRIALS: fetched once, mapped, and the best of them taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_hpo.errors import StudyError, StudyNotFoundError
from airflow_hpo.history.files import find_file, read_file
from airflow_hpo.history.fit import Tally, fit_point, fit_trial
from airflow_hpo.history.intervals import study_before
from airflow_hpo.history.resume import defined
from airflow_hpo.history.told import Told, told_by
from airflow_hpo.model.objective import loss
from airflow_hpo.model.pareto import crowding, ranks
from airflow_hpo.model.trial import Trial, TrialState
from airflow_hpo.model.values import canonical
from airflow_hpo.storage import open_storage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_hpo.model.blueprint import Blueprint
    from airflow_hpo.model.objective import Objective
    from airflow_hpo.model.values import Value
    from airflow_hpo.model.warm_start import WarmStart, WarmStartSource
    from airflow_hpo.storage.base import Storage

__all__ = ["collect"]


def collect(
    warm_start: WarmStart, blueprint: Blueprint, *, storage: Storage, study: str = ""
) -> dict[str, Value]:
    """
    Return what a study is told before its first trial, JSON-compatible.

    Args:
        warm_start: Where it comes from, and how much of it.

        blueprint: Of the study that is told: its space and objectives.

        storage: Its journal.

        study: Its name.

    Raises:
        StudyError: If there is no such study or file, or it cannot be read.
    """
    words = warm_start.source.words
    if warm_start.source.previous:
        before = study_before(storage, study, max_age_s=warm_start.source.max_age_s)
        words = "no interval before" if before is None else f"study {before}, {words}"
        told = [] if before is None else _of_study(before, storage)
    else:
        told = _fetch(warm_start.source, blueprint, storage=storage, study=study)
    tally = Tally()
    if warm_start.use == "points":
        taken = _points(told, blueprint, tally, limit=warm_start.trials)
    else:
        taken = _trials(told, blueprint, tally, limit=warm_start.trials)
    return {
        "source": words,
        "use": warm_start.use,
        "trials": taken,
        "tally": tally.to_dict(),
    }


def _fetch(
    source: WarmStartSource, blueprint: Blueprint, *, storage: Storage, study: str
) -> list[Told]:
    if source.file:
        return read_file(find_file(blueprint, source.file), blueprint)
    if source.storage is None:
        if source.study == study:
            raise StudyError(f"a warm start must come from another study, got {study!r} itself")
        return _of_study(source.study, storage)
    other = open_storage(source.storage)
    try:
        return _of_study(source.study, other)
    finally:
        other.close()


def _of_study(name: str, storage: Storage) -> list[Told]:
    try:
        record = storage.load(name)
    except StudyNotFoundError as error:
        raise StudyNotFoundError(f"there is nothing to start warm from: {error}") from error
    objectives = defined(record).objectives
    return [told_by(trial, objectives) for trial in record.trials]


def _trials(
    told: Sequence[Told], blueprint: Blueprint, tally: Tally, *, limit: int | None
) -> list[dict[str, Any]]:
    """
    Return the trials that fit, in their order; with a *limit* the best complete ones.
    """
    objectives = blueprint.objectives
    found = [fit_trial(each, blueprint.space, objectives, tally) for each in told]
    trials = [trial for trial in found if trial is not None]
    if limit is not None:
        complete = [trial for trial in trials if trial.is_complete]
        order = _best_first([trial.values or () for trial in complete], objectives)
        trials = [complete[place] for place in sorted(order[:limit])]
    return [_plain(trial) for trial in trials]


def _plain(trial: Trial) -> dict[str, Any]:
    return {
        "configuration": dict(trial.configuration),
        "state": trial.state.value,
        "values": None if trial.values is None else list(trial.values),
        "metrics": dict(trial.metrics),
        "resource": trial.resource,
    }


def _best_first(values: Sequence[Sequence[float]], objectives: Sequence[Objective]) -> list[int]:
    """
    Return the places of *values*, the best first.

    With several objectives front by front, and those with the most room
    around them first, so that a few of them still show the whole front.
    """
    losses = [loss(objectives, each) for each in values]
    if len(objectives) == 1:
        return sorted(range(len(losses)), key=lambda place: (losses[place], place))
    fronts = ranks(losses)
    room = [0.0] * len(losses)
    for front in set(fronts):
        members = [place for place, own in enumerate(fronts) if own == front]
        for place, own in zip(members, crowding([losses[each] for each in members]), strict=True):
            room[place] = own
    return sorted(range(len(losses)), key=lambda place: (fronts[place], -room[place], place))


_UNTRIED = {None, TrialState.COMPLETE}


def _points(
    told: Sequence[Told], blueprint: Blueprint, tally: Tally, *, limit: int | None
) -> list[dict[str, Any]]:
    """
    Return configurations to be tried again: the best first, then those without values.
    """
    metrics = [objective.metric for objective in blueprint.objectives]
    usable = [each for each in told if each.state in _UNTRIED]
    if len(usable) < len(told):
        tally.left_out["did not end well"] += len(told) - len(usable)
        tally.seen += len(told) - len(usable)
    valued = [each for each in usable if each.values.keys() >= set(metrics)]
    values = [[each.values[metric] for metric in metrics] for each in valued]
    ordered = [valued[place] for place in _best_first(values, blueprint.objectives)]
    others = [each for each in usable if not each.values.keys() >= set(metrics)]
    found: dict[str, dict[str, Value]] = {}
    for each in (*ordered, *others):
        if limit is not None and len(found) == limit:
            break
        point = fit_point(blueprint.space, each.configuration, tally)
        if point is not None:
            found.setdefault(canonical(point), point)
    return [{"configuration": point} for point in found.values()]
