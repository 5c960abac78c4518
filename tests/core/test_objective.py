"""
Objectives: which measurement counts, and which value is better.
"""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from airflow_hpo.model.objective import Objective, best_trial, loss
from airflow_hpo.model.trial import Trial, TrialState

SERIES = st.lists(st.floats(-1e9, 1e9) | st.sampled_from([math.nan, math.inf, -math.inf]))


def objective(**fields):
    """
    Return an objective that is minimised unless said otherwise.
    """
    aim = {} if "target" in fields else {"direction": "minimize"}
    return Objective(metric="loss", **{**aim, **fields})


@pytest.mark.parametrize(
    ("value", "picked"),
    [("last", 4.0), ("min", 1.0), ("max", 5.0), ("mean_last_1", 4.0), ("mean_last_3", 10 / 3)],
)
def test_which_measurement_counts(value, picked):
    """
    The last, least, greatest, or the mean of the last few; what is no number is passed over.
    """
    series = [1.0, math.nan, 5.0, math.inf, 1.0, 4.0, math.nan]

    assert objective(value=value).pick(series) == pytest.approx(picked)


@given(SERIES, st.sampled_from(["last", "min", "max", "mean_last_2", "mean_last_999999"]))
def test_what_is_picked_is_usable(series, value):
    """
    A value lies among the usable ones; there is none only if none is usable.
    """
    usable = [item for item in series if math.isfinite(item)]

    picked = objective(value=value).pick(series)

    assert (picked is None) == (not usable)
    if usable:
        assert min(usable) - 1e-6 <= picked <= max(usable) + 1e-6


@pytest.mark.parametrize(
    "value", ["first", "mean_last_0", "mean_last_", "mean_last_01", "Last", ""]
)
def test_other_measurements_are_refused(value):
    """
    The message lists what there is.
    """
    with pytest.raises(ValidationError, match="must be last, min, max or mean_last_K"):
        objective(value=value)


def test_one_aim():
    """
    Either a direction or a target, never both or none.
    """
    for fields in ({}, {"direction": "minimize", "target": 1.0}):
        with pytest.raises(ValidationError, match="exactly one of direction and target"):
            Objective(metric="loss", **fields)


@pytest.mark.parametrize(
    ("fields", "better", "worse", "aim"),
    [
        ({}, 1.0, 2.0, "minimize loss"),
        ({"direction": "maximize"}, 2.0, 1.0, "maximize loss"),
        ({"target": 1.5}, 1.75, 1.0, "bring loss to 1.5"),
        ({"target": 0.0}, -0.5, 1.0, "bring loss to 0"),
    ],
)
def test_which_value_is_better(fields, better, worse, aim):
    """
    The better value has the smaller loss, and the aim can be said in words.
    """
    assert objective(**fields).loss(better) < objective(**fields).loss(worse)
    assert objective(**fields).aim == aim


def test_the_best_trial():
    """
    The best is complete, the earliest of equals, and by the first objective.
    """
    first, second = objective(), objective(direction="maximize")
    trials = [
        Trial(0, {}, state=TrialState.COMPLETE, values=(2.0, 9.0)),
        Trial(1, {}, state=TrialState.PRUNED, values=(0.0, 9.0)),
        Trial(2, {}, state=TrialState.COMPLETE, values=(1.0, 1.0)),
        Trial(3, {}, state=TrialState.COMPLETE, values=(1.0, 1.0)),
        Trial(4, {}, state=TrialState.FAILED),
    ]

    assert best_trial((first, second), trials).number == 2
    assert best_trial((first, second), trials[4:]) is None
    assert loss((first, second), (2.0, 9.0)) == (2.0, -9.0)
