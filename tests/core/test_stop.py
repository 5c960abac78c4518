"""
When a study ends, and with which reason.
"""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from airflow_hpo.model.decision import decide, reached
from airflow_hpo.model.objective import Objective
from airflow_hpo.model.stop import (
    Budget,
    ExpressionRule,
    MetricRule,
    PlateauRule,
    Stop,
)
from airflow_hpo.model.trial import Failure, Measurement, Trial, TrialState

LOSS = (Objective(metric="loss", direction="minimize"),)
ACCURACY = (Objective(metric="accuracy", direction="maximize"),)
PLENTY = Budget(trials=1000)


def complete(number, value, **fields):
    """
    Return a trial that ended well, at the second of its number.
    """
    return Trial(
        number,
        fields.pop("configuration", {}),
        state=TrialState.COMPLETE,
        values=(value,),
        metrics=fields.pop("metrics", {"loss": value}),
        started=float(number),
        finished=number + 1.0,
        **fields,
    )


def failed(number, failure=Failure.CODE, **fields):
    """
    Return a trial that failed.
    """
    return Trial(number, {}, state=TrialState.FAILED, failure=failure, **fields)


def stop_of(*rules, trials, budget=PLENTY, objectives=LOSS, now=1000.0):
    """
    Return the decision about *trials*.
    """
    return decide(budget, rules, objectives, trials, now=now)


def test_a_study_goes_on_while_nothing_ends_it():
    """
    Without trials, and with trials that reach nothing, there is no stop.
    """
    rule = MetricRule(metric="loss", at_most=0.1)

    assert stop_of(rule, trials=()) is None
    assert stop_of(rule, trials=[complete(0, 0.2)]) is None


@pytest.mark.parametrize(
    ("rule", "value", "reason"),
    [
        ({"at_most": 0.1}, 0.1, "loss = 0.1 is at most 0.1"),
        ({"at_most": 0.1}, 0.11, None),
        ({"at_least": 0.9}, 0.9, "loss = 0.9 is at least 0.9"),
        ({"at_least": 0.9}, 0.89, None),
        ({"target": 0.5, "tolerance": 0.1}, 0.6, "loss = 0.6 is within 0.1 of 0.5"),
        ({"target": 0.5, "tolerance": 0.1}, 0.61, None),
        ({"target": 1.0, "tolerance": 0.1}, 1.1, "loss = 1.1 is within 0.1 of 1"),
        ({"target": 0.5}, 0.5, "loss = 0.5 is within 0 of 0.5"),
    ],
)
def test_metric_rules(rule, value, reason):
    """
    Thresholds are inclusive, and the reason has the trial, the value and the threshold.
    """
    stop = stop_of(MetricRule(metric="loss", **rule), trials=[complete(3, value)])

    assert stop == (None if reason is None else Stop("metric", f"trial 3: {reason}", 3))


def test_the_objectives_own_value_counts():
    """
    For the objective's metric the trial's value counts, not what was measured last.
    """
    rule = MetricRule(metric="loss", at_most=0.1)
    trial = complete(0, 0.05, metrics={"loss": 0.9})

    assert stop_of(rule, trials=[trial]).trial == 0


@pytest.mark.parametrize("value", ["0.05", 0.05, "5e-2"])
def test_other_metrics_count_while_a_trial_runs(value):
    """
    Any metric may end the study, as soon as it is known; text that spells a number is one.
    """
    trial = Trial(1, {}, state=TrialState.RUNNING, metrics={"val": value}, started=0.0)

    assert stop_of(MetricRule(metric="val", at_most=0.1), trials=[trial]).trial == 1


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "low", None, True, [0.0]])
def test_what_is_no_number_ends_nothing(value):
    """
    NaN, infinities and other things reach no threshold.
    """
    trial = Trial(1, {}, state=TrialState.RUNNING, metrics={"val": value}, started=0.0)

    assert stop_of(MetricRule(metric="val", at_most=1e9), trials=[trial]) is None
    assert stop_of(MetricRule(metric="val", at_least=-1e9), trials=[trial]) is None


@pytest.mark.parametrize("state", [TrialState.FAILED, TrialState.INFEASIBLE, TrialState.WAITING])
def test_trials_without_a_word_end_nothing(state):
    """
    What a failed, infeasible or waiting trial says does not count.
    """
    trial = Trial(0, {}, state=state, metrics={"loss": 0.0})

    assert stop_of(MetricRule(metric="loss", at_most=1), trials=[trial]) is None
    assert stop_of(ExpressionRule(expression="loss < 1"), trials=[trial]) is None


