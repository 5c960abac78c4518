"""
Results that are there already: what is the same is not run again.
"""

from __future__ import annotations

import pytest

from airflow_hpo.blueprint import parse_blueprints
from airflow_hpo.driver import TrialRun
from airflow_hpo.model.trial import TrialState
from airflow_hpo.storage import open_storage
from airflow_hpo.study import Study

TEXT = """\
hpo: 1
name: digits
objective: {metric: y, direction: minimize}
space: {x: {choice: [1, 2]}}
strategy: grid
budget: {trials: 2}
trial:
  command: "sh run.sh {x}"
  reuse: true
"""

SCRIPT = """\
echo ran >> "$(dirname "$HPO_PARAMS_FILE")/ran"
echo '{"z": 5}'
echo "{\\"y\\": $1}"
"""


@pytest.fixture(name="project")
def _project(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "run.sh").write_text(SCRIPT)
    (folder / "study.yaml").write_text(TEXT)
    return folder


@pytest.fixture(name="tune")
def _tune(tmp_path, project):
    """
    Runs both trials of a study; returns them, what they printed, and which of them ran.
    """

    def tune(study, *, text=TEXT, key="first"):
        (project / "study.yaml").write_text(text)
        (blueprint,) = parse_blueprints(text, file=str(project / "study.yaml"))
        storage = open_storage(f"sqlite:///{tmp_path / 'studies.db'}")
        opened = Study.open(storage, study, blueprint)
        artifacts = tmp_path / "files"
        trials, lines, ran = [], [], []
        for trial in opened.ask(2, key="ask"):
            run = TrialRun(
                opened,
                trial.number,
                key=f"{key}{trial.number}",
                artifacts=artifacts,
                log=lines.append,
                insist=key != "first",
            )
            trials.append(run.run())
            (file,) = artifacts.glob(f"{study}/trials/{trial.number:05d}")
            ran.append((file / "ran").exists())
        return trials, lines, ran

    return tune


def test_what_is_the_same_is_taken_over(tune):
    """
    Another study with the same code and values gets the results without running it.
    """
    first, _, ran = tune("one")
    second, lines, ran_again = tune("two")

    assert ran == [True, True]
    assert ran_again == [False, False]
    assert [trial.values for trial in second] == [trial.values for trial in first]
    assert second[0].metrics == {"z": 5, "y": 1}
    assert second[0].state is TrialState.COMPLETE
    assert second[0].reason == "taken over from trial 0 of study one"
    assert "not run: taken over from trial 0 of study one, which did the very same" in lines


def test_what_was_taken_over_is_taken_over_again(tune):
    """
    A result goes on from study to study.
    """
    tune("one")
    tune("two")

    third, _, ran = tune("three")

    assert ran == [False, False]
    assert third[1].reason == "taken over from trial 1 of study two"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(("sh run.sh {x}", "sh run.sh {x} more"), id="command"),
        pytest.param(("  reuse", "  environment: {A: b}\n  reuse"), id="environment"),
        pytest.param(
            ("  reuse", "  runner: {name: subprocess, pass_environment: [A]}\n  reuse"), id="runner"
        ),
        pytest.param(("reuse: true", "reuse: false"), id="not wanted"),
        pytest.param(("[1, 2]", "[3, 4]"), id="values"),
        pytest.param(("[1, 2]", "[1.0, 2.0]"), id="types"),
    ],
)
def test_what_is_not_the_same_is_run(tune, change):
    """
    Another command, environment, runner or value is run, and so is what is wanted to run.
    """
    tune("one")

    _, _, ran = tune("two", text=TEXT.replace(*change))

    assert ran == [True, True]


@pytest.mark.parametrize("file", ["run.sh", "helper.py"])
def test_other_code_is_run(tune, project, file):
    """
    A changed or new file in the folder where commands start makes it another trial.
    """
    tune("one")
    with (project / file).open("a") as code:
        code.write("# changed\n")

    _, _, ran = tune("two")

    assert ran == [True, True]


def test_what_does_not_matter_may_differ(tune, project):
    """
    Time limits, hidden files, caches and the blueprint's own name change nothing.
    """
    tune("one")
    (project / ".git").mkdir()
    (project / ".git" / "HEAD").write_text("new")
    (project / "__pycache__").mkdir()
    (project / "__pycache__" / "run.pyc").write_text("new")
    text = TEXT.replace("name: digits", "name: other").replace(
        "  reuse", "  timeout: 1h\n  on_failure: stop\n  reuse"
    )

    _, _, ran = tune("two", text=text)

    assert ran == [False, False]


def test_who_wants_it_to_run_gets_it_run(tune):
    """
    A trial that is run again, as where its task was cleared, really runs.
    """
    tune("one")
    _, _, before = tune("two")

    trials, _, ran = tune("two", key="cleared")

    assert before == [False, False]
    assert ran == [True, True]
    assert trials[0].attempt == 2


def test_failures_are_not_taken_over(tune, project):
    """
    Only a complete trial has a result.
    """
    (project / "run.sh").write_text("exit 3\n")
    failed, _, _ = tune("one")
    assert failed[0].state is TrialState.FAILED

    again, _, _ = tune("two")

    assert again[0].state is TrialState.FAILED
    assert again[0].exit_code == 3
