"""
What the attempts at a trial do with the job of a step, whoever of them does it.
"""

from __future__ import annotations

import time
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, Any

from airflow_hpo.driver.attempt import AttemptRun
from airflow_hpo.driver.job import build_job
from airflow_hpo.driver.jobs import runner_spec
from airflow_hpo.driver.memory import Memory, StepMemory, steps_of
from airflow_hpo.driver.pursuit import Pursuit, Shown
from airflow_hpo.driver.stores import store_of
from airflow_hpo.driver.workspace import study_folder, trial_folder
from airflow_hpo.errors import TrialError, TrialInvalidError
from airflow_hpo.metrics import create_collector, judge
from airflow_hpo.runners import create_runner, is_remote, shares_folder
from airflow_hpo.runners.base import ENDED

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from airflow_hpo.metrics import Collector
    from airflow_hpo.model.job import Job
    from airflow_hpo.model.placement import RunnerSpec
    from airflow_hpo.model.trial import Measurement, Outcome, Trial
    from airflow_hpo.model.trial_spec import Step
    from airflow_hpo.runners.base import Runner

__all__ = ["End", "JobRun"]


class End(Enum):
    """
    How a step came out that did not end the trial.
    """

    WELL = "well"
    ELSEWHERE = "elsewhere"


class JobRun(AttemptRun):
    """
    An attempt at a trial whose steps are jobs of runners: one step's job at a time.

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
        self._collector: Collector | None = None
        self._has_seen = False
        self._handed_in: dict[str, Any] = {}

    @property
    def job(self) -> dict[str, Any]:
        """
        The job that was handed in last, JSON-compatible.
        """
        return dict(self._handed_in)

    @property
    def _known(self) -> Memory:
        if self._memory is None:
            raise RuntimeError("an attempt that has not begun remembers nothing")
        return self._memory

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

    def _goes_on(self, pursuit: Pursuit) -> bool:
        return pursuit.runner.state(pursuit.handle) not in ENDED

    def _hand_in(self, job: Job, runner: Runner, spec: RunnerSpec) -> StepMemory:
        """
        Start *job*; where a process that is gone did so before, its runner finds it by its key.
        """
        rereads = getattr(self._collector, "rereads", False)
        first = 0 if rereads else len(self._kept)
        return StepMemory(runner.submit(job), spec, first)

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

    def _ended(self, trial: Trial, step: Step, pursuit: Pursuit) -> Outcome | End:
        """
        Return what the end of a step's job means.
        """
        result = pursuit.runner.result(pursuit.handle)
        well = result.ok and self._signs.infeasible is None
        collector = self._collector
        folder = trial_folder(self._artifacts, self.study.name, trial)
        if not shares_folder(pursuit.runner, str(folder)):
            self._fetch(folder)
        if collector and (not well or step is self.study.blueprint.trial.steps[-1]):
            self._keep(trial, collector.finish(time.time()))
        if well:
            self._note_end(step, collector.notes if collector else ())
            return End.WELL
        if result.cancelled and self._called_off is not None:
            return self._ended_early(self._called_off)
        return self._signs.outcome(result, self._kept)

    def _note_end(self, step: Step, notes: Sequence[str]) -> None:
        if step is self.study.blueprint.trial.steps[-1]:
            return  # the trial's outcome tells it
        if self._trial is not None:
            self._store_files(self._trial)  # the next step may run on another machine
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
        shared = shares_folder(create_runner(spec), str(folder))
        if not shared:
            self._refuse_lost_metrics(spec, folder)
        if is_remote(spec) or not shared:
            self._store_files(trial)  # its job may want what earlier steps made
        return job, spec

    def _refuse_lost_metrics(self, spec: RunnerSpec, folder: Path) -> None:
        """
        Refuse a job whose file of metrics nobody here would ever see.
        """
        if self.study.blueprint.trial.metrics.format != "file" or store_of(folder):
            return
        raise TrialInvalidError(
            f"metrics in a file of a job on {spec.name} need artifacts at an address, "
            f"such as s3://bucket/studies, got the folder {self._artifacts}"
        )

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
