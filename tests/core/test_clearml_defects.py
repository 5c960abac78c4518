"""
What goes wrong in ClearML's own optimiser: a test for each, of what must hold here.

The numbers are those of a review of ClearML 2.1.7.
"""

from __future__ import annotations

import json
import threading
import time

import pytest

from airflow_hpo.blueprint import parse_blueprints
from airflow_hpo.clearml.automation import (
    DiscreteParameterRange,
    GridSearch,
    HyperParameterOptimizer,
    LogUniformParameterRange,
    Parameter,
    ParameterSet,
    RandomSearch,
    RandomSeed,
    UniformIntegerParameterRange,
    UniformParameterRange,
)
from airflow_hpo.clearml.automation.hpbandster import OptimizerBOHB
from airflow_hpo.clearml.automation.optuna import OptimizerOptuna
from airflow_hpo.model.ladder import hyperband
from airflow_hpo.model.trial import TrialState
from airflow_hpo.storage import open_storage
from airflow_hpo.strategies import strategy_for

# What a trial prints: its value as the metric y.
PRINTS = "echo '{{\"y\": '{x}', \"iteration\": 7}}'"


@pytest.fixture(name="optimise")
def _optimise(tmp_path):
    """
    Makes optimisers with a journal and a folder of their own.
    """

    def make(*parameters, **more):
        arguments = {
            "base_task_id": PRINTS,
            "hyper_parameters": parameters or [UniformParameterRange("x", 0, 1)],
            "objective_metric_title": "y",
            "objective_metric_series": "y",
            "objective_metric_sign": "max",
            "max_number_of_concurrent_tasks": 2,
            "total_max_jobs": 4,
            "storage": f"sqlite:///{tmp_path / 'studies.db'}",
            "artifacts": tmp_path / "artifacts",
            **more,
        }
        return HyperParameterOptimizer(**arguments)

    return make


def run(optimizer, **options):
    """
    Run a study to its end and return its trials.
    """
    optimizer.start(**options)
    assert optimizer.wait(timeout_min=2)
    return trials_of(optimizer)


def trials_of(optimizer):
    """
    Return the trials of a study, with what they measured.
    """
    url = f"sqlite:///{optimizer._artifacts.parent / 'studies.db'}"
    return open_storage(url).load(optimizer.study, measurements=True).trials


def strategies_of(parameter):
    """
    Return which values each optimizer tries of one parameter.
    """
    found = {}
    for optimizer in ("RandomSearch", "GridSearch", "OptimizerOptuna"):
        data = {
            "base_task_id": "train.py",
            "hyper_parameters": [parameter.to_dict()],
            "objective_metric_title": "y",
            "objective_metric_series": "y",
            "optimizer_class": optimizer,
            "total_max_jobs": 30,
        }
        (blueprint,) = parse_blueprints(json.dumps(data))
        suggestions = strategy_for(blueprint).suggest(blueprint.space, (), 30, seed=5)
        found[optimizer] = {item.configuration["x"] for item in suggestions}
    return found


def test_d1_compute_time_limit_ends_the_study(optimise):
    """
    D1: when all jobs together have run for the limit, the study ends and says so.
    """
    optimizer = optimise(
        base_task_id=f"sleep 0.4; {PRINTS}", compute_time_limit=1 / 60, total_max_jobs=50
    )

    trials = run(optimizer)

    assert 2 <= len(trials) < 10
    url = f"sqlite:///{optimizer._artifacts.parent / 'studies.db'}"
    stop = open_storage(url).load(optimizer.study).stop
    assert stop.rule == "trial_time"
    assert "trials have run for" in stop.reason


def test_d2_a_previous_study_goes_on(optimise):
    """
    D2: a study that is named goes on where it was, in another process's optimiser too.
    """
    first = run(optimise(continue_previous_study="mine", total_max_jobs=2))

    again = run(optimise(continue_previous_study="mine", total_max_jobs=5))

    assert [trial.number for trial in again] == [0, 1, 2, 3, 4]
    assert again[:2] == first


