"""
Our own section in files of other tools: what they have no key for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.durations import DURATION
from airflow_hpo.blueprint.records import Key, MapOf, Record
from airflow_hpo.blueprint.shapes import (
    BROKEN,
    Anything,
    Devices,
    Either,
    OneOf,
    Shape,
    Text,
    Whole,
)
from airflow_hpo.model.blueprint import Execution, MetricsSpec, RunnerSpec
from airflow_hpo.strategies import STRATEGIES

if TYPE_CHECKING:
    from collections.abc import Container

    from airflow_hpo.blueprint.checks import Draft
    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.blueprint.problems import Problems
    from airflow_hpo.model.blueprint import StrategySpec
    from airflow_hpo.model.values import Value
    from airflow_hpo.strategies.base import Support

__all__ = [
    "KEYS",
    "OWN",
    "VARIABLES",
    "Elsewhere",
    "execution_of",
    "own_of",
    "own_section",
    "places_of",
    "read_own",
    "step_of",
    "study_name",
    "trial_of",
]

OWN = "airflow_hpo"
"""The key of the section."""


@dataclass(frozen=True)
class Elsewhere(Shape):
    """
    Any value; it is looked at in another place.

    Args:
        like: JSON Schema of it.
    """

    like: Mapping[str, Any] = field(default_factory=dict)

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


def _named(key: str, about: str) -> Key:
    """
    Return the key of something that is chosen by name, or by name and options.
    """
    record = Record({key: Key(Text(), "Its name.", required=True)}, rest=Anything())
    return Key(Either(text=Text(), other=record), about)


VARIABLES = MapOf(
    Text(empty=True),
    pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
    rule="the name of an environment variable",
)
"""Environment variables and their values."""

KEYS: Mapping[str, Key] = {
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
    "environment": Key(VARIABLES, "Variables of the command."),
    "gpus": Key(Devices(least=0), "Devices that a trial needs; fractions share one."),
    "timeout": Key(DURATION, "Time that a trial may take."),
    "seed": Key(Whole(least=0, below=2**63), "Of the whole study."),
    "value": Key(OneOf(("last", "min", "max")), "Which measurement of a trial counts."),
}
"""What no tool has a key for, or not every one."""


def own_section(*, foreign: Mapping[str, str], without: Container[str] = (), **more: Key) -> Record:
    """
    Return the section's shape.

    Args:
        foreign: What has a key of the tool's own, and which.

        without: Keys of `KEYS` that it does not have.

        **more: Keys besides these, or in place of them.
    """
    usual = {name: key for name, key in KEYS.items() if name not in without}
    return Record({**usual, **more}, foreign=foreign, partial=True)


def read_own(data: Mapping[str, Value], section: Record, problems: Problems) -> Mapping[str, Any]:
    """
    Return the valid entries of the *section* in *data*; empty where there is none.
    """
    return own_of({OWN: section.read(data[OWN], (OWN,), problems)} if OWN in data else {})


def own_of(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """
    Return the section of a file's valid entries; empty where there is none.
    """
    own = found.get(OWN, {})
    return own if isinstance(own, dict) else {}


def places_of(own: Mapping[str, Any]) -> dict[Path, Path]:
    """
    Return where a file has parts of a trial that only our section may have.
    """
    found: dict[Path, Path] = {}
    for part, key in (("runner", "name"), ("metrics", "format")):
        by_name = not isinstance(own.get(part), dict)
        found["trial", part] = OWN, part
        found["trial", part, key] = (OWN, part) if by_name else (OWN, part, key)
    return found


def study_name(problems: Problems, *given: Value, otherwise: str, filler: str = "_") -> str:
    """
    Return the first of the names *given* that can be one, or what the file's comes to.

    Args:
        problems: Of the file.

        *given: What the tool calls it.

        otherwise: Where nothing has a name.

        filler: Stands for characters that no name has.
    """
    file = problems.document.file
    stem = "" if file.startswith("<") else FilePath(file).stem
    for text in (*given, stem):
        plain = re.sub(r"[^\w.-]+", filler, text if isinstance(text, str) else "")
        plain = plain.strip(filler)[:200]
        if plain:
            return plain
    return otherwise


def trial_of(own: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return what the section says of a trial, apart from its steps.
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


def step_of(
    own: Mapping[str, Any],
    problems: Problems,
    *,
    index: int = 0,
    asked: tuple[float, Path] | None = None,
    root: Path = (OWN,),
) -> dict[str, Any]:
    """
    Return what the section says of a step, apart from its command.

    Args:
        own: The section, which wins.

        problems: Are told where the step's GPUs stand.

        index: Which step it is.

        asked: How many GPUs the file asks for by itself, and where.

        root: Where the section stands.
    """
    if "gpus" in own:
        asked = own["gpus"], (*root, "gpus")
    if asked is None:
        return {}
    problems.relocate({("trial", "steps", index, "gpus"): asked[1]})
    return {"gpus": asked[0]}


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
