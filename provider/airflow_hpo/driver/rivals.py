"""
The other trials of a study with what they measured, read again and again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_hpo.model.trial import Measurement, Trial
    from airflow_hpo.study import Study

__all__ = ["Rivals"]


class Rivals:
    """
    The others, as a running trial's pruner wants them: fresh, and cheap to ask for.

    What an attempt that has ended measured is read once.

    Args:
        study: The study.

        number: The trial that is left out.
    """

    def __init__(self, study: Study, number: int) -> None:
        self._study = study
        self._number = number
        self._ended: dict[tuple[int, int], tuple[Measurement, ...]] = {}

    def load(self) -> tuple[Trial, ...]:
        """
        Return the other trials that ever began, ascending by number.
        """
        return tuple(
            replace(trial, measurements=self._measured(trial))
            for trial in self._study.record().trials
            if trial.number != self._number and trial.attempt > 0
        )

    def _measured(self, trial: Trial) -> tuple[Measurement, ...]:
        key = (trial.number, trial.attempt)
        if key in self._ended:
            return self._ended[key]
        storage, name = self._study.storage, self._study.name
        found = tuple(storage.measurements(name, trial.number, attempt=trial.attempt))
        if trial.is_final:
            self._ended[key] = found
        return found
