"""
No text makes anything but a blueprint or problems with their places.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from airflow_hpo.blueprint import check_text, parse_blueprints
from airflow_hpo.blueprint.document import read_document
from airflow_hpo.errors import BlueprintError

FOLDER = Path(__file__).parent.parent / "blueprints"
FILES = sorted(FOLDER.glob("*/*/*.yaml"))
TEXTS = [path.read_bytes() for path in FILES]
GOOD_FILES = sorted(FOLDER.glob("good/*/*.yaml"))
GOOD = [read_document(path.read_bytes()).data for path in GOOD_FILES]
NAMES = [f"{path.parent.name}-{path.stem}" for path in GOOD_FILES]

QUIET = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        ["{x}", "@daily", "1e3", "a and", "tpe", "x:y", "{{", "", 10**400, -0.0, 1e308]
    ),
    st.just([]),
    st.just({}),
    st.lists(st.integers() | st.text(max_size=3), max_size=3),
    st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=3), max_size=3),
)


def repr_of(value):
    """
    Return a short name of a value.
    """
    return repr(value)[:8]


def tells(text):
    """
    Check *text* and require that each problem has a place within it.
    """
    problems = check_text(text, file="fuzz.yaml")
    text = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    lines = 1 + sum(map(text.count, "\n\r\x85\u2028\u2029"))  # all end a line for YAML
    for problem in problems:
        assert 1 <= problem.line <= lines + 1
        assert problem.column >= 1
        assert problem.message
    return problems


@QUIET
@given(text=st.text(max_size=200))
@example("hpo: 1")
@example("{hpo: 1}")
@example("- \x85 ? :")
def test_any_text(text):
    """
    Text that nobody would write is refused, with a place.
    """
    assert any(problem.severity == "error" for problem in tells(text))


@QUIET
@given(content=st.binary(max_size=200))
def test_any_bytes(content):
    """
    Bytes that are no text are refused, with a place.
    """
    assert any(problem.severity == "error" for problem in tells(content))


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

    tells(content[:start] + patch + content[end:])


def paths(data, path=()):
    """
    Yield the path of every value in *data*.
    """
    yield path
    items = (
        data.items()
        if isinstance(data, dict)
        else enumerate(data)
        if isinstance(data, list)
        else ()
    )
    for key, value in items:
        yield from paths(value, (*path, key))


def changed(data, path, action, value):
    """
    Return *data* with one value replaced, removed, or given a neighbour.
    """
    data = copy.deepcopy(data)
    parent = data
    for part in path[:-1]:
        parent = parent[part]
    if not path:
        return value
    if action == "remove":
        del parent[path[-1]]
    elif action == "add" and isinstance(parent, dict):
        parent[f"{path[-1]}s"] = value
    else:
        parent[path[-1]] = value
    return data


@settings(QUIET, max_examples=400)
@given(
    data=st.data(),
    base=st.sampled_from(GOOD),
    action=st.sampled_from(["replace", "replace", "remove", "add"]),
    value=ODD,
)
def test_changed_structure(data, base, action, value):
    """
    A good blueprint with one odd value is read or refused at a place in it.
    """
    path = data.draw(st.sampled_from(list(paths(base))))

    tells(json.dumps(changed(base, path, action, value)))


@pytest.mark.parametrize("base", GOOD, ids=NAMES)
@pytest.mark.parametrize("value", [None, [], {"a": []}, "x", 10**400, 5e-324], ids=repr_of)
def test_each_value_changed(base, value):
    """
    Every single value of a good blueprint may be something odd, and a place is told.
    """
    for path in paths(base):
        tells(json.dumps(changed(base, path, "replace", value)))


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
