"""
Expressions: what is in the grammar, what is not, and what they come to.
"""

from __future__ import annotations

import copy
import math
import pickle
import warnings

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_hpo.model.expression import Expression
from airflow_hpo.testing.drawn import values

KNOWN = {
    "accuracy": 0.97,
    "loss": 0.1,
    "val-loss": 0.2,
    "text": "0.97",
    "word": "abc",
    "nan": math.nan,
    "zero": 0,
    "one": 1,
    "yes": True,
    "none": None,
    "list": [1, 2],
    "if": 3,
    "abs": 7,
    "a": 10,
    "b": 4,
    "a-b": 100,
    "metadata.accuracy": 0.5,
    "metadata.val-loss": 0.3,
    "execution.duration": 3700,
    "a.b.c.d": 5,
    "größe": 2,
}


def holds(text):
    """
    Return whether *text* holds of what is known.
    """
    return Expression.parse(text).holds(KNOWN.__getitem__)


@pytest.mark.parametrize(
    "text",
    [
        # names
        "accuracy",
        "metadata.accuracy == 0.5",
        "execution.duration > 3600",
        "a.b.c.d == 5",
        "größe == 2",
        "if > 2",
        "val-loss < 0.21",
        "metadata.val-loss == 0.3",
        "a - b == 6",
        "a-b == 100",
        "a -b == 6",
        "a- b == 6",
        "accuracy > 0.5 and val-loss < 0.21",
        "not val-loss > 0.3",
        "abs == 7",
        # numbers, text, constants
        "1",
        ".5 < 1. and 1e-3 < 1E3 and 007e1 == 70",
        "word == 'abc'",
        'word == "abc"',
        "'it\\'s' == \"it's\" and '\\\\' == '\\\\' and 'a\\tb' != 'a\\\\tb'",
        "'\\d' == '\\d'",
        "'a' 'b' == 'ab'",
        "True and not False",
        "None is None",
        # tuples and sets
        "one in (1, 2)",
        "one in {1, 2}",
        "zero not in (1,)",
        "() == ()",
        "word in ('abc', 'def')",
        "'b' in word",
        # one comparison
        "loss < 0.2",
        "loss <= 0.1",
        "loss > 0",
        "loss >= 0.1",
        "loss == 0.1",
        "loss != 0.2",
        "none is None",
        "one is not None",
        "one is 1",
        "word is 'abc'",
        # and, or, not, parentheses
        "(loss < 0.2) and (accuracy > 0.5 or missing > 1)",
        "accuracy > 0.5 or missing > 1",
        "not (loss > 0.2)",
        "not zero",
        # arithmetic
        "a + b == 14",
        "a * b == 40",
        "a / b == 2.5",
        "a // b == 2",
        "-a == 0 - 10",
        "+a == 10",
        "--a == 10",
        "2 + 3 * 4 == 14",
        "text + 1 == 1.97",
        # functions
        "abs(0 - a) == 10",
        "min(a, b) == 4",
        "max(a, b, 100) == 100",
        "max(a) == 10",
        "abs (a) == 10",
        "max('3', 2) == 3",
        # weak types
        "text > 0.95",
        "yes == 1",
        # names that are missing
        "missing is None",
        "not missing",
        "not missing and accuracy",
        "missing is None or missing > 1",
        "1or 2",
        "  loss<0.2  ",
    ],
)
def test_what_holds(text):
    """
    These are in the grammar and true of what is known.
    """
    assert holds(text)


