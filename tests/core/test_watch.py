"""
A study that ends takes its running trials along: with real processes.
"""

from __future__ import annotations

import os
import threading
import time

import pytest

from airflow_hpo.driver import TrialRun, evaluate_round
from airflow_hpo.driver.watch import Watch
from airflow_hpo.model.blueprint import Blueprint
from airflow_hpo.model.stop import Stop
from airflow_hpo.model.trial import Failure, Measurement, TrialState
from airflow_hpo.storage import open_storage
from airflow_hpo.study import Study
from airflow_hpo.testing.processes import is_running

# How long anything here may take before it is called stuck, in seconds.
PATIENCE_S = 60

# Within so many seconds of the measurement that ends a study, all of it is over.
PROMISE_S = 10

PRINT = """echo '{{"y": %s}}'"""

# Trial 0 prints *first*, then sleeps; the others print 0.9 and sleep.
COMMAND = f"""echo $$ > pid-$HPO_TRIAL
if [ $HPO_TRIAL = 0 ]; then sleep 1; %s; sleep 60; fi
{PRINT % 0.9}
sleep 60"""


@pytest.fixture(name="make")
def _make(tmp_path):
    """
    Makes blueprints whose commands run in the test's folder.
    """

    def make(command, *, trial=None, **changes):
        x = {"name": "x", "distribution": {"kind": "float", "low": 0, "high": 1}}
        return Blueprint.model_validate(
            {
                "name": "parabola",
                "objectives": [{"metric": "y", "direction": "minimize"}],
                "space": {"parameters": [x]},
                "strategy": {"name": "random", "seed": 7},
                "budget": {"trials": 6},
                "trial": {"steps": [{"command": command}], **(trial or {})},
                "source": {"file": str(tmp_path / "blueprint.yaml")},
                **changes,
            }
        )

    return make


@pytest.fixture(name="opened")
def _opened(tmp_path):
    """
    Opens the study in a SQLite file; each call by another connection.
    """

    def opened(blueprint):
        return Study.open(open_storage(f"sqlite:///{tmp_path / 'studies.db'}"), "s", blueprint)

    return opened


@pytest.fixture(name="attempt")
def _attempt(tmp_path, opened):
    """
    Makes an attempt at a trial, with a connection of its own.
    """

    def attempt(blueprint, number, *, key="try 1", lines=None, **options):
        log = [].append if lines is None else lines.append
        return TrialRun(
            opened(blueprint), number, key=key, artifacts=tmp_path / "files", log=log, **options
        )

    return attempt


@pytest.fixture(name="run_all")
def _run_all(opened, attempt):
    """
    Runs trials at once, the last in a process of its own; returns how long that took.
    """

    def run_all(blueprint, numbers):
        *here, other = numbers
        fork = os.fork()
        if fork == 0:
            try:
                attempt(blueprint, other).run()
            finally:
                os._exit(0)
        began = time.monotonic()
        threads = [threading.Thread(target=attempt(blueprint, number).run) for number in here]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
        os.waitpid(fork, 0)
        return time.monotonic() - began

    return run_all


RULES = [
    ({"kind": "metric", "metric": "y", "at_most": 0.1}, "trial 0: y = 0.05 is at most 0.1"),
    (
        {"kind": "metric", "metric": "y", "target": 0.0, "tolerance": 0.05},
        "trial 0: y = 0.05 is within 0.05 of 0",
    ),
    (
        {"kind": "expression", "expression": "y < 0.1 and execution.duration > 0.5"},
        "trial 0: 'y < 0.1 and execution.duration > 0.5' holds",
    ),
]


@pytest.mark.parametrize(("rule", "reason"), RULES)
def test_goal_ends_running_trials(make, opened, run_all, tmp_path, rule, reason):
    """
    A measurement that reaches a goal ends all running trials, in this process and in
    others, within ten seconds; the one that reached it is complete, the others pruned.
    """
    blueprint = make(COMMAND % (PRINT % 0.05), stop=[rule])
    study = opened(blueprint)
    study.ask(3, key="ask")
    run_all(blueprint, range(3))
    ended = time.time()

    trials = study.record(measurements=True).trials
    assert study.record().stop == Stop(rule["kind"], reason, 0)
    assert ended - trials[0].measurements[0].time < PROMISE_S
    assert [trial.state.value for trial in trials] == ["complete", "pruned", "pruned"]
    assert [trial.reason for trial in trials] == [f"the study ended: {reason}"] * 3
    assert trials[0].values == (0.05,)
    assert [trial.metrics for trial in trials] == [{"y": 0.05}, {"y": 0.9}, {"y": 0.9}]
    assert not any(is_running((tmp_path / f"pid-{n}").read_text().strip()) for n in range(3))
    assert study.ask(1, key="more") == ()