@pytest.mark.parametrize(
    "expression",
    [
        "loss < 0.3",
        "metadata.loss < 0.3 and metadata.val-loss == 1",
        "parameter.lr == 0.1",
        "parameters.lr in (0.1, 0.2)",
        "execution.duration == 1",
        "execution.counter == 5",
        "execution.status == 'complete'",
        "missing is None",
    ],
)
def test_expressions_name_what_is_known_of_a_trial(expression):
    """
    Metrics, parameters and facts of the execution have their names.
    """
    trial = complete(
        4, 0.2, metrics={"loss": 0.2, "val-loss": 1}, configuration={"lr": 0.1, "loss": 9}
    )

    stop = stop_of(ExpressionRule(expression=expression), trials=[trial])

    assert stop == Stop("expression", f"trial 4: {expression!r} holds", 4)


def test_the_duration_grows_while_a_trial_runs():
    """
    A running trial has run until now.
    """
    rule = ExpressionRule(expression="execution.duration > 60")
    trial = Trial(0, {}, state=TrialState.RUNNING, started=100.0)

    assert stop_of(rule, trials=[trial], now=160.0) is None
    assert stop_of(rule, trials=[trial], now=161.0).trial == 0


@pytest.mark.parametrize(
    ("values", "ends"),
    [
        ([3, 2, 1], False),
        ([1, 2, 3], True),
        ([1, 1, 1], True),
        ([2, 2, 1], False),
        ([1, 2], False),
        ([3, 1, 2, 2], True),
        ([1, 2, 2, 0.5], False),
    ],
)
def test_a_plateau_ends(values, ends):
    """
    Two trials in a row that bring nothing are a plateau of two.
    """
    trials = [complete(number, value) for number, value in enumerate(values)]

    stop = stop_of(PlateauRule(trials=2), trials=trials)

    assert (stop is not None) == ends
    if ends:
        assert stop.reason == "the last 2 complete trials did not improve loss at all"


@pytest.mark.parametrize(("delta", "ends"), [(0.1, False), (0.10000001, True)])
def test_a_plateau_wants_enough(delta, ends):
    """
    An improvement as large as asked for is enough, a smaller one is none.
    """
    trials = [complete(0, 0.5), complete(1, 0.4)]

    stop = stop_of(PlateauRule(trials=1, min_delta=delta), trials=trials)

    assert (stop is not None) == ends


def test_a_plateau_counts_by_when_trials_ended():
    """
    The last trials are those that ended last; others than complete ones do not count.
    """
    first = Trial(1, {}, state=TrialState.COMPLETE, values=(1.0,), started=0.0, finished=1.0)
    last = Trial(0, {}, state=TrialState.COMPLETE, values=(0.5,), started=0.0, finished=2.0)

    assert stop_of(PlateauRule(trials=1), trials=[last, first, failed(2)]) is None


def test_a_plateau_goes_by_the_objectives_direction():
    """
    Where more is better, more is an improvement.
    """
    trials = [complete(0, 0.5), complete(1, 0.6)]

    assert stop_of(PlateauRule(trials=1), trials=trials, objectives=ACCURACY) is None
    assert stop_of(PlateauRule(trials=1), trials=trials, objectives=LOSS) is not None


def test_the_users_rules_come_first():
    """
    A study that reaches its goal with its last trial says so.
    """
    rule = MetricRule(metric="loss", at_most=1)

    stop = stop_of(rule, trials=[complete(0, 0.5)], budget=Budget(trials=1))

    assert stop.rule == "metric"


def test_the_number_of_trials():
    """
    The budget is spent when as many have ended; the machine's fault costs nothing.
    """
    lost = failed(1, Failure.INFRASTRUCTURE)
    trials = [complete(0, 1), lost, failed(2)]

    assert stop_of(trials=trials[:2], budget=Budget(trials=2)) is None
    assert stop_of(trials=trials, budget=Budget(trials=2)) == Stop(
        "trials", "all 2 trials of the budget have ended"
    )


def test_time():
    """
    The clock runs from the first start; trial time is what all trials took together.
    """
    trials = [complete(0, 1), complete(1, 1)]

    assert stop_of(trials=trials, budget=Budget(trials=9, wall_clock_s=10), now=9.9) is None
    assert stop_of(trials=trials, budget=Budget(trials=9, wall_clock_s=10), now=10).rule == (
        "wall_clock"
    )
    assert stop_of(trials=trials, budget=Budget(trials=9, trial_time_s=2.1)) is None
    assert stop_of(trials=trials, budget=Budget(trials=9, trial_time_s=2)).rule == "trial_time"
    assert stop_of(trials=(), budget=Budget(trials=9, wall_clock_s=1)) is None


