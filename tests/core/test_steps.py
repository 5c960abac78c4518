"""
Several steps of a trial: one after another, and those that run once a study.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from airflow_hpo.blueprint import check_text, parse_blueprints
from airflow_hpo.driver import TrialRun
from airflow_hpo.driver.once import Turn
from airflow_hpo.model.blueprint import Blueprint, Retries
from airflow_hpo.model.trial import TrialState
from airflow_hpo.storage import open_storage
from airflow_hpo.study import Study

BASE = """\
hpo: 1
name: digits
objective: {metric: y, direction: minimize}
space:
  x: {float: [0, 1]}
  k: 3
strategy: {name: random, seed: 7}
budget: {trials: 4}
trial:
  steps:
"""


def steps_of(*lines):
    """
    Return a blueprint with these steps, each a line of YAML.
    """
    return BASE + "".join(f"    - {line}\n" for line in lines)


@pytest.fixture(name="run")
def _run(tmp_path):
    """
    Runs trials of a study; returns what each printed, and each trial as told.
    """

    def run(text, *, trials=1, together=False, study="s"):
        (blueprint,) = parse_blueprints(text)
        url = f"sqlite:///{tmp_path / 'studies.db'}"
        opened = Study.open(open_storage(url), study, blueprint)
        asked = opened.ask(trials, key="ask")
        lines = {trial.number: [] for trial in asked}
        told = {}

        def one(number):
            own = Study.open(open_storage(url), study, blueprint)
            log = lines[number].append
            attempt = TrialRun(own, number, key=f"t{number}", artifacts=tmp_path / "f", log=log)
            told[number] = attempt.run()

        threads = [threading.Thread(target=one, args=(number,)) for number in lines]
        for thread in threads:
            thread.start()
            if not together:
                thread.join()
        for thread in threads:
            thread.join()
        return lines, told

    return run


class TestOneAfterAnother:
    """
    All steps of a trial run in its own task.
    """

    def test_each_step_finds_what_the_one_before_left(self, run):
        """
        Steps share the workspace; each has its command, parameters and name.
        """
        lines, told = run(
            steps_of(
                """{name: first, command: 'echo {x} > "$HPO_OUTPUT_DIR/x"; echo in $HPO_STEP'}""",
                """{name: second, command: 'echo "{{\\"y\\": $(cat "$HPO_OUTPUT_DIR/x")}}"'}""",
            )
        )

        assert told[0].values == (told[0].configuration["x"],)
        assert lines[0][:3] == ["step first (1 of 2)", "in first", "step second (2 of 2)"]

    def test_the_first_failure_ends_the_trial(self, run):
        """
        What follows a step that fails is not run, and the trial is told as failed.
        """
        lines, told = run(
            steps_of(
                """{name: first, command: 'echo "{{\\"z\\": 1}}"; exit 3'}""",
                """{name: second, command: 'echo "{{\\"y\\": 1}}"'}""",
            )
        )

        assert told[0].state is TrialState.FAILED
        assert told[0].exit_code == 3
        assert dict(told[0].metrics) == {"z": 1}
        assert not any("second" in line for line in lines[0])

    def test_metrics_of_all_steps_are_kept_in_order(self, run):
        """
        Measurements of later steps follow those of earlier ones.
        """
        _, told = run(
            steps_of(
                """{name: first, command: 'for i in 1 2; do echo "{{\\"y\\": $i}}"; done'}""",
                """{name: second, command: 'echo "{{\\"y\\": 3}}"'}""",
            )
        )

        assert told[0].values == (3.0,)

    def test_an_attempt_that_is_followed_again_runs_no_step_twice(self, tmp_path, run):
        """
        The same key finds the jobs of all steps; nothing starts again.
        """
        count = f"echo ran >> {tmp_path}/count"
        text = steps_of(
            f"{{name: first, command: {count}}}",
            f"""{{name: second, command: '{count}; echo "{{{{\\"y\\": 1}}}}"'}}""",
        )
        run(text)
        run(text)

        assert (tmp_path / "count").read_text() == "ran\n" * 2

    def test_steps_of_a_slot_run_in_one_task(self):
        """
        The task has what any step asks for; two that ask for different things are refused.
        """
        slots = "execution: {mode: async, concurrency: 2}\n"
        first = "{name: first, command: 'run {x}', queue: a}"
        second = "{name: second, command: 'true', pool: gpu, pool_slots: 2}"
        (blueprint,) = parse_blueprints(slots + steps_of(first, second))
        task = blueprint.trial.task

        problems = check_text(slots + steps_of(first, "{name: second, command: 'true', queue: b}"))

        assert (task.queue, task.pool, task.pool_slots) == ("a", "gpu", 2)
        (problem,) = problems
        assert "queue: must be that of step first, 'a'" in str(problem)

    def test_each_step_may_be_tried_again_for_itself(self):
        """
        What a step does not say of retries is the trial's; a trial has as many as all of them.
        """
        first = "{name: first, command: 'run {x}', retries: {code: 2}}"
        second = "{name: second, command: 'true'}"

        (blueprint,) = parse_blueprints(steps_of(first, second) + "  retries: {code: 1}\n")

        assert blueprint.trial.steps[0].retries == Retries(code=2)
        assert blueprint.trial.most_retries == Retries(infrastructure=4, code=3)


ONCE = """{name: prepare, once: true, command: 'echo {k} >> "$HPO_SHARED_DIR/k"; sleep 0.2'}"""
THEN = """{name: train, command: 'echo "{{\\"y\\": "$(wc -l < "$HPO_SHARED_DIR/k")"}}"'}"""


class TestOnce:
    """
    Steps that run once for the whole study.
    """

    @pytest.mark.parametrize("together", [False, True])
    def test_one_trial_runs_it_for_all(self, run, together):
        """
        However trials come, the step runs once, and all find what it made.
        """
        lines, told = run(steps_of(ONCE, THEN), trials=3, together=together)

        assert [told[number].values for number in range(3)] == [(1.0,)] * 3
        said = [line for number in lines for line in lines[number] if "already" in line]
        assert said == ["step prepare has run already, once for the whole study"] * 2

    def test_a_failure_is_no_reason_to_go_on(self, run, tmp_path):
        """
        Where the step fails the trial fails, and the next trial tries it again.
        """
        once = ONCE.replace("sleep 0.2", f"test -e {tmp_path}/ready")

        _, told = run(steps_of(once, THEN), trials=1)
        assert told[0].state is TrialState.FAILED
        (tmp_path / "ready").touch()
        _, told = run(steps_of(once, THEN), trials=2, study="s2")

        assert [trial.values for trial in told.values()] == [(1.0,), (1.0,)]

    def test_another_command_is_run_again(self, tmp_path):
        """
        The mark belongs to the command, and to the study.
        """
        with Turn(tmp_path, "prepare", "a") as turn:
            assert turn.take()
            turn.done(0)
            assert turn.is_done
            with Turn(tmp_path, "prepare", "a") as other:
                assert not other.take()
        with Turn(tmp_path, "prepare", "b") as changed:
            assert changed.take()
            assert not changed.is_done

    @pytest.mark.parametrize(
        ("steps", "said"),
        [
            ([THEN, ONCE], "once: must be false behind steps that are run by each trial"),
            ([ONCE], "must be false in one step"),
            ([ONCE.replace("{k}", "{x}"), THEN], "must not name x in a step that is run once"),
            ([ONCE.replace("{k}", "{parameters}"), THEN], "must not name x"),
        ],
    )
    def test_what_cannot_run_once_is_refused(self, steps, said):
        """
        Such steps come first and have no value that differs from trial to trial.
        """
        problems = check_text(steps_of(*steps))

        assert any(said in str(problem) for problem in problems), problems


def test_a_trial_ends_when_its_own_condition_holds(run):
    """
    One trial is ended with what it measured; the study and the others go on.
    """
    command = (
        """echo '{{"y": 0.5}}'; if [ $HPO_TRIAL = 0 ]; then sleep 600; fi; echo '{{"y": 9}}'"""
    )
    text = steps_of(f"{{name: only, command: {json.dumps(command)}}}") + "  until: y < 1\n"

    _, told = run(text, trials=2)

    assert told[0].values == (0.5,)
    assert told[0].state is TrialState.COMPLETE
    assert "y < 1" in told[0].reason
    assert told[1].state is TrialState.COMPLETE


def test_steps_survive_being_written():
    """
    Several steps are read, kept as JSON and read again as they were.
    """
    (blueprint,) = parse_blueprints(steps_of(ONCE, THEN))

    again = Blueprint.model_validate(json.loads(blueprint.model_dump_json()))

    assert again == blueprint
    assert [step.once for step in again.trial.steps] == [True, False]
    assert Path(again.source.file).name == "<blueprint>"


LOGML = """\
model: {model_name: digits}
functions:
  dataset_create: {rows: 5}
  model_train: {epochs: 20}
hyper_parameter_optimization:
  max_evals: 10
  random_seed: 7
  space:
    dataset_preprocess:
      scale: [choice, [2]]
    model_train:
      rate: [uniform, 0.0, 0.5]
airflow_hpo:
  steps:
    model_train: 'echo "{{\\"loss\\": $(cat "$HPO_OUTPUT_DIR/n")}}"; echo {parameters}'
    dataset_create: 'echo {rows} >> "$HPO_SHARED_DIR/rows"'
    dataset_preprocess: 'expr {scale} "*" $(cat "$HPO_SHARED_DIR/rows") > "$HPO_OUTPUT_DIR/n"'
"""


def test_named_steps_of_log_ml_run_in_order_with_their_own_parameters(run):
    """
    Steps run in the workflow's order, those before the first tuned one once for all trials.
    """
    lines, told = run(LOGML, trials=2)

    assert [told[number].values for number in (0, 1)] == [(10.0,), (10.0,)]
    for number in (0, 1):
        rate = told[number].configuration["model_train.rate"]
        assert lines[number][-1] == f"--rate={rate} --epochs=20"
        assert ("step dataset_create has run already" in "\n".join(lines[number])) == (number == 1)
