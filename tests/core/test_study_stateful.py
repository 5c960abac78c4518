"""
Any interleaving of ask, start, measure, tell, crash and repetition leaves a consistent study.
"""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from airflow_hpo.errors import StudyError
from airflow_hpo.model.actual import actual
from airflow_hpo.model.blueprint import Blueprint
from airflow_hpo.model.ladder import place_of
from airflow_hpo.model.trial import Failure, Measurement, Outcome, TrialState
from airflow_hpo.model.values import canonical
from airflow_hpo.plan import make_plan
from airflow_hpo.storage import open_storage
from airflow_hpo.study import Study

BUDGETS = {"random": 12, "halving": 16, "hyperband": 22, "bohb": 22, "asha": 24}
ETA = 3


def blueprint_of(strategy):
    """
    Return a small blueprint of a strategy.
    """
    return Blueprint.model_validate(
        {
            "name": "any-order",
            "objectives": [{"metric": "y", "direction": "minimize"}],
            "space": {
                "parameters": [
                    {"name": "x", "distribution": {"kind": "float", "low": 0, "high": 1}}
                ]
            },
            "strategy": {"name": strategy, "seed": 7},
            "budget": {"trials": BUDGETS[strategy]},
            "resource": {"name": "epochs", "min": 1, "max": 9},
            "trial": {"steps": [{"command": "true"}]},
        }
    )


