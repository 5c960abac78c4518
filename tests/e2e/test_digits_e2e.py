"""
A whole study on a real scheduler: the digits blueprint, with fewer trials.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_hpo.model.objective import best_trial
from airflow_hpo.model.record import StudyRecord
from airflow_hpo.model.trial import TrialState
from airflow_hpo.storage import open_storage
from airflow_hpo.study import Study

_DAG = "digits"
_TRIALS = 6
_BATCH = 3
_SEED = 7
_ROUNDS = ("round_00", "round_01")


@dataclass(frozen=True)
class _Tuned:
    """
    What is left of the run: its tasks, its study, its report.
    """

    run_id: str
    tasks: list[dict[str, Any]]
    study: Study
    record: StudyRecord
    report: Path
    result: dict[str, Any]

    def states(self, task_id: str) -> list[str]:
        """
        Return the states of a task's instances in the order of their map index.
        """
        own = [task for task in self.tasks if task["task_id"] == task_id]
        return [task["state"] for task in sorted(own, key=lambda task: task["map_index"])]


@pytest.fixture(scope="module", name="tuned")
def _tuned(stack, run_dag) -> _Tuned:
    """
    The run of the digits blueprint, once for all tests of this file.
    """
    run_id = run_dag(_DAG, {"trials": _TRIALS, "batch_size": _BATCH, "seed": _SEED})
    study = Study.load(open_storage(stack.storage_url), f"digits-{run_id}")
    return _Tuned(
        run_id=run_id,
        tasks=stack.task_instances(_DAG, run_id),
        study=study,
        record=study.record(measurements=True),
        report=Path(stack.xcom(_DAG, run_id, "report", key="report")),
        result=stack.xcom(_DAG, run_id, "report"),
    )


def test_every_task_of_a_round_ran(tuned):
    """
    In the rounds that were wanted every task succeeded, each trial in an instance of its own.
    """
    for group in _ROUNDS:
        assert tuned.states(f"{group}.suggest") == ["success"]
        assert tuned.states(f"{group}.trial") == ["success"] * _BATCH
        assert tuned.states(f"{group}.evaluate") == ["success"]
    assert tuned.states("report") == ["success"]


def test_rounds_beyond_the_trials_were_skipped(tuned):
    """
    What the trigger form took away did not run: no other task did anything but be skipped.
    """
    ran = [f"{group}.{name}" for group in _ROUNDS for name in ("suggest", "trial", "evaluate")]
    others = [task for task in tuned.tasks if task["task_id"] not in {*ran, "report"}]

    assert {task["state"] for task in others} <= {"skipped"}


def test_trials_are_named_in_the_grid(tuned):
    """
    A trial's instance shows its number and parameters in place of a map index.
    """
    names = {task["rendered_map_index"] for task in tuned.tasks if task["map_index"] >= 0}

    assert len(names) == _TRIALS
    assert all(name.startswith("#") and "=" in name for name in names)


def test_journal_holds_every_trial(tuned):
    """
    Every trial is complete after one attempt, with its values, metrics and times.
    """
    trials = tuned.record.trials

    assert [trial.number for trial in trials] == list(range(_TRIALS))
    for trial in trials:
        assert trial.state is TrialState.COMPLETE
        assert trial.attempt == 1
        assert 0.1 < trial.values[0] <= 1
        assert trial.measurements
        assert trial.created <= trial.started <= trial.finished
        assert tuned.study.blueprint.space.by_name.keys() >= trial.configuration.keys()
    assert Counter(trial.key for trial in trials) == {
        f"{_DAG}/{tuned.run_id}/{group}.suggest": _BATCH for group in _ROUNDS
    }


def test_settings_of_the_form_reached_the_study(tuned):
    """
    Trials, batch size and seed that were typed into the form are the study's.
    """
    assert tuned.record.seed == _SEED
    assert tuned.study.blueprint.budget.trials == _TRIALS
    assert tuned.study.blueprint.execution.batch_size == _BATCH


def test_configurations_differ(tuned):
    """
    No configuration was tried twice.
    """
    tried = {json.dumps(trial.configuration, sort_keys=True) for trial in tuned.record.trials}

    assert len(tried) == _TRIALS


def test_result_is_the_best_trial(stack, tuned):
    """
    The DAG's result names the journal's best trial, its value and its parameters.
    """
    best = best_trial(tuned.study.blueprint.objectives, tuned.record.trials)
    metric = tuned.study.blueprint.objectives[0].metric

    assert tuned.result["best"]["number"] == best.number
    assert tuned.result["best"]["values"] == {metric: best.values[0]}
    assert tuned.result["best"]["parameters"] == best.configuration
    assert tuned.result["states"] == {"complete": _TRIALS}
    assert stack.result(_DAG, tuned.run_id) == tuned.result


def test_report_files(tuned):
    """
    The report has the summary for programs and for people, and a row for every trial.
    """
    best = tuned.result["best"]
    rows = list(csv.DictReader((tuned.report / "trials.csv").read_text("utf-8").splitlines()))

    assert json.loads((tuned.report / "summary.json").read_text("utf-8")) == tuned.result
    assert f"Best: trial {best['number']}" in (tuned.report / "summary.md").read_text("utf-8")
    assert [int(row["number"]) for row in rows] == list(range(_TRIALS))
    assert len(json.loads((tuned.report / "trials.json").read_text("utf-8"))) == _TRIALS


def test_training_output_is_in_the_log(stack, tuned):
    """
    What the training code printed stands in the log of its task.
    """
    task = next(task for task in tuned.tasks if task["map_index"] == 0)
    metric = tuned.study.blueprint.objectives[0].metric

    assert any(metric in line for line in stack.log(task))


def test_best_of_each_round_never_gets_worse(stack, tuned):
    """
    Each evaluate returns the best so far, which later rounds only improve.
    """
    loss = tuned.study.blueprint.objectives[0].loss
    answers = [stack.xcom(_DAG, tuned.run_id, f"{group}.evaluate") for group in _ROUNDS]
    losses = [loss(next(iter(answer["best"]["values"].values()))) for answer in answers]

    assert losses == sorted(losses, reverse=True)
    assert [answer["states"] for answer in answers] == [{"complete": _BATCH}] * len(_ROUNDS)


def test_clearing_a_trial_makes_a_new_attempt(stack, tuned):
    """
    A cleared trial runs again: a second attempt, the same configuration, no further trial.
    """
    body = {
        "dry_run": False,
        "task_ids": [["round_00.trial", 0]],
        "dag_run_id": tuned.run_id,
        "only_failed": False,
        "include_downstream": False,
    }
    stack.post(f"/dags/{_DAG}/clearTaskInstances", body)

    assert stack.wait(_DAG, tuned.run_id, timeout=300) == "success"
    after = tuned.study.record().trials
    assert [trial.attempt for trial in after] == [2] + [1] * (_TRIALS - 1)
    assert after[0].configuration == tuned.record.trials[0].configuration
    assert after[0].state is TrialState.COMPLETE
