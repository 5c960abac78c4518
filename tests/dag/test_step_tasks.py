"""
Trials of several steps: a task each, on one attempt, with files in one workspace.
"""

from __future__ import annotations

import os
from collections import Counter
from datetime import timedelta

import pytest

pytest.importorskip("airflow")

from airflow_hpo.blueprint import parse_blueprints
from airflow_hpo.driver import StepRun, TrialRun, default_artifacts, open_key, study_folder
from airflow_hpo.factory import build_dag
from airflow_hpo.operators.step import OnceOperator
from airflow_hpo.storage import open_storage
from airflow_hpo.study import Study
from airflow_hpo.testing.runners import until

STEPS = [
    {
        "name": "load",
        "command": 'echo loaded >> "$HPO_SHARED_DIR/data"',
        "once": True,
        "queue": "cpu",
    },
    {"name": "prepare", "command": 'echo {x} >> "$HPO_OUTPUT_DIR/prepared"'},
    {
        "name": "train",
        "command": 'tail -n 1 "$HPO_OUTPUT_DIR/prepared" > "$HPO_OUTPUT_DIR/trained"',
        "queue": "gpu",
        "retries": {"code": 1},
    },
    {
        "name": "score",
        "command": """printf '{{"y": %s}}\\n' "$(cat "$HPO_OUTPUT_DIR/trained")" """,
        "pool": "small",
    },
]


@pytest.fixture(name="load")
def _load(load):
    """
    Returns a blueprint's DAG whose tasks do not wait before they are tried again.
    """

    def load_eager(text):
        dag = load(text)
        for task in dag.tasks:
            options = task.partial_kwargs if task.is_mapped else vars(task)
            options["retry_delay"] = timedelta(0)
        return dag

    return load_eager


