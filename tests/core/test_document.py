"""
Text becomes plain data with places, by the rules of YAML 1.2.
"""

from __future__ import annotations

import contextlib
import json
import math
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_hpo.blueprint.compose import Composer, _PurePythonParser
from airflow_hpo.blueprint.document import read_document
from airflow_hpo.blueprint.emit import Block, emit
from airflow_hpo.blueprint.places import place_of
from airflow_hpo.blueprint.text import json_as_yaml
from airflow_hpo.errors import BlueprintError
from airflow_hpo.model.values import canonical
from airflow_hpo.testing.drawn import values

FOLDER = Path(__file__).parent.parent / "blueprints"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1E5", 1e5),
        ("1.e+2", 100.0),
        (".5", 0.5),
        ("-.5e1", -5.0),
        ("+1", 1),
        ("-0", 0),
        ("017", 17),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b1", "0b1"),
        ("0o8", "0o8"),
        ("-0x1F", "-0x1F"),
        ("1_000", "1_000"),
        ("1,5", "1,5"),
        ("1:30", "1:30"),
        ("1.2.3", "1.2.3"),
        ("e5", "e5"),
        (".", "."),
        ("+", "+"),
        ("-", "-x"),
        ("2026-01-31", "2026-01-31"),
        ("2026-01-31T06:00:00Z", "2026-01-31T06:00:00Z"),
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("No", "No"),
        ("y", "y"),
        ("true", True),
        ("False", False),
        ("TRUE", True),
        ("tRUE", "tRUE"),
        ("null", None),
        ("~", None),
        ("", None),
        ("nUll", "nUll"),
        (".inf", math.inf),
        ("-.Inf", -math.inf),
        ("+.INF", math.inf),
        ("1e999", math.inf),
        ("inf", "inf"),
        ("nan", "nan"),
        ("'1'", "1"),
        ('"true"', "true"),
        ("!!str 1", "1"),
        ("!!float 1", 1.0),
        ("!!int '7'", 7),
        ("! 5", "5"),
        ("!!null ''", None),
    ],
)
def test_scalars_go_by_yaml_1_2(text, value):
    """
    Numbers, truth values and nothing are what the core schema says, all else is text.
    """
    text = "-x" if text == "-" else text

    found = read_document(f"key: {text}\n").data["key"]

    assert found == value
    assert type(found) is type(value)


def test_not_a_number_is_a_number():
    """
    ``.nan`` is read as the float it stands for.
    """
    assert math.isnan(read_document("key: .NaN").data["key"])


@pytest.mark.parametrize("text", ["!!int x", "!!bool 1", "!!int true", "!!timestamp 1", "!!set {}"])
def test_tags_that_do_not_fit_are_refused(text):
    """
    A tag is one of YAML's core and fits its value.
    """
    with pytest.raises(BlueprintError, match="tag"):
        read_document(f"key: {text}")


TEXT = """\
a: 1
list:
  - x
  - {b: 2, "c d": [3, 4]}
anchor: &one {deep: value}
alias: *one
merged: {<<: *one, more: 1}
empty:
"""


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        ((), (1, 1), (1, 1)),
        (("a",), (1, 1), (1, 4)),
        (("list",), (2, 1), (3, 3)),
        (("list", 0), (3, 5), (3, 5)),
        (("list", 1, "b"), (4, 6), (4, 9)),
        (("list", 1, "c d", 1), (4, 23), (4, 23)),
        (("alias",), (6, 1), (6, 8)),
        (("alias", "deep"), (5, 15), (5, 21)),
        (("merged", "deep"), (5, 15), (5, 21)),
        (("merged", "more"), (7, 20), (7, 26)),
        (("empty",), (8, 1), (8, 7)),
        (("a", "nothing", 3), (1, 1), (1, 4)),
        (("list", 7), (2, 1), (3, 3)),
        (("nothing",), (1, 1), (1, 1)),
    ],
)
def test_every_key_and_value_has_its_place(path, key, value):
    """
    Line and column count from 1; what is not there has the place of what surrounds it.
    """
    document = read_document(TEXT)

    assert document.where_key(*path) == key
    assert document.where(*path) == value


def test_what_is_there():
    """
    A document knows which paths lead to a value.
    """
    document = read_document(TEXT)

    assert document.has()
    assert document.has("list", 1, "c d", 0)
    assert document.has("merged", "deep")
    assert not document.has("list", 2)
    assert not document.has("a", "b")


def test_merge_keys():
    """
    ``<<`` brings what is not written out; of several, the first wins.
    """
    text = "base: &a {x: 1, y: 1}\nother: &b {y: 2, z: 2}\nall: {y: 0, <<: [*a, *b]}\n'<<': text"

    data = read_document(text).data

    assert data["all"] == {"y": 0, "x": 1, "z": 2}
    assert data["<<"] == "text"