def test_goal_reached_once_is_reached(make, opened, attempt):
    """
    Of several measurements any may reach the goal; that later ones fall behind opens
    nothing again.
    """
    values = "; ".join(PRINT % value for value in (0.5, 0.05, 0.7))
    rule = {"kind": "metric", "metric": "y", "at_most": 0.1}
    study = opened(make(f"{values}; sleep 60", stop=[rule]))
    study.ask(1, key="ask")
    trial = attempt(study.blueprint, 0).run()

    assert (trial.state, trial.values) == (TrialState.COMPLETE, (0.7,))
    assert study.decide().reason == "trial 0: y = 0.05 is at most 0.1"


def test_goal_of_another_metric_needs_the_objective(make, opened, attempt):
    """
    A trial that reaches a goal before it measured its objective is pruned.
    """
    rule = {"kind": "metric", "metric": "z", "at_most": 0.1}
    study = opened(make("echo '{{\"z\": 0}}'; sleep 60", stop=[rule]))
    study.ask(1, key="ask")
    trial = attempt(study.blueprint, 0).run()

    assert (trial.state, trial.metrics) == (TrialState.PRUNED, {"z": 0})


@pytest.mark.parametrize(
    ("budget", "rule"), [({"wall_clock_s": 2}, "wall_clock"), ({"trial_time_s": 3}, "trial_time")]
)
def test_time_is_up_while_trials_run(make, opened, run_all, budget, rule):
    """
    Budgets of time end trials that run, not only those that would come.
    """
    blueprint = make(f"{PRINT % 0.5}; sleep 60", budget={"trials": 6, **budget})
    study = opened(blueprint)
    study.ask(3, key="ask")
    took = run_all(blueprint, range(2))

    assert took < PROMISE_S + 2
    assert study.record().stop.rule == rule
    assert [trial.state.value for trial in study.record().trials] == ["pruned", "pruned", "waiting"]


def test_failure_ends_running_trials(make, opened, run_all):
    """
    Where a failed trial is to end the study, those that run end with it.
    """
    blueprint = make(COMMAND % "exit 3", trial={"on_failure": "stop"})
    study = opened(blueprint)
    study.ask(2, key="ask")
    run_all(blueprint, range(2))

    assert study.record().stop.rule == "on_failure"
    assert [trial.state.value for trial in study.record().trials] == ["failed", "pruned"]


def test_identical_failures_end_the_study(make, opened, attempt):
    """
    The same traceback several times ends the study, with one message that says it all.
    """
    script = "import json, os; json.loads(chr(123) * int(os.environ[chr(78)]))"
    command = f"N=1$HPO_TRIAL python -c '{script}'"
    study = opened(make(command, budget={"trials": 6, "identical_failures": 3}))
    study.ask(4, key="ask")
    for number in range(4):
        attempt(study.blueprint, number).run()

    stop = study.record().stop
    assert (stop.rule, stop.trial) == ("identical_failures", 2)
    assert stop.reason.startswith("3 trials failed in the same way (trials 0, 1, 2): json.decoder.")
    assert "\n" not in stop.reason
    assert study.record().trials[3].state is TrialState.PRUNED


def test_failure_that_is_tried_again_ends_nothing_yet(make, opened, attempt):
    """
    A failed trial counts once its retries are used up.
    """
    command = "test $HPO_ATTEMPT = 2"
    trial = {"on_failure": "stop", "retries": {"code": 1}}
    study = opened(make(command, trial=trial))
    study.ask(1, key="ask")
    first = attempt(study.blueprint, 0).run()
    stop_between = study.record().stop
    attempt(study.blueprint, 0, key="try 2").run()

    assert first.failure is Failure.CODE
    assert stop_between is None
    assert study.record().stop is None


