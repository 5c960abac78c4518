"""
Commands as Jinja templates: what they say, and what they cannot do.
"""

from __future__ import annotations

import shlex
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_hpo.blueprint.jinja import JinjaTemplate

VALUES = {
    "lr": 0.1,
    "n": 3,
    "name": "adam",
    "layers": [64, 32],
    "d": {"a": 1, "b": "x"},
    "flag": True,
    "off": False,
    "nothing": None,
}


def render(text, **values):
    """
    Return the shell line of a template.
    """
    return JinjaTemplate.parse(text).render(values or VALUES)


# Each of them without a value that the shell would have to have quoted.
SAME_AS_JINJA = [
    "x --lr={{ lr }} {{lr}} {{ n }}",
    "{{ lr * 2 }} {{ n / 2 }} {{ n // 2 }} {{ n % 2 }} {{ n ** 2 }} {{ -n ** 2 }} {{ 2 - -n }}",
    "{{ 2 + 3 * n }} {{ (2 + 3) * n }} {{ 2 ** 3 ** 2 }} {{ 7 // 2 * 2 }} {{ 'a' ~ n ~ 1 }}",
    '{{ "%.3f" | format(lr) }} {{ lr | round(2) }} {{ 2.5 | round }} {{ 1.21 | round(1, "ceil") }}',
    "{% if lr > 0.05 %}--big{% else %}--small{% endif %}",
    "{% if n == 1 %}a{% elif n == 3 %}b{% else %}c{% endif %}",
    "{% for i in [1, 2] %}{{ i }} {% endfor %}{% for i in [] %}{% else %}none{% endfor %}",
    "{% for i in layers %}{{ loop.index }}:{{ i }}{% if not loop.last %},{% endif %}{% endfor %}",
    "{% for k, v in d | items %}--{{ k }}={{ v }} {% endfor %}{% for k in d %}{{ k }}{% endfor %}",
    "{% for i in range(n) %}{{ i }}{% endfor %} {{ range(2, 8, 3) | list | length }}",
    "{{ d.a }} {{ d['b'] }} {{ layers[0] }} {{ layers[-1] }} {{ name[1:3] }} {{ layers[5] }}",
    "{{ name | upper }} {{ name | length }} {{ layers | sum }} {{ layers | join('-') }}",
    "{{ layers | min }} {{ layers | max }} {{ layers | first }} {{ layers | last }}",
    "{{ [3, 1, 2] | sort | join(',') }} {{ 'a-b' | replace('-', '_') }} {{ '3' | int + 1 }}",
    "{{ missing | default('d') }} {{ missing is defined }} {{ lr is defined }} {{ n is odd }}",
    "{{ n is divisibleby 3 }} {{ name is string }} {{ n is not none }} {{ n in [1, 3] }}",
    "{{ n not in [1] }} {{ not flag }} {{ flag and off }} {{ off or n }} {{ 1 < n <= 3 }}",
    "{{ 'yes' if flag else 'no' }} {{ 'yes' if off }}|{{ flag }} {{ 1e-05 }} {{ 1_000 }}",
    "{% set x = n + 1 %}{{ x }} {% set y %}a{{ x }}{% endset %}{{ y }}",
    "a  {%- if flag -%}  b  {%- endif -%}  c {# note #} {%- raw %} {{ x }} {% endraw -%}  d",
    "{% for i in [1] %}{% set n = 9 %}{% endfor %}{{ n }}",
    "{{ 'a' 'b' }} {{ {'k': [1, 2]}['k'][1] }} {{ (1, 2)[0] }} {{ true }} {{ missing }}",
    "{{ 'x' | title }}{{ -n | abs }} {{ [1, 1, 2] | unique | list | length }}",
]


@pytest.mark.parametrize("text", SAME_AS_JINJA)
def test_jinja_itself_says_the_same(text):
    """
    What is read of the language means what it means to Jinja.
    """
    jinja2 = pytest.importorskip("jinja2", reason="Jinja, the oracle, is not installed")

    assert render(text) == jinja2.Template(text).render(VALUES)


@settings(max_examples=50, deadline=None)
@given(value=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_values_stay_one_word(value):
    """
    Whatever a value holds, the shell reads it as it is, quoted or not by the template.
    """
    line = render("printf '%s\\0' --a={{ v }} '{{ v }}' \"{{ v }}\"", v=value)
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, check=True)

    assert done.stdout.decode().split("\0") == [f"--a={value}", value, value, ""]


