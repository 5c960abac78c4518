"""
Whole runs of tiny blueprints, through Airflow's own ``dag.test``.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest

pytest.importorskip("airflow")

from airflow_hpo.operators.links import ReportLink
from airflow_hpo.storage import open_storage
from airflow_hpo.study import Study


def run(dag, **options):
    """
    Run *dag* and return the run's state, its tasks' and what they returned.
    """
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    done = dag.test(**options)
    for name in ("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "_AIRFLOW_PARSING_CONTEXT_TASK_ID"):
        os.environ.pop(name, None)  # Airflow 3.1 leaves it set
    query = select(XComModel).where(XComModel.dag_id == dag.dag_id, XComModel.run_id == done.run_id)
    with create_session() as session:
        values = {
            (row.task_id, row.map_index, row.key): row.value for row in session.scalars(query)
        }
    tasks = done.get_task_instances()
    return SimpleNamespace(
        state=str(done.state),
        id=done.run_id,
        tasks={(task.task_id, task.map_index): str(task.state) for task in tasks},
        labels={(task.task_id, task.map_index): task.rendered_map_index for task in tasks},
        returned={
            key[0]: value for key, value in values.items() if key[1:] == (-1, "return_value")
        },
        values=values,
    )


def states(done, suffix):
    """
    Count the states of the tasks whose name ends so.
    """
    return Counter(state for (name, _), state in done.tasks.items() if name.endswith(suffix))


def study_of(done, name):
    """
    Return the study's record.
    """
    study = f"{name}-{done.id}" if f"-{done.id}" not in name else name
    return Study.load(open_storage(), study).record()


def test_a_run_completes_its_trials(load, document):
    """
    All rounds run, every trial is a task of its own, and the report tells it.
    """
    done = run(load(document("complete")))

    assert done.state == "success"
    assert states(done, ".trial") == {"success": 5}
    record = study_of(done, "complete")
    assert [trial.state.value for trial in record.trials] == ["complete"] * 5
    assert record.stop.rule == "trials"
    best = max(record.trials, key=lambda trial: trial.values)
    summary = done.returned["report"]
    assert summary["best"]["number"] == best.number
    assert summary["best"]["values"] == {"y": best.configuration["x"]}
    assert done.returned["round_02.evaluate"]["stop"]["rule"] == "trials"
    x = f"{record.trials[0].configuration['x']:.4g}"
    assert done.labels["round_00.trial", 0] == f"#0 x={x}"
    folder = Path(done.values["report", -1, "report"])
    assert json.loads((folder / "summary.json").read_text()) == summary
    assert len((folder / "trials.csv").read_text().splitlines()) == 6
    assert done.values["report", -1, "summary"] == (folder / "summary.md").read_text()
    assert f"Best: trial {best.number}" in (folder / "report.html").read_text("utf-8")


def linked_report(done):
    """
    Return the study that the report task's button leads to.
    """
    link = urlsplit(done.values["report", -1, ReportLink().xcom_key])
    assert (link.scheme, link.netloc, link.path) == ("", "", "/hpo/report.html")
    return parse_qs(link.query)["study"]


def test_a_trial_that_fails_does_not_end_the_run(load, document):
    """
    A crash fails its own task at once; the others go on and the run succeeds.
    """
    command = """test "$HPO_TRIAL" != 1 && printf '{{"y": %s}}\\n' {x}"""

    done = run(load(document("crash", trial={"command": command})))

    assert done.state == "success"
    assert states(done, ".trial") == {"success": 4, "failed": 1}
    assert done.tasks["round_00.trial", 1] == "failed"
    assert done.returned["round_00.evaluate"]["states"] == {"complete": 1, "failed": 1}


def test_a_failed_trial_may_fail_the_run_in_the_end(load, document):
    """
    With ``continue_then_fail`` all trials run, the report is written, and then the run fails.
    """
    command = """test "$HPO_TRIAL" != 1 && printf '{{"y": %s}}\\n' {x}"""
    trial = {"command": command, "on_failure": "continue_then_fail"}

    done = run(load(document("then_fail", trial=trial)))

    assert done.state == "failed"
    assert states(done, ".trial") == {"success": 4, "failed": 1}
    assert done.tasks["report", -1] == "failed"
    assert done.returned["report"]["states"] == {"complete": 4, "failed": 1}
    folder = Path(done.values["report", -1, "report"])
    assert "1 failed" in (folder / "report.html").read_text("utf-8")
    assert linked_report(done) == [study_of(done, "then_fail").name]


def test_the_first_failure_may_end_it_all(load, document):
    """
    With ``stop`` nothing starts after a failed trial; the report comes, and then the run fails.
    """
    done = run(load(document("at_once", trial={"command": "exit 3 {x}", "on_failure": "stop"})))

    assert done.state == "failed"
    assert states(done, ".trial") == {"failed": 1, "skipped": 3}
    assert done.tasks["report", -1] == "failed"
    assert done.returned["report"]["stop"]["rule"] == "on_failure"


def test_the_same_bug_again_and_again_ends_it(load, document):
    """
    Trials that all fail in the same way end the study, with the error as its reason; the run
    itself did what it was told to.
    """
    budget = {"trials": 5, "identical_failures": 2}

    done = run(load(document("a_bug", trial={"command": "python -c 1/0 {x}"}, budget=budget)))

    assert done.state == "success"
    assert states(done, ".trial") == {"failed": 2, "skipped": 2}
    reason = done.returned["report"]["stop"]["reason"]
    assert reason == (
        "2 trials failed in the same way (trials 0, 1): ZeroDivisionError: division by zero"
    )


def test_a_goal_that_is_reached_skips_the_rest(load, document):
    """
    No further trial starts, the remaining rounds are skipped, and the report has the reason.
    """
    done = run(load(document("early", stop=[{"metric": "y", "at_least": 0}])))

    assert done.state == "success"
    assert states(done, ".trial") == {"success": 1, "skipped": 3}
    assert states(done, ".suggest") == {"success": 1, "skipped": 2}
    assert states(done, ".evaluate") == {"success": 1, "skipped": 2}
    assert "at least 0" in study_of(done, "early").stop.reason
    assert done.returned["round_00.evaluate"]["stop"]["rule"] == "metric"
    assert done.returned["report"]["stop"]["rule"] == "metric"


def test_a_trial_without_its_metric_is_not_tried_again(load, document):
    """
    It is infeasible: its task fails without a retry, and names the metrics seen.
    """
    trial = {"command": """printf '{{"z": %s}}\\n' {x}""", "retries": {"code": 3}}

    done = run(load(document("no_metric", trial=trial, budget={"trials": 1})))

    assert done.tasks["round_00.trial", 0] == "failed"
    (trial,) = study_of(done, "no_metric").trials
    assert (trial.state.value, trial.attempt) == ("infeasible", 1)
    assert "z" in trial.reason


def test_a_crash_is_tried_again_as_often_as_allowed(load, document):
    """
    The second attempt of the same trial may complete it.
    """
    command = """test "$HPO_ATTEMPT" = 2 && printf '{{"y": %s}}\\n' {x}"""
    trial = {"command": command, "retries": {"infrastructure": 0, "code": 1}}
    dag = load(document("again", trial=trial, budget={"trials": 1}))
    for options in (dag.get_task("round_00.trial").partial_kwargs, dag.default_args):
        options["retry_delay"] = timedelta(0)

    done = run(dag)

    assert done.tasks["round_00.trial", 0] == "success"
    (trial,) = study_of(done, "again").trials
    assert (trial.state.value, trial.attempt) == ("complete", 2)


def test_clearing_a_run_runs_its_trials_again(load, document):
    """
    Suggest tasks that run again return the trials that they returned before.
    """
    dag = load(document("cleared", study="cleared"))
    moment = {"logical_date": datetime(2026, 1, 1, tzinfo=timezone.utc)}
    moment["run_after"] = moment["logical_date"]

    first, second = run(dag, **moment), run(dag, **moment)

    assert first.id == second.id
    suggested = [key for key in first.returned if key.endswith("suggest")]
    assert [first.returned[key] for key in suggested] == [second.returned[key] for key in suggested]
    record = Study.load(open_storage(), "cleared").record()
    assert [trial.number for trial in record.trials] == [0, 1, 2, 3, 4]
    assert [trial.attempt for trial in record.trials] == [2, 2, 2, 2, 2]
    assert second.state == "success"


def test_a_spent_study_ends_at_once(load, document):
    """
    Another run of a fixed study that has spent its budget runs no trial, and says why.
    """
    dag = load(document("spent", study="spent"))
    run(dag)

    again = run(dag)

    assert again.state == "success"
    assert again.returned["round_00.suggest"] == []
    assert states(again, ".trial") == {"skipped": 3}
    assert again.returned["round_00.evaluate"]["stop"]["rule"] == "trials"
    assert len(Study.load(open_storage(), "spent").record().trials) == 5


def test_the_form_changes_a_run(load, document):
    """
    Trials, batch size, seed and the study's name of one run are what a person chose.
    """
    conf = {"trials": 3, "batch_size": 3, "seed": 11, "study": "chosen"}

    done = run(load(document("form")), run_conf=conf)

    assert done.state == "success"
    record = Study.load(open_storage(), "chosen").record()
    assert (len(record.trials), record.seed) == (3, 11)
    assert states(done, ".suggest") == {"success": 1, "skipped": 2}


def test_settings_without_room_are_refused_before_anything_runs(load, document):
    """
    More trials than the rounds hold fail the first task, with what to choose instead.
    """
    done = run(
        load(document("no_room")), run_conf={"trials": 5, "batch_size": 1, "study": "no_room"}
    )

    assert done.state == "failed"
    assert done.tasks["round_00.suggest", -1] == "failed"
    assert done.tasks["report", -1] == "failed"
    assert states(done, ".trial")["success"] == 0
    assert states(done, ".suggest") == {"failed": 1, "skipped": 2}
    assert "no_room" not in [each.name for each in open_storage().studies()]


def test_a_small_space_ends_the_study_early(load, document):
    """
    Where there are fewer configurations than trials, each runs once.
    """
    parts = {"space": {"x": {"choice": [1, 2, 3]}}, "strategy": {"name": "grid"}}

    done = run(load(document("small", budget={"trials": 9}, **parts)))

    assert done.state == "success"
    record = study_of(done, "small")
    assert sorted(trial.configuration["x"] for trial in record.trials) == [1, 2, 3]
    assert record.stop is not None


_SILENT = """
from airflow.sdk import DAG, BaseOperator
from airflow_hpo.operators import EvaluateOperator, ReportOperator, SuggestOperator

