"""
``hpo convert``: what it writes where, and what it says of losses.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_hpo.blueprint import dump, load_blueprint, load_blueprints

TWO = Path(__file__).parent.parent / "blueprints" / "good" / "valohai" / "two_tasks.yaml"


def test_a_file_goes_to_standard_output(hpo):
    """
    Without -o the file is printed, and nothing else is.
    """
    result = hpo("convert", "digits.yaml", "--to", "native")

    assert result.stdout == dump(load_blueprint("digits.yaml"))
    assert result.stderr == ""


def test_json_has_text_and_losses(hpo):
    """
    For programs there is an entry a blueprint, with its text and its losses.
    """
    (found,) = hpo.json("convert", "digits.yaml", "--to", "native")

    assert found == {
        "blueprint": "digits",
        "file": None,
        "text": dump(load_blueprint("digits.yaml")),
        "losses": [],
    }


def test_a_file_is_written(hpo):
    """
    With -o the file is written, and read again it is the same blueprint.
    """
    hpo("convert", "digits.yaml", "--to", "native", "-o", "again.yaml")

    assert dump(load_blueprint("again.yaml")) == dump(load_blueprint("digits.yaml"))


def test_several_blueprints_need_a_folder_or_a_choice(hpo):
    """
    Several blueprints go to files of a folder; one of them can be chosen.
    """
    refused = hpo("convert", TWO, "--to", "native", code=2)
    assert "task-1, task-2" in refused.stderr

    chosen = hpo("convert", TWO, "--to", "native", "--blueprint", "task-2")
    assert "name: task-2" in chosen.stdout

    hpo("convert", TWO, "--to", "native", "-o", "tasks")
    for blueprint in load_blueprints(TWO):
        assert dump(load_blueprint(f"tasks/{blueprint.name}.yaml")) == dump(blueprint)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["digits.yaml", "--to", "katib"], "--to must be one of native"),
        (["digits.yaml", "--to", "native", "-o", "digits.yaml"], "must not be the file"),
        (["digits.yaml", "--to", "native", "-o", "digits.yaml/x/y"], "cannot be written"),
        (["nowhere.yaml", "--to", "native"], "cannot be read"),
        ([TWO, "--to", "native", "-o", "digits.yaml"], "must be a folder"),
    ],
)
def test_what_cannot_be_done_is_refused(hpo, words, said):
    """
    A wrong dialect, a wrong place and a missing file end with exit code 2.
    """
    assert said in hpo("convert", *words, code=2).stderr


def test_a_wrong_blueprint_is_refused(hpo):
    """
    A blueprint with errors is not written, and all its problems are shown.
    """
    Path("bad.yaml").write_text("hpo: 1\nname: bad\n")

    result = hpo("convert", "bad.yaml", "--to", "native", code=1)

    assert "objective must be given" in result.stderr
    assert result.stdout == ""