def run(dag):
    """
    Run *dag*; return its state, the states of its tasks by name, and the study's record.
    """
    done = dag.test()
    for name in ("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "_AIRFLOW_PARSING_CONTEXT_TASK_ID"):
        os.environ.pop(name, None)  # Airflow 3.1 leaves it set
    tasks = {(ti.task_id, ti.map_index): str(ti.state) for ti in done.get_task_instances()}
    study = Study.load(open_storage(), f"{dag.dag_id}-{done.run_id}")
    return str(done.state), tasks, study


def steps_with(**commands):
    """
    Return the steps, some with other commands.
    """
    return [{**step, "command": commands.get(step["name"], step["command"])} for step in STEPS]


def test_each_step_has_a_task_and_a_place_of_its_own(document):
    """
    A mapped group with a task a step, each where its step says, tried again as often as that says.
    """
    (blueprint,) = parse_blueprints(document("placed", trial={"steps": STEPS}))

    dag = build_dag(blueprint)

    tasks = {task.task_id: task for task in dag.tasks if task.task_id.startswith("round_00.trial")}
    assert list(tasks) == [f"round_00.trial.{name}" for name in ("prepare", "train", "score")]
    assert [task.queue for task in tasks.values()] == ["default", "gpu", "default"]
    assert [task.pool for task in tasks.values()] == ["default_pool", "default_pool", "small"]
    assert [task.retries for task in tasks.values()] == [2, 3, 2]
    assert tasks["round_00.trial.train"].upstream_task_ids == {
        "round_00.suggest",
        "round_00.trial.prepare",
    }
    assert dag.get_task("round_00.evaluate").trial_task_id == "round_00.trial.score"
    assert dag.get_task("round_00.evaluate").upstream_task_ids == {"round_00.trial.score"}
    once = [task for task in dag.tasks if isinstance(task, OnceOperator)]
    assert [task.task_id for task in once] == ["round_00.once_load"]
    assert once[0].queue == "cpu"
    assert once[0].upstream_task_ids == {"round_00.suggest"}
    assert once[0].downstream_task_ids == {"round_00.trial.prepare"}


def test_rungs_place_every_step(document):
    """
    On a ladder what a rung says holds for all steps of its trials.
    """
    text = document(
        "rungs",
        strategy="hyperband",
        budget={"trials": 22},
        execution={},
        resource={"name": "e", "min": 1, "max": 9, "rungs": [{"at_least": 9, "queue": "big"}]},
        trial={"steps": STEPS},
    )
    (blueprint,) = parse_blueprints(text)

    dag = build_dag(blueprint)

    queues = {task.task_id: task.queue for task in dag.tasks}
    assert queues["bracket_2.rung_0.trial.prepare"] == "default"
    assert queues["bracket_2.rung_0.trial.train"] == "gpu"
    assert queues["bracket_2.rung_2.trial.prepare"] == "big"
    assert queues["bracket_2.rung_2.trial.train"] == "big"


def test_steps_hand_over_files_and_run_once_where_that_is_said(load, document):
    """
    A trial's value comes by the files of three tasks; the step for all ran once in the study.
    """
    steps = [{key: step[key] for key in step if key not in {"pool", "queue"}} for step in STEPS]

    state, tasks, study = run(load(document("handed", trial={"steps": steps})))

    record = study.record()
    assert state == "success"
    assert Counter(name.rpartition(".")[2] for name, _ in tasks) >= Counter(
        {"prepare": 5, "train": 5, "score": 5}
    )
    assert set(tasks.values()) == {"success"}
    assert [trial.values for trial in record.trials] == [
        (trial.configuration["x"],) for trial in record.trials
    ]
    assert {trial.attempt for trial in record.trials} == {1}
    assert tasks["round_00.once_load", -1] == "success"
    (data,) = study_folder(default_artifacts(), study.name).glob("shared/data")
    assert data.read_text() == "loaded\n"


def test_a_step_is_tried_again_without_those_before_it(load, document, tmp_path):
    """
    A step that fails once runs again in a new attempt, and what was prepared is not done again.
    """
    copy = 'cp "$HPO_OUTPUT_DIR/prepared" "$HPO_OUTPUT_DIR/trained"'
    tried = f'echo "$HPO_TRIAL $HPO_ATTEMPT" >> {tmp_path}/tries'
    train = f'{tried}; test "$HPO_ATTEMPT" -gt 1 && {copy}'
    prepare = f'echo {{x}} >> {tmp_path}/prepared; echo {{x}} > "$HPO_OUTPUT_DIR/prepared"'
    steps = steps_with(prepare=prepare, train=train)
    text = document("again", budget={"trials": 2}, trial={"steps": steps})

    state, _, study = run(load(text))

    record = study.record()
    assert state == "success"
    assert [trial.state.value for trial in record.trials] == ["complete"] * 2
    assert [trial.attempt for trial in record.trials] == [2, 2]
    assert [trial.values for trial in record.trials] == [
        (trial.configuration["x"],) for trial in record.trials
    ]
    assert len((tmp_path / "prepared").read_text().splitlines()) == 2
    tries = (tmp_path / "tries").read_text().splitlines()
    assert sorted(tries) == ["0 1", "0 2", "1 1", "1 2"]


def test_a_step_that_fails_for_good_ends_its_trial_alone(load, document):
    """
    The steps behind it do not run, the round is evaluated, and other trials complete.
    """
    steps = steps_with(prepare='test "$HPO_TRIAL" != 1 && echo {x} > "$HPO_OUTPUT_DIR/prepared"')
    text = document(
        "failing",
        budget={"trials": 2},
        trial={"steps": steps, "retries": {"infrastructure": 0}},
    )

    state, tasks, study = run(load(text))

    record = study.record()
    assert state == "success"
    assert [trial.state.value for trial in record.trials] == ["complete", "failed"]
    assert tasks["round_00.trial.prepare", 1] == "failed"
    assert tasks["round_00.trial.train", 1] == "upstream_failed"
    assert tasks["round_00.trial.score", 1] == "upstream_failed"
    assert tasks["round_00.trial.score", 0] == "success"


def test_one_step_behind_one_that_runs_once(load, document):
    """
    The trials' task keeps its name, and goes on with the attempt that the first task began.
    """
    train = """printf '{{"y": %s}}\\n' {x}"""
    steps = [STEPS[0], {"name": "train", "command": train}]

    state, tasks, study = run(load(document("two", trial={"steps": steps})))

    trials = study.record().trials
    assert state == "success"
    assert tasks["round_00.once_load", -1] == tasks["round_00.trial", 1] == "success"
    assert [trial.state.value for trial in trials] == ["complete"] * 5
    assert {trial.attempt for trial in trials} == {1}


def test_nothing_runs_behind_a_step_for_all_that_fails(load, document):
    """
    The trials that wait for it are failed, not lost, and the study's report says so.
    """
    steps = [{**STEPS[0], "command": "exit 3"}, {"name": "train", "command": "true {x}"}]
    text = document(
        "broken",
        budget={"trials": 2},
        trial={"steps": steps, "retries": {"infrastructure": 0}},
    )

    _, tasks, study = run(load(text))

    assert tasks["round_00.once_load", -1] == "failed"
    assert {trial.state.value for trial in study.record().trials} == {"failed"}
    assert study.record().trials[0].exit_code == 3


class TestAttempts:
    """
    One attempt in several hands.
    """

    @pytest.fixture(name="study")
    def _study(self, document, tmp_path):
        """
        A study with one trial, whose steps measure on the way.
        """
        steps = [
            {"name": "a", "command": """printf '{"y": 1}\\n'; echo a >> "$HPO_OUTPUT_DIR/ran" """},
            {"name": "b", "command": """printf '{"y": 2}\\n'; test "$HPO_ATTEMPT" -gt 1"""},
            {"name": "c", "command": """printf '{"y": 3}\\n'"""},
        ]
        text = document("parts", trial={"steps": [{**s, "template": "jinja"} for s in steps]})
        (blueprint,) = parse_blueprints(text)
        study = Study.open(open_storage(f"sqlite:///{tmp_path / 's.db'}"), "s", blueprint)
        study.ask(1, key="k")
        return study

    def part(self, study, tmp_path, step, key, lines=None):
        """
        Run the attempt called *key* to the end of *step*; return the trial as told, if it is.
        """
        log = [].append if lines is None else lines.append
        run = StepRun(study, 0, step=step, key=key, artifacts=tmp_path, log=log)
        return run.submit(lambda _: False)

    def test_one_waits_for_its_next_step(self, study, tmp_path):
        """
        Between two steps the attempt is open to the next one, and to no other.
        """
        assert open_key(study, 0, step="b") is None
        assert self.part(study, tmp_path, "a", "1") is None

        assert open_key(study, 0, step="a") is None
        assert open_key(study, 0, step="b") == "1"
        assert open_key(study, 0, step="c") is None

    def test_a_failure_is_followed_by_an_attempt_with_what_was_done_and_measured(
        self, study, tmp_path
    ):
        """
        The new attempt has the measurements of the steps that it need not run again.
        """
        self.part(study, tmp_path, "a", "1")
        failed = self.part(study, tmp_path, "b", "1")
        assert failed.state.value == "failed"

        assert self.part(study, tmp_path, "b", "2") is None
        told = self.part(study, tmp_path, "c", "2")

        assert told.state.value == "complete"
        measured = study.storage.measurements("s", 0, attempt=2)
        assert [each.metrics["y"] for each in measured] == [1, 2, 3]
        (ran,) = tmp_path.glob("s/trials/*/ran")
        assert ran.read_text() == "a\n"

    def test_the_study_s_end_is_heard_by_the_next_step(self, study, tmp_path):
        """
        A trial that was between two steps when the study ended does not begin the next one.
        """
        from airflow_hpo.model.stop import Stop

        self.part(study, tmp_path, "a", "1")
        study.stop(Stop("user", "enough"))

        told = self.part(study, tmp_path, "b", "1")

        assert told.state.value == "pruned"
        assert told.reason == "the study ended: enough"
        assert told.metrics == {"y": 1}

    def test_a_job_that_is_left_to_others_is_gone_on_with(self, document, tmp_path):
        """
        A step whose job somebody else follows is passed on once that has ended, also in a trial
        whose first step another trial ran.
        """
        steps = [
            {"name": "load", "command": "true", "once": True},
            {"name": "train", "command": "sleep 0.5"},
            {"name": "score", "command": """printf '{{"y": %s}}\\n' {x}"""},
        ]
        (blueprint,) = parse_blueprints(document("left", trial={"steps": steps}))
        study = Study.open(open_storage(f"sqlite:///{tmp_path / 's.db'}"), "s", blueprint)
        study.ask(2, key="k")

        def part(number, key, *, leaves):
            run = StepRun(study, number, step="train", key=key, artifacts=tmp_path, log=print)
            return run, run.submit(lambda _: leaves)

        part(0, "first", leaves=False)
        run, told = part(1, "second", leaves=True)
        assert (told, run.is_passed_on) == (None, False)

        follower = TrialRun(study, 1, key="second", artifacts=tmp_path, log=print)
        assert follower.take_up()
        until(follower.poll)
        assert follower.conclude() is None

        run, told = part(1, "second", leaves=True)
        assert (told, run.is_passed_on) == (None, True)
        assert open_key(study, 1, step="score") == "second"
