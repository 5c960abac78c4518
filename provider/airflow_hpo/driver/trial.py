"""
One attempt at one trial, from submitting its job to telling its outcome.
"""

from __future__ import annotations

import math
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_hpo.driver.failures import Signs
from airflow_hpo.driver.job import build_job
from airflow_hpo.driver.once import Turn
from airflow_hpo.driver.watch import Watch, called_off, has_result, may_start
from airflow_hpo.driver.workspace import Follower, claim_folder, study_folder, trial_folder
from airflow_hpo.errors import StorageError, TrialError, TrialInvalidError
from airflow_hpo.metrics import create_collector, final_metrics, judge
from airflow_hpo.model.trial import Failure, Outcome, TrialState
from airflow_hpo.runners import create_runner
from airflow_hpo.runners.base import ENDED, pages

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from airflow_hpo.driver.watch import Verdict
    from airflow_hpo.metrics import Collector
    from airflow_hpo.model.blueprint import Step
    from airflow_hpo.model.job import Job
    from airflow_hpo.model.stop import Stop
    from airflow_hpo.model.trial import Measurement, Trial
    from airflow_hpo.runners.base import Runner
    from airflow_hpo.study import Study

__all__ = ["TrialRun"]

# How long one wait for news from a runner lasts at most, in seconds: bounds how
# late a measurement that waits for its turn is written.
_WAIT_S = 0.5

# How often measurements are written to the journal at most, in seconds. Code
# that prints a thousand lines a second costs one transaction, not a thousand.
_FLUSH_S = 1.0

# The longest pause, in seconds, between two looks at a job that keeps printing;
# the pauses grow by a millisecond, so that a short job is not held up.
_PACE_S = 0.05


