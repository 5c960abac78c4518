"""
Command templates: whatever a value holds, the shell hands it on as it is.
"""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_hpo.blueprint.template import Template, word_of
from airflow_hpo.testing.drawn import values

SHELLS = [path for path in map(shutil.which, ("sh", "dash", "bash", "busybox")) if path]

# The shell cannot hold NUL, nor the operating system halves of characters.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
NASTY = st.text("'\"\\$`!*?[]{}()<>|&;#~= \t\nabA0", max_size=12)
ODD = ["", "'", '"', "\\", "$(id)", "`id`", "${HOME}", "$HOME", "a'; id; 'b", "\n", "-n", "*", "~"]


def words(command, shell=SHELLS[0]):
    """
    Return the words that a shell makes of what follows ``show``.
    """
    program = 'show() { for word do printf "%s\\0" "$word"; done; }\n' + command
    argv = [shell, "sh", "-c", program] if shell.endswith("busybox") else [shell, "-c", program]
    done = subprocess.run(argv, capture_output=True, check=True, timeout=60)
    assert done.stderr == b""
    return done.stdout.decode().split("\0")[:-1]


def text_without_nul(value):
    """
    Return whether a shell can hold the value at all.
    """
    return "\0" not in word_of(value)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("value", ODD)
def test_odd_values_stay_one_word(shell, value):
    """
    In every place where a parameter may stand, a value is what it was, in one word.
    """
    template = Template.parse(
        "show {x} a{x}b '{x}' \"{x}\" \"a $(printf %s {x}) b\" $(printf %s 'c {x}') "
        "{x:--x} {x:--x=} "
        "; show '#'{x} # {{x}}\nshow \"$((1 + 1))\"{x}\n"
    )

    found = words(template.render({"x": value}), shell)

    assert found[:4] == [value, f"a{value}b", value, value]
    assert [f"#{value}", f"2{value}"] == found[-2:]
    assert ["--x", value, f"--x={value}"] == found[-5:-2]


@settings(max_examples=60, deadline=None)
@given(value=st.one_of(NASTY, TEXTS, values().filter(text_without_nul)))
@example(value="a'b\"c\\d$e`f\ng")
def test_a_value_is_one_word(value):
    """
    Bare, in single or double quotes, with a flag or among all: never more than one word.
    """
    template = Template.parse(
        "show {x} 'a{x}' \"b{x}\" {x:--x} {y:--y} {x:key=} \"$(printf '%s.' {x})\" {parameters}"
    )
    text = word_of(value)

    found = words(template.render({"x": value}))

    assert found == [
        text, f"a{text}", f"b{text}", "--x", text, f"key={text}", f"{text}.", f"--x={text}"
    ]  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(
    text=st.lists(
        st.sampled_from(
            ["{x}", "'", '"', "\\", "$", "(", ")", "((", "))", "`", "#", " ", "\n", "<<", "E", "a"]
        )
        | st.sampled_from(["{{", "}}", "$(", "case ", "esac", "&&", ";", "{x:-f}"]),
        max_size=9,
    ).map("".join),
    value=st.sampled_from(
        ["a b", "$(echo bo\\om)", "';echo bo\\om;'", '";echo bo\\om;"', "`echo bo\\om`"]
    ),
)
@example("\"${{a:-'{x}'}}\"", "$(echo bo\\om)")
@example('"$(case a in a) {x};; esac)"', "$(echo bo\\om)")
@example("$'\\'{x}'", "$(echo bo\\om)")
@example("cat <<E\n{x}\nE\n", "$(echo bo\\om)")
@example("cat <<'E'\n'\nE\n{x}", "';echo bo\\om;'")
def test_no_place_lets_a_value_out(text, value):
    """
    Wherever a template may put a value, nothing in it is ever run.

    Only a shell that runs what is in the value takes its backslash away.
    """
    try:
        command = Template.parse(text).render({"x": value})
    except ValueError:
        return
    for shell in SHELLS:
        done = subprocess.run(
            [shell, *(["sh"] if shell.endswith("busybox") else []), "-c", command],
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=60,
        )

        assert b"boom" not in done.stdout


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ("a b", "a b"),
        (True, "true"),
        (False, "false"),
        (None, "null"),
        (1e-05, "1e-05"),
        (0.1, "0.1"),
        (1.0, "1.0"),
        (64, "64"),
        ([64, "a"], '[64, "a"]'),
        ({"ö": None}, '{"ö": null}'),
    ],
)
def test_how_values_are_written(value, word):
    """
    Text is itself, all else is JSON, so that types survive.
    """
    assert word_of(value) == word
    assert isinstance(value, str) or json.loads(word) == value


