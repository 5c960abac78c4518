"""
Whether a running trial goes on: asked while it runs, answered from the journal.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from airflow_hpo.driver.rivals import Rivals
from airflow_hpo.errors import StorageError
from airflow_hpo.model.decision import reached
from airflow_hpo.model.stop import ExpressionRule
from airflow_hpo.model.trial import Outcome, TrialState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_hpo.model.blueprint import Blueprint
    from airflow_hpo.model.record import StudyRecord
    from airflow_hpo.model.stop import Stop
    from airflow_hpo.model.trial import Measurement, Trial
    from airflow_hpo.pruners.base import Pruner
    from airflow_hpo.study import Study

__all__ = ["Verdict", "Watch", "called_off", "has_result", "may_start", "pruner_for"]

# Seconds between two looks at the study. With the second that a measurement
# waits to be written and the time that code gets to end, a study that reaches
# its goal has ended within ten.
_LOOK_S = 2.0

# A large study takes long to look at: of each trial's time, at most one part in
# so many goes into looking, unless that would make the pauses longer than this.
_SHARE = 20
_LONGEST_S = 4.0


# So many measurements are looked at for each time that some are written.
_WORK = 20_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    A running trial has to end.

    Args:
        reason: Why, in words a person understands.

        reached: Whether it ends because it reached the study's goal: what it
            has measured until then is its result.
    """

    reason: str
    reached: bool = False


class Watch:
    """
    Looks after one running trial: its own measurements, the pruner, the study's end.

    Args:
        study: The study.

        trial: The trial, as its attempt began.

        known: Why the study had ended before the attempt began, if it had: a
            person who runs a trial again then wants it to run to its end.

        seen:
            How many measurements were judged before: whoever takes over a
            running job reads them again, and must not judge them again.
    """

    def __init__(
        self, study: Study, trial: Trial, *, known: Stop | None = None, seen: int = 0
    ) -> None:
        self._study = study
        self._trial = trial
        self._known = known
        self._seen = seen
        self._next = time.monotonic() + _LOOK_S
        self._pruner = pruner_for(study.blueprint)
        self._rivals = Rivals(study, trial.number)

    def measured(self, fresh: Sequence[Measurement]) -> Verdict | None:
        """
        Return why the trial ends now that it measured *fresh*; `None` to go on.
        """
        old, new = fresh[: self._seen], fresh[self._seen :]
        self._seen -= len(old)
        self._note(old)
        stop = self._study.reached(self._trial, new) if self._known is None else None
        own = self._own(new)
        pruned = None if stop is not None or own is not None else self._pruned(new)
        self._note(new)
        if stop is not None:
            return Verdict(f"the study ended: {stop.reason}", reached=True)
        if own is not None:
            return Verdict(own, reached=True)
        return None if pruned is None else Verdict(pruned)

    def _own(self, fresh: Sequence[Measurement]) -> str | None:
        """
        Return why the trial's own condition ends it, at the first of *fresh* where it holds.
        """
        until = self._study.blueprint.trial.until
        if until is None:
            return None
        rule = ExpressionRule(expression=until)
        stop = reached((rule,), self._study.blueprint.objectives, self._trial, fresh)
        return None if stop is None else stop.reason

    def _note(self, measured: Sequence[Measurement]) -> None:
        metrics = dict(self._trial.metrics)
        for found in measured:
            metrics.update(found.metrics)
        judged = self._judged(measured)
        known = (*self._trial.measurements, *judged) if judged else self._trial.measurements
        self._trial = replace(self._trial, metrics=metrics, measurements=known)

    def _judged(self, measured: Sequence[Measurement]) -> list[Measurement]:
        """
        Return those of *measured* that a pruner looks at.
        """
        if self._pruner is None:
            return []
        metric = self._study.blueprint.objectives[0].metric
        return [found for found in measured if metric in found.metrics]

    def _pruned(self, fresh: Sequence[Measurement]) -> str | None:
        """
        Return why the pruner ends the trial, at the first of *fresh* where it does.
        """
        judged = self._judged(fresh)
        if self._pruner is None or not judged:
            return None
        try:
            rivals = self._rivals.load()
        except StorageError:
            return None  # the next measurement will be judged
        known = self._trial.measurements
        # Code that measures a hundred times a second is not worth as many looks.
        most = max(1, _WORK // (len(known) + len(judged)))
        for count in range(max(1, len(judged) - most + 1), len(judged) + 1):
            # One by one: how many came at once must make no difference.
            trial = replace(self._trial, measurements=(*known, *judged[:count]))
            reason = self._pruner.judge(trial, rivals)
            if reason is not None:
                return reason
        return None

    def look(self) -> Verdict | None:
        """
        Return why the trial ends, from time to time; `None` to go on.
        """
        return self.listen() if time.monotonic() >= self._next else None

    def listen(self) -> Verdict | None:
        """
        Return why the trial ends at this moment; `None` to go on.
        """
        began = time.monotonic()
        stop = None
        with suppress(StorageError):  # a journal that is away for a while ends no trial
            stop = self._study.look()
        took = time.monotonic() - began
        self._next = began + min(max(_LOOK_S, took * _SHARE), max(_LONGEST_S, took * 2))
        if stop is None or stop == self._known:
            return None
        # Where time passes, not a measurement, the trial itself may fire a rule.
        reached = stop.trial == self._trial.number and stop.rule in {"metric", "expression"}
        return Verdict(f"the study ended: {stop.reason}", reached=reached)


def pruner_for(blueprint: Blueprint) -> Pruner | None:
    """
    Return the pruner of *blueprint*; `None` if it has none.

    Raises:
        ValueError: If its name or an option is not known.
    """
    if blueprint.pruner is None:
        return None
    from airflow_hpo.pruners import create_pruner

    resource = blueprint.resource
    step_name = "step" if resource is None else resource.name.removesuffix("s")
    return create_pruner(blueprint.pruner, blueprint.objectives, step_name=step_name)


def has_result(trial: Trial) -> bool:
    """
    Return whether *trial* ran and ended in a way that no retry follows.
    """
    return trial.is_final and trial.attempt > 0 and trial.state is not TrialState.FAILED


def may_start(study: Study, record: StudyRecord, trial: Trial) -> bool:
    """
    Return whether an attempt at *trial* may begin by itself.

    None does in a study that has ended, but for one that takes over a running
    job; and none where a trial that was lost has had its place in the budget
    taken by another.
    """
    if trial.state is TrialState.RUNNING:
        return True
    if record.stop is not None:
        return False
    return trial.is_counted or study.remaining(record) > 0


def called_off(study: Study, trial: Trial, stop: Stop | None) -> Trial:
    """
    Return *trial* as it stays, since it must not start.

    One that failed before and was to be tried again keeps its failure.
    """
    if trial.is_final or stop is None:
        return trial
    outcome = Outcome(TrialState.PRUNED, reason=f"the study ended: {stop.reason}")
    return study.tell(trial.number, outcome, attempt=0)
