"""
One step of a trial's attempt, where each step is somebody else's to run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_hpo.driver.memory import Memory, steps_of
from airflow_hpo.driver.trial import TrialRun

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_hpo.driver.handling import End
    from airflow_hpo.model.record import Attempt
    from airflow_hpo.model.trial import Outcome, Trial
    from airflow_hpo.model.trial_spec import Step
    from airflow_hpo.study import Study

__all__ = ["StepRun", "failures_of", "open_key"]


class StepRun(TrialRun):
    """
    An attempt at a trial up to the end of one step.

    **How it works.** Runs as `TrialRun` does, and leaves the attempt open before
    the step that comes after *step*: whoever runs that one goes on with the same
    attempt, see `open_key`. The last step tells the outcome. A step that failed is
    run again in a new attempt, which takes over what the steps before it did and
    measured: their files are in the trial's workspace.

    **What it does not do.** It waits for no step: it runs those that are not done
    yet.

    **Known limitation.** Between two steps nobody looks after the trial; that the
    study ended is noticed when the next one begins.

    Args:
        arguments: Study and number; see `TrialRun`.

        step: The name of the last step that is run here.

        options: See `TrialRun`.
    """

    def __init__(self, *arguments: Any, step: str, **options: Any) -> None:  # noqa: ANN401
        super().__init__(*arguments, **options)
        self._last = step

    def _stops_before(self, step: Step) -> bool:
        names = [each.name for each in self.study.blueprint.trial.steps]
        return names.index(step.name) > names.index(self._last)

    def _begin_step(self, trial: Trial, step: Step, folder: Path) -> Outcome | End:
        is_new = self._known.step(step.name) is None
        if self._is_taken_over and is_new and not self._stops_before(step):
            self._remember(trial, None)
            # Nobody listened between two steps.
            self._end_if(self._watch.listen() if self._watch else None)
            if self._called_off is not None:
                return self._ended_early(self._called_off)
        return super()._begin_step(trial, step, folder)

    def _take_over(self, trial: Trial, memory: Memory) -> None:
        if not self._is_taken_over:
            self._carry(trial, memory)
        super()._take_over(trial, memory)

    def _carry(self, trial: Trial, memory: Memory) -> None:
        """
        Let this attempt begin with what the one before it had done before this step.
        """
        study = self.study
        older = [
            attempt
            for attempt in study.storage.attempts(study.name, trial.number)
            if attempt.attempt < trial.attempt
        ]
        if not older:
            return
        known = steps_of(older[-1])
        for step in study.blueprint.trial.steps:
            done = known.get(step.name)
            if step.once and done is None:
                continue  # another trial ran it
            if step.name == self._last or done is None or not done.ended:
                break
            memory.keep_step(step.name, done)
        begun = known.get(self._last)
        measured = study.storage.measurements(study.name, trial.number, attempt=older[-1].attempt)[
            : None if begun is None else begun.first
        ]
        study.measure(trial.number, measured, attempt=trial.attempt, first=0)


def open_key(study: Study, number: int, *, step: str) -> str | None:
    """
    Return the key of the attempt that waits for *step*; `None` if there is none.
    """
    attempts = study.storage.attempts(study.name, number)
    if not attempts or attempts[-1].outcome is not None:
        return None
    known, steps = steps_of(attempts[-1]), study.blueprint.trial.steps
    names = [each.name for each in steps]
    # Another trial may have run a step that is run once.
    before = [
        each.name for each in steps[: names.index(step)] if each.name in known or not each.once
    ]
    last = known.get(before[-1]) if before else None
    return attempts[-1].key if last is not None and last.ended and step not in known else None


def failures_of(study: Study, number: int, *, step: str) -> list[Attempt]:
    """
    Return the attempts at a trial that ended, or were lost, in *step*.
    """
    names = [each.name for each in study.blueprint.trial.steps]
    found = []
    for attempt in study.storage.attempts(study.name, number):
        known = steps_of(attempt)
        reached = [name for name in names if name in known]
        if reached and reached[-1] == step:
            found.append(attempt)
    return found
