"""
Input that means harm, or is nobody's: bounded, quoted, and never run.
"""

from __future__ import annotations

import json
import math
import os
import resource
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_hpo.blueprint import check_text
from airflow_hpo.blueprint.template import Template
from airflow_hpo.driver import TrialRun
from airflow_hpo.metrics import create_collector
from airflow_hpo.model.blueprint import Blueprint, MetricsSpec
from airflow_hpo.model.expression import Expression
from airflow_hpo.model.trial import TrialState
from airflow_hpo.report import write_report
from airflow_hpo.runners.output import MAX_LINE, PAGE, read_lines
from airflow_hpo.storage import open_storage
from airflow_hpo.study import Study

EVIL = [
    "; rm -rf ~",
    "$(id)",
    "`id`",
    "a' ; id ; '",
    '"; id; "',
    "\\",
    "-rf",
    "*",
    "~",
    "!!",
    "a\nid",
    "$HOME",
    "&& id",
    "| id",
    "> x",
    "#",
    "{{ 7 * 7 }}",
    "{x.__class__}",
    "%(id)s",
    "\u202eid",
]


@pytest.fixture(name="make")
def _make(tmp_path):
    """
    Makes a study of one choice in a SQLite file.
    """

    def make(command, choices=("a",), **trial):
        word = {"name": "word", "distribution": {"kind": "choice", "choices": list(choices)}}
        blueprint = Blueprint.model_validate(
            {
                "name": "hostile",
                "objectives": [{"metric": "y", "direction": "minimize"}],
                "space": {"parameters": [word]},
                "strategy": {"name": "grid"},
                "budget": {"trials": 99},
                "trial": {"steps": [{"command": command}], **trial},
            }
        )
        return Study.open(open_storage(f"sqlite:///{tmp_path / 'studies.db'}"), "s", blueprint)

    return make


@pytest.fixture(name="run")
def _run(tmp_path):
    """
    Runs one trial; returns it as told, and what it printed.
    """

    def run(study, number=0):
        lines = []
        trial = TrialRun(
            study, number, key="try", artifacts=tmp_path / "files", log=lines.append
        ).run()
        return trial, lines

    return run


def test_values_reach_shells_as_text(make, run, tmp_path):
    """
    Whatever a choice holds, the command gets it as one word, in command, file and variable.
    """
    show = tmp_path / "show.py"
    show.write_text(
        "import json, os, sys\n"
        "told = json.load(open(os.environ['HPO_PARAMS_FILE']))['word']\n"
        "print(json.dumps({'y': 1, 'words': sys.argv[1:], 'told': told}))\n"
    )
    study = make(f"{sys.executable} {show} {{word}} {{word:--word=}}", EVIL)
    trials = study.ask(len(EVIL), key="a")

    for trial in trials:
        word = trial.configuration["word"]
        told, _ = run(study, trial.number)
        assert told.metrics == {"y": 1, "words": [word, f"--word={word}"], "told": word}


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40))
@settings(max_examples=60, deadline=None)
def test_any_value_is_one_word_to_a_shell(word):
    """
    A shell hands on exactly the text, whatever it is.
    """
    command = Template.parse("printf '%s|' {word} end").render({"word": word})
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, check=True)

    assert done.stdout.decode() == f"{word}|end|"


@pytest.mark.parametrize(
    "text",
    [
        "{word.__class__}",
        "{word[0]}",
        "{word!r}",
        "{0}",
        "{}",
        "{word:{word}}",
        "{__import__('os')}",
        "{word.__init__.__globals__}",
    ],
)
def test_templates_see_no_attributes(text):
    """
    Braces hold names of parameters, and nothing else is looked up.
    """
    with suppress(ValueError):
        template = Template.parse(text)
        with pytest.raises((ValueError, KeyError)):
            template.render({"word": "a"})


EXPRESSIONS = [
    "__import__('os').system('id')",
    "().__class__.__bases__[0].__subclasses__()",
    "open('/etc/passwd')",
    "exec('1')",
    "lambda: 1",
    "[x for x in y]",
    "y := 1",
    "f'{y}'",
    "a.b.c()",
    "9 ** 9 ** 9 ** 9",
    "'a' * 10 ** 10",
    "y if y else y",
    "`id`",
    "$(id)",
    "y; z",
]


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_expressions_cannot_call(text):
    """
    An expression that is more than a comparison of names and numbers is refused.
    """
    with pytest.raises(ValueError, match=r".+"):
        Expression.parse(text)


_WORDS = "y metadata.y and or not ( ) < >= == 1 1e400 - + * / // 'a' abs( min( , . __class__ nan \\"
_PIECES = st.sampled_from(_WORDS.split())


