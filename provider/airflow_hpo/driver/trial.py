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
from enum import Enum
from typing import TYPE_CHECKING, Any

from airflow_hpo.driver.attempt import AttemptRun
from airflow_hpo.driver.job import build_job
from airflow_hpo.driver.jobs import find_job, runner_spec
from airflow_hpo.driver.memory import CallOff, Memory, StepMemory, steps_of
from airflow_hpo.driver.once import Turn
from airflow_hpo.driver.pursuit import WAIT_S, Pursuit, Shown
from airflow_hpo.driver.reuse import take_over
from airflow_hpo.driver.workspace import Follower, claim_folder, study_folder, trial_folder
from airflow_hpo.errors import TrialError, TrialInvalidError
from airflow_hpo.metrics import create_collector, judge
from airflow_hpo.model.trial import TrialState
from airflow_hpo.runners import create_runner, is_remote
from airflow_hpo.runners.base import ENDED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from airflow_hpo.metrics import Collector
    from airflow_hpo.model.blueprint import RunnerSpec, Step
    from airflow_hpo.model.job import Job
    from airflow_hpo.model.trial import Measurement, Outcome, Trial
    from airflow_hpo.runners.base import Runner

__all__ = ["TrialRun"]


class _End(Enum):
    """
    How a step came out that did not end the trial.
    """

    WELL = "well"
    ELSEWHERE = "elsewhere"


