"""
Optuna's samplers, shown our history in memory.

Imported where an engine is needed and nowhere else, since it loads Optuna.
Always a study of losses to be minimised, one for each objective.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

import optuna  # noqa: TID253 - see above
from optuna.distributions import (  # noqa: TID253 - see above
    BaseDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState  # noqa: TID253 - see above

from airflow_hpo.model.objective import Objective
from airflow_hpo.model.space import Parameter, Space
from airflow_hpo.model.trial import Trial
from airflow_hpo.model.values import Configuration, Value
from airflow_hpo.strategies._dimensions import dimension_of
from airflow_hpo.strategies._lattice import axis_of
from airflow_hpo.strategies._lessons import Lesson, lesson_of

__all__ = ["OptunaModel", "quiet"]

_INFEASIBLE = "infeasible"

_LONG_AGO = datetime(2000, 1, 1, tzinfo=timezone.utc)


@contextmanager
def quiet() -> Iterator[None]:
    """
    Keep Optuna's notes and its warnings of experimental options to itself.
    """
    logger = logging.getLogger("optuna")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        logger.setLevel(level)


class _Memory(optuna.storages.InMemoryStorage):
    """
    One study whose history is given as it is, neither copied nor checked.

    Attributes:
        shown: All trials; a trial's number and id are its place in it.
    """

    def __init__(self, shown: list[FrozenTrial]) -> None:
        super().__init__()
        self.shown = shown

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        del study_id, template_trial
        number = len(self.shown)
        self.shown.append(_frozen(number, TrialState.RUNNING, {}, {}))
        return number

    def get_trial(self, trial_id: int) -> FrozenTrial:
        return self.shown[trial_id]

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,  # noqa: FBT001, FBT002 - Optuna's signature
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        del study_id, deepcopy
        if states is None:
            return list(self.shown)
        return [trial for trial in self.shown if trial.state in states]

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        trial = self.shown[trial_id]
        trial.params[param_name] = distribution.to_external_repr(param_value_internal)
        trial.distributions[param_name] = distribution

    def set_trial_system_attr(self, trial_id: int, key: str, value: object) -> None:
        """
        Drop what a sampler notes for other processes: there are none.
        """


def _frozen(
    number: int,
    state: TrialState,
    params: dict[str, Any],
    distributions: dict[str, BaseDistribution],
    *,
    values: Sequence[float] | None = None,
    measured: Mapping[Any, float] | None = None,
) -> FrozenTrial:
    return FrozenTrial(
        number=number,
        state=state,
        value=None,
        values=values,
        datetime_start=_LONG_AGO,
        datetime_complete=_LONG_AGO if state.is_finished() else None,
        params=params,
        distributions=distributions,
        user_attrs={},
        system_attrs={},
        intermediate_values=dict(measured or {}),
        trial_id=number,
    )


class OptunaModel:
    """
    One of Optuna's samplers that has seen a history.

    Waiting, running and paused trials are shown as running. An infeasible one
    is shown as complete with a violated constraint, which Optuna ranks behind
    everything that has a value: so the sampler learns to stay away, whereas
    a failed trial would be passed over. Of another space's trials none is
    shown.

    Args:
        space: What is searched.

        objectives: What is optimised.

        trials: The history.

        make_sampler: Makes the sampler from a seed below 2^32.
    """

    def __init__(
        self,
        space: Space,
        objectives: Sequence[Objective],
        trials: Sequence[Trial],
        *,
        make_sampler: Callable[[int], optuna.samplers.BaseSampler],
    ) -> None:
        self._space = space
        self._objectives = objectives
        self._make_sampler = make_sampler
        found = {
            parameter.name: dimension_of(parameter.distribution) for parameter in space.parameters
        }
        self._dimensions = {name: item for name, item in found.items() if item is not None}
        self._always = {name for name in self._dimensions if not space.by_name[name].when}
        self._distributions = {name: item.distribution for name, item in self._dimensions.items()}
        shown = self._shown(trials)
        self.teaches = any(_is_useful(trial) for trial in shown)
        self._memory = _Memory(shown)
        self._settled = len(shown)
        with quiet():
            self._study = optuna.create_study(
                storage=self._memory, directions=["minimize"] * len(objectives)
            )

    def propose(self, seed: int) -> Configuration:
        """
        Return what the sampler makes of *seed*, allowed or not.
        """
        found: dict[str, Value] = {}
        with quiet():
            self._study.sampler = self._make_sampler(seed % 2**32)
            trial = self._study.ask()
            for parameter in self._space.sampling_order:
                if parameter.is_active(found):
                    found[parameter.name] = self._value(trial, parameter)
        return self._space.arrange(found)

    def settle(self, trial: Trial) -> None:
        """
        Forget what was proposed since, and show *trial*, which waits.

        What was proposed and not accepted stayed in sight as running until
        now, so that the sampler would try elsewhere.
        """
        del self._memory.shown[self._settled :]
        self._memory.shown += self._shown([trial], start=self._settled)
        self._settled = len(self._memory.shown)

    def _value(self, trial: optuna.Trial, parameter: Parameter) -> Value:
        dimension = self._dimensions.get(parameter.name)
        if dimension is None:
            axis = axis_of(parameter.distribution)
            return None if axis is None else axis.value(0)
        return dimension.read(_suggested(trial, parameter.name, dimension.distribution))

    def _shown(self, trials: Sequence[Trial], *, start: int = 0) -> list[FrozenTrial]:
        lessons = [(trial, lesson_of(trial, self._objectives)) for trial in trials]
        surplus = _surplus([lesson for _, lesson in lessons if lesson])
        shown: list[FrozenTrial] = []
        for trial, lesson in lessons:
            if lesson is None:
                continue
            if lesson.kind == "infeasible" and surplus > 0:
                surplus -= 1
                continue
            frozen = self._frozen(start + len(shown), trial, lesson)
            if frozen is not None:
                shown.append(frozen)
        return shown

    def _frozen(self, number: int, trial: Trial, lesson: Lesson) -> FrozenTrial | None:
        configuration = trial.configuration
        if not self._always <= configuration.keys():
            return None
        try:
            params = {
                name: dimension.show(configuration[name])
                for name, dimension in self._dimensions.items()
                if name in configuration
            }
        except (TypeError, ValueError):
            return None
        same = len(params) == len(self._dimensions)
        distributions = (
            self._distributions if same else {name: self._distributions[name] for name in params}
        )
        if lesson.kind == "pending":
            return _frozen(number, TrialState.RUNNING, params, distributions)
        if lesson.kind == "pruned":
            # Optuna compares pruned trials only where there is one objective.
            measured = {lesson.step: lesson.losses[0]} if len(lesson.losses) == 1 else {}
            return _frozen(number, TrialState.PRUNED, params, distributions, measured=measured)
        values = lesson.losses or (0.0,) * len(self._objectives)
        frozen = _frozen(number, TrialState.COMPLETE, params, distributions, values=values)
        if lesson.kind == "infeasible":
            frozen.set_constraint(_INFEASIBLE, 1.0)
        return frozen


def _is_useful(trial: FrozenTrial) -> bool:
    return trial.state.is_finished() and not trial.constraints


def _surplus(lessons: Sequence[Lesson]) -> int:
    """
    Return how many infeasible trials are too many to be shown.

    Optuna calls the best tenth of all finished trials good. Where fewer than
    that have a value, infeasible ones would be counted among the good.
    """
    useful = sum(lesson.kind in {"complete", "pruned"} for lesson in lessons)
    infeasible = sum(lesson.kind == "infeasible" for lesson in lessons)
    return max(0, infeasible - 9 * useful)


def _suggested(trial: optuna.Trial, name: str, distribution: BaseDistribution) -> Any:  # noqa: ANN401
    match distribution:
        case FloatDistribution(low=low, high=high, log=log):
            return trial.suggest_float(name, low, high, log=log)
        case IntDistribution(low=low, high=high, log=log):
            return trial.suggest_int(name, low, high, log=log)
        case optuna.distributions.CategoricalDistribution(choices=choices):
            return trial.suggest_categorical(name, choices)
    raise TypeError(f"a dimension must be float, int or categorical, got {distribution!r}")
