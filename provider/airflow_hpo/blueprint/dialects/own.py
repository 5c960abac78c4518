"""
Our own section in files of other tools: what they have no key for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.records import Key, MapOf, Record
from airflow_hpo.blueprint.shapes import (
    BROKEN,
    Anything,
    Either,
    Number,
    OneOf,
    Shape,
    Text,
    Whole,
)
from airflow_hpo.blueprint.units import DURATION_PATTERN, seconds_of
from airflow_hpo.model.blueprint import Execution, MetricsSpec, RunnerSpec
from airflow_hpo.strategies import STRATEGIES

if TYPE_CHECKING:
    from airflow_hpo.blueprint.checks import Draft
    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.blueprint.problems import Problems
    from airflow_hpo.model.blueprint import StrategySpec
    from airflow_hpo.model.values import Value
    from airflow_hpo.strategies.base import Support

__all__ = ["OWN", "Elsewhere", "execution_of", "own_section", "read_own", "study_name", "trial_of"]

OWN = "airflow_hpo"
"""The key of the section."""


@dataclass(frozen=True)
class Elsewhere(Shape):
    """
    Any value; it is looked at in another place.

    Args:
        like: JSON Schema of it.
    """

    like: Mapping[str, Any]

    def read(self, value: Value, path: Path, problems: Problems) -> Any:  # noqa: ANN401
        """
        Return the value.
        """
        del path, problems
        return value

    def schema(self) -> dict[str, Any]:
        """
        Return the JSON Schema of the value.
        """
        return dict(self.like)


def _some_seconds(text: str) -> float:
    seconds = seconds_of(text)
    if seconds <= 0:
        raise ValueError(f"must be above 0, got {text!r}")
    return seconds


def _named(key: str, about: str) -> Key:
    """
    Return the key of something that is chosen by name, or by name and options.
    """
    record = Record({key: Key(Text(), "Its name.", required=True)}, rest=Anything())
    return Key(Either(text=Text(), other=record), about)


_KEYS = {
    "name": Key(
        Text(
            pattern=r"^[\w.-]{1,200}$",
            rule="letters, digits, dots, dashes and underscores, 200 at most",
        ),
        "The study's name.",
    ),
    "command": Key(
        Text(examples=("python train.py --lr {lr}",)), "Runs one trial, in place of the file's own."
    ),
    "metrics": _named("format", "How metrics are read, if not as the tool's own are."),
    "runner": _named("name", "Where the command runs."),
    "workdir": Key(Text(), "Folder it starts in, relative to the file's."),
    "environment": Key(
        MapOf(
            Text(empty=True),
            pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
            rule="the name of an environment variable",
        ),
        "Variables of the command.",
    ),
    "timeout": Key(
        Either(
            text=Text(
                pattern=DURATION_PATTERN,
                rule="seconds or a duration such as 90s, 30m, 1h30m, 2d",
                convert=_some_seconds,
            ),
            other=Number(above=0),
        ),
        "Time that a trial may take.",
    ),
    "seed": Key(Whole(least=0, below=2**63), "Of the whole study."),
    "value": Key(OneOf(("last", "min", "max")), "Which measurement of a trial counts."),
}


def own_section(*, foreign: Mapping[str, str], **more: Key) -> Record:
    """
    Return the section's shape.

    Args:
        foreign: What has a key of the tool's own, and which.

        **more: Keys besides those that every tool lacks.
    """
    return Record({**_KEYS, **more}, foreign=foreign, partial=True)


def read_own(section: Mapping[str, Any]) -> Mapping[str, Any]:
    """
    Return the section of a file's valid entries; empty where there is none.
    """
    found = section.get(OWN, {})
    return found if isinstance(found, dict) else {}


def study_name(problems: Problems, *given: Value, otherwise: str) -> str:
    """
    Return the first of the names *given* that can be one, or what the file's comes to.
    """
    file = problems.document.file
    stem = "" if file.startswith("<") else FilePath(file).stem
    for text in (*given, stem):
        plain = re.sub(r"[^\w.-]+", "_", text if isinstance(text, str) else "").strip("_")[:200]
        if plain:
            return plain
    return otherwise


def trial_of(own: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return what the section says of a trial, apart from its command.
    """
    values: dict[str, Any] = {
        "workdir": own.get("workdir"),
        "environment": own.get("environment", {}),
        "timeout_s": own.get("timeout"),
    }
    if "runner" in own:
        values["runner"] = RunnerSpec(**_with_options(own["runner"], "name"))
    if "metrics" in own:
        values["metrics"] = MetricsSpec(**_with_options(own["metrics"], "format"))
    return values


def _with_options(given: str | Mapping[str, Any], key: str) -> dict[str, Any]:
    if isinstance(given, str):
        return {key: given}
    options = {name: value for name, value in given.items() if name != key and value is not BROKEN}
    return {key: given[key], "options": options}


def execution_of(draft: Draft, concurrency: int) -> Execution:
    """
    Return how so many trials at a time are laid out: without rounds, where that can be.
    """
    if draft.resource is not None:
        return Execution(concurrency=concurrency)  # a rung is as large as the strategy makes it
    if draft.strategy is None or _needs_no_rounds(draft.strategy):
        return Execution(mode="async", concurrency=concurrency)
    return Execution(batch_size=concurrency, concurrency=concurrency)


def _needs_no_rounds(spec: StrategySpec) -> bool:
    try:
        support: Support = STRATEGIES.load(spec.name).support
    except Exception:  # noqa: BLE001 - other people's modules; the checks tell what is wrong
        return False
    return support.asynchronous
