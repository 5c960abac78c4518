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

from airflow_hpo.driver.jobs import jobs_of
from airflow_hpo.driver.trial import TrialRun
from airflow_hpo.driver.workspace import Follower, trial_folder
from airflow_hpo.errors import StudyError, TrialError
from airflow_hpo.model.trial import Failure, Outcome, TrialState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from airflow_hpo.driver.jobs import KnownJob
    from airflow_hpo.model.record import Attempt
    from airflow_hpo.model.trial import Trial
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
    jobs: tuple[KnownJob, ...] = ()


def find_strays(study: Study, artifacts: Path, *, take_over: bool = False) -> tuple[Stray, ...]:
    """
    Return what has strayed in *study*, ascending by trial.

    Jobs are looked for wherever a step or a rung runs. What a process of
    another machine works on, or was left to Airflow's triggerer, is not touched, as
    nobody here can know its fate; nor is a job that cannot be asked about here.

    Args:
        study: The study.

        artifacts: Folder under which workspaces are.

        take_over:
            Whether nobody at all works on the study any more, on no machine:
            then every unfinished trial is a stray.
    """
    found: list[Stray] = []
    for trial in study.record().trials:
        folder = trial_folder(artifacts, study.name, trial)
        jobs = jobs_of(study, trial, artifacts, doubtful=True)
        found += _orphans(trial, jobs)
        if trial.state is TrialState.RUNNING:
            found += _running(study, trial, folder, jobs, take_over=take_over)
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
    trial = stray.trial
    if stray.kind is StrayKind.ORPHAN or (stray.kind is StrayKind.UNATTENDED and not follow):
        for job in stray.jobs:
            job.cancel()
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
    End whatever still runs of *trial*, wherever that is; returns how many jobs that were.

    One that cannot be ended from here is left to `find_strays`.
    """
    return sum(1 for job in jobs_of(study, trial, artifacts) if job.runs() and _ends(job))


def _ends(job: KnownJob) -> bool:
    try:
        job.cancel()
    except (TrialError, OSError):
        return False
    return True


def _orphans(trial: Trial, jobs: Sequence[KnownJob]) -> Iterator[Stray]:
    """
    Yield the jobs that run for an attempt that is over.
    """
    over = [job for job in jobs if job.attempt < trial.attempt or trial.is_final]
    running = tuple(job for job in over if job.runs())
    if running:
        numbers = ", ".join(dict.fromkeys(str(job.attempt) for job in running))
        what = f"attempt {numbers} still runs, though it is over"
        yield Stray(StrayKind.ORPHAN, trial, what, running)


def _running(
    study: Study, trial: Trial, folder: Path, jobs: Sequence[KnownJob], *, take_over: bool
) -> Iterator[Stray]:
    """
    Yield what is wrong with a trial on record as running, if anything is.
    """
    follower = Follower.read(folder)
    known = follower is not None and follower.key == _latest(study, trial).key
    if not take_over and not (known and follower is not None and follower.is_gone()):
        return
    own = [(job, job.runs()) for job in jobs if job.attempt == trial.attempt]
    if any(runs is None for _, runs in own):
        return
    running = tuple(job for job, runs in own if runs)
    if running:
        yield Stray(StrayKind.UNATTENDED, trial, f"its job runs, but {_LOST}", running)
    elif own:
        ended = tuple(job for job, _ in own)
        yield Stray(StrayKind.UNHEARD, trial, f"its job has ended, but {_LOST}", ended)
    else:
        yield Stray(StrayKind.LOST, trial, _LOST)


def _latest(study: Study, trial: Trial) -> Attempt:
    return study.storage.attempts(study.name, trial.number)[-1]
