"""
Two runs of one study at once, on a real scheduler.
"""

from __future__ import annotations

from collections import Counter

from airflow_hpo.model.trial import TrialState
from airflow_hpo.storage import open_storage
from airflow_hpo.study import Study

_DAG = "shared"
_TRIALS = 8


def test_two_runs_share_the_trials_of_one_study(stack):
    """
    Both runs end well; between them they have exactly the study's trials, none lost or doubled.
    """
    stack.wait_for_dag(_DAG)
    runs = [stack.trigger(_DAG, run_id=f"shared-{number}") for number in range(2)]

    states = [stack.wait(_DAG, run_id, timeout=300, interval=0.5) for run_id in runs]

    assert states == ["success", "success"]
    trials = Study.load(open_storage(stack.storage_url), "shared").record().trials
    assert [trial.number for trial in trials] == list(range(_TRIALS))
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    assert {trial.attempt for trial in trials} == {1}
    assert all(trial.values == (trial.configuration["x"],) for trial in trials)
    assert set(Counter(trial.configuration["x"] for trial in trials).values()) == {1}
    ran = [
        task["dag_run_id"]
        for run_id in runs
        for task in stack.task_instances(_DAG, run_id)
        if task["task_id"].endswith(".trial") and task["state"] == "success"
    ]
    assert len(ran) == _TRIALS
    assert set(ran) == set(runs)
