"""
Which jobs a trial has, wherever its steps and rungs run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_hpo.driver.memory import steps_of
from airflow_hpo.driver.workspace import trial_folder
from airflow_hpo.errors import TrialError
from airflow_hpo.model.job import JobState
from airflow_hpo.model.trial import Failure
from airflow_hpo.runners import create_runner, is_remote
from airflow_hpo.runners.base import Searchable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from airflow_hpo.model.blueprint import Blueprint
    from airflow_hpo.model.placement import RunnerSpec
    from airflow_hpo.model.record import Attempt
    from airflow_hpo.model.trial import Trial
    from airflow_hpo.model.trial_spec import Step
    from airflow_hpo.runners.base import Runner
    from airflow_hpo.study import Study

__all__ = ["KnownJob", "jobs_of", "runner_spec", "runner_specs"]

_ALIVE = frozenset({JobState.PENDING, JobState.RUNNING})

# What a runner raises that cannot be used here: its options do not fit any
# more, its package is not installed, its service does not answer.
_UNUSABLE = (TrialError, ValueError, ImportError, OSError)


@dataclass(frozen=True, slots=True)
class KnownJob:
    """
    One job of a trial.

    Args:
        runner: Where it runs.

        handle: As the runner knows it.

        attempt: The trial's attempt that it belongs to.

        step: The step that it is.
    """

    runner: Runner
    handle: str
    attempt: int
    step: str

    def runs(self) -> bool | None:
        """
        Return whether it runs, or is about to; `None` where that cannot be found out here.
        """
        try:
            return self.runner.state(self.handle) in _ALIVE
        except _UNUSABLE:
            return None

    def cancel(self) -> None:
        """
        End it; returns when it is gone.
        """
        self.runner.cancel(self.handle)


def runner_spec(blueprint: Blueprint, trial: Trial, step: Step) -> RunnerSpec:
    """
    Return where *step* of *trial* runs: what its rung says, else the step, else the trial.
    """
    place = blueprint.resource and blueprint.resource.placement(trial.resource)
    return (place and place.runner) or step.runner or blueprint.trial.runner


def jobs_of(
    study: Study, trial: Trial, artifacts: Path, *, doubtful: bool = False
) -> tuple[KnownJob, ...]:
    """
    Return the jobs of all attempts at *trial*: those on record, and those that runners find.

    Args:
        study: The study.

        trial: The trial.

        artifacts: Folder under which workspaces are.

        doubtful:
            Whether jobs that run elsewhere are left out where somebody saw
            them end: asking a service about each of a thousand takes minutes.
    """
    attempts = study.storage.attempts(study.name, trial.number)
    unseen = [attempt for attempt in attempts if not doubtful or not _was_seen(attempt)]
    jobs = [*_recorded(attempts, unseen), *_searched(study, trial, artifacts, remote=bool(unseen))]
    found: dict[tuple[int, str], KnownJob] = {}
    for job in jobs:
        found.setdefault((job.attempt, job.step), job)
    return tuple(found.values())


def _was_seen(attempt: Attempt) -> bool:
    """
    Return whether whoever told the outcome had seen the job end.
    """
    outcome = attempt.outcome
    return outcome is not None and outcome.failure is not Failure.INFRASTRUCTURE


def _recorded(attempts: Sequence[Attempt], unseen: Sequence[Attempt]) -> Iterator[KnownJob]:
    for attempt in attempts:
        for name, known in steps_of(attempt).items():
            try:
                if is_remote(known.runner) and attempt not in unseen:
                    continue
                runner = create_runner(known.runner)
            except _UNUSABLE:
                continue
            yield KnownJob(runner, known.handle, attempt.attempt, name)


def _searched(study: Study, trial: Trial, artifacts: Path, *, remote: bool) -> Iterator[KnownJob]:
    workspace = str(trial_folder(artifacts, study.name, trial))
    for spec in runner_specs(study.blueprint):
        try:
            runner = create_runner(spec)
            if not isinstance(runner, Searchable) or (is_remote(spec) and not remote):
                continue
            found = runner.find(study=study.name, trial=trial.number, workspace=workspace)
        except _UNUSABLE:
            continue
        for job in found:
            yield KnownJob(runner, job.handle, job.attempt, job.step)


def runner_specs(blueprint: Blueprint) -> list[RunnerSpec]:
    """
    Return every place that a step or a rung of *blueprint* runs in, each once.
    """
    rungs = blueprint.resource.rungs if blueprint.resource else ()
    places = [rung.runner for rung in rungs]
    places += [step.runner or blueprint.trial.runner for step in blueprint.trial.steps]
    found: list[RunnerSpec] = []
    for spec in places:
        if spec is not None and spec not in found:
            found.append(spec)
    return found