BLUEPRINT = {blueprint!r}


class Silent(BaseOperator):
    def __init__(self, *, trial, **kwargs):
        super().__init__(**kwargs)
        self.trial = trial

    def execute(self, context):
        if self.trial["number"] == 1:
            raise RuntimeError("died")


with DAG("silent", schedule=None) as dag:
    shared = {{"blueprint": BLUEPRINT, "study": "silent"}}
    suggest = SuggestOperator(task_id="suggest", **shared)
    trials = Silent.partial(task_id="trial").expand(trial=suggest.output)
    evaluate = EvaluateOperator(
        task_id="evaluate", suggest_task_id="suggest", trial_task_id="trial", **shared
    )
    suggest >> trials >> evaluate >> ReportOperator(task_id="report", **shared)
"""


def test_trials_that_never_told_are_set_right(dags_folder, dag_bag, document):
    """
    Evaluate tells a trial as failed if its task ended and told nothing; it costs no budget.
    """
    from airflow_hpo.blueprint import parse_blueprints

    (blueprint,) = parse_blueprints(document("silent"), file="silent.yaml")
    text = _SILENT.format(blueprint=blueprint.model_dump(mode="json"))
    (dags_folder / "silent.py").write_text(text)

    done = run(dag_bag(dags_folder / "silent.py").dags["silent"])

    assert done.returned["evaluate"]["states"] == {"failed": 2}
    record = Study.load(open_storage(), "silent").record()
    assert [trial.failure.value for trial in record.trials] == ["infrastructure"] * 2
    reasons = [trial.reason for trial in record.trials]
    assert ["success" in reasons[0], "failed" in reasons[1]] == [True, True]
    assert done.returned["report"]["trials"] == 2


_RUN = """
import sys
from airflow_hpo.factory import discover
try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:
    from airflow.models.dagbag import DagBag
DagBag(sys.argv[1]).dags[sys.argv[2]].test()
"""


def test_a_task_that_is_stopped_ends_its_job(load, document, dags_folder, tmp_path):
    """
    SIGTERM, which Airflow sends, ends what the trial started, and the study knows.
    """
    mark = tmp_path / "pid"
    command = f"echo $$ > {mark}; exec sleep 600 {{x}}"
    trial = {"command": command, "retries": {"infrastructure": 0}}
    load(document("stopped", study="stopped", trial=trial, budget={"trials": 1}))
    runner = subprocess.Popen(
        [sys.executable, "-c", _RUN, str(dags_folder / "hpo.py"), "stopped"],
        env=dict(os.environ),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while not (mark.exists() and mark.read_text().strip()) and time.monotonic() < deadline:
            assert runner.poll() is None
            time.sleep(0.05)
        runner.send_signal(signal.SIGTERM)
        runner.wait(60)
    finally:
        runner.kill()

    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)
    (trial,) = Study.load(open_storage(), "stopped").record().trials
    assert (trial.state.value, trial.failure.value) == ("failed", "infrastructure")
    assert "stopped" in trial.reason
