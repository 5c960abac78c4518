"""
Trials that leave their worker slot, on a real scheduler and a triggerer that is killed.
"""

from __future__ import annotations

import os
import signal
import time

import pytest

from airflow_hpo.storage import open_storage
from airflow_hpo.study import Study

_DAG = "deferred"
_SLOW = "deferred_slowly"
_TRIAL = "round_00.trial"

# Within so many seconds of the measurement that ends a study, all of it is over.
_PROMISE_S = 10


class _Run:
    """
    One run of a DAG, whose trials do what they are told.
    """

    def __init__(self, stack, dag_id, task_id):
        self.stack = stack
        self.dag_id = dag_id
        self.task_id = task_id
        self.id = f"{dag_id}-run"
        stack.wait_for_dag(dag_id)
        stack.trigger(dag_id, run_id=self.id)

    def folder(self, number):
        """
        Return the folder of a trial.
        """
        study = f"{self.dag_id}-{self.id}"
        return self.stack.artifacts / study / "trials" / f"{number:05d}"

    def order(self, number, *lines):
        """
        Have a trial print these lines.
        """
        with (self.folder(number) / "orders").open("a") as file:
            file.write("".join(f"{line}\n" for line in lines))

    def trials(self):
        """
        Return the study's trials; none before there is a study.
        """
        try:
            study = Study.load(open_storage(self.stack.storage_url), f"{self.dag_id}-{self.id}")
        except LookupError:
            return ()
        return study.record(measurements=True).trials

    def instances(self):
        """
        Return the trials' task instances, by map index.
        """
        found = self.stack.task_instances(self.dag_id, self.id)
        own = [each for each in found if each["task_id"] == self.task_id]
        return sorted(own, key=lambda each: each["map_index"])

    def states(self):
        """
        Return the states of the trials' task instances.
        """
        return [each["state"] for each in self.instances()]

    def until(self, condition, what):
        """
        Wait for something.
        """
        self.stack.until(lambda: condition() or None, timeout=150, what=what, interval=0.3)

    def is_running(self, number):
        """
        Return whether a trial's process lives.
        """
        try:
            os.kill(int((self.folder(number) / "pid").read_text()), 0)
        except ProcessLookupError:
            return False
        return True

    def starts(self, number):
        """
        Return how many processes a trial had.
        """
        return len((self.folder(number) / "starts").read_text().splitlines())

    def end(self):
        """
        Wait for the run's end; returns its state.
        """
        return self.stack.wait(self.dag_id, self.id, timeout=240, interval=0.5)


@pytest.fixture(scope="module", name="run")
def _run(stack):
    """
    The run at its end, and what was seen on the way.
    """
    run = _Run(stack, _DAG, _TRIAL)
    run.until(lambda: run.states() == ["deferred"] * 5, "all trials must be deferred")
    run.until(lambda: all(each.metrics for each in run.trials()), "all trials must measure")
    run.order(1, "before the kill")
    time.sleep(3)
    stack.kill("triggerer", descendants=True)
    for number in range(5):
        run.order(number, "while it is dead", f'{{"y": {0.5 + number / 10}}}')
    stack.start_component("triggerer")
    run.until(
        lambda: [len(each.measurements) for each in run.trials()] == [2] * 5,
        "the next triggerer must go on",
    )
    path = f"/dags/{_DAG}/dagRuns/{run.id}/taskInstances/{_TRIAL}/4"
    stack.patch(path, {"new_state": "failed"})
    run.until(lambda: not run.is_running(4), "a marked trial's job must be gone")
    run.order(1, "after the kill", "end")
    run.until(lambda: run.states()[1] == "success", "a trial must come back")
    run.order(0, '{"y": 0.05}')
    assert run.end() == "success"
    return run


class TestDeferred:
    """
    Five trials on two worker slots; the triggerer is killed while they run.
    """

    def test_trials_are_measured_over_the_kill(self, run):
        """
        What was printed while no triggerer lived is on record, once.
        """
        measured = [[each.metrics["y"] for each in trial.measurements] for trial in run.trials()]

        assert measured == [[0.9, 0.5, 0.05], [0.9, 0.6], [0.9, 0.7], [0.9, 0.8], [0.9, 0.9]]

    def test_goal_ends_deferred_siblings(self, run):
        """
        They end within ten seconds of the measurement, with what they measured last.
        """
        trials = run.trials()
        fired = trials[0].measurements[-1].time

        assert [each.state.value for each in trials] == [
            "complete",
            "complete",
            "pruned",
            "pruned",
            "failed",
        ]
        assert [each.values for each in trials[:2]] == [(0.05,), (0.6,)]
        assert max(trials[number].finished for number in (0, 2, 3)) - fired < _PROMISE_S
        assert run.states() == ["success", "success", "skipped", "skipped", "failed"]
        assert not any(run.is_running(number) for number in range(5))

    def test_marked_trial_is_told(self, run):
        """
        The journal knows that its task was stopped, and what it had measured.
        """
        marked = run.trials()[4]

        assert (marked.failure.value, marked.metrics) == ("infrastructure", {"y": 0.9})
        assert marked.reason == "the task was stopped"

    def test_each_job_ran_once(self, run):
        """
        Nobody started a second one.
        """
        assert [run.starts(number) for number in range(5)] == [1] * 5
        assert [each.attempt for each in run.trials()] == [1] * 5

    def test_log_has_every_line_once(self, run):
        """
        Lines that either triggerer read are in the task's log.
        """
        log = run.stack.log(run.instances()[1])
        wanted = ['{"y": 0.9}', "before the kill", "while it is dead", "after the kill"]

        assert [sum(text in line for line in log) for text in wanted] == [1] * 4


def test_killed_worker_s_job_is_gone_on_with(stack):
    """
    A task that is killed between handing its job in and leaving comes back to the same job.
    """
    run = _Run(stack, _SLOW, "trial")
    run.until((run.folder(0) / "starts").exists, "the job must start")
    (instance,) = run.instances()
    os.kill(instance["pid"], signal.SIGKILL)
    run.until(lambda: run.states() == ["deferred"], "its next try must leave")
    run.order(0, "end")
    assert run.end() == "success"

    (trial,) = run.trials()
    assert (trial.state.value, trial.values, trial.attempt) == ("complete", (0.9,), 1)
    assert run.starts(0) == 1
