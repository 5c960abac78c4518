"""
A study keeps its promises on a real scheduler: stopped, marked and cleared by REST.
"""

from __future__ import annotations

import json
import os
import time

import pytest

from airflow_hpo.storage import open_storage
from airflow_hpo.study import Study

_DAG = "promises"

# Within so many seconds of the measurement that ends a study, all of it is over.
_PROMISE_S = 10


class _Promises:
    """
    The DAG on the shared Airflow, and the studies of its runs.
    """

    def __init__(self, stack):
        self.stack = stack
        self.told = stack.home.parent / "dags" / "blueprints" / "promises.told"

    def folder(self, run_id, number):
        """
        Return the folder of a trial.
        """
        return self.stack.artifacts / f"{_DAG}-{run_id}" / "trials" / f"{number:05d}"

    def plan(self, run_id, number, *steps):
        """
        Write what a trial is to do.
        """
        folder = self.folder(run_id, number)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "plan.json").write_text(json.dumps(steps))

    def start(self, run_id):
        """
        Trigger a run.
        """
        self.stack.wait_for_dag(_DAG)
        self.stack.trigger(_DAG, run_id=run_id)

    def end(self, run_id):
        """
        Wait for the end of a run; returns its state.
        """
        return self.stack.wait(_DAG, run_id, timeout=240, interval=0.5)

    def trials(self, run_id):
        """
        Return the trials of a run's study.
        """
        study = Study.load(open_storage(self.stack.storage_url), f"{_DAG}-{run_id}")
        return study.record(measurements=True).trials

    def states(self, run_id, task_id):
        """
        Return the states of a task's instances by map index.
        """
        tasks = self.stack.task_instances(_DAG, run_id)
        own = [task for task in tasks if task["task_id"] == task_id]
        return [task["state"] for task in sorted(own, key=lambda task: task["map_index"])]

    def mark(self, run_id, index, state):
        """
        Mark a trial's task instance of the first round.
        """
        path = f"/dags/{_DAG}/dagRuns/{run_id}/taskInstances/round_00.trial/{index}"
        self.stack.patch(path, {"new_state": state})

    def clear(self, run_id, *tasks, downstream):
        """
        Clear task instances: what a person does by two clicks.
        """
        body = {
            "dry_run": False,
            "dag_run_id": run_id,
            "task_ids": list(tasks),
            "include_downstream": downstream,
            "only_failed": False,
            "reset_dag_runs": True,
        }
        self.stack.post(f"/dags/{_DAG}/clearTaskInstances", body)

    def until_measured(self, run_id, count):
        """
        Wait until so many trials have measured something.
        """

        def probe():
            try:
                trials = self.trials(run_id)
            except LookupError:
                return None
            return sum(1 for trial in trials if trial.metrics) >= count or None

        self.stack.until(probe, timeout=120, what=f"{count} trials must measure", interval=0.2)

    def is_running(self, run_id, number):
        """
        Return whether a trial's process lives.
        """
        pid = int((self.folder(run_id, number) / "pid").read_text())
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return True


@pytest.fixture(scope="module", name="promises")
def _promises(stack):
    """
    The DAG of this file.
    """
    return _Promises(stack)


@pytest.fixture(scope="module", name="goal")
def _goal(promises):
    """
    A run whose first trial reaches the goal while the second one still runs.
    """
    promises.plan("goal", 0, ["sleep", 8], ["y", 0.05], ["sleep", 300])
    promises.plan("goal", 1, ["y", 0.9], ["sleep", 300])
    promises.start("goal")
    state = promises.end("goal")
    assert state == "success"
    return "goal"


