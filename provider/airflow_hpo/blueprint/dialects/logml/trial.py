"""
A trial: the config of one run of Log(ML), and the command that writes it.
"""

from __future__ import annotations

import copy
import json
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

import yaml

from airflow_hpo.blueprint.dialects.base import build
from airflow_hpo.blueprint.dialects.logml.keys import SEARCH
from airflow_hpo.blueprint.dialects.logml.steps import read_steps
from airflow_hpo.blueprint.dialects.own import OWN, step_of, trial_of
from airflow_hpo.blueprint.problems import show
from airflow_hpo.model.blueprint import MetricsSpec, Step, TrialSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_hpo.blueprint.dialects.logml.space import Found
    from airflow_hpo.blueprint.document import Document, Path
    from airflow_hpo.blueprint.problems import Problems
    from airflow_hpo.model.values import Value

__all__ = ["read_trial"]

_COMMAND = 'python3 logml.py -d -c "$LOGML_CONFIG"'

# Needs nothing but Python, so that it runs wherever Log(ML) does. JSON is YAML
# but for numbers such as 1e-05, which Log(ML)'s YAML takes for text, and for
# characters beyond 16 bits.
_MERGE = """\
import json, os
def text(s):
    return "".join(c if " " <= c <= "~" else "\\\\U%08x" % ord(c) for c in s)
def dump(v):
    if isinstance(v, dict):
        return "{" + ", ".join(dump(k) + ": " + dump(v[k]) for k in v) + "}"
    if isinstance(v, list):
        return "[" + ", ".join(map(dump, v)) + "]"
    if isinstance(v, float):
        t = repr(v)
        if t[-3:] in ("inf", "nan"):
            return t.replace("inf", ".inf").replace("nan", ".nan")
        return t if "." in t else t.replace("e", ".0e")
    return text(json.dumps(v, ensure_ascii=False))
with open(os.environ["HPO_PARAMS_FILE"], encoding="utf-8") as file:
    values = json.load(file)
config = json.loads(os.environ["LOGML_BASE"])
for key in values:
    step, name = key.split(".", 1)
    config["functions"].setdefault(step, dict())[name] = values[key]
with open(os.environ["LOGML_CONFIG"], "w", encoding="utf-8") as file:
    file.write(dump(config) + "\\n")
"""

# What Log(ML) logs of an evaluation: a program's own, or its default one.
_LOGGED = r"Model evaluate validate (?:returned:|\(default\): Loss =) '?([^'\s]+)"

# The kernel takes so much in one variable, and a little more.
_MOST_CHARACTERS = 120_000


def read_trial(
    data: Mapping[str, Value],
    own: Mapping[str, Any],
    found: Found,
    metric: str,
    problems: Problems,
) -> TrialSpec | None:
    """
    Return how one configuration is evaluated, or note why it cannot be.
    """
    _check_sections(data, problems)
    _warn_of_words(problems)
    if "steps" in own:
        return _trial_of_steps(own, found, problems)
    base = json.dumps(_base(data, found))
    if len(base) > _MOST_CHARACTERS:
        message = f"a config must have at most {_MOST_CHARACTERS} characters, got {len(base)}"
        problems.error((), message)
    problems.relocate(
        {
            ("trial",): (OWN,),
            ("trial", "steps", 0): (OWN,),
            ("trial", "steps", 0, "command"): (OWN, "command"),
        }
    )
    given = data.get(OWN, {})
    if isinstance(given, dict) and "command" not in given:
        problems.warn(
            (OWN,) if OWN in data else (SEARCH,),
            f"the program is not known and taken to be {_COMMAND}",
            hint=f"write {OWN}: {{command: 'python PROGRAM.py -d -c \"$LOGML_CONFIG\"'}}",
            at_key=True,
        )
    logged = MetricsSpec(format="regex", options={"patterns": {metric: _LOGGED}})
    values = {"metrics": logged, **trial_of(own)}
    values["steps"] = (Step(command=_command(own), **step_of(own, problems)),)
    values["environment"] = {**values["environment"], "LOGML_BASE": base}
    return build(TrialSpec, values, ("trial",), problems)