def test_anchors_on_keys_and_again():
    """
    An anchor may stand on a key, and be used anew; an alias means the latest before it.
    """
    data = read_document("&k key: &k 1\nb: *k\nc: &k 2\nd: *k\n").data

    assert data == {"key": 1, "b": 1, "c": 2, "d": 2}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*/native/*.yaml")), ids=lambda path: path.stem)
def test_both_parsers_agree(path):
    """
    With and without LibYAML a file has the same data, places and complaints.
    """
    try:
        document = read_document(path.read_bytes())
    except BlueprintError:
        return
    composer = Composer(_PurePythonParser(json_as_yaml(document.text)).get_event, "")

    root = composer.compose()

    assert repr(composer.data) == repr(document.data)
    assert place_of(root) == document.where()
    for own, other in [
        (document._marks[id(left)], composer.marks[id(right)])
        for left, right in pairs(document.data, composer.data)
    ]:
        places = [
            {part: (place_of(key), place_of(value)) for part, (key, value) in marks.items()}
            for marks in (own, other)
        ]
        assert places[0] == places[1]


def pairs(left, right):
    """
    Yield the containers of two equal pieces of data side by side.
    """
    if isinstance(left, (dict, list)):
        yield left, right
        keys = left if isinstance(left, dict) else range(len(left))
        for key in keys:
            yield from pairs(left[key], right[key])


@pytest.mark.parametrize(
    "text", ["a: 1\na: 2", "x: &a [*a]", "a: *b", "a: [1", "", "{1: 2}", "--- a\n--- b"]
)
def test_the_pure_python_parser_is_as_strict(text):
    """
    What is refused with LibYAML is refused without it.
    """
    composer = Composer(_PurePythonParser(text).get_event, "")

    with contextlib.suppress(BlueprintError, yaml.YAMLError):
        composer.compose()
        assert composer.problems


@settings(max_examples=200, deadline=None)
@given(
    data=st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=50), values(), max_size=3
    )
)
def test_json_is_yaml(data):
    """
    What ``json`` writes, in ASCII or not, indented or not, is read as what it was.
    """
    for text in (
        json.dumps(data),
        json.dumps(data, ensure_ascii=False),
        json.dumps(data, indent=1),
    ):
        if not data:
            continue
        try:
            found = read_document(text).data
        except BlueprintError as error:
            # JSON allows some control characters that YAML does not.
            assert "control characters" in str(error)  # noqa: PT017
            continue

        assert canonical(found) == canonical(data)


@settings(max_examples=300, deadline=None)
@given(
    data=st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=50), values(), max_size=4
    )
)
def test_what_is_emitted_reads_back(data):
    """
    Emitted YAML gives the data it was made from, in blocks or not.
    """
    assert canonical(read_document(emit({"x": 0, **data})).data) == canonical({"x": 0, **data})
    block = emit({"block": Block({"x": 0, **data})})
    assert canonical(read_document(block).data["block"]) == canonical({"x": 0, **data})


@pytest.mark.parametrize(
    "text",
    [
        "a\nb",
        "a\nb\n",
        "a\n\n\nb\n\n\n",
        "\na\n",
        " a\nb",
        "a\n  b\n",
        "a\n\tb\n",
        'a\\b\n"c"\n',
        "# a\n# b\n",
        "a \nb \n",
        "a\r\nb",
        "a\n\x85\nb",
        "---\n...\n",
    ],
)
def test_text_of_several_lines_reads_back(text):
    """
    A command keeps its lines, its indentation and how it ends.
    """
    assert read_document(emit({"a": Block({"b": text, "c": 1})})).data == {"a": {"b": text, "c": 1}}


def test_commands_are_emitted_for_people():
    """
    Text of several lines stands below its key as it is.
    """
    assert (
        emit({"command": "set -e\npython train.py"}) == "command: |-\n  set -e\n  python train.py\n"
    )


def test_the_byte_order_mark_is_no_text():
    """
    A byte order mark is passed over, in text and in bytes.
    """
    assert read_document("\ufeffa: 1").data == {"a": 1}
    assert read_document(b"\xef\xbb\xbfa: 1").data == {"a": 1}


def test_the_size_is_limited_in_bytes():
    """
    One MiB is allowed, one byte more is not, whatever the characters.
    """
    fits = "a: " + "é" * ((1024 * 1024 - 3) // 2) + "x"

    assert len(read_document(fits).data["a"]) == (1024 * 1024 - 3) // 2 + 1
    for content in (fits + "x", (fits + "x").encode()):
        with pytest.raises(BlueprintError, match="larger than 1 MiB"):
            read_document(content)


def test_aliases_count_as_if_written_out():
    """
    Aliases may be many, but not stand for more than so many values.
    """
    fine = "a: &a [1, 2, 3]\nb: [" + ", ".join(["*a"] * 1000) + "]"
    bomb = "a0: &a0 [1]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 7)
    )

    assert len(read_document(fine).data["b"]) == 1000
    with pytest.raises(BlueprintError, match="at most 100000 values"):
        read_document(bomb)


def test_depth_is_limited():
    """
    Fifty levels are enough for anybody.
    """
    assert read_document("a: " + "[" * 49 + "]" * 49).data
    with pytest.raises(BlueprintError, match="deeper than 50"):
        read_document("a: " + "[" * 50 + "]" * 50)


def test_problems_are_collected():
    """
    All that does not keep the rest from being read is told at once.
    """
    with pytest.raises(BlueprintError) as caught:
        read_document("a: !x 1\na: 2\n5: 6\n", file="f.yaml")

    assert [problem.line for problem in caught.value.problems] == [1, 2, 3]
    assert {problem.file for problem in caught.value.problems} == {"f.yaml"}
