"""
Names lead to variants, ours and other people's; near misses are told.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, ValidationError

from airflow_hpo.model.explain import flaws
from airflow_hpo.model.registry import Table, did_you_mean

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(name="table")
def _table():
    """
    A table of two entries.
    """
    return Table(
        kind="thing",
        entries={"path": "pathlib:Path", "gone": "no_such_module_at_all:Thing"},
        group="airflow_hpo.no_such_group",
    )


def test_names_lead_to_objects(table):
    """
    Our own names and import paths are loaded when they are asked for.
    """
    assert table.load("path") is Path
    assert table.load("pathlib:Path") is Path
    assert table.names() == ("path", "gone")
    assert "path" in table
    assert "other" not in table


def test_unknown_names_are_refused(table):
    """
    The message lists the names there are.
    """
    with pytest.raises(ValueError, match="thing must be one of path, gone, got 'other'"):
        table.load("other")
    with pytest.raises(ImportError):
        table.load("gone")


def test_other_distributions_add_theirs(tmp_path):
    """
    An entry point of an installed distribution is a name like any other, in blueprints too.
    """
    folder = tmp_path / "mine-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[airflow_hpo.strategies]\nmine = mine:Mine\n")
    (tmp_path / "mine.py").write_text(
        "from airflow_hpo.strategies.random import RandomStrategy\n"
        "class Mine(RandomStrategy): pass\n"
    )
    program = (
        "from airflow_hpo.blueprint import check_text\n"
        "from airflow_hpo.strategies import STRATEGIES\n"
        "print(STRATEGIES.names()[-1], STRATEGIES.load('mine').__module__)\n"
        f"text = open({str(ROOT / 'tests/blueprints/good/native/smallest.yaml')!r}).read()\n"
        "print(check_text(text + 'strategy: {name: mine}'))\n"
        "print(check_text(text + 'strategy: {name: minee}')[0].hint)\n"
    )
    path = os.pathsep.join([str(tmp_path), str(ROOT / "provider")])

    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.splitlines() == ["mine mine", "()", "did you mean 'mine'?"]


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("maximise", "maximize"),
        ("max", "maximize"),
        ("MAXIMIZE", "maximize"),
        ("max_trial", "max_trials"),
        ("max-trials", "max_trials"),
        ("maximized", "maximize"),
        ("zzz", None),
        ("m", None),
        ("", None),
    ],
)
def test_near_misses(word, near):
    """
    Misspelled, cut short or drawn out: a name that was probably meant is suggested.
    """
    hint = did_you_mean(word, ["minimize", "maximize", "max_trials"])

    assert hint == (None if near is None else f"did you mean {near!r}?")


@given(st.text() | st.integers(), st.lists(st.text()))
def test_anything_can_be_compared(word, names):
    """
    No word and no names make the comparison fail.
    """
    hint = did_you_mean(word, names)

    assert hint is None or hint.startswith("did you mean")


class Inner(BaseModel):
    """
    A model within another.
    """

    number: float = Field(gt=0.5)


class Outer(BaseModel):
    """
    A model with a bit of everything.
    """

    model_config = {"extra": "forbid"}

    text: str = Field(min_length=2)
    count: int = Field(default=1, ge=1, lt=5)
    flag: bool = False
    items: list[Inner] = []
    options: dict[str, int] = {}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, ["text: must be given"]),
        ({"text": 5}, ["text: must be text, got 5"]),
        ({"text": "a"}, ["text: must have at least 2 characters, got 'a'"]),
        ({"text": "ab", "count": 0}, ["count: must be at least 1, got 0"]),
        ({"text": "ab", "count": 5}, ["count: must be below 5, got 5"]),
        ({"text": "ab", "count": "x"}, ["count: must be a whole number, got 'x'"]),
        ({"text": "ab", "count": 1.5}, ["count: must be a whole number, got 1.5"]),
        ({"text": "ab", "flag": "maybe"}, ["flag: must be true or false, got 'maybe'"]),
        ({"text": "ab", "items": 5}, ["items: must be a list, got 5"]),
        ({"text": "ab", "items": [5]}, ["items.0: must be a mapping, got 5"]),
        ({"text": "ab", "items": [{"number": 0}]}, ["items.0.number: must be above 0.5, got 0"]),
        ({"text": "ab", "options": [1]}, ["options: must be a mapping, got [1]"]),
        (
            {"text": "ab", "cuont": 1, "flag": [0] * 99},
            [
                f"flag: must be true or false, got {str([0] * 99)[:60]}...",
                "cuont: unknown key; the keys here are text, count, flag, items, options",
            ],
        ),
    ],
)
def test_pydantic_in_our_words(values, said):
    """
    What pydantic refuses is said as the rule, then what was got.
    """
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(values)

    assert [str(flaw) for flaw in flaws(caught.value, Outer)] == said
