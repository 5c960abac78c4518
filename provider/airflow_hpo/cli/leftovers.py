"""
What an earlier ``hpo run`` left behind, and whose a trial is.

The keys that a process asks and starts with tell which process that was. A trial
is never taken from one that lives: not from another ``hpo run`` on this machine,
nor from one elsewhere or a DAG, whose fate nobody here can know.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_hpo.model.trial import TrialState
from airflow_hpo.runners.supervisor import is_alive, started

if TYPE_CHECKING:
    from airflow_hpo.model.stop import Stop
    from airflow_hpo.model.trial import Trial
    from airflow_hpo.study import Study

__all__ = ["Leftovers", "find_leftovers", "latest_key", "this_process"]

_PREFIX = "hpo-run"


@dataclass(frozen=True, slots=True)
class Leftovers:
    """
    Trials that nobody works on any more, though there is work left.

    Args:
        running: Told to be running; their jobs may have outlived the process.

        again: Ended without a verdict on their configuration: interrupted,
            lost with the machine, or called off.

        waiting: Suggested, never begun.

        elsewhere: How many others are unfinished, which somebody may work on.
    """

    running: tuple[Trial, ...]
    again: tuple[Trial, ...]
    waiting: tuple[Trial, ...]
    elsewhere: int


def this_process() -> str:
    """
    Return what all keys of this process begin with.
    """
    pid = os.getpid()
    return f"{_PREFIX}/{os.uname().nodename}/{pid}-{started(pid) or 0}"


def latest_key(study: Study, trial: Trial) -> str:
    """
    Return the key of the latest attempt at *trial*, or else of its ask.
    """
    attempts = study.storage.attempts(study.name, trial.number)
    return (attempts[-1].key if attempts else "") or trial.key


def find_leftovers(study: Study, stop: Stop | None, *, take_over: bool = False) -> Leftovers:
    """
    Return what a new session takes up, ascending by number.

    Args:
        study: The study.

        stop: Why it has ended, if it has.

        take_over: Whether also trials of other machines and of DAGs are.
    """
    record = study.record()
    unfinished = [trial for trial in record.trials if not trial.is_final]
    ours = [trial for trial in unfinished if take_over or _is_abandoned(study, trial)]
    room = study.remaining(record)
    again: list[Trial] = []
    for trial in record.trials:
        worth = trial.is_final and _is_worth_another(trial, stop)
        if worth and (room or trial.is_counted) and (take_over or _is_abandoned(study, trial)):
            room -= 0 if trial.is_counted else 1
            again.append(trial)
    return Leftovers(
        running=tuple(trial for trial in ours if trial.state is TrialState.RUNNING),
        again=tuple(again),
        waiting=tuple(trial for trial in ours if trial.state is TrialState.WAITING),
        elsewhere=len(unfinished) - len(ours),
    )


def _is_worth_another(trial: Trial, stop: Stop | None) -> bool:
    """
    Return whether a new session runs an ended trial again.

    In a study that ended because of failures it is those that ended it.
    """
    if stop is None:
        return not trial.is_counted
    if stop.rule == "failures":
        return not trial.is_counted and trial.state is TrialState.FAILED
    return stop.rule == "on_failure" and trial.number == stop.trial


def _is_abandoned(study: Study, trial: Trial) -> bool:
    """
    Return whether an ``hpo run`` on this machine had *trial*, and is gone.
    """
    prefix, _, rest = latest_key(study, trial).partition("/")
    host, _, rest = rest.partition("/")
    pid, _, start = rest.partition("/")[0].partition("-")
    if prefix != _PREFIX or host != os.uname().nodename or not (pid + start).isdigit():
        return False
    return not is_alive(int(pid), int(start))
