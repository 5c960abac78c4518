"""
A STUDY OF OPTUNA'S -> ours.

Imported where one is wanted and nowhere else, since it loads Optuna.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import optuna  # noqa: TID253 - see above
from optuna.distributions import (  # noqa: TID253 - see above
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.study import StudyDirection  # noqa: TID253 - see above
from optuna.trial import FrozenTrial  # noqa: TID253 - see above
from optuna.trial import TrialState as OptunaState  # noqa: TID253 - see above

from airflow_hpo.errors import StorageError
from airflow_hpo.history.foreign import ForeignStudy, ForeignTrial, json_value, pairs
from airflow_hpo.model.distribution import Categorical, Distribution, Float, Int
from airflow_hpo.model.objective import Objective
from airflow_hpo.model.registry import did_you_mean
from airflow_hpo.model.trial import Failure, TrialState
from airflow_hpo.model.values import Value, canonical
from airflow_hpo.storage.optuna_copy import open_optuna

__all__ = ["read_optuna"]

_STATES = {
    OptunaState.COMPLETE: TrialState.COMPLETE,
    OptunaState.PRUNED: TrialState.PRUNED,
    OptunaState.FAIL: TrialState.FAILED,
}


def read_optuna(url: str, name: str | None = None) -> ForeignStudy:
    """
    Return a study of Optuna's.

    Args:
        url: See `airflow_hpo.storage.optuna_copy.open_optuna`.

        name: Which study; may be left out where there is one.

    Raises:
        StorageError: If there is none of that name, or several and no name.
    """
    storage = open_optuna(url)
    try:
        study = optuna.load_study(study_name=_chosen(storage, name), storage=storage)
        trials = study.get_trials(deepcopy=False)
    finally:
        storage.remove_session()
    metrics = _metrics(study)
    ended = [trial for trial in trials if trial.state.is_finished()]
    constraints = sorted({key for trial in ended for key in trial.constraints})
    return ForeignStudy(
        study.study_name,
        "Optuna",
        tuple(
            Objective(metric=metric, direction=_direction(direction))
            for metric, direction in zip(metrics, study.directions, strict=True)
        ),
        _distributions(ended),
        [_trial(trial, constraints) for trial in ended],
        tuple(f"constraint_{place} <= 0" for place in range(len(constraints))),
        Counter(trial.state.name.lower() for trial in trials if not trial.state.is_finished()),
    )


def _chosen(storage: optuna.storages.BaseStorage, name: str | None) -> str:
    known = optuna.get_all_study_names(storage)
    if name is None and len(known) == 1:
        return known[0]
    if name is None:
        listed = ", ".join(sorted(known)) or "none"
        raise StorageError(f"one study must be chosen: --name NAME; there are: {listed}")
    if name not in known:
        raise StorageError(
            f"Optuna has no study called {name!r} there\n"
            f"    hint: {did_you_mean(name, known) or 'there are: ' + ', '.join(sorted(known))}"
        )
    return name


def _direction(direction: StudyDirection) -> Any:  # noqa: ANN401 - one of two words
    return "maximize" if direction is StudyDirection.MAXIMIZE else "minimize"


def _metrics(study: optuna.Study) -> list[str]:
    if study.metric_names:
        return list(study.metric_names)
    count = len(study.directions)
    return ["value"] if count == 1 else [f"value_{place}" for place in range(count)]


def _distributions(trials: Sequence[FrozenTrial]) -> dict[str, Distribution]:
    """
    Return one distribution a parameter: Optuna lets bounds differ between trials.
    """
    seen: dict[str, dict[str, BaseDistribution]] = {}
    for trial in trials:
        for name, distribution in trial.distributions.items():
            seen.setdefault(name, {})[repr(distribution)] = distribution
    return {name: _united(list(found.values())) for name, found in seen.items()}


def _united(found: Sequence[BaseDistribution]) -> Distribution:
    choices: dict[str, Value] = {}
    for each in found:
        if isinstance(each, CategoricalDistribution):
            choices |= {
                canonical(json_value(choice)): json_value(choice) for choice in each.choices
            }
    if choices:
        return Categorical(choices=tuple(choices.values()))
    numeric = [each for each in found if isinstance(each, (FloatDistribution, IntDistribution))]
    low, high = min(each.low for each in numeric), max(each.high for each in numeric)
    log = all(each.log for each in numeric)
    steps = {(each.low, each.step) for each in numeric}
    step = numeric[0].step if len(steps) == 1 else None
    if all(isinstance(each, IntDistribution) for each in numeric):
        return Int(low=int(low), high=int(high), log=log, step=int(step or 1))
    return Float(low=low, high=high, log=log, step=step)


def _trial(trial: FrozenTrial, constraints: Sequence[str]) -> ForeignTrial:
    known = dict(pairs(trial.user_attrs))
    state, failure = _STATES[trial.state], None
    if state is TrialState.FAILED:
        infeasible = known.get("state") == TrialState.INFEASIBLE.value
        state = TrialState.INFEASIBLE if infeasible else state
        failure = None if infeasible else _failure(known)
    for place, key in enumerate(constraints):
        if key in trial.constraints:
            known[f"constraint_{place}"] = trial.constraints[key]
    return ForeignTrial(
        trial.number,
        dict(pairs(trial.params)),
        state,
        tuple(trial.values) if trial.state is OptunaState.COMPLETE and trial.values else None,
        {name.removeprefix("metric."): value for name, value in known.items()},
        dict(sorted(trial.intermediate_values.items())),
        reason=_reason(trial, known),
        failure=failure,
        sampler=str(known.get("sampler", "imported")),
        started=_seconds(trial.datetime_start),
        finished=_seconds(trial.datetime_complete),
    )


def _failure(known: Mapping[str, Value]) -> Failure:
    try:
        return Failure(known.get("failure"))
    except ValueError:
        return Failure.CODE


def _reason(trial: FrozenTrial, known: Mapping[str, Value]) -> str | None:
    told = known.get("reason") or trial.system_attrs.get("fail_reason")
    return None if told is None else str(told)


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()  # without a zone: local time