def test_failures():
    """
    So many failures end a study, and name the last one.
    """
    trials = [failed(0), complete(1, 1), failed(2)]

    assert stop_of(trials=trials[:2], budget=Budget(trials=9, failures=2)) is None
    assert stop_of(trials=trials, budget=Budget(trials=9, failures=2)) == Stop(
        "failures", "2 trials have failed", 2
    )


def test_a_share_of_failures_counts_from_the_fifth_trial():
    """
    One early failure is no verdict.
    """
    budget = Budget(trials=99, failure_share=0.2)
    trials = [failed(0), *(complete(number, 1) for number in range(1, 4))]

    assert stop_of(trials=trials, budget=budget) is None
    assert stop_of(trials=[*trials, complete(4, 1)], budget=budget).reason == (
        "1 of 5 trials have failed (limit 20%)"
    )
    assert stop_of(trials=[complete(n, 1) for n in range(9)], budget=budget) is None


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (MetricRule, {"metric": "a"}, "exactly one of .* must be given, got none"),
        (MetricRule, {"metric": "a", "at_least": 1, "target": 2}, "got at_least and target"),
        (ExpressionRule, {"expression": "a ="}, "not a valid expression"),
        (PlateauRule, {"trials": 0}, "greater than or equal to 1"),
        (Budget, {"trials": 0}, "greater than or equal to 1"),
        (Budget, {"trials": 1, "failures": 1, "failure_share": 0.5}, "at most one of"),
        (Budget, {"trials": 1, "failure_share": 1.5}, "less than or equal to 1"),
    ],
)
def test_rules_that_make_no_sense_are_refused(kind, arguments, message):
    """
    A rule has one threshold, a budget is above nothing.
    """
    with pytest.raises(ValidationError, match=message):
        kind(**arguments)


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20),
    st.integers(1, 5),
    st.sampled_from([LOSS, ACCURACY]),
)
def test_a_plateau_is_no_matter_of_luck(values, length, objectives):
    """
    There is a plateau exactly if the best is older than the last so many trials.
    """
    trials = [complete(number, value) for number, value in enumerate(values)]
    losses = [objectives[0].loss(value) for value in values]
    older, last = losses[:-length], losses[-length:]

    stop = stop_of(PlateauRule(trials=length), trials=trials, objectives=objectives)

    assert (stop is not None) == (bool(older) and min(older) <= min(last))


def test_trial_time_counts_what_runs():
    """
    The time of running trials counts as it passes; what ended long ago, or was lost without a
    word, does not grow.
    """
    trials = [complete(0, 0.2), Trial(1, {}, state=TrialState.RUNNING, started=10.0)]
    budget = Budget(trials=9, trial_time_s=20)

    assert stop_of(trials=trials, budget=budget, now=28.9) is None
    assert stop_of(trials=trials, budget=budget, now=29.1).rule == "trial_time"


@pytest.mark.parametrize(
    ("reasons", "stops"),
    [
        (["exit code 1: loss 0.5", "exit code 1: loss 0.7", "exit code 1: loss 1e-3"], True),
        (["exit code 1: loss 0.5", "exit code 1: no file", "exit code 1: loss 1e-3"], False),
        (["exit code 1: a", "exit code 1: b", "exit code 1: c"], False),
    ],
)
def test_identical_failures(reasons, stops):
    """
    So many failures of the code that are the same, whatever came between, end the study.
    """
    budget = Budget(trials=99, identical_failures=3)
    trials = [
        complete(0, 0.2),
        failed(1, Failure.INFRASTRUCTURE, reason="exit code 1: loss 0.1"),
        *(failed(number, reason=reason) for number, reason in enumerate(reasons, 2)),
    ]

    stop = stop_of(trials=trials, budget=budget)
    assert (stop is not None) == stops
    if stops:
        assert stop == Stop(
            "identical_failures",
            "3 trials failed in the same way (trials 2, 3, 4): exit code 1: loss 1e-3",
            4,
        )


def test_any_measurement_may_reach_a_goal():
    """
    Each measurement counts as if it were the last; metrics of earlier ones are still known.
    """
    rules = [
        ExpressionRule(expression="a < 1 and b > 1 and execution.duration > 5"),
        MetricRule(metric="loss", at_most=0.1),
    ]
    trial = Trial(3, {}, state=TrialState.RUNNING, started=100.0, metrics={"a": 0})
    later = [Measurement({"b": 2}, time=104.0), Measurement({"c": 0}, time=106.0)]

    assert reached(rules, LOSS, trial, later[:1]) is None
    assert reached(rules, LOSS, trial, later).rule == "expression"
    losses = [Measurement({"loss": value}, time=101.0) for value in (0.5, 0.05, 0.9)]
    assert reached(rules, LOSS, trial, losses).reason == "trial 3: loss = 0.05 is at most 0.1"
    assert reached([PlateauRule(trials=1)], LOSS, trial, losses) is None