class TrialRun:
    """
    One attempt at one trial: submit, follow, measure, tell.

    **How it works.** Starts an attempt in the journal, hands a job for each of
    the trial's steps to its runner, one after another up to the first that does
    not end well, follows its output line by line, keeps measurements as they come,
    and tells the outcome. At each measurement and every few seconds it asks
    whether to go on: a study that ends takes its running trials along. Whatever
    ends it early (a signal, an exception) cancels the job first and tells that
    too.

    **What it does not do.** It does not retry: run it again with another key.

    **Known limitation.** A process that is killed with SIGKILL tells nothing, and
    its job goes on: run again with the same key this finds the job and follows
    it; with another key the runner ends what the older attempt left running.
    Where neither happens, `evaluate_round` reconciles the trial.

    Args:
        study: The study.

        number: The trial's number.

        key: What makes this attempt unique, such as task, run and try.

        artifacts: Folder under which workspaces are made.

        log: Called with every line of the job's output.

        on_measurement: Called after each new measurement, once it is kept.

        insist:
            Whether to run it even though the study has ended, as where a
            person asked for that; otherwise nothing starts then.
    """

    def __init__(
        self,
        study: Study,
        number: int,
        *,
        key: str,
        artifacts: Path,
        log: Callable[[str], None],
        on_measurement: Callable[[Measurement], None] = lambda _: None,
        insist: bool = False,
    ) -> None:
        self.study = study
        self.number = number
        self._key = key
        self._artifacts = artifacts
        self._log = log
        self._on_measurement = on_measurement
        self._insist = insist
        self._watch: Watch | None = None
        self._running: tuple[Runner, str] | None = None
        self._called_off: Outcome | None = None
        self._completes = False
        self._kept: list[Measurement] = []
        self._signs = Signs(study.blueprint.trial.failures)

    def run(self) -> Trial:
        """
        Run the attempt to its end and return the trial as told.

        Where the study has ended nothing is started, and the trial comes back
        as it stays.

        Raises:
            TrialError: If the job cannot be started or was lost; told as well.
        """
        record = self.study.record()
        if not 0 <= self.number < len(record.trials):
            return self.study.start(self.number, key=self._key)  # raises what is wrong with it
        before = record.trials[self.number]
        # What has ended well is not tried again by itself: somebody wants that.
        insist = self._insist or has_result(before)
        if not insist and not may_start(self.study, record, before):
            return called_off(self.study, before, record.stop)
        trial = self.study.start(self.number, key=self._key)
        if trial.is_final:
            return trial  # this very attempt has already told its outcome
        self._watch = self._watched(trial, before, known=record.stop if insist else None)
        try:
            outcome = self._outcome(trial)
        except BaseException as error:
            # Also for SystemExit and KeyboardInterrupt: the job must not go on
            # without us, and the study must not wait for it.
            try:
                self.cancel()
            finally:
                self._tell_broken(trial, error)
            raise
        told = self.study.tell(trial.number, outcome, attempt=trial.attempt)
        with suppress(StorageError):
            self.study.look()  # its end may be the study's: running trials wait to hear it
        return told

    def _watched(self, trial: Trial, before: Trial, *, known: Stop | None) -> Watch:
        taken_over = before.state is TrialState.RUNNING and before.attempt == trial.attempt
        storage, name = self.study.storage, self.study.name
        seen = len(storage.measurements(name, trial.number)) if taken_over else 0
        return Watch(self.study, trial, known=known, seen=seen)

    def cancel(self, reason: str = "cancelled", *, state: TrialState = TrialState.FAILED) -> None:
        """
        End the job; returns when it is gone. Safe to call at any time.

        Args:
            reason: Told as the trial's, unless the job ended by itself before.
                The first call decides.

            state: Told likewise. A failure counts as the machine's; a complete
                trial is judged by what it has measured until then, and pruned
                where that is not enough.
        """
        if self._called_off is None:
            failure = Failure.INFRASTRUCTURE if state is TrialState.FAILED else None
            self._completes = state is TrialState.COMPLETE
            state = TrialState.PRUNED if self._completes else state
            self._called_off = Outcome(state, reason=reason, failure=failure)
        # Read after the line above, as `_outcome` does it the other way round:
        # whatever the order of the two threads, one of them ends the job.
        running = self._running
        if running is not None:
            runner, handle = running
            runner.cancel(handle)

    def _tell_broken(self, trial: Trial, error: BaseException) -> None:
        invalid = isinstance(error, TrialInvalidError)
        reason = str(error) if isinstance(error, TrialError) else f"interrupted: {error!r}"
        failure = Failure.CODE if invalid else Failure.INFRASTRUCTURE
        outcome = Outcome(TrialState.FAILED, reason=reason, failure=failure)
        self.study.tell(trial.number, outcome, attempt=trial.attempt)

    def _outcome(self, trial: Trial) -> Outcome:
        folder = trial_folder(self._artifacts, self.study.name, trial)
        claim_folder(folder, self.study.name, trial)
        Follower.note(folder, self._key)
        blueprint = self.study.blueprint
        try:
            collector = create_collector(
                blueprint.trial.metrics,
                resource=None if blueprint.resource is None else blueprint.resource.name,
                workspace=str(folder),
                since=trial.started,
            )
        except ValueError as error:  # an option that does not fit
            raise TrialInvalidError(str(error)) from error
        steps = blueprint.trial.steps
        for index, step in enumerate(steps):
            if len(steps) > 1:
                self._log(f"step {step.name} ({index + 1} of {len(steps)})")
            run = self._once if step.once else self._step
            outcome = run(trial, step, folder, collector)
            if outcome is not None:
                return outcome
        return judge(blueprint.objectives, self._kept, notes=collector.notes)

    def _once(self, trial: Trial, step: Step, folder: Path, collector: Collector) -> Outcome | None:
        """
        Run *step* unless another trial did; wait for one that does just now.
        """
        shared = study_folder(self._artifacts, self.study.name)
        mark = f"{self.study.record().created}\n{step.command}"
        with Turn(shared, step.name, mark) as turn:
            while not turn.take():
                self._end_if(self._watch.look() if self._watch else None)
                if self._called_off is not None:
                    return self._called_off
                time.sleep(_WAIT_S)
            if turn.is_done:
                self._log(f"step {step.name} has run already, once for the whole study")
                return None
            outcome = self._step(trial, step, folder, collector)
            if outcome is None:
                turn.done(trial.number)
            return outcome

    def _step(self, trial: Trial, step: Step, folder: Path, collector: Collector) -> Outcome | None:
        """
        Run one step; return what its end means, or `None` to go on.
        """
        try:
            job, runner = self._prepare(trial, step, folder)
        except ValueError as error:  # an option or a command that does not fit
            raise TrialInvalidError(str(error)) from error
        if self._called_off is not None:
            return self._called_off
        handle = runner.submit(job)
        self._running = (runner, handle)
        if self._called_off is not None:
            runner.cancel(handle)
        self._follow(trial, runner, handle, collector)
        result = runner.result(handle)
        well = result.ok and self._signs.infeasible is None
        if not well or step is self.study.blueprint.trial.steps[-1]:
            self._keep(trial, collector.finish(time.time()))
        if well:
            return None
        if result.cancelled and self._called_off is not None:
            return self._ended_early(self._called_off, self._kept)
        return self._signs.outcome(result, self._kept)

    def _ended_early(self, told: Outcome, measurements: Sequence[Measurement]) -> Outcome:
        if self._completes:
            judged = judge(self.study.blueprint.objectives, measurements)
            if judged.state is TrialState.COMPLETE:
                return replace(judged, reason=told.reason)
        return replace(told, metrics=final_metrics(measurements))

    def _prepare(self, trial: Trial, step: Step, folder: Path) -> tuple[Job, Runner]:
        blueprint = self.study.blueprint
        place = blueprint.resource and blueprint.resource.placement(trial.resource)
        spec = (place and place.runner) or step.runner or blueprint.trial.runner
        job = build_job(
            blueprint,
            trial,
            step,
            study=self.study.name,
            workspace=folder,
            options=spec.options,
            shared=study_folder(self._artifacts, self.study.name),
            parent=self._parent_checkpoint(trial),
        )
        return job, create_runner(spec)

    def _parent_checkpoint(self, trial: Trial) -> Path | None:
        """
        Return where the trial that this one resumes left its checkpoint.
        """
        if trial.parent is None:
            return None
        parent = self.study.record().trials[trial.parent]
        folder = trial_folder(self._artifacts, self.study.name, parent) / "checkpoint"
        if not folder.is_dir():
            self._log(f"the checkpoint of trial {trial.parent} is not on this machine: {folder}")
        return folder

    def _follow(self, trial: Trial, runner: Runner, handle: str, collector: Collector) -> None:
        """
        Read the job's output to its end, and keep what is measured.
        """
        fresh: list[Measurement] = []
        cursor, flushed, busy, done = 0, -math.inf, 0, False
        while not done:
            # Asked before the output is read: what is written between the two
            # would be lost the other way round.
            done = runner.wait(handle, _WAIT_S, since=cursor) in ENDED
            before = cursor
            for lines, cursor in pages(runner, handle, before):  # noqa: B007 - the last stays
                for line in lines:
                    self._log(line)
                self._signs.feed(lines)
                fresh += collector.feed(lines, time.time())
            if fresh and (done or time.monotonic() - flushed >= _FLUSH_S):
                self._keep(trial, fresh)
                if not done:
                    self._end_if(self._watch.measured(fresh) if self._watch else None)
                fresh, flushed = [], time.monotonic()
            busy = busy + 1 if cursor != before else 0
            if not done:
                self._end_if(self._watch.look() if self._watch else None)
                time.sleep(min(_PACE_S, busy * 0.001))

    def _end_if(self, verdict: Verdict | None) -> None:
        """
        End the job where there is a reason to; what it still prints is read afterwards.
        """
        if verdict is None or self._called_off is not None:
            return
        self._log(f"ending the trial: {verdict.reason}")
        state = TrialState.COMPLETE if verdict.reached else TrialState.PRUNED
        self.cancel(verdict.reason, state=state)

    def _keep(self, trial: Trial, fresh: Sequence[Measurement]) -> None:
        if not fresh:
            return
        self.study.measure(trial.number, fresh, attempt=trial.attempt, first=len(self._kept))
        self._kept += fresh
        for measurement in fresh:
            self._on_measurement(measurement)