def test_nothing_starts_in_a_study_that_has_ended(make, opened, attempt, tmp_path):
    """
    A trial that was suggested before the study ended is called off, and costs nothing.
    """
    study = opened(make(f"touch '{tmp_path}/mark'"))
    study.ask(1, key="ask")
    study.stop(Stop("user", "enough"))
    trial = attempt(study.blueprint, 0).run()

    assert (trial.state, trial.attempt) == (TrialState.PRUNED, 0)
    assert trial.reason == "the study ended: enough"
    assert not trial.is_counted
    assert not (tmp_path / "mark").exists()


def test_who_insists_gets_the_trial(make, opened, attempt):
    """
    A trial that a person runs again, in a study that has ended, runs to its end.
    """
    study = opened(make(f"{PRINT % 0.5}; sleep 3; {PRINT % 0.25}"))
    study.ask(1, key="ask")
    study.stop(Stop("user", "enough"))

    assert attempt(study.blueprint, 0, insist=True).run().values == (0.25,)


def test_a_round_is_over_when_its_study_is(make, opened, run_all):
    """
    After a goal was reached the round's verdict is the same, whoever asks, however often.
    """
    rule = {"kind": "metric", "metric": "y", "at_most": 0.1}
    blueprint = make(COMMAND % (PRINT % 0.05), stop=[rule])
    study = opened(blueprint)
    study.ask(2, key="ask")
    run_all(blueprint, range(2))
    results = [evaluate_round(study, [0, 1], lost=lambda _: None) for _ in range(2)]

    assert [result.stop for result in results] == [study.record().stop] * 2
    assert results[0].best.number == 0
    assert [event.kind for event in study.storage.events("s")].count("stopped") == 1


def test_explanation_is_in_the_log(make, opened, attempt):
    """
    The trial's own log says why it was ended.
    """
    rule = {"kind": "metric", "metric": "y", "at_most": 0.1}
    study = opened(make(f"{PRINT % 0.05}; sleep 60", stop=[rule]))
    study.ask(1, key="ask")
    lines = []
    attempt(study.blueprint, 0, lines=lines).run()

    assert "ending the trial: the study ended: trial 0: y = 0.05 is at most 0.1" in lines


def test_measurements_after_the_last_look_are_kept(make, opened, attempt):
    """
    What code still prints while it is being ended counts as measured.
    """
    rule = {"kind": "metric", "metric": "y", "at_most": 0.1}
    command = 'trap \'echo "{{\\"z\\": 9}}"; exit 0\' TERM; ' + f"{PRINT % 0.05}; sleep 60 & wait"
    study = opened(make(command, stop=[rule]))
    study.ask(1, key="ask")
    trial = attempt(study.blueprint, 0).run()

    measured = [found.metrics for found in study.storage.measurements("s", 0)]
    assert measured == [{"y": 0.05}, {"z": 9}]
    assert trial.metrics == {"y": 0.05, "z": 9}


PRUNED = """case $HPO_TRIAL in 0|1) v=0.9;; 2) v=0.1;; esac
for epoch in 1 2 3 4; do
  echo "{{\\"epoch\\": $epoch, \\"acc\\": $v}}"
  if [ $HPO_TRIAL = 2 ]; then sleep 1.2; fi
done
if [ $HPO_TRIAL = 2 ]; then sleep 60; fi"""


def test_pruner_ends_a_running_trial(make, opened, attempt):
    """
    A trial that falls behind is ended while it runs; log and record say why.
    """
    blueprint = make(
        PRUNED,
        objectives=[{"metric": "acc", "direction": "maximize"}],
        pruner={"name": "median", "options": {"startup_trials": 2, "warmup": 1}},
        resource={"name": "epochs", "min": 1, "max": 4},
    )
    study = opened(blueprint)
    study.ask(3, key="ask")
    for number in (0, 1):
        attempt(blueprint, number).run()
    lines = []
    trial = attempt(blueprint, 2, lines=lines).run()

    reason = "pruned at epoch 2: 0.1 below the median 0.9 of 2 trials"
    assert (trial.state, trial.reason) == (TrialState.PRUNED, reason)
    assert f"ending the trial: {reason}" in lines
    assert trial.metrics["epoch"] < 4
    assert trial.is_counted
    assert study.record().stop is None


