"""
Valohai's own reader as the judge: commands word for word, and what is refused.
"""

from __future__ import annotations

import copy
import json
import subprocess
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from airflow_hpo.blueprint import check_text, parse_blueprints
from airflow_hpo.strategies import strategy_for
from airflow_hpo.testing.writers import words_of

valohai_yaml = pytest.importorskip("valohai_yaml", reason="needs the package valohai-yaml")

FOLDER = Path(__file__).parent.parent / "blueprints"
FILES = {path.stem: path for path in sorted(FOLDER.glob("*/valohai/*.yaml"))}

QUIET = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))

TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=6) | st.sampled_from(
    ["a b", "it's", '"q"', "$HOME", "{parameters}", "{parameter:a}", "`x`", "-1", "1e5", ""]
)
VALUES = {
    "string": TEXTS,
    "integer": st.integers(-5, 10**6),
    "float": st.floats(-1e6, 1e6) | st.sampled_from([1e-05, 1e20, 0.1]),
    "flag": st.booleans(),
}
PATTERNS = ["-x {v}", "--{name} {value}", "{name}:={v}", "+{name}", "", "-t {v} {v}"]
PIECES = [
    "{parameters}",
    "{params}",
    "{parameter:a}",
    "{parameter:b}",
    "{parameter-value:a}",
    "{parameter-value:b}",
    "{parameter:nope}",
    "{source-path}",
    "{foo}",
    "x",
]


@st.composite
def declared(draw, name):
    """
    Return one parameter of a step.
    """
    kind = draw(st.sampled_from(list(VALUES)))
    found = {"name": name, "type": kind}
    if draw(st.booleans()):
        found["pass-as"] = draw(st.sampled_from(PATTERNS))
    if kind == "flag":
        for key in ("pass-true-as", "pass-false-as"):
            if draw(st.integers(0, 3)) == 0:
                found[key] = draw(st.sampled_from(["--yes", "--no {name}", "-f {v}"]))
        return found
    if draw(st.integers(0, 3)) == 0:
        found["multiple"] = draw(st.sampled_from(["repeat", "separate"]))
        found["multiple-separator"] = draw(st.sampled_from([",", " ", ";"]))
    found["optional"] = True
    if draw(st.booleans()):
        default = VALUES[kind]
        found["default"] = draw(
            st.lists(default, min_size=1, max_size=3) if "multiple" in found else default
        )
    return found


@st.composite
def files(draw):
    """
    Return a step with up to three parameters, and a task that varies some.
    """
    parameters = [draw(declared(name)) for name in ("a", "b", "c")[: draw(st.integers(1, 3))]]
    words = draw(st.lists(st.sampled_from(PIECES), min_size=1, max_size=4))
    step = {
        "name": "train",
        "image": "python:3.12",
        "command": draw(st.sampled_from(["run {}", "cd code; run {}"])).format(" ".join(words)),
        "parameters": parameters,
    }
    if draw(st.booleans()):
        step["source-path"] = "some path"
    varied = [each for each in parameters if draw(st.booleans())]
    axes = [
        {"name": each["name"], "style": "multiple", "rules": {"items": draw(items(each))}}
        for each in varied
    ]
    task = {
        "name": "digits",
        "step": "train",
        "optimization-target-metric": "loss",
        "optimization-target-value": 0,
        "parameters": axes,
    }
    return [{"step": step}, {"task": task}]


def items(parameter):
    """
    Return values for one axis.
    """
    return st.lists(VALUES[parameter["type"]], min_size=1, max_size=2)


@QUIET
@given(document=files())
def test_commands_word_for_word(document):
    """
    Programs get the words that Valohai's command would give them, for every execution.
    """
    text = json.dumps(document)
    errors = [each for each in check_text(text) if each.severity == "error"]
    assume(not any("not supported yet" in each.message for each in errors))
    (blueprint,) = parse_blueprints(text)
    step = valohai_yaml.parse(text).steps["train"]

    total = max(blueprint.budget.trials, 1)
    for suggestion in strategy_for(blueprint).suggest(blueprint.space, (), total, seed=1):
        values = dict(suggestion.configuration)
        (theirs,) = step.build_command(values)

        assert words_of(blueprint, values) == words(theirs), theirs


def words(command):
    """
    Return the words that the command ``run`` gets.
    """
    done = subprocess.run(
        ["/bin/bash", "-c", "run() { printf '%s\\n' run \"$@\"; }\ncd() { :; }\n" + command],
        env={"PATH": "/nowhere", "HOME": "/home/of/nobody"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return done.stdout.decode("utf-8", "replace")


def refused_by_valohai(text):
    """
    Return what Valohai's linter refuses, crashes included.
    """
    from valohai_yaml.lint import lint

    try:
        return [item["message"] for item in lint(text).messages if item["type"] == "error"]
    except Exception as error:  # noqa: BLE001 - it lets many through
        return [repr(error)]


# We pass over what is no step and no task, and do not look into it.
ELSEWHERE = {"pipelines_are_passed_over"}


@pytest.mark.parametrize("name", sorted(set(FILES) - ELSEWHERE))
def test_what_valohai_refuses_is_refused(name):
    """
    A file that Valohai's linter refuses has errors here too.
    """
    text = FILES[name].read_text()
    refused = refused_by_valohai(text)
    errors = [problem for problem in check_text(text) if problem.severity == "error"]

    assert errors or not refused, refused


GOOD = [yaml.safe_load(path.read_text()) for path in FILES.values() if "good" in path.parts]
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 10**6),
    st.floats(-1e3, 1e3),
    TEXTS,
    st.sampled_from([[], {}, [1, 2], ["a"], {"a": 1}, "random_search", "multiple", "flag", "1h"]),
)


def places(data, path=()):
    """
    Yield the path of every value.
    """
    yield path
    if isinstance(data, (dict, list)):
        for key, value in data.items() if isinstance(data, dict) else enumerate(data):
            yield from places(value, (*path, key))


@QUIET
@given(data=st.data(), document=st.sampled_from(GOOD))
def test_damaged_files_that_valohai_refuses_are_refused(data, document):
    """
    Whatever value is put in the place of another: what Valohai refuses has errors.
    """
    document = copy.deepcopy(document)
    path = data.draw(st.sampled_from([path for path in places(document) if len(path) > 2]))
    *parents, last = path
    inner = document
    for part in parents:
        inner = inner[part]
    if data.draw(st.integers(0, 3)) == 0 and isinstance(inner, dict):
        inner[data.draw(st.sampled_from(["odd", "name", "type", "default"]))] = inner.pop(last)
    else:
        inner[last] = data.draw(ODD)
    assume("hpo" not in document[path[0]])
    text = json.dumps(document)
    refused = refused_by_valohai(text)

    errors = [problem for problem in check_text(text) if problem.severity == "error"]

    assert errors or not refused, refused
