"""
Trials whose code is a Python function in this process.
"""

from __future__ import annotations

import os
from contextlib import suppress

import pytest

from airflow_hpo.blueprint import parse_blueprints
from airflow_hpo.driver import FunctionRun, TooLongError, measure
from airflow_hpo.errors import TrialFailedError, TrialInvalidError
from airflow_hpo.model.trial import Failure, TrialState
from airflow_hpo.storage import open_storage
from airflow_hpo.study import Study

BLUEPRINT = """\
hpo: 1
name: tiny
objective: {metric: y, direction: maximize}
space: {x: {float: [0, 1]}, constant: 5}
strategy: {name: random, seed: 3}
budget: {trials: 9}
trial: {command: "false"}
"""


@pytest.fixture(name="attempt")
def _attempt(tmp_path):
    """
    Runs a function as the first trial of a study; returns the trial, its measurements, the log.
    """

    def attempt(function, text=BLUEPRINT):
        (blueprint,) = parse_blueprints(text)
        storage = open_storage(f"sqlite:///{tmp_path / 'studies.db'}")
        study = Study.open(storage, "tiny", blueprint)
        (trial,) = study.ask(1, key="ask")
        log = []
        run = FunctionRun(
            study,
            trial.number,
            key="key",
            artifacts=tmp_path / "studies",
            log=log.append,
            function=function,
        )
        told = run.run()
        measured = storage.measurements("tiny", trial.number)
        storage.close()
        return told, [found.metrics for found in measured], log

    return attempt


@pytest.mark.parametrize(
    ("returned", "value"), [(0.5, 0.5), ({"y": 2, "z": 1}, 2.0), ([3], 3.0), ((4.0,), 4.0)]
)
def test_what_it_returns_is_the_result(attempt, returned, value):
    """
    A number, a mapping, or a list with a value for each objective.
    """
    told, measured, _ = attempt(lambda _: returned)

    assert (told.state, told.values) == (TrialState.COMPLETE, (value,))
    assert len(measured) == 1


def test_it_gets_all_values_and_the_surroundings(attempt):
    """
    Parameters, constants, and the variables of a command; none of these stay behind.
    """
    seen = {}

    def look(values):
        seen.update(values, trial=os.environ["HPO_TRIAL"], out=os.environ["HPO_OUTPUT_DIR"])
        return 1

    attempt(look)

    assert set(seen) == {"x", "constant", "trial", "out"}
    assert (seen["constant"], seen["trial"]) == (5, "0")
    assert "HPO_TRIAL" not in os.environ


def test_what_it_measures_on_the_way_counts(attempt):
    """
    Measured, yielded and returned: all in their order.
    """

    def train(values):
        measure(y=1)
        yield {"y": 2}
        measure({"other/name": 0}, y=3)
        return 4

    told, measured, log = attempt(train)

    assert [each["y"] for each in measured] == [1, 2, 3, 4]
    assert told.values == (4.0,)
    assert '{"other/name": 0, "y": 3}' in log


def test_a_pruner_ends_it_where_it_measures(attempt):
    """
    It is left at once, its own clean-up runs, and an ``except Exception`` does not keep it.
    """
    cleaned = []

    def train(values):
        try:
            for step in range(5):
                with suppress(Exception):  # as careless code does
                    measure(y=-step)
        finally:
            cleaned.append(True)

    told, measured, _ = attempt(train, BLUEPRINT + "pruner: {name: threshold, lower: -1.5}\n")

    assert told.state is TrialState.PRUNED
    assert [each["y"] for each in measured] == [0, -1, -2]
    assert cleaned == [True]


def test_the_study_s_goal_ends_it_well(attempt):
    """
    A measurement that reaches the goal completes the trial and ends the study.
    """

    def train(values):
        for step in range(5):
            yield {"y": step}

    told, measured, _ = attempt(train, BLUEPRINT + "stop: [{metric: y, at_least: 2}]\n")

    assert (told.state, told.values) == (TrialState.COMPLETE, (2.0,))
    assert len(measured) == 3


@pytest.mark.parametrize(
    ("error", "failure", "reason"),
    [
        (ValueError("no such luck"), Failure.CODE, "ValueError: no such luck"),
        (TrialFailedError("the disk is gone"), Failure.INFRASTRUCTURE, "the disk is gone"),
        (TrialInvalidError("no such data"), Failure.CODE, "no such data"),
        (TooLongError("took too long"), Failure.TIMEOUT, "took too long"),
        (SystemExit(3), Failure.CODE, "SystemExit: 3"),
    ],
)
def test_an_exception_fails_it(attempt, error, failure, reason):
    """
    Whose fault it is the exception says, and its traceback is in the log.
    """

    def fail(values):
        raise error

    told, _, log = attempt(fail)

    assert (told.state, told.failure, told.reason) == (TrialState.FAILED, failure, reason)
    assert any("fail" in line for line in log)


def test_out_of_memory_is_what_the_blueprint_says(attempt):
    """
    The signs of failures hold for exceptions as for output.
    """

    def fail(values):
        raise MemoryError

    told, _, _ = attempt(
        fail, BLUEPRINT.replace('"false"', '"false", failures: {out_of_memory: infeasible}')
    )

    assert told.state is TrialState.INFEASIBLE


@pytest.mark.parametrize("returned", ["text", True, [1, 2], object])
def test_what_is_no_result_fails_it(attempt, returned):
    """
    Anything else than metrics is told as what it is.
    """
    told, _, _ = attempt(lambda _: returned)

    assert told.failure is Failure.CODE
    assert "must return a mapping of metrics or a number, got" in told.reason


def test_without_its_metric_it_is_infeasible(attempt):
    """
    A function that returns nothing has measured nothing.
    """
    told, measured, _ = attempt(lambda _: None)

    assert told.state is TrialState.INFEASIBLE
    assert measured == []