@pytest.mark.parametrize(
    ("text", "configuration", "line"),
    [
        ("train {a}", {"a": 1}, "train 1"),
        ("train {{a}} {{}}", {}, "train {a} {}"),
        ("{a}{b}", {"a": 1, "b": "x y"}, "1'x y'"),
        ("{a:--a} {b:--b}", {"b": 2}, " --b 2"),
        ("{a:--a=} {b:model.b=}", {"b": 2}, " model.b=2"),
        ("{parameters}", {"a": 1, "b-c": "x y"}, "--a=1 '--b-c=x y'"),
        ("{parameters}", {}, ""),
        ("{größe}", {"größe": 1}, "1"),
        ("{a.b} {c-d} {1}", {"a.b": 1, "c-d": 2, "1": 3}, "1 2 3"),
        ("", {}, ""),
    ],
)
def test_how_templates_are_filled(text, configuration, line):
    """
    Values stand where their names did, and what is inactive leaves its flag behind.
    """
    assert Template.parse(text).render(configuration) == line


def test_names():
    """
    All names are known, and which of them need a value.
    """
    template = Template.parse("{a} '{b}' {c:--c} {a:--a} {parameters}")

    assert template.names() == {"a", "b", "c"}
    assert template.bare_names() == {"a", "b"}
    assert template.takes_all
    assert not Template.parse("{a}").takes_all


def test_a_missing_value_is_refused():
    """
    A name without a flag has a value, or the command is not made.
    """
    with pytest.raises(ValueError, match="needs a value of a, which is not active"):
        Template.parse("train {a}").render({"b": 1})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train {", r"doubled where it is meant \({{\), got { at column 7"),
        ("train }", r"doubled where it is meant \(}}\), got } at column 7"),
        ("a\nb {", "got { at column 3 of line 2"),
        ("{a{b}}", "got { at column 1"),
        ("{}", "must hold a parameter's name, got {} at column 1"),
        ("{a b}", "must hold a parameter's name"),
        ("{:--a}", "must hold a parameter's name"),
        ("{a:}", "must be followed by a flag"),
        ("{a:--a b}", "must be followed by a flag"),
        ("{a:;id}", "must be followed by a flag"),
        ("{a:.3f!r}", "must be followed by a flag"),
        ("{parameters:--p}", "must be followed by a flag"),
        ("'{parameters}'", "must stand outside quotes"),
        ('"{a:--a}"', "must stand outside quotes"),
        ("echo ${HOME}", r"write \${{HOME}} for a variable of the shell"),
        ('echo "${HOME}"', "behind a dollar sign"),
        ("\\{a}", "behind a backslash"),
        ('"\\{a}"', "behind a backslash"),
        ("`{a}`", "in backticks"),
        ('"`{a}`"', "in backticks"),
        ("$(({a} + 1))", "in arithmetic"),
        ("(({a}))", "in arithmetic"),
        ("${{x:-{a}}}", "in the expansion of a variable"),
        ("# {a}", "in a comment"),
        ("cat <<E\n{a}\nE\n", "in a here-document"),
        ("cat <<-E\n\t{a}\n\tE\n", "in a here-document"),
        ("$'x' {a}", "only a full shell can read"),
        ("${{x:-'y'}} {a}", "only a full shell can read"),
        ('"$(case x in x) {a};; esac)"', "only a full shell can read"),
        ("cat << ; {a}", "only a full shell can read"),
        ("`a {a}", "only a full shell can read"),
        ("(( '))' {a}", "only a full shell can read"),
        ('"$(' * 30 + "{a}", "only a full shell can read"),
        ("echo it's", "a single quote must be closed"),
        ('echo "{a}', "a double quote must be closed"),
        ("a\0b", "no NUL"),
    ],
)
def test_what_is_not_in_the_language(text, message):
    """
    What is misspelled, or stands where no quoting is safe, is refused with its place.
    """
    with pytest.raises(ValueError, match=message):
        Template.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "a'b'{x}",
        "a#b {x}",
        "$# {x}",
        "${{#a}} {x}",
        "${{a}}{x}",
        "$((1 + (2))) {x}",
        "cat <<E ; echo {x}\n'\nE\n",
        "cat <<-'E' <<F\n'\n\tE\n\"\nF\necho {x}",
        "cat <<< {x}",
        "# it's\n{x}",
        "(echo {x}) && {{ echo {x}; }}",
        '"a $(echo "b $(echo {x})") {x}"',
        "case {x} in a) echo {x};; esac",
        "lower-case {x}",
        "a=\\' ; {x}",
        '"\\"" {x}',
        "`date` {x}",
        '"`date`" {x}',
    ],
)
def test_what_is_in_the_language(text):
    """
    Quotes, comments and the like may stand beside parameters.
    """
    assert Template.parse(text).names() == {"x"}