def _trial_of_steps(own: Mapping[str, Any], found: Found, problems: Problems) -> TrialSpec | None:
    """
    Return a trial whose steps have commands of their own, without Log(ML)'s program.
    """
    problems.relocate({("trial",): (OWN, "steps")})
    if "command" in own:
        problems.error((OWN, "command"), "must not stand beside steps", at_key=True)
    steps = read_steps(own, found, problems)
    if steps is None:
        return None
    return build(TrialSpec, {**trial_of(own), "steps": steps}, ("trial",), problems)


def _command(own: Mapping[str, Any]) -> str:
    script = _MERGE.replace("{", "{{").replace("}", "}}")
    return (
        'export LOGML_CONFIG="$HPO_OUTPUT_DIR/logml.yaml"\n'
        f"python3 -c '{script}' || exit 1\n"
        f"{own.get('command', _COMMAND)}"
    )


def _base(data: Mapping[str, Value], found: Found) -> dict[str, Value]:
    """
    Return the config of every trial, without the searched values.
    """
    base = {name: copy.deepcopy(section) for name, section in data.items() if name != OWN}
    functions = base.get("functions")
    base["functions"] = functions = functions if isinstance(functions, dict) else {}
    for step in (*functions, *found.searched):
        functions[step] = functions.get(step) or {}
    base[SEARCH] = {"enable": False}
    if found.makes_datasets:
        dataset = base.get("dataset")
        # Another trial's dataset must not be found in this one's place.
        off = {"do_not_load_pickle": True, "do_not_save": True}
        base["dataset"] = {**(dataset if isinstance(dataset, dict) else {}), **off}
    return base


def _check_sections(data: Mapping[str, Value], problems: Problems) -> None:
    """
    Note sections with which there is no loss, or not the one that is meant.
    """
    search = data.get("model_search")
    if isinstance(search, dict) and search.get("enable") is True:
        problems.error(
            ("model_search", "enable"),
            "a model search is not supported yet",
            hint="write false: with true, Log(ML) itself makes no search of the top level",
        )
    model = data.get("model")
    if isinstance(model, dict) and model.get("enable") is False:
        message = "must be true where there is a search, got false"
        problems.error(("model", "enable"), message)
    for name in ("dataset", "model"):
        if name in data and not isinstance(data[name], (dict, type(None))):
            problems.error((name,), f"must be a mapping, got {show(data[name])}")


_TAG = "tag:yaml.org,2002:"


def _warn_of_words(problems: Problems) -> None:
    """
    Warn of unquoted text that Log(ML)'s YAML takes for something else.
    """
    if not problems.warnings_wanted:
        return
    words = iter(_words(problems.document))
    for path, value, what in islice(words, _MOST_WORDS):
        if problems.touches(path):
            continue
        problems.warn(
            path,
            f"is text here, where Log(ML) reads {what}, got {show(value)}",
            hint="put it in quotes if text is meant, or write it as YAML 1.2 does",
        )

    more = sum(1 for _ in words)
    if more:
        problems.warn((), f"has {more} more texts that Log(ML) reads as something else")


# So many are told one by one.
_MOST_WORDS = 20


def _words(document: Document) -> Iterator[tuple[Path, str, str]]:
    """
    Yield path and text of each, and what Log(ML) reads.
    """
    resolver: Any = yaml.resolver.Resolver()
    for path, value in _texts(document.data, ()):
        tag = resolver.resolve(yaml.ScalarNode, value, (True, False)).removeprefix(_TAG)
        if tag not in _SAME and _is_plain(value, path, document):
            what = {"bool": "true or false", "timestamp": "a date"}.get(tag, "a number")
            yield path, value, what


# Text in both, or nothing that a value of a config is.
_SAME = frozenset({"str", "merge", "value", "null"})


def _texts(value: Value, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _texts(item, (*path, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, (*path, index))


def _is_plain(value: str, path: Path, document: Document) -> bool:
    """
    Return whether *value* is written without quotes, an anchor or a tag.
    """
    line, column = document.where(*path)
    lines = _lines(document.text)
    return line <= len(lines) and lines[line - 1].startswith(value, column - 1)


@lru_cache(maxsize=1)
def _lines(text: str) -> list[str]:
    return text.splitlines()
