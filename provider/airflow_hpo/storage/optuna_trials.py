"""
OUR TRIALS -> OPTUNA'S: what Optuna's tools see of a study.

Imported where Optuna's tools are wanted and nowhere else, since it loads Optuna.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from optuna.distributions import (  # noqa: TID253 - see above
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.study import StudyDirection  # noqa: TID253 - see above
from optuna.trial import FrozenTrial  # noqa: TID253 - see above
from optuna.trial import TrialState as OptunaState  # noqa: TID253 - see above

from airflow_hpo.model.blueprint import Blueprint
from airflow_hpo.model.distribution import (
    Categorical,
    Constant,
    Distribution,
    Float,
    Int,
    LogNormal,
    Normal,
)
from airflow_hpo.model.ladder import place_of
from airflow_hpo.model.objective import Objective, amount_of, top_resource
from airflow_hpo.model.record import StudyRecord
from airflow_hpo.model.scale import is_number
from airflow_hpo.model.space import Space
from airflow_hpo.model.stop import to_number
from airflow_hpo.model.trial import Trial, TrialState
from airflow_hpo.model.values import Value, canonical

__all__ = ["directions_of", "distributions_of", "metric_names", "optuna_trials"]

_STATES = {
    TrialState.WAITING: OptunaState.WAITING,
    TrialState.RUNNING: OptunaState.RUNNING,
    TrialState.PAUSED: OptunaState.RUNNING,
    TrialState.COMPLETE: OptunaState.COMPLETE,
    TrialState.PRUNED: OptunaState.PRUNED,
    TrialState.INFEASIBLE: OptunaState.FAIL,
    TrialState.FAILED: OptunaState.FAIL,
}

# A normal parameter is shown within so many deviations, and farther where a
# trial had a value beyond.
_DEVIATIONS = 4.0

# Of so many steps Optuna cannot tell neighbours.
_MANY = 2**24


def directions_of(objectives: Sequence[Objective]) -> list[StudyDirection]:
    """
    Return where each objective is to go; a target's distance is minimised.
    """
    return [
        StudyDirection.MAXIMIZE if each.direction == "maximize" else StudyDirection.MINIMIZE
        for each in objectives
    ]


def metric_names(objectives: Sequence[Objective]) -> list[str]:
    """
    Return what each objective's value is called.
    """
    return [
        each.metric if each.target is None else f"|{each.metric} - {each.target:g}|"
        for each in objectives
    ]


def optuna_trials(
    record: StudyRecord, blueprint: Blueprint, *, trial_id: Callable[[int], int] = int
) -> list[FrozenTrial]:
    """
    Return the trials of *record* as Optuna keeps trials, by number.

    An infeasible trial is failed to Optuna, a paused one runs. One that is
    complete with less of the resource than the best have had is pruned to
    Optuna, so that the best trial is the same as ours. What Optuna has no
    place for are attributes: ``state`` in our words, ``reason``, ``failure``,
    ``attempt``, ``metric.NAME``, ``constant.NAME`` ...

    Args:
        record: With the measurements, or there are no intermediate values.

        blueprint: What the study optimises.

        trial_id: Makes Optuna's id of a trial out of our number.
    """
    view = _View(record, blueprint)
    return [view.frozen(trial, trial_id(trial.number)) for trial in record.trials]


class _Shown(NamedTuple):
    """
    One parameter to Optuna: the distribution, and what a value is shown as.
    """

    distribution: BaseDistribution
    show: Callable[[Value], Any]


def distributions_of(space: Space, trials: Sequence[Trial]) -> dict[str, _Shown]:
    """
    Return how each parameter is shown that is searched, or was when a trial was made.

    Bounds and choices are the space's, wider where an earlier trial lies
    beyond them: the space may have been changed since.
    """
    seen: dict[str, list[Value]] = {}
    for trial in trials:
        for name, value in trial.configuration.items():
            seen.setdefault(name, []).append(value)
    found = {
        each.name: _shown(each.distribution, seen.get(each.name, ())) for each in space.tunable
    }
    for name in sorted(seen.keys() - space.by_name.keys()):
        found[name] = _around((), seen[name], log=False)
    return found


def _shown(distribution: Distribution, seen: Iterable[Value]) -> _Shown:
    match distribution:
        case Categorical(choices=choices):
            return _choice([*choices, *seen])
        case Normal() | LogNormal():
            return _bell(distribution, seen)
        case Constant():
            raise TypeError("a constant is no parameter to Optuna")
    strangers = [value for value in seen if not distribution.contains(value)]
    if strangers:
        return _around(_ends(distribution), strangers, log=distribution.log)
    return _Shown(_exact(distribution), int if isinstance(distribution, Int) else float)


def _exact(distribution: Int | Float) -> BaseDistribution:
    low, high = _ends(distribution)
    log, size = distribution.log, distribution.size()
    step = distribution.step if size is not None and size <= _MANY and not log else None
    if isinstance(distribution, Int):
        return IntDistribution(int(low), int(high), log=log, step=int(step or 1))
    # Steps counted from zero may lead there, where no logarithm is.
    return FloatDistribution(low, high, log=log and low > 0, step=step)


def _ends(distribution: Int | Float) -> tuple[float, float]:
    """
    Return the outermost values: with steps, the upper bound may be none.
    """
    if isinstance(distribution, Int):
        return distribution.low, distribution.low + (distribution.size() - 1) * distribution.step
    if distribution.step is None:
        return distribution.low, distribution.high
    grid = distribution.grid()
    return grid.value(0), grid.value(grid.size - 1)


def _bell(distribution: Normal | LogNormal, seen: Iterable[Value]) -> _Shown:
    reach = _DEVIATIONS * distribution.deviation
    low, high = distribution.mean - reach, distribution.mean + reach
    log = isinstance(distribution, LogNormal)
    return _around((math.exp(low), math.exp(high)) if log else (low, high), seen, log=log)


def _around(ends: Iterable[float], seen: Iterable[Value], *, log: bool) -> _Shown:
    """
    Return a distribution that holds *ends* and all of *seen*, whatever that is.
    """
    values = [*ends, *seen]
    if not all(is_number(value) and math.isfinite(value) for value in values):
        return _choice(values)
    low, high = min(values), max(values)
    if all(isinstance(value, int) for value in values):
        return _Shown(IntDistribution(low, high, log=log and low > 0), int)
    return _Shown(FloatDistribution(low, high, log=log and low > 0), float)


def _choice(values: Iterable[Value]) -> _Shown:
    """
    Return a choice among *values*, each once.

    Optuna compares choices by ``==``, to which 1 and True are the same, and
    keeps scalars only: where that is not enough, choices are shown as JSON.
    """
    found = {canonical(value): value for value in values}
    plain = all(
        value is None or isinstance(value, (bool, int, float, str)) for value in found.values()
    )
    if plain and len(set(found.values())) == len(found):
        return _Shown(CategoricalDistribution(tuple(found.values())), lambda value: value)
    return _Shown(CategoricalDistribution(tuple(found)), canonical)


class _View:
    """
    What the trials of one study have in common.
    """

    def __init__(self, record: StudyRecord, blueprint: Blueprint) -> None:
        self._objectives = blueprint.objectives
        self._outcomes = blueprint.outcomes
        self._parameters = distributions_of(blueprint.space, record.trials)
        self._most = top_resource(blueprint.outcomes.feasible(record.trials))
        measured = {each.resource for trial in record.trials for each in trial.measurements}
        amounts = {amount for amount in measured if amount is not None}
        amounts |= {trial.resource for trial in record.trials if trial.resource is not None}
        # Optuna's steps are whole numbers; of others their order is left.
        whole = all(float(amount).is_integer() for amount in amounts)
        self._steps = {
            amount: int(amount) if whole else place for place, amount in enumerate(sorted(amounts))
        }

    def frozen(self, trial: Trial, trial_id: int) -> FrozenTrial:
        """
        Return *trial* as Optuna keeps it.
        """
        state = self._state(trial)
        shown = {
            name: value for name, value in trial.configuration.items() if name in self._parameters
        }
        done = state is OptunaState.COMPLETE
        started, finished = _times(trial)
        frozen = FrozenTrial(
            number=trial.number,
            state=state,
            value=None,
            values=self._values(trial) if done else None,
            datetime_start=None if state is OptunaState.WAITING else _local(started),
            datetime_complete=_local(finished) if state.is_finished() else None,
            params={name: self._parameters[name].show(value) for name, value in shown.items()},
            distributions={name: self._parameters[name].distribution for name in shown},
            user_attrs=self._attributes(trial),
            system_attrs={},
            intermediate_values=self._intermediate(trial),
            trial_id=trial_id,
        )
        if done:
            constraints = zip(
                self._outcomes.constraints, self._outcomes.violations(trial), strict=True
            )
            for text, violation in constraints:
                frozen.set_constraint(text, violation)
        return frozen

    def _state(self, trial: Trial) -> OptunaState:
        if trial.is_complete and trial.values and amount_of(trial) < self._most:
            return OptunaState.PRUNED
        return _STATES[trial.state]

    def _values(self, trial: Trial) -> list[float]:
        values = trial.values or ()
        return [
            value if objective.target is None else objective.loss(value)
            for objective, value in zip(self._objectives, values, strict=True)
        ]

    def _intermediate(self, trial: Trial) -> dict[int, float]:
        """
        Return the first objective's values by step; the last one of a step counts.
        """
        objective = self._objectives[0]
        found: dict[int, float] = {}
        for place, each in enumerate(trial.measurements):
            value = to_number(each.metrics.get(objective.metric))
            if value is not None:
                step = place if each.resource is None else self._steps[each.resource]
                found[step] = value if objective.target is None else objective.loss(value)
        if not found and trial.is_complete and trial.resource is not None:
            found[self._steps[trial.resource]] = self._values(trial)[0]
        return found

    def _attributes(self, trial: Trial) -> dict[str, Any]:
        place = place_of(trial)
        known: dict[str, Any] = {
            "state": trial.state.value,
            "sampler": trial.sampler,
            "attempt": trial.attempt,
            "reason": trial.reason,
            "failure": trial.failure and trial.failure.value,
            "exit_code": trial.exit_code,
            "resource": trial.resource,
            "parent": trial.parent,
            **(place._asdict() if place else {}),
            **{f"metric.{name}": value for name, value in trial.metrics.items()},
            **{
                f"constant.{name}": value
                for name, value in trial.configuration.items()
                if name not in self._parameters
            },
        }
        return {name: _plain(value) for name, value in known.items() if value is not None}


def _times(trial: Trial) -> tuple[float, float]:
    """
    Return when *trial* began and ended, in seconds since the epoch.

    One that was called off before it began did both when it was called off.
    """
    known = [each for each in (trial.started, trial.finished, trial.created) if each is not None]
    started = trial.started if trial.started is not None else (known or [0.0])[0]
    return started, trial.finished if trial.finished is not None else started


def _local(seconds: float) -> datetime:
    # Optuna's own are local times without a zone, and it compares them to ours.
    return datetime.fromtimestamp(seconds)  # noqa: DTZ006 - see above


def _plain(value: Value) -> Value:
    """
    Return *value* as attributes can be: JSON without NaN.
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value
