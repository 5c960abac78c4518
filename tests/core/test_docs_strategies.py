"""
What the documentation says of strategies is what they are.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_hpo.strategies import STRATEGIES
from airflow_hpo.testing.strategies import StrategyContract

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLES = DOCS / "examples"

sys.path.append(str(EXAMPLES))  # other processes take their path from here, too

BLUEPRINT = """
hpo: 1
name: own
objective: {metric: loss, direction: minimize}
space: {x: {float: [0, 1]}}
strategy: {name: "NAME", seed: 1, startup_trials: 2, options: {radius: RADIUS}}
budget: {trials: 5}
trial: {command: "echo {x}"}
"""


class TestExample(StrategyContract):
    """
    The example keeps the contract.
    """

    names = ("nearby:NearbyStrategy",)


def run(*command, path=()):
    """
    Run Python with our package and *path* to import from.
    """
    return subprocess.run(
        [sys.executable, *command],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*map(str, path), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )


def test_pages_are_as_the_code_says():
    """
    A strategy or option that changed has its page written anew.
    """
    done = run(str(DOCS / "generate.py"), "--check")

    assert done.returncode == 0, done.stdout + done.stderr


def test_a_stale_page_is_noticed(tmp_path):
    """
    The check fails on another text, and writing repairs it.
    """
    page = tmp_path / "strategies.md"
    for name in ("generate.py", "commands.py"):
        shutil.copy(DOCS / name, tmp_path)
    page.write_text((DOCS / "strategies.md").read_text("utf-8").replace("| yes |", "| no |"))
    stale = run(str(tmp_path / "generate.py"), "--check")
    run(str(tmp_path / "generate.py"))

    assert stale.returncode == 1
    assert "python docs/generate.py" in stale.stdout
    assert page.read_text("utf-8") == (DOCS / "strategies.md").read_text("utf-8")


def test_every_strategy_has_its_row_and_section():
    """
    None of the table is missing, nor any of its options without a text.
    """
    page = (DOCS / "strategies.md").read_text("utf-8")

    for name in STRATEGIES.entries:
        assert f"| [`{name}`](#{name}) |" in page
        section = page.split(f"\n### {name}\n")[1].split("\n### ")[0]
        for option in STRATEGIES.load(name).options_class.model_fields:
            assert re.search(rf"^\| `{option}` \| .+ \| .+ \| \S.+ \|$", section, re.MULTILINE)


def test_the_page_shows_the_example_as_it_is():
    """
    The code on the page is the file that is tested.
    """
    page = (DOCS / "custom-strategy.md").read_text("utf-8")

    assert f"```python\n{(EXAMPLES / 'nearby.py').read_text('utf-8')}```" in page


@pytest.fixture(name="elsewhere")
def _elsewhere(tmp_path):
    """
    A distribution of somebody else's, with a strategy as its entry point.
    """
    site = tmp_path / "site"
    info = site / "nearby-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: nearby\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[airflow_hpo.strategies]\nnearby = nearby:NearbyStrategy\nrandom = nearby:NearbyStrategy\n"
        "broken = nearby:NoSuchStrategy\n"
    )
    shutil.copy(EXAMPLES / "nearby.py", site)
    return site


def hpo(command, tmp_path, *, site, name, radius="0.2", **more):
    """
    Run the command line on a blueprint with the strategy called *name*.
    """
    file = tmp_path / "own.yaml"
    file.write_text(BLUEPRINT.replace("NAME", name).replace("RADIUS", radius))
    arguments = [text for key, value in more.items() for text in (f"--{key}", value)]
    return run("-m", "airflow_hpo.cli", command, str(file), *arguments, path=[site])


@pytest.mark.parametrize("name", ["nearby", "nearby:NearbyStrategy"])
def test_foreign_strategies_are_used_by_name_or_path(name, tmp_path, elsewhere):
    """
    They are checked and asked like our own, with their options.
    """
    checked = hpo("check", tmp_path, site=elsewhere, name=name)
    wrong = hpo("check", tmp_path, site=elsewhere, name=name, radius="7")
    history = tmp_path / "history.jsonl"
    lines = [{"parameters": {"x": x}, "values": [abs(x - 0.5)]} for x in (0.1, 0.5, 0.9)]
    history.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    asked = hpo("suggest", tmp_path, site=elsewhere, name=name, history=str(history))

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert wrong.returncode != 0
    assert "strategy.options.radius" in wrong.stdout + wrong.stderr
    assert asked.returncode == 0, asked.stdout + asked.stderr
    assert "nearby" in asked.stdout


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("broken", "strategy broken cannot be loaded"),
        ("nearby:NoSuchStrategy", "strategy nearby:NoSuchStrategy cannot be loaded"),
        ("nearbi", "did you mean 'nearby'"),
        ("nearby:Space", "must name a strategy, got 'nearby:Space'"),
    ],
)
def test_what_cannot_be_loaded_is_told(name, message, tmp_path, elsewhere):
    """
    A broken distribution is a problem of the blueprint, with its name.
    """
    done = hpo("check", tmp_path, site=elsewhere, name=name)

    assert done.returncode != 0
    assert message in done.stdout + done.stderr


def test_a_name_of_ours_cannot_be_replaced(tmp_path, elsewhere):
    """
    An entry point of the same name is passed over.
    """
    done = hpo("check", tmp_path, site=elsewhere, name="random")

    assert "strategy.options.radius" in done.stdout + done.stderr
