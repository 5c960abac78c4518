"""
One attempt at one trial whose steps are jobs of runners.

What one process does in one go, several can do one after the other: one hands
a step's job in, another looks at it from time to time, a third goes on with the
next step. All do it by the same few methods, and leave in the journal what the
next one has to know.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_hpo.driver.handling import End, JobRun
from airflow_hpo.driver.memory import CallOff
from airflow_hpo.driver.once import turn_of
from airflow_hpo.driver.pursuit import WAIT_S, Pursuit
from airflow_hpo.driver.reuse import take_over
from airflow_hpo.driver.workspace import Follower, study_folder, trial_folder
from airflow_hpo.errors import TrialError, TrialInvalidError
from airflow_hpo.model.trial import TrialState
from airflow_hpo.runners import create_runner

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow_hpo.model.placement import RunnerSpec
    from airflow_hpo.model.trial import Outcome, Trial
    from airflow_hpo.model.trial_spec import Step

__all__ = ["TrialRun"]


class TrialRun(JobRun):
    """
    One attempt at one trial: submit, follow, measure, tell.

    **How it works.** Starts an attempt in the journal, hands a job for each of
    the trial's steps to its runner, one after another up to the first that does
    not end well, follows its output line by line, keeps measurements as they come,
    and tells the outcome: that is `run`. The same in parts: `submit` goes as far
    as the first job that may be left to itself; whoever wants to look after it
    calls `take_up`, then `poll` again and again, and `conclude` once it has
    ended; if the trial has not ended by that, `submit` goes on with the next
    step. Each part may be another process's: the journal keeps the job's
    handle, the measurements, why a job was ended, and which steps are done.

    **What it does not do.** It does not retry: run it again with another key.

    **Known limitation.** A process that is killed with SIGKILL tells nothing, and
    its job goes on: run again with the same key this finds the job and follows
    it; with another key what the older attempt left running is ended first.
    Where neither happens, `evaluate_round` reconciles the trial.

    Args:
        arguments: See `JobRun`.

        options: See `JobRun`.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - JobRun's own
        super().__init__(*arguments, **options)
        self._leaves: Callable[[RunnerSpec], bool] = lambda _: False
        self._taken_up: tuple[Trial, Step, Pursuit] | None = None
        self.is_passed_on = False

    def submit(self, leaves: Callable[[RunnerSpec], bool]) -> Trial | None:
        """
        Run the attempt as far as it goes here.

        Returns the trial as told, or `None` where a job of it was left running.

        Args:
            leaves: Asked where a step runs: whether its job is left to others.

        Raises:
            TrialError: If a job cannot be started or was lost; told as well.
        """
        self._leaves = leaves
        return self._advance()

    def take_up(self) -> bool:
        """
        Prepare to `poll` the job that was left running; returns whether there is one.
        """
        trial, runs = self._begin()
        if not runs:
            return False
        folder = trial_folder(self._artifacts, self.study.name, trial)
        self._collector = self._new_collector(trial, folder)
        for step in self.study.blueprint.trial.steps:
            known = self._known.step(step.name)
            if known is None and step.once:
                continue  # another trial ran it
            if known is None:
                return False
            if not known.ended:
                self._remember(trial, known)
                self._taken_up = trial, step, self._pursue(trial, step, known)
                return True
        return False

    def poll(self) -> bool:
        """
        Read what the job printed since the last time; returns whether it has ended.

        It waits for nothing: pause between two calls.
        """
        _, _, pursuit = self._taken
        return self._look(pursuit, 0.0)

    def conclude(self) -> Trial | None:
        """
        Keep what the end of the job means; returns the trial as told if that ends it.
        """
        trial, step, pursuit = self._taken
        try:
            outcome = self._ended(trial, step, pursuit)
            if outcome is End.WELL and step is self.study.blueprint.trial.steps[-1]:
                outcome = self._judged()
        except TrialError as error:
            self._tell_broken(trial, error)
            return self.study.record().trials[trial.number]
        return None if isinstance(outcome, End) else self._tell(trial, outcome)

    def give_up(self, reason: str) -> Trial:
        """
        End the job that was left running, and tell the attempt as the machine's failure.

        A job that ended by itself before counts as it ended.
        """
        if not self.take_up():
            trial = self.study.record().trials[self.number]
            if self._trial is None or trial.is_final:
                return trial
            outcome = CallOff.of(reason, TrialState.FAILED).outcome()
            return self.study.tell(self.number, outcome, attempt=self._trial.attempt)
        self.cancel(reason)
        _, _, pursuit = self._taken
        while not self.poll():
            pursuit.rest()
        return self.conclude() or self.give_up(reason)

    @property
    def age(self) -> float:
        """
        How long ago the attempt began, in seconds.
        """
        began = None if self._trial is None else self._trial.started
        return 0.0 if began is None else max(0.0, time.time() - began)

    @property
    def _taken(self) -> tuple[Trial, Step, Pursuit]:
        if self._taken_up is None:
            raise RuntimeError("take_up comes before poll and conclude")
        return self._taken_up

    def _outcome(self, trial: Trial) -> Outcome | None:
        folder = self._workspace(trial)
        self._end_older(trial)
        self._collector = self._new_collector(trial, folder)
        steps = self.study.blueprint.trial.steps
        taken_over = self._earlier(trial, folder)
        if taken_over is not None:
            return taken_over
        for step in steps:
            known = self._known.step(step.name)
            if known is not None and known.ended:
                continue
            ended = self._begin_step(trial, step, folder)
            if ended is End.ELSEWHERE:
                Follower.hand_over(folder, self._key)
                return None
            if not isinstance(ended, End):
                return ended
        return self._judged()

    def _begin_step(self, trial: Trial, step: Step, folder: Path) -> Outcome | End:
        """
        Run *step* unless it is left to somebody else; return how it came out.
        """
        if self._stops_before(step):
            self.is_passed_on = True
            self._store_files(trial)  # who goes on may be on another machine
            return End.ELSEWHERE
        steps, known = self.study.blueprint.trial.steps, self._known.step(step.name)
        index = [each.name for each in steps].index(step.name)
        if index or known is not None:
            self._remember(trial, known)
        if len(steps) > 1:
            self._log(f"step {step.name} ({index + 1} of {len(steps)})")
        return (self._once if step.once else self._step)(trial, step, folder)

    def _stops_before(self, step: Step) -> bool:
        """
        Return whether *step* is left to somebody else.
        """
        del step
        return False

    def _earlier(self, trial: Trial, folder: Path) -> Outcome | None:
        """
        Return what an earlier trial came to that did the very same, where that counts.
        """
        shared = study_folder(self._artifacts, self.study.name)
        known, log = self._known, self._log
        found = take_over(self.study, trial, known, folder=folder, shared=shared, log=log)
        if found is None:
            return None
        self._keep(trial, found.measurements)
        return replace(self._judged(), reason=found.reason)

    def _once(self, trial: Trial, step: Step, folder: Path) -> Outcome | End:
        """
        Run *step* unless another trial did; wait for one that does just now.
        """
        with turn_of(self.study, step, self._artifacts) as turn:
            while not turn.take():
                if self._is_over() and self._called_off is not None:
                    return self._ended_early(self._called_off)
                time.sleep(WAIT_S)
            if turn.is_done:
                self._log(f"step {step.name} has run already, once for the whole study")
                return End.WELL
            outcome = self._step(trial, step, folder)
            if outcome is End.WELL:
                turn.done(trial.number)
            return outcome

    def _step(self, trial: Trial, step: Step, folder: Path) -> Outcome | End:
        """
        Run one step, or see to it that it runs; return how it came out.
        """
        known = self._known.step(step.name)
        if known is None:
            try:
                job, spec = self._prepare(trial, step, folder)
                runner = create_runner(spec)
            except ValueError as error:  # an option or a command that does not fit
                raise TrialInvalidError(str(error)) from error
            if self._called_off is not None:
                return self._ended_early(self._called_off)
            known = self._hand_in(job, runner, spec)
            self._known.keep_step(step.name, known)
        pursuit = self._pursue(trial, step, known)
        # Nobody else could keep the turn of a step that runs once a study.
        if not step.once and self._leaves(known.runner) and self._goes_on(pursuit):
            return End.ELSEWHERE
        self._has_seen = True
        while not self._look(pursuit, WAIT_S):
            pursuit.rest()
        return self._ended(trial, step, pursuit)
