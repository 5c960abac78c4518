"""
The worked examples run as they are, on a real scheduler.
"""

from __future__ import annotations

import time

import pytest

from airflow_hpo.storage import open_storage
from airflow_hpo.study import Study


def _study(stack, name):
    return Study.load(open_storage(stack.storage_url), name).record()


def test_the_pipeline(stack, run_dag):
    """
    Both searches run, the better one is chosen, and its function runs once more as a task.
    """
    pytest.importorskip("sklearn")

    run_id = run_dag("example_pipeline")

    studies = [_study(stack, f"example_pipeline.{name}-{run_id}") for name in ("linear", "forest")]
    best = max(trial.values[0] for study in studies for trial in study.trials if trial.is_complete)
    assert [len(study.trials) for study in studies] == [4, 4]
    assert stack.xcom("example_pipeline", run_id, "choose")["value"] == best > 0.8
    assert 0.5 < stack.xcom("example_pipeline", run_id, "train_again") <= 1


def test_the_scheduled_one(stack, run_dag):
    """
    The data is made first; a later run finds the champion of an earlier one, which holds.
    """
    dag_id = "example_scheduled"
    runs = [run_dag(dag_id), run_dag(dag_id)]

    studies = [_study(stack, f"{dag_id}.nightly-{run_id}") for run_id in runs]
    assert {len(study.trials) for study in studies} <= {1, 4}
    assert len(studies[1].trials) == 1
    assert studies[1].stop.rule == "champion"
    assert "error is" in studies[1].stop.reason


def test_the_triggered_one(stack):
    """
    It takes the form's settings, waits for a person, and what that person approves is deployed.
    """
    dag_id, task = "example_triggered", "example.approve"
    stack.wait_for_dag(dag_id)
    stack.wait_for_dag("example_deploy")
    stack.patch("/dags/example_deploy", {"is_paused": False})
    run_id = stack.trigger(dag_id, {"trials": 3, "seed": 5})

    def asked():
        found = stack.get(f"/dags/{dag_id}/dagRuns/{run_id}/hitlDetails")["hitl_details"]
        return found[0] if found else None

    question = stack.until(asked, timeout=180, what="a person must be asked")
    study = _study(stack, f"example_triggered.example-{run_id}")
    best = min(study.trials, key=lambda trial: trial.values)
    assert (len(study.trials), study.seed) == (3, 5)
    assert question["subject"] == f"Promote trial {best.number} of {study.name}?"
    assert f"Best: trial {best.number}" in question["body"]

    path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task}/-1/hitlDetails"

    def answer(_run):
        found = stack.get(path)
        if not found["response_received"]:
            stack.patch(path, {"chosen_options": ["Approve"], "params_input": {}})

    # Airflow takes a task for lost, and asks again, that is answered before its worker has
    # ended: nobody is as quick as that.
    time.sleep(5)
    assert stack.wait(dag_id, run_id, timeout=180, on_tick=answer, interval=5) == "success"
    assert stack.xcom(dag_id, run_id, "example.champion")["approved_by"]

    def deployed():
        runs = stack.get("/dags/example_deploy/dagRuns", limit=5)["dag_runs"]
        return next((run for run in runs if run["state"] == "success"), None)

    run = stack.until(deployed, timeout=120, what="the champion must be deployed")
    assert stack.xcom("example_deploy", run["dag_run_id"], "deploy") == best.configuration