def test_d3_details_have_all_metrics(optimise):
    """
    D3: all metrics can be had of the best experiments, as details and as pairs.
    """
    command = 'echo \'{{"y": \'{x}\', "loss": 3, "loss/test": 4}}\''
    optimizer = optimise(base_task_id=command)
    run(optimizer)

    few = optimizer.get_top_experiments_details(2)
    many = optimizer.get_top_experiments_details(2, all_metrics=True)
    pairs = optimizer.get_optimizer().get_top_experiments_id_metrics_pair(2, all_metrics=True)

    assert [list(item["metrics"]) for item in few] == [["y/y"]] * 2
    assert [list(item["metrics"]) for item in many] == [["y/y", "loss/loss", "loss/test"]] * 2
    assert pairs == [(item["task_id"], item["metrics"]) for item in many]
    value = many[0]["hyper_parameters"]["x"]
    assert many[0]["metrics"]["y/y"] == {
        "metric": "y", "variant": "y", "value": value, "min_value": value, "max_value": value
    }  # fmt: skip


def test_d4_no_dominated_trial_ranks_before_one_that_beats_it(optimise):
    """
    D4: with several objectives the best are those that no other beats, in any order of ending.
    """
    points = [[0, -1], [1, 1], [2, 0], [-1, -2]]
    command = 'python3 -c "import json, sys; a, b = json.loads(sys.argv[1]); \
print(json.dumps(dict(a=a, b=b)))" {x}'
    optimizer = optimise(
        DiscreteParameterRange("x", points),
        base_task_id=command,
        objective_metric_title=["a", "b"],
        objective_metric_series=["a", "b"],
        objective_metric_sign=["max", "max"],
        optimizer_class=GridSearch,
    )
    run(optimizer)

    best = [item.get_parameters()["x"] for item in optimizer.get_top_experiments(4)]

    assert sorted(best[:2]) == [[1, 1], [2, 0]]
    assert best[2:] == [[0, -1], [-1, -2]]


def test_d5_a_finished_study_is_asked_with_any_sign(optimise):
    """
    D5: a finished study can be asked for its best by any sign, and by several metrics.
    """
    command = "echo '{{\"y\": '{x}'}}'; echo '{{\"y\": 0.5, \"z\": 1}}'"
    optimizer = optimise(DiscreteParameterRange("x", [0.2, 0.7, 0.9]), base_task_id=command,
                         optimizer_class=GridSearch)  # fmt: skip
    run(optimizer)
    storage = f"sqlite:///{optimizer._artifacts.parent / 'studies.db'}"

    def top(title, sign):
        found = HyperParameterOptimizer.get_optimizer_top_experiments(
            title, title, sign, optimizer.id, 3, storage=storage
        )
        return [item.get_parameters()["x"] for item in found]

    assert top("y", "min_global")[0] == 0.2
    assert top("y", "max_global") == [0.9, 0.7, 0.2]
    assert len(top("y", "max")) == 3
    assert top(["y", "z"], ["max_global", "min"])[0] == 0.9


@pytest.mark.parametrize(
    ("parameter", "values"),
    [
        (UniformParameterRange("x", 0, 1, 0.25), {0.0, 0.25, 0.5, 0.75, 1.0}),
        (UniformIntegerParameterRange("x", 0, 10, 3), {0, 3, 6, 9}),
        (UniformIntegerParameterRange("x", 0, 9, 3), {0, 3, 6, 9}),
        (UniformIntegerParameterRange("x", 0, 9, 3, include_max_value=False), {0, 3, 6}),
        (LogUniformParameterRange("x", 0, 2, step_size=1), {1.0, 10.0, 100.0}),
    ],
)
def test_d6_each_optimizer_tries_the_same_values(parameter, values):
    """
    D6: steps are the same for each optimizer, reach the upper bound and never exceed it.
    """
    assert strategies_of(parameter) == dict.fromkeys(
        ("RandomSearch", "GridSearch", "OptimizerOptuna"), values
    )
    assert {item["x"] for item in parameter.to_list()} == values
    assert {parameter.get_value()["x"] for _ in range(200)} == values


