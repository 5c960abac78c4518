"""
``hpo generate``: what it writes, and what it leaves alone.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from airflow_hpo.cli.app import app

BLUEPRINT = """\
hpo: 1
name: tiny
description: 'It says "yes", \\ and goes on {long}.'
objective: {{metric: y, direction: maximize}}
space: {{x: {{float: [0, 1]}}}}
budget: {{trials: {trials}}}
execution: {execution}
trial: {{command: "echo {{x}}"}}
dag:
  id: tiny.dag
  schedule: {{cron: "0 2 * * *", timezone: Europe/Berlin}}
  start_date: "2026-01-31T06:00:00Z"
  tags: [ml, "it's"]
  owner: ada
  champion: {{tolerance: 1%}}
"""

LADDER = """\
hpo: 1
name: tiny
objective: {metric: y, direction: maximize}
space: {x: {float: [0, 1]}}
strategy: bohb
budget: {trials: 6000}
resource: {name: epochs, min: 0.5, max: 1093.5}
trial: {command: "echo {x} {epochs}"}
"""


def text_of(shape):
    """
    Return the text of a blueprint whose DAG has this shape.
    """
    if shape == "ladder":
        return LADDER
    execution = "{mode: async, concurrency: 2}" if shape == "async" else "{batch_size: 2}"
    return BLUEPRINT.format(trials=5, execution=execution, long="and on " * 20)


@pytest.fixture(name="generate")
def _generate(tmp_path):
    """
    Runs the command on a blueprint's text; returns its result and the file.
    """

    def generate(text, *arguments):
        (tmp_path / "blueprints").mkdir(exist_ok=True)
        (tmp_path / "blueprints" / "tiny.yaml").write_text(text)
        target = tmp_path / "dags"
        command = ["generate", str(tmp_path / "blueprints" / "tiny.yaml"), "-o", f"{target}"]
        result = CliRunner().invoke(app, [*command, *arguments])
        return result, next(target.glob("*.py"), None) if target.exists() else None

    return generate


@pytest.mark.parametrize("shape", ["batch", "async", "ladder"])
def test_what_it_writes_passes_a_review(generate, shape):
    """
    The file says what made it, is valid Python, and neither a linter nor a formatter wants it
    otherwise.
    """
    result, path = generate(text_of(shape))

    assert result.exit_code == 0, result.output
    text = path.read_text()
    assert text.startswith("# Made by `hpo generate tiny.yaml`, airflow-provider-hpo ")
    assert '"../blueprints/tiny.yaml"' in text
    assert ast.get_docstring(ast.parse(text)).startswith("tiny")
    for command in (["check", "--select", "E4,E7,E9,F,I,W,B,UP,SIM,RUF,D2"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--isolated", "--ignore", "D2,RUF001"]
        arguments = ruff if command[0] == "check" else ruff[:-2]
        done = subprocess.run([*arguments, str(path)], capture_output=True, text=True, check=False)
        if "No module named ruff" in done.stderr:
            pytest.skip("ruff is not installed")
        assert done.returncode == 0, done.stdout + done.stderr


def test_made_again_it_follows_the_blueprint(generate):
    """
    Unchanged it stays as it is; a changed blueprint writes it anew.
    """
    _, path = generate(text_of("batch"))
    before = path.read_text()

    again, _ = generate(text_of("batch"))
    changed, _ = generate(text_of("batch").replace("trials: 5", "trials: 9"))

    assert again.output.endswith("tiny_dag.py: unchanged\n")
    assert changed.output.endswith("tiny_dag.py: written\n")
    assert path.read_text() != before


@pytest.mark.parametrize("change", ["\n# mine\n", None])
def test_what_a_person_wrote_is_left_alone(generate, change):
    """
    A change by hand, or a file that somebody else made, is only written over with --force.
    """
    _, path = generate(text_of("batch"))
    mine = path.read_text() + change if change else "print('mine')\n"
    path.write_text(mine)

    refused, _ = generate(text_of("batch"))
    kept = path.read_text()
    forced, _ = generate(text_of("batch"), "--force")

    words = "was changed by hand" if change else "was not made by hpo generate"
    assert (refused.exit_code, forced.exit_code) == (1, 0)
    assert words in refused.output
    assert kept == mine
    assert path.read_text() != mine


def test_programs_can_read_what_it_did(generate):
    """
    As JSON: blueprint, DAG, file and what became of it.
    """
    result, path = generate(text_of("batch"), "--format", "json")

    assert json.loads(result.stdout) == [
        {"blueprint": "tiny", "dag": "tiny.dag", "file": str(path), "state": "written"}
    ]


def test_a_wrong_blueprint_writes_nothing(generate):
    """
    Its problems are told as by the other commands.
    """
    result, path = generate(text_of("batch").replace("maximize", "up"))

    assert result.exit_code == 1
    assert "objective.direction" in result.output
    assert path is None


def test_several_blueprints_need_a_folder(tmp_path):
    """
    A single file cannot hold the DAGs of several studies.
    """
    source = Path(__file__).parents[1] / "blueprints" / "good" / "valohai"
    command = ["generate", str(source / "two_tasks.yaml"), "-o", str(tmp_path / "one.py")]

    result = CliRunner().invoke(app, command)

    assert result.exit_code == 2
    assert "must be a folder" in result.output
