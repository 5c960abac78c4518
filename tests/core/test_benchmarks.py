"""
The benchmarks run, go on where they were stopped, and find studies true to their engines.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def run(name, *arguments):
    """
    Run a benchmark, and return what it printed.
    """
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / name), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_search_is_measured_in_parts(tmp_path):
    """
    Rows of several runs stand in one table, and what is there is not measured again.
    """
    file = tmp_path / "search.json"
    small = ("--problems", "branin", "--seeds", 1, "--trials", 10, "--json", file)
    run("search.py", *small, "--strategies", "random", "tpe")
    first = json.loads(file.read_text())["cells"]["branin"]
    text = run("search.py", *small, "--strategies", "tpe", "qmc", "Optuna TPE", "HyperOpt TPE")
    second = json.loads(file.read_text())["cells"]["branin"]

    assert {name: second[name] for name in first} == first
    assert set(second) == {"random", "tpe", "qmc", "Optuna TPE", "HyperOpt TPE"}
    assert [len(cell["0"]["curve"]) for cell in second.values()] == [2] * 5
    assert "| `random` | 1.000 | **1.000** |" in text
    assert "| Optuna TPE | " in text


def test_search_is_measured_anew_with_other_code(tmp_path):
    """
    What another version measured is not mixed in, nor what was measured otherwise.
    """
    file = tmp_path / "search.json"
    small = ("--problems", "branin", "--seeds", 1, "--strategies", "random", "--json", file)
    run("search.py", *small, "--trials", 10)
    old = json.loads(file.read_text())
    old["cells"]["branin"]["random"] = {"code": "older", "7": {"curve": [0], "ms": 0}}
    file.write_text(json.dumps(old))
    run("search.py", *small, "--trials", 10)

    assert set(json.loads(file.read_text())["cells"]["branin"]["random"]) == {"code", "0"}
    with pytest.raises(AssertionError, match="choose another file"):
        run("search.py", *small, "--trials", 20)


def test_settings_of_gp_are_measured_in_parts(tmp_path):
    """
    A goal is judged by fives of seeds, and parameters of other units give the same losses.
    """
    pytest.importorskip("sklearn")
    file = tmp_path / "gp.json"
    chance = ("--problems", "branin", "--settings", "random", "--json", file)
    run("gp.py", *chance, "--seeds", 5)
    text = run("gp.py", *chance, "--seeds", 10)
    units = ("--problems", "branin, x 1e-3/1e3", "branin", "--settings", "random", "default")
    run("gp.py", *units, "--seeds", 1, "--json", file)

    cells = json.loads(file.read_text())["cells"]
    assert len(cells["branin"]["random"]) == 11
    assert "| branin | random | 10 | " in text
    assert " | 0.398 | 0 of 2 | 0 | 0 |" in text
    for setting in ("random", "default"):
        one, other = (cells[name][setting]["1"]["best"] for name in cells)
        assert one == pytest.approx(other, abs=0.05)


def test_problems_without_their_data_are_left_out(tmp_path):
    """
    A surrogate that is not there is said to be missing, and the rest is measured.
    """
    text = run(
        "search.py",
        *("--problems", "lcbench_3945", "branin", "--lcbench", tmp_path, "--seeds", 1),
        *("--trials", 5, "--strategies", "random", "--json", tmp_path / "search.json"),
    )

    assert f"lcbench_3945 is left out: {tmp_path}/model.onnx is not there" in text
    assert "branin        random" in text


def test_asking_is_timed_beside_optuna(tmp_path):
    """
    Each way to ask has a time for each batch.
    """
    file = tmp_path / "ask.json"
    small = ("--trials", 12, "--batches", 2, "--turns", 1, "--json", file)
    text = run("ask.py", *small, "--strategies", "random")

    ways = json.loads(file.read_text())["cells"]["random"]["12"]["batches"]["2"]
    assert set(ways) == {"memory", "strategy", "ours", "sqlite"}
    assert all(wall > 0 for wall, _ in ways.values())
    assert "| `random` | 12 | 2 |" in text


@pytest.mark.slow
def test_studies_ask_what_their_engines_do(tmp_path):
    """
    Batch by batch in fresh processes: every trial is the engine's, and none is tried twice.
    """
    file = tmp_path / "parity.json"
    run("parity.py", "--seeds", 1, "--trials", 20, "--json", file)
    rows = json.loads(file.read_text())

    assert {row["engine"] for row in rows} == {"Optuna", "HyperOpt", "one process"}
    assert [row["same"] for row in rows] == [20] * len(rows)
    assert [row["repeated"] for row in rows] == [0] * len(rows)