@pytest.mark.parametrize(("printed", "state"), [(PRINT % 0.5, "complete"), ("true", "pruned")])
def test_trial_whose_task_a_person_marked_as_success(make, opened, attempt, printed, state):
    """
    It counts with what it measured until then; a second look changes nothing.
    """
    blueprint = make(f"{printed}; sleep 60")
    study = opened(blueprint)
    study.ask(2, key="ask")
    run = attempt(blueprint, 0)
    thread = threading.Thread(target=run.run)
    thread.start()
    deadline = time.monotonic() + PATIENCE_S
    while study.record().trials[0].attempt == 0 or run._running is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(1.5)
    run.cancel("the task was stopped")
    thread.join(PATIENCE_S)
    assert study.record().trials[0].failure is Failure.INFRASTRUCTURE

    marked = {"lost": lambda _: None, "passed": lambda trial: trial.number == 0}
    states = [evaluate_round(study, [0, 1], **marked).states for _ in range(2)]
    trial = study.record().trials[0]
    assert states == [{state: 1, "waiting": 1}] * 2
    assert trial.reason == "its task was marked as success while it ran"
    assert (trial.attempt, trial.values) == (2, (0.5,) if state == "complete" else None)
    assert trial.is_counted


def test_places_in_the_budget_are_given_once(make, opened, attempt):
    """
    A lost trial whose place in the budget another one took is not tried again: the
    number of trials is never exceeded.
    """
    blueprint = make(f"test $HPO_ATTEMPT = 2 || kill -9 $$; {PRINT % 0.5}", budget={"trials": 1})
    study = opened(blueprint)
    study.ask(1, key="a")
    lost = attempt(blueprint, 0).run()
    (other,) = study.ask(1, key="b")
    again = attempt(blueprint, 0, key="try 2").run()
    attempt(blueprint, other.number).run()
    attempt(blueprint, other.number, key="try 2").run()

    assert (lost.failure, again.attempt) == (Failure.INFRASTRUCTURE, 1)
    assert [trial.is_counted for trial in study.record().trials] == [False, True]


def test_cleared_goal_opens_the_study_again(make, opened, attempt):
    """
    The trial that had reached the goal runs again to its end; where it no longer reaches it,
    the study goes on.
    """
    values = f"test $HPO_ATTEMPT = 1 && {PRINT % 0.05} || {PRINT % 0.5}; sleep 3"
    study = opened(make(values, stop=[{"kind": "metric", "metric": "y", "at_most": 0.1}]))
    study.ask(1, key="ask")
    attempt(study.blueprint, 0).run()
    first = evaluate_round(study, [0], lost=lambda _: None).stop
    again = attempt(study.blueprint, 0, key="try 2").run()

    assert first.rule == "metric"
    assert (again.state, again.attempt, again.values) == (TrialState.COMPLETE, 2, (0.5,))
    assert evaluate_round(study, [0], lost=lambda _: None).stop is None
    assert len(study.ask(1, key="more")) == 1


def test_who_takes_over_judges_nothing_twice(make, opened):
    """
    Measurements that were judged when they came are not judged again by a later standard.
    """
    blueprint = make(
        "true",
        pruner={"name": "threshold", "options": {"upper": 1.0}},
        stop=[{"kind": "metric", "metric": "y", "at_most": 0.0}],
    )
    study = opened(blueprint)
    study.ask(1, key="ask")
    trial = study.start(0, key="try 1")
    series = [Measurement({"y": value}, time=float(place)) for place, value in enumerate([9, 0])]

    assert Watch(study, trial, seen=2).measured(series) is None
    assert study.record().stop is None
    watch = Watch(study, trial, seen=2)
    assert watch.measured([*series, Measurement({"y": 2}, time=3.0)]).reason == (
        "pruned at step 3: 2 above the upper bound 1"
    )


def test_a_torrent_of_measurements_costs_little(make, opened):
    """
    Code that measures very often is judged all the same, in bounded time.
    """
    blueprint = make("true", pruner={"name": "median", "options": {"startup_trials": 1}})
    study = opened(blueprint)
    study.ask(2, key="ask")
    study.start(1, key="try 1")
    good = [Measurement({"y": 0.0}, time=1.0)] * 5000
    study.measure(1, good, attempt=1, first=0)
    watch = Watch(study, study.start(0, key="try 1"))
    began = time.process_time()
    verdict = None
    for _ in range(4):
        fresh = [Measurement({"y": 0.0}, time=1.0)] * 1000
        verdict = verdict or watch.measured(fresh)
    assert verdict is None
    assert time.process_time() - began < 20
    bad = [Measurement({"y": 5.0}, time=1.0)] * 3
    watch._trial = study.record().trials[0]
    assert watch.measured(bad).reason.startswith("pruned at step 1: 5 above the median 0 of 1")