@given(st.text(max_size=60) | st.lists(_PIECES, max_size=25).map(" ".join))
@example("(" * 5000 + "y" + ")" * 5000 + " < 1")
@example("- " * 5000 + "y < 1")
@example("not " * 5000 + "y < 1")
@example("y < " + "9" * 5000)
@example("y < 1" + " and y < 1" * 3000)
def test_any_expression_is_refused_or_answered(text):
    """
    Whatever is written: an answer of true or false in good time, or a ValueError that says why.
    """
    began = time.monotonic()
    values = {"y": math.nan, "metadata.y": 10**400}
    with suppress(ValueError):
        answer = Expression.parse(text).holds(values.__getitem__)
        assert isinstance(answer, bool)
    assert time.monotonic() - began < 20


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(
    st.lists(
        st.text(max_size=80)
        | _JSON.map(json.dumps)
        | st.dictionaries(st.sampled_from(["y", "epoch", "a.b"]), _JSON).map(json.dumps)
        | st.sampled_from(['{"y": ' + "[" * 5000, '{"y": 1e9999}', "{" * 9999, '{"y": "\\ud800"}']),
        max_size=8,
    ),
    st.sampled_from(
        [
            MetricsSpec(),
            MetricsSpec(format="regex", options={"pattern": r"(?P<y>[0-9.]+)"}),
            MetricsSpec(options={"resource": "epoch"}),
        ]
    ),
)
@settings(deadline=None)
def test_any_line_of_metrics(lines, spec):
    """
    Nothing that a job prints stops its measurements from being kept, and JSON can hold them.
    """
    collector = create_collector(spec, resource="epochs")
    measured = [*collector.feed(lines, 1.0), *collector.finish(2.0)]

    for found in measured:
        assert json.loads(json.dumps(found.metrics)).keys() == found.metrics.keys()
        assert found.resource is None or math.isfinite(found.resource)


BOMB = "hpo: 1\na: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9)
)


@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        "hpo: 1\nname: &x [*x]\n",
        "hpo: " + "[" * 20_000,
        "hpo: 1\n" + "a: " * 10_000,
        "!!python/object/apply:os.system ['id']",
        "hpo: !!python/name:os.system",
        "hpo: 1\n" + "x" * 2_000_000,
        "hpo: " + "9" * 100_000,
        "? " * 5000,
        "hpo: 1\nspace: {x: {choice: [" + "1, " * 200_000 + "]}}",
    ],
    ids=["bomb", "circle", "deep", "nested", "tag", "name", "long", "digits", "keys", "choices"],
)
def test_yaml_bombs_are_bounded(text):
    """
    A file that is made to blow up is refused, in little time and memory.
    """
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.monotonic()

    assert check_text(text)
    assert time.monotonic() - began < 60
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_500_000  # kB


def test_endless_line_is_bounded(tmp_path):
    """
    A line of a gigabyte is cut; reading it takes no more memory than a page has.
    """
    path = tmp_path / "log"
    size = 2**30
    with path.open("wb") as file:
        file.truncate(size)  # sparse: a gigabyte of NUL without a newline
        file.seek(size)
        file.write(b'\n{"y": 1}\n')
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    lines, cursor, longest = [], 0, 0
    while True:
        found, following = read_lines(path, cursor, ended=True)
        if following == cursor:
            break
        cursor = following
        longest = max([longest, *map(len, found)])
        lines += [line[:20] for line in found]

    assert lines[-1] == '{"y": 1}'
    assert len(lines) == 2
    assert longest < MAX_LINE + 100
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < 20 * PAGE


def test_endless_line_of_a_trial(make, run):
    """
    A trial that prints hundreds of megabytes without a newline is a trial all the same.
    """
    command = "head -c 200000000 /dev/zero | tr '\\0' x; echo; echo '{{\"y\": 1}}'"
    study = make(command)
    study.ask(1, key="a")
    trial, lines = run(study)

    assert (trial.state, trial.values) == (TrialState.COMPLETE, (1.0,))
    assert max(map(len, lines)) < MAX_LINE + 100


def test_secrets_stay_out_of_everything(make, run, tmp_path, monkeypatch):
    """
    Airflow's variables and connections reach neither the code nor what is written about it.
    """
    secret = "hunter2-5f0c"
    for name in ("AIRFLOW_CONN_DB", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW_VAR_KEY"):
        monkeypatch.setenv(name, f"postgresql://me:{secret}@host/db")
    monkeypatch.setenv("HPO_STORAGE", f"postgresql://me:{secret}@host/db")
    study = make("env; echo '{{\"y\": 1}}'")
    study.ask(1, key="a")
    _, lines = run(study)
    write_report(study.record(measurements=True), study.blueprint, tmp_path / "report")

    assert not any(secret in line for line in lines)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 5
    assert not [path for path in written if secret.encode() in path.read_bytes()]
    assert secret not in repr(open_storage(os.environ["HPO_STORAGE"]))


def test_default_journal_is_private(tmp_path, monkeypatch):
    """
    The file that studies are kept in by default is its owner's alone.
    """
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HPO_STORAGE", raising=False)
    before = os.umask(0)
    try:
        open_storage().create("s", definition={}, seed=1, plan={})
    finally:
        os.umask(before)
    files = [path for path in Path(tmp_path / "home").rglob("*.db*") if path.is_file()]

    assert files
    assert not [path for path in files if path.stat().st_mode & 0o077]
