"""
Promoted trials go on from their parents' checkpoints: with training code that really does.
"""

from __future__ import annotations

import json
import pickle
import shlex
import subprocess
import sys
from pathlib import Path
from shutil import rmtree

import pytest

from airflow_hpo.blueprint import parse_blueprints
from airflow_hpo.driver import TrialRun, suggest_round, trial_folder
from airflow_hpo.model.trial import TrialState
from airflow_hpo.storage.memory import MemoryStorage
from airflow_hpo.study import Study

pytest.importorskip("sklearn")

SCRIPT = Path(__file__).parents[2] / "dags" / "training" / "digits.py"

# A value that no training measures.
MARK = -123.0


@pytest.fixture(name="study")
def _study(tmp_path):
    """
    Makes a study of two trials for one epoch and one for three.
    """

    def make(*, resume):
        text = {
            "hpo": 1,
            "name": "digits",
            "objective": {"metric": "val_accuracy", "direction": "maximize"},
            "space": {"hidden": {"int": [8, 9]}},
            "strategy": {"name": "halving", "seed": 1, "options": {"start": 2, "resume": resume}},
            "budget": {"trials": 3},
            "resource": {"name": "epochs", "min": 1, "max": 3},
            "trial": {
                "command": shlex.join([sys.executable, str(SCRIPT)])
                + " --hidden {hidden} --epochs {epochs}"
            },
        }
        (blueprint,) = parse_blueprints(json.dumps(text))
        return Study.open(MemoryStorage(), "digits", blueprint)

    return make


def run(study, trial, folder):
    """
    Run a trial and return it with its measurements.
    """
    lines = []
    told = TrialRun(study, trial.number, key="try", artifacts=folder, log=lines.append).run()
    assert told.state is TrialState.COMPLETE, lines
    return study.record(measurements=True).trials[trial.number]


def climb(study, folder, *, between=lambda _: None):
    """
    Run the lower rung, *between* with its best trial's folder, and the upper one.
    """
    lower = [run(study, trial, folder) for trial in suggest_round(study, 9, key="lower")]
    best = max(lower, key=lambda trial: (trial.values, -trial.number))
    between(trial_folder(folder, study.name, best))
    (upper,) = suggest_round(study, 9, key="upper")
    return best, run(study, upper, folder)


def series(trial, metric):
    """
    Return what a trial measured of *metric*, first to last.
    """
    return [measurement.metrics[metric] for measurement in trial.measurements]


def tamper(folder):
    """
    Leave a mark in a trial's checkpoint.
    """
    path = folder / "checkpoint" / "digits.pickle"
    checkpoint = pickle.loads(path.read_bytes())
    checkpoint["history"][0]["loss"] = MARK
    path.write_bytes(pickle.dumps(checkpoint))


def test_resumed_training_is_the_same_as_training_without_a_break(study, tmp_path):
    """
    The promoted trial gets the total, goes on from the checkpoint, and measures the same.
    """
    parent, child = climb(study(resume=True), tmp_path, between=tamper)

    assert (parent.resource, child.resource) == (1, 3)
    assert child.parent == parent.number
    assert series(child, "epoch") == [1, 2, 3]
    assert series(child, "loss")[0] == MARK  # it was read, not trained again
    command = [sys.executable, str(SCRIPT), "--epochs", "3"]
    command += ["--hidden", str(child.configuration["hidden"])]
    plain = subprocess.run(command, check=True, capture_output=True, text=True)
    whole = [json.loads(line) for line in plain.stdout.splitlines()]
    assert series(child, "loss")[1:] == [line["loss"] for line in whole][1:]
    assert child.values == (whole[-1]["val_accuracy"],)


def test_without_resume_training_begins_again(study, tmp_path):
    """
    The new resource is in the command, and nothing is read from the parent.
    """
    parent, child = climb(study(resume=False), tmp_path, between=tamper)

    assert child.parent is None
    assert child.configuration == parent.configuration
    assert series(child, "epoch") == [1, 2, 3]
    assert MARK not in series(child, "loss")


def test_a_checkpoint_that_is_elsewhere_is_told(study, tmp_path):
    """
    Where the parent's folder is not on this machine the log says so, and training begins anew.
    """
    made, lines = study(resume=True), []
    for trial in suggest_round(made, 9, key="lower"):
        run(made, trial, tmp_path)
    rmtree(tmp_path)
    (upper,) = suggest_round(made, 9, key="upper")
    told = TrialRun(made, upper.number, key="try", artifacts=tmp_path, log=lines.append).run()

    assert told.state is TrialState.COMPLETE
    assert any(f"checkpoint of trial {upper.parent} is not on this machine" in x for x in lines)
