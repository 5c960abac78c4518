"""
What each pruner compares with what, and how it says so.
"""

from __future__ import annotations

import math

import pytest

from airflow_hpo.model.blueprint import PrunerSpec
from airflow_hpo.model.objective import Objective
from airflow_hpo.model.trial import TrialState
from airflow_hpo.pruners import create_pruner
from airflow_hpo.pruners.base import curve_of
from airflow_hpo.pruners.percentile import quantile
from airflow_hpo.testing.pruners import trial_of

GAIN = Objective(metric="acc", direction="maximize")
LOSS = Objective(metric="loss", direction="minimize")

# What nine others had at the seventh step; the median is 0.74.
OTHERS = [0.5, 0.6, 0.7, 0.73, 0.74, 0.75, 0.8, 0.85, 0.9]


def judge(name, own, others, *, objective=LOSS, step_name="epoch", **options):
    """
    Return what a pruner says of a trial that measured *own*.
    """
    pruner = create_pruner(PrunerSpec(name=name, options=options), [objective], step_name=step_name)
    trials = [
        other if not isinstance(other, list) else trial_of(number, other, metric=objective.metric)
        for number, other in enumerate(others, 1)
    ]
    return pruner.judge(trial_of(0, own, metric=objective.metric), trials)


def test_median_explains_itself():
    """
    The reason has the step, the value, the median and how many made it.
    """
    own = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.61]
    others = [[0.0] * 6 + [value, 0.99] for value in OTHERS]

    reason = judge("median", own, others, objective=GAIN)
    assert reason == "pruned at epoch 7: 0.61 below the median 0.74 of 9 trials"


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("percentile", {"percentile": 25.0}, "2 above the best 25 % 1.75 of 4 trials"),
        ("percentile", {"percentile": 75.0}, None),
        ("median", {}, None),
        ("median", {"startup_trials": 5}, None),
        ("median", {"averages": True}, None),
        ("average", {}, None),
        ("diff", {"percent": 50}, "2 above the best 1 of 4 trials by more than 50 %"),
        ("diff", {"percent": 100}, None),
        ("bandit", {"slack_factor": 0.5}, "2 above 1.5, which is the best 1 of 4 trials and"),
        ("bandit", {"slack_amount": 1}, None),
        ("halving_stop", {"min_resource": 2, "reduction_factor": 2}, None),
        ("halving_stop", {"min_resource": 2}, "2 is number 2 of 5 at rung 0, where 1 pass"),
        ("truncation", {"percent": 50}, None),
        ("threshold", {"upper": 1.5}, "2 above the upper bound 1.5"),
        ("threshold", {"lower": 2.5}, "2 below the lower bound 2.5"),
        ("patience", {"patience": 1}, None),
        ("patience", {"patience": 1, "min_delta": 3}, "the last 1 measurements did not improve"),
    ],
)
def test_second_of_five(name, options, reason):
    """
    A trial that is the second best of five at its second step, by every pruner.
    """
    if name in {"percentile", "median", "average"}:
        options = {"startup_trials": 4, **options}
    others = [[9.0, value, 0.0] for value in (1.0, 2.0, 3.0, 4.0)]
    found = judge(name, [4.0, 2.0], others, **options)

    if reason is None:
        assert found is None
    else:
        assert found.startswith(f"pruned at epoch 2: {reason}")


def test_averages_are_of_each_trials_own_steps():
    """
    With *averages*, and for the average pruner, the others count with their running means.
    """
    others = [[0.0, 4.0], [2.0, 4.0]]  # means 2 and 3
    options = {"startup_trials": 2}

    median = judge("median", [9.0, 2.6], others, averages=True, **options)
    assert median == "pruned at epoch 2: 2.6 above the median of averages 2.5 of 2 trials"
    average = judge("average", [9.0, 2.6], others, **options)
    assert average == "pruned at epoch 2: 2.6 above the average 2.5 of 2 trials"
    assert judge("average", [9.0, 2.5], others, **options) is None
    assert judge("median", [9.0, 2.6], others, **options) is None


def test_warmup_and_interval():
    """
    No look before the warm-up is over, then one each interval.
    """
    others = [[0.0] * 20] * 9
    looks = [
        step for step in range(1, 21) if judge("median", [9.0] * step, others, warmup=4, interval=5)
    ]

    assert looks == [9, 14, 19]


