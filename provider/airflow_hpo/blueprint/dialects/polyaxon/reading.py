"""
What both generations of files say, in the words of neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.dialects.devices import read_limits
from airflow_hpo.blueprint.dialects.own import OWN
from airflow_hpo.blueprint.dialects.polyaxon.keys import stopping
from airflow_hpo.blueprint.dialects.polyaxon.options import (
    CONTINUOUS,
    DATES,
    LISTED,
    Option,
    read_option,
)
from airflow_hpo.blueprint.dialects.polyaxon.shapes import Part
from airflow_hpo.blueprint.dialects.polyaxon.statics import Static
from airflow_hpo.blueprint.problems import show
from airflow_hpo.blueprint.shapes import BROKEN
from airflow_hpo.model.registry import did_you_mean

if TYPE_CHECKING:
    from airflow_hpo.blueprint.dialects.polyaxon.keys import Spelling
    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.blueprint.problems import Problems
    from airflow_hpo.model.values import Value

__all__ = [
    "HERE",
    "RUNNER_HINT",
    "Reading",
    "read_matrix",
    "read_resources",
    "read_rules",
    "say_passed_over",
]

HERE = "trials run where the runner runs them"
"""Why much of a container has no effect."""

RUNNER_HINT = f"write {OWN}: {{runner: ...}} to choose another runner"
"""What to do about it."""

KINDS = (*LISTED, "range", "linspace", "logspace", "geomspace", *CONTINUOUS)
"""Options of older files."""

NEW_KINDS = {"choice": "values", "pchoice": "pvalues", **{kind: kind for kind in DATES}}
"""Options that newer files call otherwise, or have besides."""


@dataclass
class Reading:
    """
    One file.

    Args:
        root: Where the search stands: ``hptuning``, ``settings`` or ``matrix``.

        algorithm: Its plain name; empty where it was refused.

        search: What the algorithm's section says.

        options: Parameters of the matrix, by name.

        broken: Names of those that were refused.

        shared: Where concurrency, seed and early stopping stand.

        rules: Of early stopping.

        statics: Parameters that are not searched.

        command: A template in Jinja; empty where there is none.

        command_path: Where it stands.

        environment: Variables; may be templates too.

        gpus: How many a trial needs, and where that stands.

        settings: Other parts of the model: ``timeout_s``, ``retries``, ``schedule`` ...

        own: Our own section.
    """

    root: Path
    spelled: Spelling
    algorithm: str = ""
    search: Part = field(default_factory=lambda: Part({}, ()))
    shared: Part = field(default_factory=lambda: Part({}, ()))
    options: dict[str, Option] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    matrix_path: Path = ()
    rules: list[Part] = field(default_factory=list)
    statics: dict[str, Static] = field(default_factory=dict)
    command: str = ""
    command_path: Path = ()
    environment: dict[str, str] = field(default_factory=dict)
    gpus: tuple[float, Path] | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    own: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_new(self) -> bool:
        """
        Whether it is a file of version 1.1.
        """
        return self.root == ("matrix",)

    @property
    def rows(self) -> dict[int, Mapping[str, Any]]:
        """
        The configurations of a mapping that were not refused, by their place in the list.
        """
        given = self.search.get("values", ())
        return {index: row for index, row in enumerate(given) if row is not BROKEN}


def read_matrix(reading: Reading, given: Value, path: Path, problems: Problems) -> None:
    """
    Fill in the options of a matrix.
    """
    reading.matrix_path = path
    if not isinstance(given, dict):
        problems.error(path, f"must be a mapping of parameters to options, got {show(given)}")
        return
    for name, item in given.items():
        here = (*path, name)
        before = problems.errors
        found = (_new_kind if reading.is_new else _old_kind)(item, here, problems)
        distribution = None if found is None else read_option(found[0], *found[1:], problems)
        if found is None or distribution is None or problems.errors > before:
            reading.broken.add(name)
        else:
            reading.options[name] = Option(found[0], distribution, here)


def _old_kind(item: Value, path: Path, problems: Problems) -> tuple[str, Value, Path] | None:
    """
    Return the one option of a parameter: its kind, its value and where that stands.
    """
    if not isinstance(item, dict):
        hint = f"write {{values: {show(item)}}}" if isinstance(item, list) else None
        message = f"must be a mapping with one option, got {show(item)}"
        problems.error(path, message, hint=hint or "write {values: [...]} for a few values")
        return None
    unknown = [name for name in item if name not in KINDS]
    for name in unknown:
        hint = "write values" if name == "choice" else did_you_mean(name, KINDS)
        message = f"must be one of {', '.join(KINDS)}, got {show(name)}"
        problems.error((*path, name), message, hint=hint, at_key=True)
    given = [name for name in item if name in KINDS and item[name] not in (None, [], {}, "")]
    if len(given) == 1 and not unknown:
        _refuse_nothing(item[given[0]], (*path, given[0]), problems)
        return given[0], item[given[0]], (*path, given[0])
    if not unknown:
        got = " and ".join(given) or "none"
        problems.error(path, f"must have exactly one option, got {got}", at_key=True)
    return None


def _refuse_nothing(value: Value, path: Path, problems: Problems) -> None:
    for index, item in enumerate(value if isinstance(value, list) else ()):
        if item is None:
            problems.error((*path, index), "must have a value, got nothing")


def _new_kind(item: Value, path: Path, problems: Problems) -> tuple[str, Value, Path] | None:
    kinds = {**{kind: kind for kind in KINDS if kind not in LISTED}, **NEW_KINDS}
    if not isinstance(item, dict) or set(item) - {"kind", "value"} or "kind" not in item:
        hint = _kind_hint(item)
        problems.error(path, f"must be {{kind: ..., value: ...}}, got {_keys(item)}", hint=hint)
        return None
    kind = item["kind"]
    if not isinstance(kind, str) or kind not in kinds:
        hint = did_you_mean(kind, kinds) if isinstance(kind, str) else None
        hint = {"values": "write choice", "pvalues": "write pchoice"}.get(str(kind), hint)
        message = f"must be one of {', '.join(kinds)}, got {show(kind)}"
        problems.error((*path, "kind"), message, hint=hint)
        return None
    if item.get("value") in (None, [], {}, ""):
        problems.error(path, f"value must be given, got {show(item.get('value'))}", at_key=True)
        return None
    return kinds[kind], item["value"], (*path, "value")


def _keys(item: Value) -> str:
    return f"{{{', '.join(item)}}}" if isinstance(item, dict) else show(item)


def _kind_hint(item: Value) -> str | None:
    if isinstance(item, list):
        return f"write {{kind: choice, value: {show(item)}}}"
    if isinstance(item, dict) and len(item) == 1:
        (name,) = item
        new = {old: word for word, old in NEW_KINDS.items()}.get(name, name)
        if name in KINDS:
            return f"write {{kind: {new}, value: {show(item[name])}}}"
    return None


def read_rules(
    reading: Reading, given: Value, path: Path, policies: tuple[str, ...], problems: Problems
) -> None:
    """
    Fill in the rules of early stopping.
    """
    if not isinstance(given, list):
        message = f"must be a list of rules, got {show(given)}"
        hint = "write a dash before the rule" if isinstance(given, dict) else None
        problems.error(path, message, hint=hint)
        return
    shape = stopping(reading.spelled, policies=policies, old=not reading.is_new)
    for index, item in enumerate(given):
        part = shape.read(item, (*path, index), problems)
        if part is not BROKEN:
            reading.rules.append(part)


def read_resources(reading: Reading, given: Value, path: Path, problems: Problems) -> None:
    """
    Fill in the GPUs of a trial; what else it asks for is the runner's affair.
    """
    found = read_limits(given, path, problems, by_name=not reading.is_new)
    reading.gpus = found.gpus
    if "runner" not in reading.own:
        found.say_others(HERE, problems, hint=RUNNER_HINT)


def say_passed_over(
    part: Part, names: Iterable[str], why: str, problems: Problems, *, hint: str | None = None
) -> None:
    """
    Warn of keys that have no effect here.
    """
    for name in names:
        if name in part.spelled and part.get(name) not in (False, [], {}, ""):
            problems.warn(part.place(name), f"has no effect: {why}", hint=hint, at_key=True)
