"""
One study of Optuna's, in memory and made of a history as it is.

Imported where an engine is needed and nowhere else, since it loads Optuna.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

import optuna  # noqa: TID253 - see above
from optuna.distributions import BaseDistribution  # noqa: TID253 - see above
from optuna.trial import FrozenTrial, TrialState  # noqa: TID253 - see above

__all__ = ["Memory", "frozen", "quiet"]

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


class Memory(optuna.storages.InMemoryStorage):
    """
    One study whose history is given as it is, neither copied nor checked.

    Attributes:
        shown: All trials; a trial's id is its place in it.

        numbers: The numbers of those that are settled.

        next_number: The number that the next one will have.

        signs: What turns each objective's loss into its value, and back.

        study_attrs: What a sampler notes with the study.

        keeps: Whether what a sampler notes with a trial is kept.
    """

    def __init__(self, *, keeps: bool = False) -> None:
        super().__init__()
        self.shown: list[FrozenTrial] = []
        self.numbers: list[int] = []
        self.next_number = 0
        self.signs: tuple[int, ...] = (1,)
        self.study_attrs: dict[str, Any] = {}
        self.keeps = keeps

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        del study_id, template_trial
        place = len(self.shown)
        number = self.next_number + place - len(self.numbers)
        self.shown.append(frozen(place, TrialState.RUNNING, {}, {}, number=number))
        return place

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
        Drop what a sampler notes for other processes, where there are none.
        """
        if self.keeps:
            self.shown[trial_id].system_attrs[key] = value

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        del study_id
        return self.study_attrs

    def set_study_system_attr(self, study_id: int, key: str, value: object) -> None:
        del study_id
        self.study_attrs[key] = value


def frozen(
    place: int,
    state: TrialState,
    params: dict[str, Any],
    distributions: dict[str, BaseDistribution],
    *,
    values: Sequence[float] | None = None,
    measured: Mapping[Any, float] | None = None,
    attrs: Mapping[str, Any] | None = None,
    number: int | None = None,
) -> FrozenTrial:
    """
    Return a trial as Optuna keeps it.
    """
    return FrozenTrial(
        number=place if number is None else number,
        state=state,
        value=None,
        values=values,
        datetime_start=_LONG_AGO,
        datetime_complete=_LONG_AGO if state.is_finished() else None,
        params=params,
        distributions=distributions,
        user_attrs={},
        system_attrs=dict(attrs or {}),
        intermediate_values=dict(measured or {}),
        trial_id=place,
    )