def test_goal_ends_running_siblings(promises, goal):
    """
    Both trials end within ten seconds of the measurement; the sibling is recorded as stopped
    early with what it measured, no further round runs, and the report has the reason.
    """
    first, second = promises.trials(goal)
    reason = "trial 0: y = 0.05 is at most 0.1"

    assert (first.state.value, first.values) == ("complete", (0.05,))
    assert (second.state.value, second.metrics) == ("pruned", {"y": 0.9})
    assert second.reason == f"the study ended: {reason}"
    fired = first.measurements[0].time
    assert max(first.finished, second.finished) - fired < _PROMISE_S
    assert not promises.is_running(goal, 0)
    assert not promises.is_running(goal, 1)
    assert promises.states(goal, "round_00.trial") == ["success", "skipped"]
    for task in ("suggest", "trial", "evaluate"):
        assert set(promises.states(goal, f"round_01.{task}")) == {"skipped"}
    assert promises.stack.xcom(_DAG, goal, "report")["stop"]["reason"] == reason


def test_end_is_told_once(promises, goal):
    """
    The callback of the study's end was called once, though several tasks looked.
    """
    lines = promises.told.read_text().splitlines()

    assert [line for line in lines if line.startswith(f"{_DAG}-{goal}: ")] == [
        f"{_DAG}-{goal}: trial 0: y = 0.05 is at most 0.1"
    ]


def test_cleared_suggest_returns_the_same_trials(promises, goal):
    """
    Nothing is asked twice: the task returns what it returned before.
    """
    before = promises.stack.xcom(_DAG, goal, "round_00.suggest")
    promises.clear(goal, "round_00.suggest", downstream=False)
    assert promises.end(goal) == "success"

    assert promises.stack.xcom(_DAG, goal, "round_00.suggest") == before
    assert len(promises.trials(goal)) == 2


def test_cleared_evaluate_decides_the_same(promises, goal):
    """
    The end of a round that is looked at again is the same.
    """
    before = promises.stack.xcom(_DAG, goal, "round_00.evaluate")
    promises.clear(goal, "round_00.evaluate", downstream=False)
    assert promises.end(goal) == "success"

    assert promises.stack.xcom(_DAG, goal, "round_00.evaluate") == before


def test_cleared_trial_reopens_what_was_skipped(promises, goal):
    """
    A trial that is cleared runs again with the same configuration and supersedes what it told;
    the goal is no longer reached, so the round that was skipped runs.
    """
    before = promises.trials(goal)
    promises.plan(goal, 0, ["y", 0.5])
    promises.clear(goal, ["round_00.trial", 0], downstream=True)
    assert promises.end(goal) == "success"
    after = promises.trials(goal)

    assert (after[0].attempt, after[0].values) == (2, (0.5,))
    assert after[0].configuration == before[0].configuration
    assert after[1] == before[1]
    assert [trial.state.value for trial in after[2:]] == ["complete", "complete"]
    assert promises.states(goal, "round_01.trial") == ["success", "success"]
    assert promises.stack.xcom(_DAG, goal, "report")["stop"]["rule"] == "trials"


def test_marked_trials_end_and_are_set_right(promises):
    """
    A running trial that a person marks is ended, as failed or as success; the study knows, the
    run goes on.
    """
    for number in (0, 1):
        promises.plan("marked", number, ["y", 0.7], ["sleep", 300])
    promises.start("marked")
    promises.until_measured("marked", 2)
    promises.mark("marked", 0, "failed")
    promises.mark("marked", 1, "success")
    began = time.monotonic()
    assert promises.end("marked") == "success"
    took = time.monotonic() - began

    failed, passed, *others = promises.trials("marked")
    assert took < 120
    assert (failed.state.value, failed.failure.value) == ("failed", "infrastructure")
    assert (passed.state.value, passed.values) == ("complete", (0.7,))
    assert passed.reason == "its task was marked as success while it ran"
    assert not promises.is_running("marked", 0)
    assert not promises.is_running("marked", 1)
    assert [trial.state.value for trial in others] == ["complete", "complete"]
    assert promises.states("marked", "round_00.trial") == ["failed", "success"]
