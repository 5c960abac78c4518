"""
What is on record as running though nobody works on it, and what runs though nobody wants it.

A killed process tells nothing. Airflow's retries and the next evaluate set most
of that right; what is left (a run that was deleted, a machine that never came
back) is found here by what the trials' workspaces tell.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from airflow_hpo.driver.trial import TrialRun
from airflow_hpo.driver.workspace import Follower, trial_folder
from airflow_hpo.errors import StudyError, TrialError
from airflow_hpo.model.job import JobState
from airflow_hpo.model.trial import Failure, Outcome, TrialState
from airflow_hpo.runners import create_runner
from airflow_hpo.runners.base import FoundJob, Searchable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from airflow_hpo.model.record import Attempt
    from airflow_hpo.model.trial import Trial
    from airflow_hpo.runners.base import Runner
    from airflow_hpo.study import Study

__all__ = ["Stray", "StrayKind", "end_jobs", "find_strays", "mend"]

_LOST = "the process that ran it is gone"


class StrayKind(str, Enum):
    """
    What is wrong.
    """

    ORPHAN = "orphan"
    """A job runs that belongs to no running attempt."""

    UNHEARD = "unheard"
    """A trial is on record as running; its job has ended, and nobody told."""

    UNATTENDED = "unattended"
    """A trial's job runs, and nobody follows it."""

    LOST = "lost"
    """A trial is on record as running; nothing runs."""

    WAITING = "waiting"
    """A trial was suggested, and nobody will begin it."""


@dataclass(frozen=True, slots=True)
class Stray:
    """
    One thing to mend.

    Args:
        kind: What is wrong.

        trial: The trial it is about.

        what: The same in words.

        jobs: The jobs that are to be ended or read.
    """

    kind: StrayKind
    trial: Trial
    what: str
    jobs: tuple[FoundJob, ...] = ()


def find_strays(study: Study, artifacts: Path, *, take_over: bool = False) -> tuple[Stray, ...]:
    """
    Return what has strayed in *study*, ascending by trial.

    What a process of another machine works on is left alone, as nobody here
    can know its fate.

    Args:
        study: The study.

        artifacts: Folder under which workspaces are.

        take_over:
            Whether nobody at all works on the study any more, on no machine:
            then every unfinished trial is a stray.
    """
    runner = _runner(study)
    found: list[Stray] = []
    for trial in study.record().trials:
        folder = trial_folder(artifacts, study.name, trial)
        jobs = _jobs(runner, study, trial, folder)
        found += _orphans(runner, trial, jobs)
        if trial.state is TrialState.RUNNING:
            found += _running(study, trial, folder, _Jobs(runner, jobs), take_over=take_over)
        elif trial.state is TrialState.WAITING and take_over:
            found.append(Stray(StrayKind.WAITING, trial, "nobody begins it"))
    return tuple(found)


def mend(
    study: Study,
    stray: Stray,
    *,
    artifacts: Path,
    log: Callable[[str], None],
    follow: bool = False,
) -> Trial:
    """
    Set one stray right, and return its trial as it is then.

    A job that has ended is read to its end, so that nothing it measured is
    lost; one that runs is ended before, unless it is to be followed.

    Args:
        study: The study.

        stray: What `find_strays` found.

        artifacts: Folder under which workspaces are.

        log: Called with every line that the job printed.

        follow: Whether to wait for a job that runs, instead of ending it.
    """
    trial, runner = stray.trial, _runner(study)
    if stray.kind is StrayKind.ORPHAN or (stray.kind is StrayKind.UNATTENDED and not follow):
        for job in stray.jobs:
            runner.cancel(job.handle)
    if stray.kind in {StrayKind.UNHEARD, StrayKind.UNATTENDED}:
        key = _latest(study, trial).key
        run = TrialRun(study, trial.number, key=key, artifacts=artifacts, log=log, insist=True)
        with suppress(TrialError):  # it has told that, too
            run.run()
    elif stray.kind in {StrayKind.LOST, StrayKind.WAITING}:
        outcome = Outcome(TrialState.FAILED, reason=_LOST, failure=Failure.INFRASTRUCTURE)
        with suppress(StudyError):  # somebody told meanwhile
            study.tell(trial.number, outcome, attempt=trial.attempt)
    return study.record().trials[trial.number]


def end_jobs(study: Study, trial: Trial, artifacts: Path) -> int:
    """
    End whatever still runs of *trial* on this machine; returns how many jobs that were.
    """
    runner = _runner(study)
    jobs = _jobs(runner, study, trial, trial_folder(artifacts, study.name, trial))
    running = [job for job in jobs if runner.state(job.handle) is JobState.RUNNING]
    for job in running:
        runner.cancel(job.handle)
    return len(running)


@dataclass(frozen=True, slots=True)
class _Jobs:
    """
    The jobs of one trial.
    """

    runner: Runner
    found: Sequence[FoundJob]

    def of(self, attempt: int, *, running: bool) -> tuple[FoundJob, ...]:
        """
        Return those of one attempt that run, or all of them.
        """
        own = [job for job in self.found if job.attempt == attempt]
        return tuple(
            job for job in own if not running or self.runner.state(job.handle) is JobState.RUNNING
        )


def _runner(study: Study) -> Runner:
    trial = study.blueprint.trial
    return create_runner(trial.steps[0].runner or trial.runner)


def _jobs(runner: Runner, study: Study, trial: Trial, folder: Path) -> Sequence[FoundJob]:
    if not isinstance(runner, Searchable):
        return ()
    return runner.find(study=study.name, trial=trial.number, workspace=str(folder))


def _orphans(runner: Runner, trial: Trial, jobs: Sequence[FoundJob]) -> Iterator[Stray]:
    """
    Yield the jobs that run for an attempt that is over.
    """
    over = [job for job in jobs if job.attempt < trial.attempt or trial.is_final]
    running = tuple(job for job in over if runner.state(job.handle) is JobState.RUNNING)
    if running:
        numbers = ", ".join(str(job.attempt) for job in running)
        what = f"attempt {numbers} still runs, though it is over"
        yield Stray(StrayKind.ORPHAN, trial, what, running)


def _running(
    study: Study, trial: Trial, folder: Path, jobs: _Jobs, *, take_over: bool
) -> Iterator[Stray]:
    """
    Yield what is wrong with a trial on record as running, if anything is.
    """
    follower = Follower.read(folder)
    known = follower is not None and follower.key == _latest(study, trial).key
    if not take_over and not (known and follower is not None and follower.is_gone()):
        return
    running = jobs.of(trial.attempt, running=True)
    if running:
        yield Stray(StrayKind.UNATTENDED, trial, f"its job runs, but {_LOST}", running)
    elif ended := jobs.of(trial.attempt, running=False):
        yield Stray(StrayKind.UNHEARD, trial, f"its job has ended, but {_LOST}", ended)
    else:
        yield Stray(StrayKind.LOST, trial, _LOST)


def _latest(study: Study, trial: Trial) -> Attempt:
    return study.storage.attempts(study.name, trial.number)[-1]
