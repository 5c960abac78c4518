"""
The study: asking by key, telling, the budget, stopping and going on.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_hpo.errors import SpaceExhaustedError, StudyError, StudyNotFoundError
from airflow_hpo.model.blueprint import Blueprint
from airflow_hpo.model.stop import Stop
from airflow_hpo.model.trial import Failure, Measurement, Outcome, TrialState
from airflow_hpo.storage import open_storage
from airflow_hpo.storage.memory import MemoryStorage
from airflow_hpo.study import Study

FLOAT = {"name": "x", "distribution": {"kind": "float", "low": -1, "high": 1}}
NAMES = count()


def make(*parameters, trials=5, strategy="random", seed=7, **changes):
    """
    Return a blueprint of *parameters* with so many *trials*.
    """
    return Blueprint.model_validate(
        {
            "name": "parabola",
            "objectives": [{"metric": "y", "direction": "minimize"}],
            "space": {"parameters": parameters or (FLOAT,)},
            "strategy": {"name": strategy, "seed": seed},
            "budget": {"trials": trials},
            "trial": {"steps": [{"command": "true"}]},
            **changes,
        }
    )


def choice(name, *choices):
    """
    Return a parameter that is one of *choices*.
    """
    return {"name": name, "distribution": {"kind": "choice", "choices": choices}}


def complete(value):
    """
    Return the outcome of a trial that measured *value*.
    """
    return Outcome(TrialState.COMPLETE, values=(float(value),), metrics={"y": value})


LOST = Outcome(TrialState.FAILED, reason="the node is gone", failure=Failure.INFRASTRUCTURE)
BROKEN = Outcome(TrialState.FAILED, reason="exit code 1", failure=Failure.CODE)


def run(study, number, outcome, *, key="run"):
    """
    Run trial *number* to *outcome*.
    """
    trial = study.start(number, key=f"{key}/{number}")
    return study.tell(number, outcome, attempt=trial.attempt)


@pytest.fixture(name="storage", params=["memory", "sqlite"])
def _storage(request, tmp_path):
    if request.param == "memory":
        return MemoryStorage()
    return open_storage(f"sqlite:///{tmp_path / 'studies.db'}")


class TestAsk:
    """
    Asking makes trials, within the budget, once per key.
    """

    def test_same_key_gives_the_same_trials(self, storage):
        """
        A retried suggest gets what the first one got, and nothing new.
        """
        study = Study.open(storage, "s", make())

        first = study.ask(2, key="a")
        second = study.ask(3, key="b")

        assert study.ask(2, key="a") == first
        assert [trial.number for trial in (*first, *second)] == [0, 1, 2, 3, 4]
        assert len(study.record().trials) == 5

    def test_budget_holds_over_several_runs(self, storage):
        """
        Runs of one study share its budget.
        """
        for name in "abc":
            study = Study.open(storage, "s", make(trials=7))
            study.ask(3, key=name)

        assert [len(study.ask(9, key=key)) for key in "abcd"] == [3, 3, 1, 0]
        assert len(study.record().trials) == 7

    def test_budget_holds_for_many_askers_at_once(self, storage):
        """
        Threads that ask at the same time get different trials, together the budget.
        """
        study = Study.open(storage, "s", make(trials=10))

        with ThreadPoolExecutor(8) as pool:
            asked = list(pool.map(lambda key: study.ask(3, key=str(key)), range(8)))

        numbers = [trial.number for trials in asked for trial in trials]
        assert sorted(numbers) == list(range(10))

    @pytest.mark.parametrize("wanted", [0, -1])
    def test_asking_for_nothing_gives_nothing(self, storage, wanted):
        """
        A count below one makes no trial and does not end the study.
        """
        study = Study.open(storage, "s", make())

        assert study.ask(wanted, key="a") == ()
        assert study.record().stop is None

    def test_machine_failures_cost_nothing(self, storage):
        """
        A trial that was lost to the machine is made up for; one that crashed is not.
        """
        study = Study.open(storage, "s", make(trials=3))
        study.ask(3, key="a")
        run(study, 0, complete(1))
        run(study, 1, LOST)
        run(study, 2, BROKEN)

        assert study.remaining(study.record()) == 1
        assert [trial.number for trial in study.ask(5, key="b")] == [3]

    def test_called_off_trials_cost_nothing(self, storage):
        """
        A trial that was called off before it began leaves its place to another.
        """
        study = Study.open(storage, "s", make(trials=2))
        study.ask(2, key="a")
        study.tell(0, Outcome(TrialState.PRUNED, reason="called off"), attempt=0)

        assert study.remaining(study.record()) == 1

    def test_points_come_first(self, storage):
        """
        The blueprint's points are the first trials; what they leave open is sampled.
        """
        blueprint = make(
            FLOAT, choice("kind", "a", "b"), points=[{"x": 0.5, "kind": "b"}, {"x": 0}]
        )
        study = Study.open(storage, "s", blueprint)

        first, second, third = study.ask(3, key="a")

        assert first.configuration == {"x": 0.5, "kind": "b"}
        assert second.configuration["x"] == 0
        assert [first.sampler, second.sampler, third.sampler] == ["point", "point", "random"]

    def test_an_ended_study_makes_no_trials(self, storage):
        """
        Once there is a reason to stop, asking gives nothing.
        """
        study = Study.open(storage, "s", make())
        study.stop(Stop("user", "enough"))

        assert study.ask(2, key="a") == ()

    def test_exhausted_space_ends_the_study(self, storage):
        """
        Where nothing is left to try the study ends and says so.
        """
        study = Study.open(storage, "s", make(choice("k", 1, 2, 3), trials=9, strategy="grid"))

        assert len(study.ask(5, key="a")) == 3
        assert study.record().stop is None
        assert study.ask(5, key="b") == ()
        assert study.record().stop.reason == "all 3 configurations have been tried"

    def test_repeated_empty_ask_does_not_exhaust(self, storage):
        """
        A key that got nothing gets nothing again, which says nothing of the space.
        """
        study = Study.open(storage, "s", make(trials=1))
        study.ask(1, key="a")
        assert study.ask(1, key="b") == ()
        raised = Study.open(storage, "s", make(trials=4))

        assert raised.ask(1, key="b") == ()
        assert raised.record().stop is None
        assert len(raised.ask(9, key="c")) == 3

    def test_impossible_constraints_are_refused(self, storage):
        """
        A space without an allowed configuration raises, and records no trial.
        """
        blueprint = make(space={"parameters": [choice("k", 1, 2)], "constraints": ["k > 5"]})
        study = Study.open(storage, "s", blueprint)

        with pytest.raises(SpaceExhaustedError, match="k > 5"):
            study.ask(1, key="a")
        assert study.record().trials == ()

    @settings(max_examples=30, deadline=None)
    @given(
        budget=st.integers(1, 12),
        moves=st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["ok", "lost", "broken"]))),
    )
    def test_counted_trials_never_exceed_the_budget(self, budget, moves):
        """
        Whatever is asked and however trials end, the budget holds.
        """
        study = Study.open(open_storage("memory://"), f"s{next(NAMES)}", make(trials=budget))
        outcomes = {"ok": complete(1), "lost": LOST, "broken": BROKEN}
        for index, (wanted, end) in enumerate(moves):
            for trial in study.ask(wanted, key=str(index)):
                run(study, trial.number, outcomes[end])
            counted = [trial for trial in study.record().trials if trial.is_counted]
            assert len(counted) <= budget


class TestOpen:
    """
    Opening creates, or finds what fits.
    """

    def test_missing_study_is_refused(self, storage):
        """
        Loading what was never made raises.
        """
        with pytest.raises(StudyNotFoundError, match="nowhere"):
            Study.load(storage, "nowhere")

    def test_load_brings_the_blueprint(self, storage):
        """
        A study carries the blueprint that it was made from.
        """
        blueprint = make()
        Study.open(storage, "s", blueprint)

        assert Study.load(storage, "s").blueprint == blueprint

    def test_seed_is_drawn_once_and_kept(self, storage):
        """
        Without a seed one is drawn; whoever opens the study later gets the same.
        """
        first = Study.open(storage, "s", make(seed=None)).record().seed

        assert Study.open(storage, "s", make(seed=None)).record().seed == first
        assert Study.open(storage, "s", make(seed=first + 1)).record().seed == first

    @pytest.mark.parametrize(
        ("changes", "what"),
        [
            ({"metric": "y", "direction": "maximize"}, "it is to minimize y, got maximize y"),
            ({"metric": "z", "direction": "minimize"}, "it is to minimize y, got minimize z"),
            ({"metric": "y", "target": 1}, "it is to minimize y, got bring y to 1"),
            (
                {"metric": "y", "direction": "minimize", "value": "max"},
                "what counts of y is its last, got max",
            ),
            (None, "the number of objectives must stay 1, got 2"),
        ],
    )
    def test_another_objective_is_refused(self, storage, changes, what):
        """
        What the trials so far were measured by can't change under them.
        """
        Study.open(storage, "s", make())
        several = [{"metric": name, "direction": "minimize"} for name in "yz"]

        with pytest.raises(StudyError, match=f"study 's' exists with other objectives: {what}; "):
            Study.open(storage, "s", make(objectives=[changes] if changes else several))

    def test_other_changes_are_fine(self, storage):
        """
        Budget, strategy, stop rules and command may change between runs.
        """
        Study.open(storage, "s", make())

        changed = make(trials=50, strategy="grid", stop=[{"kind": "plateau", "trials": 3}])
        assert Study.open(storage, "s", changed).blueprint.budget.trials == 50

    def test_unreadable_definition_is_named(self, storage):
        """
        A study whose blueprint this version cannot read says so.
        """
        storage.create("s", definition={"name": "s", "made_by": 9}, seed=1, plan={})

        with pytest.raises(StudyError, match="blueprint that study 's' was made from"):
            Study.load(storage, "s")
        with pytest.raises(StudyError, match="blueprint that study 's' was made from"):
            Study.open(storage, "s", make())


class TestTell:
    """
    Telling keeps what happened.
    """

    def test_outcome_is_kept(self, storage):
        """
        What a trial told is there for the next reader.
        """
        study = Study.open(storage, "s", make())
        study.ask(1, key="a")
        study.start(0, key="try 1")
        study.measure(0, [Measurement({"y": 3}, time=1.0)], attempt=1, first=0)
        study.tell(0, complete(3), attempt=1)

        (trial,) = Study.load(storage, "s").record(measurements=True).trials
        assert (trial.state, trial.values, trial.metrics) == (TrialState.COMPLETE, (3.0,), {"y": 3})
        assert [found.metrics for found in trial.measurements] == [{"y": 3}]

    @pytest.mark.parametrize("value", [float("inf"), float("-inf")])
    def test_infinite_values_are_refused(self, storage, value):
        """
        An infinite objective value would win or lose for ever.
        """
        study = Study.open(storage, "s", make())
        study.ask(1, key="a")
        study.start(0, key="try 1")

        with pytest.raises(StudyError, match="values of trial 0 must be finite"):
            study.tell(0, complete(value), attempt=1)

    def test_measuring_nothing_is_nothing(self, storage):
        """
        An empty list of measurements needs no running trial.
        """
        study = Study.open(storage, "s", make())
        study.ask(1, key="a")

        study.measure(0, [], attempt=1, first=0)

    def test_best_is_the_smallest_loss(self, storage):
        """
        The best trial is the one whose value is nearest to the aim.
        """
        study = Study.open(storage, "s", make())
        study.ask(3, key="a")
        assert study.best() is None
        for number, value in enumerate([3, 1, 2]):
            run(study, number, complete(value))

        assert study.best().number == 1


class TestDecide:
    """
    When a study ends, why, and when it opens again.
    """

    def test_budget_ends_it_when_all_have_ended(self, storage):
        """
        A spent budget ends the study once its last trial has ended.
        """
        study = Study.open(storage, "s", make(trials=2))
        study.ask(2, key="a")
        run(study, 0, complete(1))
        assert study.decide() is None
        run(study, 1, complete(2))

        assert study.decide().reason == "all 2 trials of the budget have ended"
        assert study.record().stop.rule == "trials"

    def test_rule_of_the_user_comes_first(self, storage):
        """
        A study that reaches its goal with its last trial says so.
        """
        rule = {"kind": "metric", "metric": "y", "at_most": 1}
        study = Study.open(storage, "s", make(trials=1, stop=[rule]))
        study.ask(1, key="a")
        run(study, 0, complete(0.5))

        stop = study.decide()
        assert (stop.rule, stop.trial) == ("metric", 0)
        assert stop.reason == "trial 0: y = 0.5 is at most 1"

    def test_first_reason_stays(self, storage):
        """
        A study that has ended keeps the reason, whatever else holds later.
        """
        rule = {"kind": "metric", "metric": "y", "at_most": 1}
        study = Study.open(storage, "s", make(trials=2, stop=[rule]))
        study.ask(2, key="a")
        run(study, 0, complete(0.5))
        first = study.decide()
        run(study, 1, complete(0.1))

        assert study.decide() == first

    def test_raised_budget_opens_it_again(self, storage):
        """
        A study that had spent its budget goes on with a greater one.
        """
        study = Study.open(storage, "s", make(trials=1))
        study.ask(1, key="a")
        run(study, 0, complete(1))
        study.decide()
        raised = Study.open(storage, "s", make(trials=3))

        assert raised.decide() is None
        assert raised.record().stop is None
        assert len(raised.ask(9, key="b")) == 2

    def test_what_a_person_ended_stays_ended(self, storage):
        """
        No rule takes back what somebody decided.
        """
        study = Study.open(storage, "s", make())
        study.stop(Stop("user", "enough"))

        assert study.decide() == Stop("user", "enough")
        assert study.record().stop == Stop("user", "enough")

    def test_exhausted_study_stays_ended(self, storage):
        """
        A study without anything left to try does not open by looking at it.
        """
        study = Study.open(storage, "s", make(choice("k", 1, 2), trials=9, strategy="grid"))
        study.ask(9, key="a")
        study.ask(9, key="b")

        assert study.decide().rule == "exhausted"
        assert study.record().stop.rule == "exhausted"

    def test_longer_list_opens_an_exhausted_study(self, storage):
        """
        A list of configurations that got longer has something to try again.
        """

        def listed(*values):
            options = {"configurations": [{"k": value} for value in values]}
            strategy = {"name": "manual", "options": options}
            return make(choice("k", 1, 2, 3)).model_copy(
                update={"strategy": make().strategy.model_validate(strategy)}
            )

        study = Study.open(storage, "s", listed(1, 2))
        study.ask(9, key="a")
        study.ask(9, key="b")
        assert study.decide().rule == "exhausted"
        longer = Study.open(storage, "s", listed(1, 2, 3))

        assert longer.decide() is None
        assert [trial.configuration for trial in longer.ask(9, key="c")] == [{"k": 3}]

    def test_on_failure_stop_ends_at_the_first_crash(self, storage):
        """
        Where a failed trial is to end the study, it does and is named.
        """
        trial = {"steps": [{"command": "true"}], "on_failure": "stop"}
        study = Study.open(storage, "s", make(trial=trial))
        study.ask(2, key="a")
        run(study, 0, complete(1))
        assert study.decide() is None
        run(study, 1, BROKEN)

        assert study.decide() == Stop("on_failure", "trial 1 failed: exit code 1", 1)

    def test_on_failure_stop_forgives_the_machine(self, storage):
        """
        A trial that was lost with its machine is no failed trial.
        """
        trial = {"steps": [{"command": "true"}], "on_failure": "stop"}
        study = Study.open(storage, "s", make(trial=trial))
        study.ask(1, key="a")
        run(study, 0, LOST)

        assert study.decide() is None

    def test_wall_clock_ends_it_while_trials_run(self, storage):
        """
        Time that has passed ends a study whether a trial ended or not.
        """
        study = Study.open(storage, "s", make(budget={"trials": 5, "wall_clock_s": 60}))
        study.ask(1, key="a")
        began = study.start(0, key="try 1").started

        assert study.decide(now=began + 59) is None
        assert study.decide(now=began + 61).rule == "wall_clock"


def test_strategies_learn_how_far_pruned_trials_came(storage, monkeypatch):
    """
    With a pruner, the history that a strategy is asked with brings the measurements.
    """
    seen = []

    def note(record, *_, **__):
        seen.extend(trial.measurements for trial in record.trials)
        return []

    for pruner in (None, {"name": "median"}):
        name = f"s{pruner is not None}"
        study = Study.open(storage, name, make(pruner=pruner))
        study.ask(1, key="a")
        study.start(0, key="try 1")
        study.measure(0, [Measurement({"y": 3}, time=1.0)], attempt=1, first=0)
        with monkeypatch.context() as patch:
            patch.setattr("airflow_hpo.study.study.suggest", note)
            study.ask(1, key="b")

    assert [len(measurements) for measurements in seen] == [0, 1]


@pytest.mark.parametrize(
    ("failure", "stops"), [(Failure.CODE, True), (Failure.INFRASTRUCTURE, False)]
)
def test_time_of_earlier_attempts_counts(storage, failure, stops):
    """
    Trial time is what all attempts took, apart from what the machine lost.
    """
    blueprint = make(choice("a", 1, 2), budget={"trials": 2, "trial_time_s": 8})
    study = Study.open(storage, "s", blueprint)
    study.ask(1, key="k")
    first = study.storage.start("s", 0, key="one", at=100.0)
    lost = Outcome(TrialState.FAILED, reason="no", failure=failure, time=105.0)
    study.tell(0, lost, attempt=first.attempt)
    second = study.storage.start("s", 0, key="two", at=200.0)
    study.tell(0, replace(complete(1.0), time=204.0), attempt=second.attempt)

    stop = study.decide(now=205.0)

    assert (stop is not None and stop.rule == "trial_time") is stops


def test_failures_that_are_tried_again_are_held_against_nobody(storage):
    """
    A failed trial whose next try is due ends no study; once nothing is due it does.
    """
    budget = {"trials": 9, "failures": 1}
    trial = {"steps": [{"command": "true"}], "retries": {"code": 1}}
    study = Study.open(storage, "s", make(budget=budget, trial=trial))
    study.ask(1, key="a")
    run(study, 0, BROKEN)

    assert study.look() is None
    assert study.decide(pending=[0]) is None
    assert study.decide().rule == "failures"
    assert study.look().rule == "failures"