@pytest.mark.parametrize(
    "text",
    [
        "missing > 1",
        "missing",
        "missing == missing",
        "missing > 1 or accuracy > 0.5",  # or asks from left to right
        "missing is not None",
        "not accuracy",
        "true",
        "false",
        "5 == '5'",
        "nan > 0",
        "nan < 0",
        "nan == nan",
        "word > 5",
        "one in 5",
        "list + list == list",
        "word * 3 == 'abcabcabc'",
        "a / zero > 0",
        "a // zero > 0",
        "max(word) == word",
        "max(list) > 0",
        "list in {list}",
        "list > 1",
        "none > 1",
        "abs(none) > 0",
        "-word == 1",
        "1e308 * 10 < 1e308 // 0",
        "loss in word",
    ],
)
def test_what_does_not_hold(text):
    """
    Unknown names, wrong types and impossible sums make it false, never an error.
    """
    assert not holds(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "a[0]",
        "[1, 2]",
        "{1: 2}",
        "{}",
        "f'{a}'",
        "b'x'",
        "lambda: 1",
        "1 if a else 2",
        "(x for x in y)",
        "{x for x in y}",
        "a; b",
        "a\nb",
        "a \n< 1",
        "1 < a < 3",
        "a == b == 1",
        "a = 1",
        "(a := 1)",
        "a && b",
        "a || b",
        "a & b",
        "a | b",
        "a ^ b",
        "~a",
        "a % 2",
        "a ** 2",
        "a @ b",
        "a << 1",
        "a <> 1",
        "!a",
        "max(a, key=b)",
        "max(*a)",
        "max(**a)",
        "max()",
        "abs(a, b)",
        "x.y()",
        "max.real(1)",
        "print(1)",
        "eval('1')",
        "__import__('os')",
        "a.__class__.__mro__(1)",
        "*a",
        "(*a,)",
        "a..b",
        ".a",
        "a.",
        "a b",
        "and",
        "not",
        "1_000",
        "01",
        "0x1f",
        "1j",
        "...",
        "'open",
        "'a\nb'",
        "`a`",
        "$a",
        "a#b",
        "a\\b",
        "\x00",
        "((((a))))" * 3,
        "(" * 50 + "a",
        "9" * 5000,
        "a" + " + a" * 60,
        "not " * 60 + "a",
        "x" * 10_001,
    ],
)
def test_what_is_not_in_the_grammar(text):
    """
    Everything else is refused before it is ever asked about a trial.
    """
    with pytest.raises(ValueError, match="expression"):
        Expression.parse(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("loss = 1", "'=' at character 6 is not allowed"),
        ("1 < a < 3", "it chains comparisons; write them with and"),
        ("~a", "'~' at character 1 is not allowed"),
        ("print(1)", "it calls something other than abs, min, max"),
        ("abs(1, 2)", "it calls abs with 2 values"),
        ("not " * 60 + "a", "it is nested deeper than 40 levels"),
    ],
)
def test_messages_say_what_is_wrong(text, message):
    """
    A refused expression is told apart from others, with the place where there is one.
    """
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - what follows is the match
        Expression.parse(text)

    assert message in str(caught.value)


def test_names():
    """
    All names are found, functions and constants are none.
    """
    expression = Expression.parse("max(a, b.c) > 0 and val-loss in (if, True) or min is None")

    assert expression.names() == {"a", "b.c", "val-loss", "if", "min"}


def test_expressions_are_values():
    """
    Two of the same text are equal, and survive being copied and pickled.
    """
    expression = Expression.parse("val-loss < 0.1")

    assert expression == Expression.parse("val-loss < 0.1")
    for other in (copy.deepcopy(expression), pickle.loads(pickle.dumps(expression))):
        assert other == expression
        assert other.holds({"val-loss": 0}.__getitem__)


CHARACTERS = "abc<>=!+-*/%(){}[],.:'\"\\ \n0123456789_"
WORDS = [" and ", " or ", "not ", " in ", " is ", "None", "True", "a-b", "a.b", "min(", "abs("]
WORDS += ["1e5", "==", "//", "**", "lambda", "'x'"]
PIECES = st.sampled_from([*CHARACTERS, *WORDS])


@settings(max_examples=500, deadline=None)
@given(text=st.lists(PIECES, max_size=15).map("".join) | st.text(max_size=30), data=values())
@example("'\\N{BULLET}'", 1)
@example("'\\x'", 1)
@example("'\ud800'", 1)
@example("1if 2", 1)
def test_no_text_does_anything_but_be_refused(text, data):
    """
    Parsing raises `ValueError` or nothing, warns of nothing; asking raises nothing at all.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            expression = Expression.parse(text)
        except ValueError:
            return

    assert expression.holds(lambda _: data) in {True, False}
    assert expression.holds(KNOWN.__getitem__) in {True, False}
    assert expression.holds({}.__getitem__) in {True, False}


NUMBERS = st.integers(-5, 5) | st.sampled_from([0.5, -2.5])
OPERATORS = ["<", "<=", ">", ">=", "==", "!="]


@st.composite
def formulas(draw, depth=0):
    """
    Return text that is both in the grammar and in Python, to compare the two.
    """
    kind = draw(st.integers(0, 5 if depth < 4 else 0))
    inner = formulas(depth=depth + 1)
    if kind == 0:
        return draw(st.sampled_from(["x", "y", "z"]) | NUMBERS.map(str))
    if kind == 1:
        return f"({draw(inner)} {draw(st.sampled_from(['+', '-', '*', '/', '//']))} {draw(inner)})"
    if kind == 2:
        return f"({draw(inner)} {draw(st.sampled_from(OPERATORS))} {draw(inner)})"
    if kind == 3:
        return f"({draw(inner)} {draw(st.sampled_from(['and', 'or']))} {draw(inner)})"
    if kind == 4:
        return f"(not {draw(inner)})"
    return f"{draw(st.sampled_from(['min', 'max']))}({draw(inner)}, {draw(inner)})"


@settings(max_examples=300, deadline=None)
@given(text=formulas(), x=NUMBERS, y=NUMBERS, z=NUMBERS)
def test_numbers_are_computed_as_python_does(text, x, y, z):
    """
    On numbers alone the language means what Python means.
    """
    names = {"x": x, "y": y, "z": z}
    try:
        expected = bool(eval(text, {"min": min, "max": max}, names))
    except ZeroDivisionError:
        expected = False

    assert Expression.parse(text).holds(names.__getitem__) is expected