def test_python_prints_the_values():
    """
    Values print as Python does it; what there is not prints as nothing.
    """
    line = render("{{ flag }} {{ layers }} {{ d }} {{ lr }}{{ nothing }}{{ missing }}")

    assert shlex.split(line) == ["True", "[64, 32]", "{'a': 1, 'b': 'x'}", "0.1"]


def test_text_of_the_template_is_not_quoted():
    """
    Text that stands in the template is the author's; a parameter in it makes it a value.
    """
    assert render("{{ '--bn --fast' if flag }}") == "--bn --fast"
    assert render("{% set f %}--bn -v{% endset %}{{ f }}") == "--bn -v"
    assert render("{{ '--o ' ~ name }}") == "'--o adam'"
    assert render("{% set f %}--o {{ name }}{% endset %}{{ f }}") == "'--o adam'"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ lr.__class__ }}", "attributes are not read"),
        ("{{ ''.join }}", "attributes are not read"),
        ("{{ d.items() }}", "nothing must be called but range"),
        ("{{ lr | attr('real') }}", "must be a filter, got 'attr' at column 9"),
        ("{{ lr | rond }}", "did you mean 'round'"),
        ("{{ lr is callable }}", "must be a test"),
        ("{% import 'os' as os %}", "a statement must be one of if, for, set and raw"),
        ("{% include '/etc/passwd' %}", "a statement must be one of"),
        ("{{ 9 ** 9999 }}", "a power must be modest"),
        ("{{ 'a' * 99 }}", "needs two numbers"),
        ("{{ '%9999d' | format(n) }}", "plain places"),
        ("{% for i in range(10000000) %}{% endfor %}", "a range must have at most"),
        ("{% for i in range(999) %}{% for j in range(999) %}{% endfor %}{% endfor %}", "steps"),
        ("{{ n / 0 }}", "divide by zero"),
        ("{{ name + 1 }}", "needs two numbers"),
        ("{{ missing + 1 }}", "missing has no value"),
        ("{{ missing.x }}", "missing has no value"),
        ("`{{ n }}`", "in backticks"),
        ("{{ n", "a tag must be closed, got {{ at column 1"),
        ("a\n{% if n %}", "must be closed by endif, got the end at column 11 of line 2"),
        ("{% endif %}", "a tag must be opened first"),
        ("{{ }}", "must be a value"),
        ("{{ 1 2 }}", "the tag must end"),
        ("{{ $ }}", "a tag must hold an expression"),
        ("{{ (1 }}", "brackets must be opened first, got }"),
        ("{{ 1) }}", "brackets must be opened first"),
        ("{# x", "a comment must be closed"),
        ("{% raw %}x", "raw must be closed"),
        ("{{ " + "(" * 50 + "1" + ")" * 50 + " }}", "nested at most"),
        ("{{ " + "1+" * 400 + "1 }}", "a tag must have at most 300 tokens"),
        ("{% if n %}" + "{% elif n %}" * 100 + "{% endif %}", "nested at most"),
        ("{% if n %}" * 100, "nested at most"),
        ("x\0", "NUL"),
    ],
)
def test_what_is_refused(text, said):
    """
    What is not in the language, or without bounds, is refused in words.
    """
    with pytest.raises(ValueError, match=r"\w") as caught:
        render(text)

    assert said in str(caught.value)


BITS = [*"{{ }} {% %} {# #} - n lr d if for in endif endfor set x = ( ) [ ] | round is not".split()]  # noqa: SIM905 - legible
BITS += [*"1.5 raw endraw else ~ ** . , loop range ` $(".split(), "'a'", "'", '"']  # noqa: SIM905


@settings(max_examples=300, deadline=None)
@given(
    text=st.lists(st.sampled_from(BITS), max_size=25).map(" ".join),
)
def test_no_text_does_anything_else(text):
    """
    Any text is rendered, or refused by a `ValueError`.
    """
    try:
        JinjaTemplate.parse(text).render(VALUES)
    except ValueError:
        return


def test_names():
    """
    The names of a template are those that it does not make itself.
    """
    template = JinjaTemplate.parse(
        "{% set a = b %}{{ a }}{% for c in d %}{{ c }}{{ loop.index }}{% endfor %}"
        "{{ e | default(1) }}"
        "{% set f = '--f' if f else '' %}{{ f }}{% if g is defined %}{{ g }}{% endif %}"
    )

    assert template.names() == {"b", "d", "e", "f", "g"}
    assert template.needed_names() == {"b", "d", "f"}