def test_d7_bohb_is_given_powers_not_exponents(optimise):
    """
    D7: with OptimizerBOHB a trial receives the power that a range of exponents stands for.
    """
    optimizer = optimise(
        LogUniformParameterRange("x", -5, -1),
        optimizer_class=OptimizerBOHB,
        min_iteration_per_job=1,
        max_iteration_per_job=3,
        total_max_jobs=10,
    )
    blueprint = optimizer.blueprint

    found = strategy_for(blueprint).suggest(blueprint.space, (), 3, seed=1)

    assert found
    assert all(1e-5 <= item.configuration["x"] <= 1e-1 for item in found)


@pytest.mark.parametrize("optimizer_class", [RandomSearch, OptimizerOptuna])
def test_d8_a_job_without_its_metric_breaks_nothing(optimise, optimizer_class):
    """
    D8: a job that never reports its metric is infeasible; the study goes on to its end.
    """
    command = 'test "{x}" != 1 && ' + PRINTS + "; true"
    optimizer = optimise(
        DiscreteParameterRange("x", [0, 1, 2]),
        base_task_id=command,
        optimizer_class=optimizer_class,
        total_max_jobs=3,
    )

    trials = run(optimizer)

    states = {trial.configuration["x"]: trial.state for trial in trials}
    complete, infeasible = TrialState.COMPLETE, TrialState.INFEASIBLE
    assert states == {0: complete, 1: infeasible, 2: complete}
    assert len(optimizer.get_top_experiments(5)) == 2


def test_d9_a_silent_job_is_not_asked_all_the_time(optimise):
    """
    D9: while a job reports nothing, the journal is read a few times a second at most.
    """
    optimizer = optimise(base_task_id=f"sleep 2; {PRINTS}", total_max_jobs=1)
    reads = []
    load = optimizer._storage.load

    def counted(*arguments, **options):
        reads.append(time.monotonic())
        return load(*arguments, **options)

    optimizer._storage.load = counted
    run(optimizer)

    # Two seconds of it; the rest is for beginning and ending.
    assert len(reads) < 40


def test_d10_ended_jobs_are_no_longer_active(optimise):
    """
    D10: a job that was ended early is not among the running ones, then or after stop().
    """
    command = (
        "for step in 1 2 3 4 5 6 7 8; do echo '{{\"y\": '{x}', \"iteration\": '$step'}}'; "
        "sleep 0.3; done"
    )
    optimizer = optimise(
        UniformIntegerParameterRange("x", 1, 6),
        base_task_id=command,
        optimizer_class=OptimizerOptuna,
        optuna_pruner={"name": "ThresholdPruner", "lower": 3},
        total_max_jobs=6,
    )

    trials = run(optimizer)

    assert {trial.state for trial in trials} == {TrialState.COMPLETE, TrialState.PRUNED}
    assert optimizer.get_num_active_experiments() == 0
    optimizer.stop()
    assert optimizer.get_optimizer().get_running_jobs() == []
    assert trials_of(optimizer) == trials


def test_d11_no_configuration_is_tried_twice(optimise):
    """
    D11: duplicates cost nothing: of six configurations all six are tried, in six jobs.
    """
    optimizer = optimise(
        DiscreteParameterRange("x", [1, 2, 3]),
        DiscreteParameterRange("z", ["a", "b"]),
        optimizer_class=OptimizerOptuna,
        total_max_jobs=6,
        airflow_hpo={"seed": 3},
    )

    trials = run(optimizer)

    assert len(trials) == 6
    assert len({json.dumps(dict(trial.configuration)) for trial in trials}) == 6
    assert all(trial.state is TrialState.COMPLETE for trial in trials)


def test_d12_bohb_keeps_to_its_budget(optimise):
    """
    D12: total_max_jobs bounds the iterations of all jobs, and promoted jobs may resume.
    """
    optimizer = optimise(
        optimizer_class=OptimizerBOHB,
        min_iteration_per_job=10,
        max_iteration_per_job=30,
        total_max_jobs=10,
    )
    strategy = strategy_for(optimizer.blueprint)

    brackets = hyperband(strategy.scale(), iterations=strategy.options.iterations)

    rungs = [rung for bracket in brackets for rung in bracket.rungs]
    assert sum(rung.trials * rung.resource for rung in rungs) <= 10 * 30
    assert optimizer.blueprint.budget.trials == sum(rung.trials for rung in rungs)
    assert strategy.options.resume


