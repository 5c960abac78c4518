"""
Trials of several steps on a real scheduler.
"""

from __future__ import annotations

from airflow_hpo.driver import study_folder
from airflow_hpo.storage import open_storage
from airflow_hpo.study import Study

_DAG = "steps"


def test_each_step_is_a_task_and_is_tried_again_alone(stack, run_dag):
    """
    Files pass from task to task; the step that failed ran twice, those before it once.
    """
    run_id = run_dag(_DAG)

    study = f"{_DAG}-{run_id}"
    trials = Study.load(open_storage(stack.storage_url), study).record().trials
    folder = study_folder(stack.artifacts, study)
    tasks = stack.task_instances(_DAG, run_id)
    tries = {
        (task["task_id"].rpartition(".")[2], task["map_index"]): task["try_number"]
        for task in tasks
        if ".trial." in task["task_id"]
    }
    assert [trial.values for trial in trials] == [(trial.configuration["x"],) for trial in trials]
    assert [trial.attempt for trial in trials] == [1, 2, 1]
    assert tries == {
        **{("prepare", index): 1 for index in range(3)},
        **{("train", index): 1 + (index == 1) for index in range(3)},
    }
    assert (folder / "shared" / "data").read_text() == "data\n"
    prepared = [path.read_text() for path in sorted(folder.glob("trials/*/prepared"))]
    assert prepared == [f"{trial.configuration['x']}\n" for trial in trials]
