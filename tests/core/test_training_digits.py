"""
The demo's training script: worth tuning, repeatable, and able to go on.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("sklearn")

SCRIPT = Path(__file__).parents[2] / "dags" / "training" / "digits.py"


@pytest.fixture(name="digits", scope="module")
def _digits():
    spec = importlib.util.spec_from_file_location("digits_training", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def _no_checkpoints(monkeypatch):
    for name in ("HPO_CHECKPOINT_DIR", "HPO_PARENT_CHECKPOINT_DIR"):
        monkeypatch.delenv(name, raising=False)


def train(digits, line):
    """
    Return what training with the options in *line* measures.
    """
    return list(digits.train(digits.parse(line.split())))


def test_one_line_of_json_for_each_epoch(tmp_path):
    """
    The script prints epoch, loss and validation accuracy, and nothing else.
    """
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--epochs", "2", "--hidden", "16"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )

    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    assert [set(line) for line in lines] == [{"epoch", "loss", "val_accuracy"}] * 2
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_the_defaults_can_be_beaten(digits):
    """
    Plain gradient descent is mediocre here, and good settings are near the top.
    """
    plain = train(digits, "")[-1]["val_accuracy"]
    good = train(digits, "--solver adam --learning-rate 0.01 --hidden 256 --batch-size 128")

    assert 0.85 < plain < 0.93
    assert good[-1]["val_accuracy"] > 0.97


def test_every_option_matters(digits):
    """
    Each of them changes what is learned.
    """
    plain = train(digits, "--epochs 3")
    for option in (
        "--learning-rate 0.02",
        "--hidden 33",
        "--alpha 0.5",
        "--batch-size 16",
        "--solver adam",
        "--momentum 0.5",
        "--activation tanh",
        "--activation logistic",
        "--seed 1",
    ):
        assert train(digits, f"--epochs 3 {option}") != plain, option


def test_the_same_options_learn_the_same(digits):
    """
    Twice the same trial gives twice the same numbers.
    """
    assert train(digits, "--epochs 3 --seed 5") == train(digits, "--epochs 3 --seed 5")


def test_the_split_is_fair_and_fixed(digits):
    """
    Every digit has its share of both parts, and no image is in both.
    """
    images, labels, validation_images, validation_labels = digits._data()

    assert (len(labels), len(validation_labels)) == (1347, 450)
    for digit, count in Counter(labels.tolist()).items():
        assert abs(count - 3 * Counter(validation_labels.tolist())[digit]) <= 3
    # Images that happen to be equal aside, nothing was seen before.
    seen = {image.tobytes() for image in images}
    assert sum(image.tobytes() in seen for image in validation_images) == 0


def test_going_on_is_the_same_as_not_stopping(digits, tmp_path, monkeypatch):
    """
    Training resumed from its checkpoint ends where unbroken training does.
    """
    options = "--solver adam --hidden 24 --seed 3"
    unbroken = train(digits, f"{options} --epochs 5")
    monkeypatch.setenv("HPO_CHECKPOINT_DIR", str(tmp_path / "made" / "here"))

    assert train(digits, f"{options} --epochs 2") == unbroken[:2]
    assert train(digits, f"{options} --epochs 5") == unbroken
    assert train(digits, f"{options} --epochs 5") == unbroken
    assert train(digits, f"{options} --epochs 3") == unbroken[:3]


def test_a_promoted_trial_goes_on_from_its_parent(digits, tmp_path, monkeypatch):
    """
    The parent's checkpoint is where it starts; it stays as it is.
    """
    unbroken = train(digits, "--epochs 4")
    monkeypatch.setenv("HPO_CHECKPOINT_DIR", str(tmp_path / "parent"))
    train(digits, "--epochs 2")
    before = (tmp_path / "parent" / "digits.pickle").read_bytes()
    monkeypatch.setenv("HPO_PARENT_CHECKPOINT_DIR", str(tmp_path / "parent"))
    monkeypatch.setenv("HPO_CHECKPOINT_DIR", str(tmp_path / "child"))
    trained = []
    monkeypatch.setattr(digits, "_model", lambda _: trained.append(1))

    assert train(digits, "--epochs 4") == unbroken
    assert trained == []
    assert (tmp_path / "parent" / "digits.pickle").read_bytes() == before
    assert (tmp_path / "child" / "digits.pickle").exists()


def test_a_checkpoint_of_other_settings_is_left_alone(digits, tmp_path, monkeypatch):
    """
    Another configuration starts from the beginning.
    """
    fresh = train(digits, "--epochs 2 --hidden 24")
    monkeypatch.setenv("HPO_CHECKPOINT_DIR", str(tmp_path))
    train(digits, "--epochs 2 --hidden 16")

    assert train(digits, "--epochs 2 --hidden 24") == fresh


def test_a_save_that_was_interrupted_does_no_harm(digits, tmp_path, monkeypatch):
    """
    Half a checkpoint is not one.
    """
    monkeypatch.setenv("HPO_CHECKPOINT_DIR", str(tmp_path))
    (tmp_path / "digits.new").write_bytes(b"half")

    assert len(train(digits, "--epochs 1")) == 1


@pytest.mark.parametrize("line", ["--solver lbfgs", "--hidden many", "--unknown 1"])
def test_wrong_options_are_refused(digits, line, capsys):
    """
    As every command does: exit code 2 and a line of usage.
    """
    with pytest.raises(SystemExit, match="2"):
        train(digits, line)
    assert "usage:" in capsys.readouterr().err