def test_d13_callbacks_come_once_when_a_job_has_ended(optimise):
    """
    D13: each job is told of once, when it has ended, with plain values, failures too.
    """
    calls = []
    command = 'test "{x}" != 2 || exit 3; ' + PRINTS
    optimizer = optimise(DiscreteParameterRange("x", [1, 2, 3]), base_task_id=command,
                         optimizer_class=GridSearch)  # fmt: skip

    def told(job_id, objective_value, objective_iteration, job_parameters, top_performance_job_id):
        number = int(job_id.rpartition("/")[2])
        assert trials_of(optimizer)[number].is_final
        found = (objective_value, objective_iteration, job_parameters)
        calls.append((job_id, *found, top_performance_job_id))
        raise RuntimeError("a callback's own trouble")

    trials = run(optimizer, job_complete_callback=told)

    assert sorted(call[0] for call in calls) == [f"{optimizer.study}/{i}" for i in range(3)]
    by_value = {call[3]["x"]: call for call in calls}
    assert by_value[1][1:4] == (1.0, 7, {"status": "completed", "x": 1})
    assert by_value[2][1:4] == (None, None, {"status": "failed", "x": 2})
    assert by_value[3][4] == by_value[3][0]  # nobody was better at that time
    assert trials[1].state is TrialState.FAILED


def test_d14_parameters_in_sets_are_stored():
    """
    D14: a set with ranges and sets in it is the same after it was stored and read.
    """
    inner = ParameterSet([{"c": UniformIntegerParameterRange("c", 1, 9, 2)}, {"c": 0}])
    outer = ParameterSet(
        [
            {"a": LogUniformParameterRange("a", -3, 0, base=2), "b": 5},
            {"a": DiscreteParameterRange("a", [1, 2]), "more": inner},
        ]
    )

    stored = json.loads(json.dumps(outer.to_dict()))

    again = Parameter.from_dict(stored)
    assert again.to_dict() == outer.to_dict()
    assert again.values[1]["more"].values[0]["c"].get_value()["c"] in {1, 3, 5, 7, 9}
    assert again.to_list() == outer.to_list()


def test_d15_random_search_differs_between_runs(optimise):
    """
    D15: studies draw different values unless a seed is given, which is then kept with them.
    """

    def drawn(**more):
        optimizer = optimise(total_max_jobs=2, max_number_of_concurrent_tasks=2, **more)
        return [trial.configuration["x"] for trial in run(optimizer)]

    assert drawn() != drawn()
    assert drawn(airflow_hpo={"seed": 7}) == drawn(airflow_hpo={"seed": 7})
    try:
        RandomSeed.set_random_seed(7)
        assert drawn() == drawn(airflow_hpo={"seed": 7})
    finally:
        RandomSeed._seed = None


def test_d16_waiting_ends_with_the_time_limit(optimise):
    """
    D16: wait() returns when the limit is reached, not a whole span later, and asking is safe.
    """
    optimizer = optimise(base_task_id=f"sleep 60; {PRINTS}", total_max_jobs=50)
    assert optimizer.get_time_limit() is None
    assert not optimizer.reached_time_limit()
    optimizer.start()
    began = time.monotonic()

    optimizer.set_time_limit(in_minutes=2 / 60)

    assert optimizer.wait()
    # The limit itself, a tick of the study's clock, and the time that jobs get to end.
    assert 1.5 < time.monotonic() - began < 20
    assert optimizer.reached_time_limit()
    assert not optimizer.is_running()
    assert {trial.state for trial in trials_of(optimizer)} == {TrialState.PRUNED}


def test_none_of_the_studies_leaves_a_thread(optimise):
    """
    A study that has ended leaves no thread behind.
    """
    run(optimise())

    names = {thread.name for thread in threading.enumerate()}
    assert not names & {"airflow-hpo-study", "airflow-hpo-report"}
