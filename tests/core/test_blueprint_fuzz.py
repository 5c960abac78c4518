"""
No text makes anything but a blueprint or problems with their places.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from airflow_hpo.blueprint import parse_blueprints
from airflow_hpo.blueprint.document import read_document
from airflow_hpo.errors import BlueprintError
from airflow_hpo.testing.damage import changed, changed_files, check_told, odd_values, paths

FOLDER = Path(__file__).parent.parent / "blueprints"
FILES = sorted(FOLDER.glob("*/*/*.yaml"))
TEXTS = [path.read_bytes() for path in FILES]
GOOD_FILES = sorted(FOLDER.glob("good/*/*.yaml"))
GOOD = [read_document(path.read_bytes()).data for path in GOOD_FILES]
NAMES = [f"{path.parent.name}-{path.stem}" for path in GOOD_FILES]

QUIET = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))

ODD = odd_values("{x}", "@daily", "1e3", "a and", "tpe", "x:y", "{{", "", -0.0)


def repr_of(value):
    """
    Return a short name of a value.
    """
    return repr(value)[:8]


@QUIET
@given(text=st.text(max_size=200))
@example("hpo: 1")
@example("{hpo: 1}")
@example("- \x85 ? :")
def test_any_text(text):
    """
    Text that nobody would write is refused, with a place.
    """
    assert any(problem.severity == "error" for problem in check_told(text))


@QUIET
@given(content=st.binary(max_size=200))
def test_any_bytes(content):
    """
    Bytes that are no text are refused, with a place.
    """
    assert any(problem.severity == "error" for problem in check_told(content))


@QUIET
@given(data=st.data(), content=st.sampled_from(TEXTS))
def test_damaged_files(data, content):
    """
    A real file that was cut, doubled or overwritten in part is read or refused.
    """
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(content))] * 2)))
    patch = data.draw(
        st.sampled_from([b"", b" ", b"\n", b"- ", b": ", b"{", b"]", b"&a ", b"*a", b"'"])
    )

    check_told(content[:start] + patch + content[end:])


@settings(QUIET, max_examples=400)
@given(text=changed_files(GOOD, ODD, ["replace", "replace", "remove", "add"]))
def test_changed_structure(text):
    """
    A good blueprint with one odd value is read or refused at a place in it.
    """
    check_told(text)


@pytest.mark.parametrize("base", GOOD, ids=NAMES)
@pytest.mark.parametrize("value", [None, [], {"a": []}, "x", 10**400, 5e-324], ids=repr_of)
def test_each_value_changed(base, value):
    """
    Every single value of a good blueprint may be something odd, and a place is told.
    """
    for path in paths(base):
        check_told(json.dumps(changed(base, path, action="replace", value=value)))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("[" * 500_000, id="brackets"),
        pytest.param("{a: " * 200_000, id="braces"),
        pytest.param("- " * 400_000, id="dashes"),
        pytest.param("? " * 400_000, id="questions"),
        pytest.param("[" + "a," * 400_000 + "]", id="items"),
        pytest.param("hpo: 1\nname: " + "x" * 900_000, id="long name"),
        pytest.param(
            "hpo: 1\nspace: {" + ", ".join(f"p{i}: 1" for i in range(40_000)) + "}", id="wide"
        ),
        pytest.param("hpo: 1\nconstraints: ['" + "(" * 9_000 + "']", id="parentheses"),
        pytest.param("hpo: 1\nconstraints: ['" + "-" * 9_000 + "1']", id="minuses"),
        pytest.param("hpo: 1\nconstraints: ['1" + "+1" * 4_900 + "']", id="pluses"),
        pytest.param("hpo: 1\ntrial: {command: '" + '"$(' * 100_000 + "'}", id="commands"),
        pytest.param("hpo: 1\nn: " + "9" * 900_000, id="digits"),
        pytest.param("&a [" * 40 + "*a" + "]" * 40, id="recursion"),
        pytest.param("hpo: 1\nbudget: {trials: 0x" + "f" * 100_000 + "}", id="hexadecimal"),
        pytest.param("hpo: 1\nbudget: {wall_clock: '" + "9" * 100_000 + "'}", id="duration"),
    ],
)
def test_files_made_to_hurt(text):
    """
    Files that are deep, wide or long cost little and are refused.
    """
    with pytest.raises(BlueprintError):
        parse_blueprints(text)