class TrialRun(AttemptRun):
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
        arguments: Study and number; see `AttemptRun`.

        log_name:
            Names the log that lines go to: what was written to that very log
            before is not written again. `None` for a log of this process alone.

        options: See `AttemptRun`.
    """

    def __init__(
        self,
        *arguments: Any,  # noqa: ANN401 - AttemptRun's own
        log_name: str | None = None,
        **options: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(*arguments, **options)
        self._log_name = log_name
        self._leaves: Callable[[RunnerSpec], bool] = lambda _: False
        self._collector: Collector | None = None
        self._has_seen = False
        self._handed_in: dict[str, Any] = {}
        self._taken_up: tuple[Trial, Step, Pursuit] | None = None

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
            if outcome is _End.WELL and step is self.study.blueprint.trial.steps[-1]:
                outcome = self._judged()
        except TrialError as error:
            self._tell_broken(trial, error)
            return self.study.record().trials[trial.number]
        return None if isinstance(outcome, _End) else self._tell(trial, outcome)

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
    def job(self) -> dict[str, Any]:
        """
        The job that was handed in last, JSON-compatible.
        """
        return dict(self._handed_in)

    @property
    def _taken(self) -> tuple[Trial, Step, Pursuit]:
        if self._taken_up is None:
            raise RuntimeError("take_up comes before poll and conclude")
        return self._taken_up

    @property
    def _known(self) -> Memory:
        if self._memory is None:
            raise RuntimeError("an attempt that has not begun remembers nothing")
        return self._memory

    def _outcome(self, trial: Trial) -> Outcome | None:
        folder = trial_folder(self._artifacts, self.study.name, trial)
        claim_folder(folder, self.study.name, trial)
        Follower.note(folder, self._key)
        self._end_older(trial)
        self._collector = self._new_collector(trial, folder)
        steps = self.study.blueprint.trial.steps
        taken_over = self._earlier(trial, folder)
        if taken_over is not None:
            return taken_over
        for index, step in enumerate(steps):
            known = self._known.step(step.name)
            if known is not None and known.ended:
                continue
            if index or known is not None:
                self._remember(trial, known)
            if len(steps) > 1:
                self._log(f"step {step.name} ({index + 1} of {len(steps)})")
            ended = (self._once if step.once else self._step)(trial, step, folder)
            if ended is _End.ELSEWHERE:
                Follower.hand_over(folder, self._key)
                return None
            if not isinstance(ended, _End):
                return ended
        return self._judged()

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

    def _judged(self) -> Outcome:
        steps = self.study.blueprint.trial.steps
        known = [self._known.step(step.name) for step in steps[:-1]]
        notes = [note for step in known if step is not None for note in step.notes]
        notes += self._collector.notes if self._collector else ()
        return judge(self.study.blueprint.objectives, self._kept, notes=tuple(dict.fromkeys(notes)))

    def _new_collector(self, trial: Trial, folder: Path) -> Collector:
        blueprint = self.study.blueprint
        try:
            return create_collector(
                blueprint.trial.metrics,
                resource=None if blueprint.resource is None else blueprint.resource.name,
                workspace=str(folder),
                since=trial.started,
            )
        except ValueError as error:  # an option that does not fit
            raise TrialInvalidError(str(error)) from error

    def _remember(self, trial: Trial, known: StepMemory | None) -> None:
        """
        Fetch what steps before this one measured, unless this process saw it itself.

        Args:
            trial: The trial.

            known: The step, if its job was handed in before.
        """
        if self._has_seen or getattr(self._collector, "rereads", False):
            return
        self._has_seen = True
        storage, name = self.study.storage, self.study.name
        measured = storage.measurements(name, trial.number, attempt=trial.attempt)
        self._kept = list(measured if known is None else measured[: known.first])
        if self._kept and self._watch is not None:
            self._watch.measured(self._kept)

    def _once(self, trial: Trial, step: Step, folder: Path) -> Outcome | _End:
        """
        Run *step* unless another trial did; wait for one that does just now.
        """
        shared = study_folder(self._artifacts, self.study.name)
        mark = f"{self.study.record().created}\n{step.command}"
        with Turn(shared, step.name, mark) as turn:
            while not turn.take():
                if self._is_over() and self._called_off is not None:
                    return self._ended_early(self._called_off)
                time.sleep(WAIT_S)
            if turn.is_done:
                self._log(f"step {step.name} has run already, once for the whole study")
                return _End.WELL
            outcome = self._step(trial, step, folder)
            if outcome is _End.WELL:
                turn.done(trial.number)
            return outcome

    def _step(self, trial: Trial, step: Step, folder: Path) -> Outcome | _End:
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
            return _End.ELSEWHERE
        self._has_seen = True
        while not self._look(pursuit, WAIT_S):
            pursuit.rest()
        return self._ended(trial, step, pursuit)

    def _goes_on(self, pursuit: Pursuit) -> bool:
        return pursuit.runner.state(pursuit.handle) not in ENDED

    def _hand_in(self, job: Job, runner: Runner, spec: RunnerSpec) -> StepMemory:
        """
        Start *job* unless that was done before, by a process that is gone now.
        """
        rereads = getattr(self._collector, "rereads", False)
        first = 0 if rereads else len(self._kept)
        found = find_job(runner, job) if self._is_taken_over else None
        return StepMemory(found or runner.submit(job), spec, first)

    def _pursue(self, trial: Trial, step: Step, known: StepMemory) -> Pursuit:
        """
        Return what follows the job of *step*; from now on, `cancel` ends it.
        """
        runner = create_runner(known.runner)
        self._handed_in = {
            "trial": trial.number,
            "attempt": trial.attempt,
            "step": step.name,
            "runner": known.runner.name,
            "handle": known.handle,
        }
        self._guard(runner, known.handle)

        def measured(fresh: Sequence[Measurement], goes_on: bool) -> None:  # noqa: FBT001
            self._keep(trial, fresh)
            if goes_on:
                self._end_if(self._watch.measured(fresh) if self._watch else None)

        if self._collector is None:
            raise RuntimeError("nothing would read what the job measures")
        return Pursuit(
            runner,
            known.handle,
            collector=self._collector,
            signs=self._signs,
            shown=self._shown(step),
            measured=measured,
        )

    def _shown(self, step: Step) -> Shown:
        name, memory = self._log_name, self._known
        if name is None:
            return Shown(self._log)
        before = memory.shown(step.name, name)
        return Shown(self._log, before, lambda count: memory.keep_shown(step.name, name, count))

    def _look(self, pursuit: Pursuit, seconds: float) -> bool:
        """
        Read what is new; end the job where it is time; return whether it has ended.
        """
        done = pursuit.poll(seconds)
        if not done:
            self._end_if(self._watch.look() if self._watch else None)
        return done

    def _ended(self, trial: Trial, step: Step, pursuit: Pursuit) -> Outcome | _End:
        """
        Return what the end of a step's job means.
        """
        result = pursuit.runner.result(pursuit.handle)
        well = result.ok and self._signs.infeasible is None
        collector = self._collector
        if collector and (not well or step is self.study.blueprint.trial.steps[-1]):
            self._keep(trial, collector.finish(time.time()))
        if well:
            self._note_end(step, collector.notes if collector else ())
            return _End.WELL
        if result.cancelled and self._called_off is not None:
            return self._ended_early(self._called_off)
        return self._signs.outcome(result, self._kept)

    def _note_end(self, step: Step, notes: Sequence[str]) -> None:
        if step is self.study.blueprint.trial.steps[-1]:
            return  # the trial's outcome tells it
        known = self._known.step(step.name)
        if known is not None:
            self._known.keep_step(step.name, replace(known, ended=True, notes=tuple(notes)))

    def _prepare(self, trial: Trial, step: Step, folder: Path) -> tuple[Job, RunnerSpec]:
        spec = runner_spec(self.study.blueprint, trial, step)
        job = build_job(
            self.study.blueprint,
            trial,
            step,
            study=self.study.name,
            workspace=folder,
            shared=study_folder(self._artifacts, self.study.name),
            parent=self._parent_checkpoint(trial),
            ended=self._is_over,
        )
        return job, spec

    def _end_older(self, trial: Trial) -> None:
        """
        End what older attempts that nobody saw end left running.
        """
        for attempt in self.study.storage.attempts(self.study.name, trial.number):
            if attempt.attempt < trial.attempt and attempt.outcome is None:
                for known in steps_of(attempt).values():
                    _cancel(known)


def _cancel(known: StepMemory) -> None:
    """
    End the job of a step, if that can be done from this machine.

    Raises:
        TrialError: If it runs elsewhere and could not be ended: the new attempt
            must not run beside it.
    """
    try:
        create_runner(known.runner).cancel(known.handle)
    except (TrialError, ValueError):
        if is_remote(known.runner):
            raise