def test_truncation_ends_a_floor_of_those_that_run():
    """
    Ten run and 25 % end: the worst two. Complete trials count where that is asked for.
    """
    running = [[float(value)] for value in range(1, 10)]
    assert judge("truncation", [8.5], running, percent=25).endswith(
        "is number 9 of 10, the worst 25 % end"
    )
    assert judge("truncation", [7.5], running, percent=25) is None
    done = [trial_of(20 + n, [0.0], state=TrialState.COMPLETE) for n in range(10)]
    assert judge("truncation", [7.5], running + done, percent=25) is None
    assert judge("truncation", [7.5], running + done, percent=25, include_complete=True) is not None


def test_first_at_a_rung_passes_and_later_ones_must_be_good():
    """
    At rungs 1, 3 and 9 one in three passes, at least the best; between them nobody is judged.
    """
    rivals = [[2.0] * 9, [3.0] * 9]
    assert judge("halving_stop", [5.0], []) is None
    assert judge("halving_stop", [1.0] * 3, rivals) is None
    assert judge("halving_stop", [5.0] * 3, rivals).startswith(
        "pruned at epoch 3: 5 is number 3 of 3 at rung 1"
    )
    assert judge("halving_stop", [5.0] * 4, rivals) is None
    assert judge("halving_stop", [5.0] * 9, rivals, startup_trials=3) is None


@pytest.mark.parametrize(
    ("direction", "best", "passing", "ending"),
    [
        ("maximize", 0.9, 0.751, 0.749),
        ("minimize", 1.0, 1.199, 1.201),
        ("maximize", -1.0, -1.19, -1.21),
        ("minimize", -1.2, -1.01, -0.99),
    ],
)
def test_slack_factor_is_a_ratio(direction, best, passing, ending):
    """
    A fifth of slack divides what is to be great, and multiplies what is to be small.
    """
    objective = Objective(metric="m", direction=direction)

    def said(value):
        return judge("bandit", [value], [[best]], objective=objective, slack_factor=0.2)

    assert said(passing) is None
    assert said(ending) is not None


def test_distance_from_a_target():
    """
    With a target it is the distance that is compared.
    """
    objective = Objective(metric="m", target=10.0)
    others = [[9.0], [12.0], [10.5]]

    reason = judge("median", [14.0], others, objective=objective, startup_trials=3)
    assert reason == "pruned at epoch 1: 14 farther from the target than the median 1 of 3 trials"


def test_diverged_trials():
    """
    What is no number is worse than anything, and ends no average of the others.
    """
    others = [[math.nan], [1.0], [2.0], [3.0], [math.inf]]

    assert "nan above the median 3" in judge("median", [math.nan], others)
    assert "nan above the average 2 of 3" in judge("average", [math.nan], others, startup_trials=3)
    assert "loss is no finite number" in judge("threshold", [math.nan], [], upper=1)
    assert judge("median", [math.nan], [[math.nan]] * 9) is None


def test_curve_by_resource():
    """
    Steps are the resource where it is told; a step that comes again counts with its last value.
    """
    curve = curve_of(trial_of(0, [3.0, 2.0, 1.0], steps=[1, 2, 2]), LOSS)

    assert (curve.steps, curve.values) == ((1.0, 2.0), (3.0, 1.0))
    assert curve.until(1).values == (3.0,)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("nonsense", {}, "pruner must be one of median, percentile"),
        ("threshold", {}, "lower or upper must be given"),
        ("threshold", {"lower": 2, "upper": 1}, "lower must not exceed upper"),
        ("bandit", {}, "exactly one of slack_factor and slack_amount must be given, got neither"),
        ("bandit", {"slack_factor": 1, "slack_amount": 1}, "got both"),
        ("percentile", {"percentile": 100}, "less than 100"),
        ("halving_stop", {"reduction_factor": 1}, "greater than or equal to 2"),
    ],
)
def test_wrong_options_are_refused(name, options, message):
    """
    Names, types and ranges are checked when the pruner is made.
    """
    with pytest.raises(ValueError, match=message):
        judge(name, [1.0], [], **options)


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([1, 2, 3], 0.5, 2), ([1, 2], 0.25, 1.25), ([5], 0.9, 5), ([1, math.inf], 0.5, math.inf)],
)
def test_quantile(values, share, expected):
    """
    Between two values it lies in proportion; infinities are no trouble.
    """
    assert quantile(values, share) == expected