class Interleavings(RuleBasedStateMachine):
    """
    Several workers on one study, each of which may die at any moment.

    A worker is a trial's number, the attempt's key and the attempt.
    """

    asked = Bundle("asked")
    running = Bundle("running")
    ended = Bundle("ended")

    storage_url = ""

    @initialize(strategy=st.sampled_from(sorted(BUDGETS)))
    def begin(self, strategy):
        """
        Open a new study.
        """
        self.blueprint = blueprint_of(strategy)
        self.plan = make_plan(self.blueprint)
        self.storage = open_storage(self.storage_url)
        self.name = f"study-{id(self)}"
        for known in self.storage.studies():
            self.storage.delete(known.name)
        self.study = Study.open(self.storage, self.name, self.blueprint)
        self.asks = {}
        self.told = {}
        self.keys = 0

    def teardown(self):
        """
        Let go of the journal.
        """
        if hasattr(self, "storage"):
            self.storage.close()

    def reopen(self):
        """
        Go on as another process would: with nothing but what is stored.
        """
        self.study = Study.load(self.storage, self.name)

    @rule(target=asked, count=st.integers(1, 4))
    def ask(self, count):
        """
        Ask for some trials.
        """
        self.keys += 1
        key = f"ask-{self.keys}"
        trials = self.study.ask(count, key=key)
        self.asks[key] = (count, [trial.number for trial in trials])
        return multiple(*(trial.number for trial in trials))

    @rule(target=ended, values=st.lists(st.integers(-999, 999), min_size=1, max_size=4))
    def run_some(self, values):
        """
        Ask for some trials and run them well, without a break.
        """
        self.keys += 1
        key = f"ask-{self.keys}"
        trials = self.study.ask(len(values), key=key)
        self.asks[key] = (len(values), [trial.number for trial in trials])
        works = []
        for trial, value in zip(trials, values, strict=False):
            attempt = self.study.start(trial.number, key=f"{trial.number}/first").attempt
            outcome = Outcome(TrialState.COMPLETE, values=(float(value),))
            self.study.tell(trial.number, outcome, attempt=attempt)
            self.told[trial.number] = outcome
            works.append((trial.number, f"{trial.number}/first", attempt))
        return multiple(*works)

    @rule(data=st.data())
    def ask_again(self, data):
        """
        Ask with a key that was used: a task that was retried.
        """
        if not self.asks:
            return
        key = data.draw(st.sampled_from(sorted(self.asks)))
        count, numbers = self.asks[key]
        self.reopen()

        assert [trial.number for trial in self.study.ask(count, key=key)] == numbers

    @rule(target=running, number=consumes(asked))
    def start(self, number):
        """
        Begin a trial.
        """
        trial = self.study.start(number, key=f"{number}/first")
        assert trial.state is TrialState.RUNNING
        return number, f"{number}/first", trial.attempt

    @rule(work=running, count=st.integers(1, 3), value=st.floats(-1, 1))
    def measure(self, work, count, value):
        """
        Tell some measurements, twice the same.
        """
        number, _, attempt = work
        found = [Measurement({"y": value}, time=1.0, resource=step) for step in range(count)]
        for _ in range(2):
            self.study.measure(number, found, attempt=attempt, first=0)

    @rule(
        target=ended,
        work=consumes(running),
        state=st.sampled_from(
            [TrialState.COMPLETE] * 3
            + [TrialState.PRUNED, TrialState.INFEASIBLE, TrialState.FAILED]
        ),
        value=st.floats(-1, 1),
        failure=st.sampled_from([Failure.CODE, Failure.INFRASTRUCTURE, Failure.TIMEOUT]),
    )
    def tell(self, work, state, value, failure):
        """
        End an attempt, and tell it twice.
        """
        number, _, attempt = work
        outcome = Outcome(
            state,
            values=(value,) if state is TrialState.COMPLETE else None,
            failure=failure if state is TrialState.FAILED else None,
        )
        latest = self.study.record().trials[number].attempt == attempt
        for _ in range(2):
            told = self.study.tell(number, outcome, attempt=attempt)
        if latest:
            self.told[number] = outcome
            assert told.state is state
        return work

    @rule(target=running, work=consumes(running))
    def crash(self, work):
        """
        A worker dies without a word; another one takes the trial over as a new attempt.
        """
        number, key, attempt = work
        self.reopen()
        trial = self.study.start(number, key=f"{key}+")

        assert trial.attempt == attempt + 1
        return number, f"{key}+", trial.attempt

    @rule(target=running, work=running)
    def find_again(self, work):
        """
        A task that is resumed with its own key finds its own attempt.
        """
        number, key, attempt = work
        self.reopen()

        assert self.study.start(number, key=key).attempt == attempt
        return multiple()

    @rule(target=running, work=consumes(ended))
    def clear(self, work):
        """
        A person has an ended trial run again.
        """
        number, key, _ = work
        trial = self.study.start(number, key=f"{key}*")
        self.told.pop(number, None)
        return number, f"{key}*", trial.attempt

    @rule(work=ended)
    def tell_otherwise(self, work):
        """
        What was told stays: another outcome of the same attempt is refused.
        """
        number, _, attempt = work
        other = Outcome(TrialState.INFEASIBLE, reason="something else")
        with pytest.raises(StudyError):
            self.study.tell(number, other, attempt=attempt)

    @rule()
    def decide(self):
        """
        Look whether the study ends.
        """
        stop = self.study.decide()
        assert self.study.record().stop == stop

    @invariant()
    def is_consistent(self):
        """
        Numbers have no gap, outcomes are as told, and no total exceeds the plan.
        """
        if not hasattr(self, "study"):
            return
        trials = self.study.record().trials
        assert [trial.number for trial in trials] == list(range(len(trials)))
        assert sorted(n for _, own in self.asks.values() for n in own) == list(range(len(trials)))
        for number, outcome in self.told.items():
            assert trials[number].state is outcome.state
            assert trials[number].values == outcome.values
        counted = sum(trial.is_counted for trial in trials)
        assert counted <= self.plan.trials
        self.check_ladder(trials)

    def check_ladder(self, trials):
        """
        Compare promoted trials with those that they come from, and rungs with the table.
        """
        rungs = Counter(place for trial in trials if (place := place_of(trial)) is not None)
        origins = [trial.labels["from"] for trial in trials if "from" in trial.labels]
        assert len(set(origins)) == len(origins)
        for trial in trials:
            if trial.parent is not None:
                parent = trials[trial.parent]
                assert canonical(parent.configuration) == canonical(trial.configuration)
                assert parent.resource < trial.resource <= 9
                assert place_of(parent).above() == place_of(trial)
        for place, count in rungs.items():
            if place.rung:
                below = rungs[place._replace(rung=place.rung - 1)]
                assert count <= max(1, below // ETA)
        if self.plan.mode == "ladder":
            table = {
                (bracket.iteration, bracket.bracket, rung.rung): rung.trials
                for bracket in self.plan.brackets
                for rung in bracket.rungs
            }
            assert all(count <= table[place] for place, count in rungs.items())
            done = actual(trials, full=9)
            assert done["total_resource"] <= self.plan.total_resource


_SETTINGS = settings(
    max_examples=40,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


class InMemory(Interleavings):
    """
    With a journal in memory.
    """

    storage_url = "memory://any-order"


TestInMemory = InMemory.TestCase
TestInMemory.settings = _SETTINGS


def test_on_disk(tmp_path):
    """
    With a journal in a file, a few interleavings.
    """
    from hypothesis.stateful import run_state_machine_as_test

    class OnDisk(Interleavings):
        storage_url = f"sqlite:///{tmp_path / 'journal.db'}"

    run_state_machine_as_test(OnDisk, settings=settings(_SETTINGS, max_examples=5))
