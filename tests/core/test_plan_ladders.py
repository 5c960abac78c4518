"""
Plans of ladders and of slots, what they probably take, and planned beside actual.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_hpo.errors import StudyError
from airflow_hpo.model.actual import actual
from airflow_hpo.model.blueprint import Blueprint
from airflow_hpo.model.stop import Budget
from airflow_hpo.model.trial import Outcome, Trial, TrialState
from airflow_hpo.plan import Forecast, excess, forecast, make_plan
from airflow_hpo.report import summarise, summary_markdown, trial_rows
from airflow_hpo.storage.memory import MemoryStorage
from airflow_hpo.study import Study


def make(strategy="hyperband", *, trials=206, high=81, low=1, space=None, **changes):
    """
    Return a blueprint over up to *high* epochs.
    """
    options = changes.pop("options", {})
    default = {"name": "x", "distribution": {"kind": "float", "low": 0, "high": 1}}
    return Blueprint.model_validate(
        {
            "name": "ladder",
            "objectives": [{"metric": "y", "direction": "minimize"}],
            "space": {"parameters": [space or default]},
            "strategy": {"name": strategy, "seed": 7, "options": options},
            "budget": {"trials": trials},
            "resource": {"name": "epochs", "min": low, "max": high},
            "trial": {"steps": [{"command": "true"}]},
            **changes,
        }
    )


def drawn(plan):
    """
    Return how many trials begin in each bracket.
    """
    return [bracket.rungs[0].trials for bracket in plan.brackets]


def test_hyperband_by_hand():
    """
    81 by 3: five brackets, 206 trials, 1581 epochs, two tasks more for each of 15 rungs.
    """
    plan = make_plan(make())

    assert plan.mode == "ladder"
    assert drawn(plan) == [81, 34, 15, 8, 5]
    assert (plan.trials, plan.tasks) == (206, 206 + 2 * 15 + 1)
    assert plan.total_resource == 1581
    assert plan.full_trials == pytest.approx(1581 / 81)
    assert plan.peak_parallelism == 143
    assert plan.rounds == plan.notes == ()


def test_starting_afresh_costs_more():
    """
    Without resuming every rung spends all of its resource again.
    """
    plan = make_plan(make(options={"resume": False}))

    assert (
        plan.total_resource
        == 5 * 81
        + (34 * 3 + 11 * 9 + 3 * 27 + 81)
        + (15 * 9 + 5 * 27 + 81)
        + (8 * 27 + 2 * 81)
        + 5 * 81
    )


def test_concurrency_bounds_the_peak():
    """
    All brackets share one limit.
    """
    assert make_plan(make(execution={"concurrency": 8})).peak_parallelism == 8


def test_what_exceeds_the_budget_is_refused():
    """
    A ladder that does not fit is no plan; what it leaves over is told.
    """
    with pytest.raises(StudyError, match=r"budget\.trials must be at least 206 .* got 205"):
        make_plan(make(trials=205))
    assert make_plan(make(trials=300)).notes == ("94 of budget.trials stay unused",)


def test_halving_fills_the_budget():
    """
    One bracket, as large as the budget has room for, or as it is told to begin.
    """
    plan = make_plan(make("halving", trials=40, high=27))
    assert [(rung.trials, rung.resource) for rung in plan.brackets[0].rungs] == [
        (27, 1),
        (9, 3),
        (3, 9),
        (1, 27),
    ]
    assert make_plan(make("halving", trials=40, high=27, options={"start": 9})).trials == 14


def test_small_spaces_are_told():
    """
    Brackets that the space leaves nothing for are left out of the table.
    """
    space = {"name": "k", "distribution": {"kind": "int", "low": 1, "high": 40}}
    plan = make_plan(make(high=27, trials=69, space=space))

    assert drawn(plan) == [27, 12, 1]


@pytest.mark.parametrize("strategy", ["asha", "random", "tpe"])
def test_slots(strategy):
    """
    In the mode async there are no rounds: a slot a trial, and as many at once as was said.
    """
    plan = make_plan(
        make(strategy, trials=40, high=9, execution={"mode": "async", "concurrency": 4})
    )

    assert (plan.mode, plan.rounds, plan.trials) == ("async", (), 40)
    assert plan.peak_parallelism == 4
    if strategy == "asha":
        (bracket,) = plan.brackets
        assert sum(rung.trials for rung in bracket.rungs) == 40
        assert plan.total_resource < 40 * 9
    else:
        assert plan.total_resource == 40 * 9


def test_asha_in_rounds_has_both_tables():
    """
    In batches ASHA has rounds to run in, and rungs that bound what it spends.
    """
    plan = make_plan(make("asha", trials=13, high=9))

    assert [each.trials for each in plan.rounds] == [5, 5, 3]
    assert [rung.trials for rung in plan.brackets[0].rungs] == [9, 3, 1]


@settings(max_examples=40, deadline=None)
@given(
    strategy=st.sampled_from(["halving", "hyperband", "asha"]),
    high=st.integers(1, 30),
    eta=st.integers(2, 4),
    resume=st.booleans(),
    slots=st.integers(1, 6),
    data=st.data(),
)
def test_totals_never_exceed_the_plan(strategy, high, eta, resume, slots, data):
    """
    Whatever fails and in whatever order trials end, no rung and no total exceeds the plan.
    """
    options = {"eta": eta, "resume": resume}
    mode = {"mode": "async", "concurrency": slots} if strategy == "asha" else {}
    trials = data.draw(st.integers(8, 40)) if strategy != "hyperband" else 200
    blueprint = make(strategy, trials=trials, high=high, options=options, execution=mode)
    plan = make_plan(blueprint)
    study, running, asked = Study.open(MemoryStorage(), "s", blueprint), [], 0
    states = [TrialState.COMPLETE] * 3 + [TrialState.FAILED, TrialState.INFEASIBLE]
    while True:
        while len(running) < slots:
            new = study.ask(1, key=str(asked := asked + 1))
            if not new:
                break
            running += [study.start(new[0].number, key="try")]
        if not running:
            break
        trial = running.pop(data.draw(st.integers(0, len(running) - 1)))
        state = data.draw(st.sampled_from(states))
        value = (trial.configuration["x"],) if state is TrialState.COMPLETE else None
        study.tell(trial.number, Outcome(state, values=value), attempt=1)

    record = study.record()
    done = actual(record.trials, full=high)
    assert done["trials"] <= plan.trials
    assert done["total_resource"] <= plan.total_resource
    assert study.decide() is not None
    if strategy != "asha":
        planned = {
            (bracket.bracket, rung.rung): rung.trials
            for bracket in plan.brackets
            for rung in bracket.rungs
        }
        for bracket in done["brackets"]:
            for rung in bracket["rungs"]:
                assert rung["trials"] <= planned[bracket["bracket"], rung["rung"]]


class TestForecast:
    """
    What earlier trials say about the time that a plan takes.
    """

    def trial(self, number, seconds, resource=None, parent=None):
        """
        Return a trial that took *seconds*.
        """
        return Trial(
            number,
            {},
            TrialState.COMPLETE,
            values=(0.0,),
            resource=resource,
            parent=parent,
            attempt=1,
            started=100.0,
            finished=100.0 + seconds,
        )

    def test_nothing_is_known_before_the_first_trial(self):
        """
        Without an ended trial there is no forecast.
        """
        blueprint = make("random", trials=4)
        failed = Trial(0, {}, TrialState.FAILED, attempt=1, started=1.0, finished=9.0)

        assert forecast(make_plan(blueprint), blueprint, []) is None
        assert forecast(make_plan(blueprint), blueprint, [failed]) is None

    def test_rounds_wait_for_their_slowest(self):
        """
        Two rounds of two on two slots, with trials of 10 and 30 s in turn, take a minute.
        """
        execution = {"batch_size": 2}
        blueprint = make("random", trials=4, execution=execution)
        known = [self.trial(0, 10.0), self.trial(1, 30.0)]

        found = forecast(make_plan(blueprint), blueprint, known)

        assert found == Forecast(wall_clock_s=60.0, trial_time_s=80.0, trials=2)

    def test_slots_do_not_wait(self):
        """
        The same trials without rounds: the free slot goes on.
        """
        execution = {"mode": "async", "concurrency": 2}
        blueprint = make("random", trials=4, execution=execution)
        known = [self.trial(0, 10.0), self.trial(1, 30.0)]

        found = forecast(make_plan(blueprint), blueprint, known)

        assert found.wall_clock_s == 50.0  # 10 + 10 + 30 beside 30

    def test_a_ladder_climbs_rung_by_rung(self):
        """
        At a second an epoch nine by three on one slot takes the plan's total, on many its height.
        """
        known = [self.trial(0, 1.0, 1), self.trial(1, 3.0, 3), self.trial(2, 6.0, 9, parent=1)]
        narrow, wide = (
            make("halving", trials=13, high=9, execution={"concurrency": slots})
            for slots in (1, 13)
        )

        alone, together = (
            forecast(make_plan(blueprint), blueprint, known) for blueprint in (narrow, wide)
        )

        assert alone.wall_clock_s == pytest.approx(9 + 3 * 2 + 6)
        assert together.wall_clock_s == pytest.approx(1 + 2 + 6)
        assert alone.trial_time_s == together.trial_time_s == pytest.approx(21)

    def test_brackets_fill_each_others_gaps(self):
        """
        Two slots that are never idle but at the end take little more than half of the sum.
        """
        blueprint = make("hyperband", trials=22, high=9, execution={"concurrency": 2})
        plan = make_plan(blueprint)

        found = forecast(plan, blueprint, [self.trial(0, 9.0, 9)])

        assert found.trial_time_s == pytest.approx(plan.total_resource)
        assert found.trial_time_s / 2 <= found.wall_clock_s <= found.trial_time_s / 2 + 9

    def test_excess_is_told_in_words(self):
        """
        What is expected beyond a limit of the budget is refused, with both times.
        """
        found = Forecast(wall_clock_s=4000.0, trial_time_s=50.0, trials=3)

        assert excess(found, Budget(trials=1, wall_clock_s=3600, trial_time_s=60)) == (
            "budget.wall_clock must be at least 1 h 06 min for what is planned, got 1 h 00 min",
        )
        assert excess(found, Budget(trials=1, trial_time_s=45.5)) == (
            "budget.trial_time must be at least 50 s for what is planned, got 45.5 s",
        )
        assert excess(found, Budget(trials=1)) == excess(None, Budget(trials=1)) == ()


def test_report_sets_planned_beside_actual():
    """
    The summary has both, and the page for people a table of them.
    """
    blueprint = make("halving", trials=13, high=9)
    study = Study.open(MemoryStorage(), "s", blueprint, plan=make_plan(blueprint).to_dict())
    for number, trial in enumerate(study.ask(9, key="rung")):
        study.start(trial.number, key="try")
        state = TrialState.COMPLETE if number < 2 else TrialState.FAILED
        value = (float(number),) if number < 2 else None
        study.tell(trial.number, Outcome(state, values=value), attempt=1)
    for trial in study.ask(9, key="next"):
        study.start(trial.number, key="try")

    summary = summarise(study.record(), blueprint)
    text = summary_markdown(summary)

    assert summary["planned"]["trials"] == 13
    assert summary["actual"]["trials"] == 11
    assert summary["actual"]["brackets"][0]["rungs"] == [
        {"rung": 0, "trials": 9, "resource": 1},
        {"rung": 1, "trials": 2, "resource": 3},
    ]
    assert summary["actual"]["total_resource"] == 9 + 2 * 2
    rows = list(trial_rows(study.record(), blueprint))
    assert [(row["bracket"], row["rung"], row["parent"]) for row in rows[8:10]] == [
        (2, 0, None),
        (2, 1, 0),
    ]
    assert "| bracket 2, rung 1 on 3 | 3 | 2 |" in text
    assert "| total resource | 21 | 13 |" in text
