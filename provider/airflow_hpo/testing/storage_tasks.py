"""
What the suites and their processes do to a storage, in a word each.

Apart from the suites, so that a process need not import pytest first.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow_hpo.model.trial import Measurement, Outcome, Suggestion, TrialState

if TYPE_CHECKING:
    from airflow_hpo.model.record import StudyRecord
    from airflow_hpo.model.trial import Trial
    from airflow_hpo.model.values import Configuration
    from airflow_hpo.storage.base import Propose, Storage

__all__ = [
    "ask_after_fork",
    "ask_repeatedly",
    "create_and_ask",
    "live_trials",
    "make_study",
    "propose",
    "propose_count",
    "start_trial",
    "tell_for_ever",
]


def make_study(storage: Storage, trials: int = 0, *, name: str = "study") -> Storage:
    """
    Create study *name* with so many trials, and return the storage.
    """
    storage.create(name, definition={}, seed=0, plan={})
    if trials:
        storage.append(name, "made", propose_count(trials))
    return storage


def propose(*configurations: Configuration) -> Propose:
    """
    Return a *propose* that always suggests *configurations*.
    """
    return lambda _: [Suggestion(configuration, "test") for configuration in configurations]


def propose_count(count: int) -> Propose:
    """
    Return a *propose* that suggests *count* trials, and notes how many it saw.
    """

    def suggest(record: StudyRecord) -> Sequence[Suggestion]:
        seen = len(record.trials)
        return [Suggestion({"x": seen + index, "seen": seen}, "test") for index in range(count)]

    return suggest


def create_and_ask(storages: Sequence[Storage], seed: int) -> list[tuple[int, list[int]]]:
    """
    Begin the same study in each of *storages*, as a first task does.

    Returns the seed that each study got, and the numbers of the trials.
    """
    return [
        (
            storage.create("study", definition={}, seed=seed, plan={}).seed,
            ask_repeatedly(storage, "study", [f"key {seed}"], 2),
        )
        for storage in storages
    ]


def ask_repeatedly(storage: Storage, study: str, keys: Sequence[str], count: int) -> list[int]:
    """
    Ask for *count* trials with each of *keys*; return their numbers.
    """
    return [
        trial.number for key in keys for trial in storage.append(study, key, propose_count(count))
    ]


def start_trial(storage: Storage, study: str, number: int, key: str) -> Trial:
    """
    Begin an attempt at one trial.
    """
    return storage.start(study, number, key=key)


def live_trials(storage: Storage, study: str, numbers: Sequence[int]) -> None:
    """
    Take every one of *numbers* through a whole life.
    """
    for number in numbers:
        attempt = storage.start(study, number, key=f"{os.getpid()}").attempt
        for position in range(3):
            measured = [Measurement({"loss": position / number if number else 0.0}, 1.0, position)]
            storage.measure(study, number, measured, attempt=attempt, first=position)
        outcome = Outcome(TrialState.COMPLETE, values=(float(number),))
        storage.finish(study, number, outcome, attempt=attempt)


def tell_for_ever(storage: Storage, study: str) -> None:
    """
    Live one trial after the other, printing each call's number once it returned.
    """
    while True:
        (trial,) = storage.append(study, f"ask {os.urandom(8).hex()}", propose_count(1))
        _say("asked", trial.number)
        attempt = storage.start(study, trial.number, key="only").attempt
        _say("started", trial.number)
        measured = [Measurement({"loss": trial.number}, 1.0)]
        storage.measure(study, trial.number, measured, attempt=attempt, first=0)
        _say("measured", trial.number)
        outcome = Outcome(TrialState.COMPLETE, values=(float(trial.number),))
        storage.finish(study, trial.number, outcome, attempt=attempt)
        _say("finished", trial.number)


def _say(what: str, number: int) -> None:
    sys.stdout.write(f"{what} {number}\n")
    sys.stdout.flush()


def ask_after_fork(storage: Storage, study: str) -> list[str]:
    """
    Use *storage* on both sides of a fork; return the keys that were kept.
    """
    storage.append(study, "before", propose_count(1))
    child = os.fork()
    if not child:
        storage.append(study, "child", propose_count(1))
        os._exit(0)
    storage.append(study, "parent", propose_count(1))
    _, status = os.waitpid(child, 0)
    assert status == 0, f"the forked process ended with {status}"
    storage.append(study, "after", propose_count(1))
    return sorted(trial.key for trial in storage.load(study).trials)
