"""
The keys of a ``valohai.yaml``, and of our own item in it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from airflow_hpo.blueprint.dialects.own import KEYS, Elsewhere
from airflow_hpo.blueprint.document import Path
from airflow_hpo.blueprint.problems import Problems, show
from airflow_hpo.blueprint.records import Key, ListOf, MapOf, Record
from airflow_hpo.blueprint.shapes import (
    BROKEN,
    Anything,
    Either,
    Flag,
    Number,
    OneOf,
    Shape,
    Text,
    Whole,
    finite,
)
from airflow_hpo.model.expression import Expression
from airflow_hpo.model.registry import did_you_mean
from airflow_hpo.model.values import Value

__all__ = ["NOTE", "STEP", "TASK", "TYPES", "seconds_of"]

TYPES = ("grid_search", "random_search", "manual_search", "bayesian_tpe", "distributed")
_ON_CHILD_ERROR = ("continue-and-complete", "continue-and-error", "stop-all-and-error")

_PAIR = re.compile(r"\s*([0-9]{1,15}(?:\.[0-9]{1,40})?)\s*([a-z]*)\s*", re.ASCII)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def seconds_of(text: str) -> float:
    """
    Return the seconds that *text* stands for; units go by their first letter.

    Raises:
        ValueError: If it is no duration.

    Example:
        >>> seconds_of("90min"), seconds_of("1h 30m 5s"), seconds_of("60")
        (5400.0, 5405.0, 60.0)
    """
    position, parts = 0, list[tuple[str, str]]()
    while position < len(text):
        match = _PAIR.match(text.lower(), position)
        if match is None:
            break
        position = match.end()
        parts.append((match[1], match[2][:1]))
    bare = len(parts) == 1 and not parts[0][1]
    if position < len(text) or not (bare or all(unit in _UNITS for _, unit in parts)):
        raise ValueError(f"must be seconds or a duration such as 90min, 1h 30m, got {text!r}")
    seconds = sum(float(number) * _UNITS.get(unit, 1) for number, unit in parts)
    if not seconds > 0:
        raise ValueError(f"must be above 0, got {text!r}")
    return seconds


def _parsed(text: str) -> str:
    Expression.parse(text)
    return text


@dataclass(frozen=True)
class _Word(Shape):
    """
    One of a few words; case, dashes and underscores do not matter.
    """

    words: tuple[str, ...]

    def read(self, value: Value, path: Path, problems: Problems) -> Any:  # noqa: ANN401
        """
        Return the word as it is spelled here.
        """
        plain = re.sub(r"[-_]", " ", value.lower()) if isinstance(value, str) else None
        for word in self.words:
            if plain == re.sub(r"[-_]", " ", word):
                return word
        problems.error(
            path,
            f"must be one of {', '.join(self.words)}, got {show(value)}",
            hint=did_you_mean(value, self.words) if isinstance(value, str) else None,
        )
        return BROKEN

    def schema(self) -> dict[str, Any]:
        """
        Return the JSON Schema of the value.
        """
        return {"type": "string"}


@dataclass(frozen=True)
class _Scalar(Shape):
    """
    A number, text, or a truth value, as it is written.

    Args:
        numeric: Whether only numbers are allowed.

        hint: What to write instead of anything else.
    """

    numeric: bool = False
    hint: str | None = None

    def read(self, value: Value, path: Path, problems: Problems) -> Any:  # noqa: ANN401
        """
        Return the value.
        """
        allowed = isinstance(value, (str, int, float))
        if self.numeric:
            allowed = isinstance(value, (int, float)) and not isinstance(value, bool)
        if allowed and finite(value):
            return value
        what = "a number" if self.numeric else "a number, text, true or false"
        problems.error(path, f"must be {what}, got {show(value)}", hint=self.hint)
        return BROKEN

    def schema(self) -> dict[str, Any]:
        """
        Return the JSON Schema of the value.
        """
        return {"type": "number" if self.numeric else ["string", "number", "boolean"]}


@dataclass(frozen=True)
class _Listed(Shape):
    """
    A list of one shape; a single one may stand without brackets.
    """

    item: Shape

    def read(self, value: Value, path: Path, problems: Problems) -> Any:  # noqa: ANN401
        """
        Return a list either way; what was refused is left out.
        """
        if not isinstance(value, list):
            found = [self.item.read(value, path, problems)]
        else:
            found = [
                self.item.read(item, (*path, index), problems) for index, item in enumerate(value)
            ]
        return [item for item in found if item is not BROKEN]

    def schema(self) -> dict[str, Any]:
        """
        Return the JSON Schema of the value.
        """
        return {"anyOf": [self.item.schema(), ListOf(self.item).schema()]}


_NUMBER = _Scalar(numeric=True)
_ANY_TEXT = Text(empty=True)

_RULES = Record(
    {
        "value": Key(
            _Scalar(numeric=True, hint="write style: multiple, and items with this one value"),
            "The constant.",
        ),
        "items": Key(ListOf(_Scalar(), least=1), "Values to try."),
        "start": Key(_NUMBER, "First value, or its exponent."),
        "end": Key(_NUMBER, "Last value, or its exponent."),
        "step": Key(_NUMBER, "Distance of values; Q.Step of random ones."),
        "min": Key(_NUMBER, "Lower bound, or its exponent."),
        "max": Key(_NUMBER, "Upper bound, or its exponent."),
        "count": Key(Whole(least=1), "How many values."),
        "base": Key(Number(above=0), "What exponents are of."),
        "distribution": Key(Text(), "How values are drawn."),
        "seed": Key(_NUMBER, "Of the draw."),
        "integerify": Key(Flag(), "Round down and remove duplicates."),
        "numberify": Key(Flag(), "Read text as numbers."),
    },
    foreign={
        "q": "write step",
        "q-step": "write step",
        "low": "write min",
        "high": "write max",
        "values": "write items",
        "choices": "write items",
    },
)

_VARIANT = Record(
    {
        "name": Key(Text(), "Of the step's parameter.", required=True),
        "style": Key(
            OneOf(("single", "multiple", "linear", "logspace", "random")),
            "Where its values come from.",
            required=True,
        ),
        "rules": Key(_RULES, "The values.", required=True, example="{items: [1, 2]}"),
    }
)

TASK = Record(
    {
        "name": Key(Text(), "The task's name.", required=True),
        "step": Key(Text(), "The step that it runs.", required=True),
        "type": Key(_Word(TYPES), "How values are chosen."),
        "description": Key(_ANY_TEXT, "What it is for."),
        "parameters": Key(ListOf(_VARIANT), "What varies."),
        "parameter-sets": Key(ListOf(MapOf(Anything())), "The executions, one by one."),
        "execution-count": Key(Whole(least=1), "How many executions at most."),
        "execution-batch-size": Key(Whole(least=1), "How many at a time."),
        "maximum-queued-executions": Key(Whole(least=1), "How many may be queued or run."),
        "optimization-target-metric": Key(Text(), "What is optimised."),
        "optimization-target-value": Key(Number(), "Closest to this wins."),
        "engine": Key(_Word(("optuna", "hyperopt")), "Whose TPE."),
        "on-child-error": Key(_Word(_ON_CHILD_ERROR), "What a failed execution means."),
        "stop-condition": Key(Text(), "Expression that ends the task."),
        "reuse-children": Key(Flag(), "Whether earlier executions are taken over."),
    },
    foreign={
        "parameter_sets": "write parameter-sets",
        "direction": "write a top-level item - hpo: {task: NAME, direction: maximize}",
        "seed": "write a top-level item - hpo: {task: NAME, seed: 1}",
        "inputs": "write it in the step",
        "environment": "write it in the step",
    },
    partial=True,
)

_PARAMETER = Record(
    {
        "name": Key(Text(), "Its name.", required=True),
        "type": Key(OneOf(("string", "integer", "float", "flag")), "What its values are."),
        "default": Key(Anything(), "Its value where nothing else is said."),
        "min": Key(_NUMBER, "Least value."),
        "max": Key(_NUMBER, "Largest value."),
        "choices": Key(ListOf(_Scalar()), "All values that are allowed."),
        "optional": Key(Flag(), "Whether it may be left out."),
        "multiple": Key(OneOf(("none", "repeat", "separate")), "How several are passed."),
        "multiple-separator": Key(_ANY_TEXT, "Between them."),
        "pass-as": Key(_ANY_TEXT, "How it is passed."),
        "pass-true-as": Key(_ANY_TEXT, "How a flag that is set is passed."),
        "pass-false-as": Key(_ANY_TEXT, "How a flag that is not set is passed."),
        "description": Key(_ANY_TEXT, "What it is for."),
        "category": Key(_ANY_TEXT, "Where forms show it."),
        "widget": Key(Anything(), "How forms show it."),
    }
)

_VARIABLE = Record(
    {
        "name": Key(
            Text(pattern=r"[A-Za-z_][A-Za-z0-9_]*", rule="the name of an environment variable"),
            "Its name.",
            required=True,
        ),
        "default": Key(_ANY_TEXT, "Its value."),
        "optional": Key(Flag(), "Whether it may be left out."),
        "description": Key(_ANY_TEXT, "What it is for."),
    },
)

_URIS = _Listed(Text())

_INPUT = Record(
    {
        "name": Key(
            Text(pattern=r"[^/\0]{1,64}", rule="at most 64 characters and no slash"),
            "Of its folder.",
            required=True,
        ),
        "default": Key(_URIS, "Where its files are."),
        "optional": Key(Flag(), "Whether it may be empty."),
        "description": Key(_ANY_TEXT, "What it is for."),
        "filename": Key(Text(pattern=r"[^/\0]+", rule="a file's name"), "What the file is called."),
        "keep-directories": Key(
            Either(text=OneOf(("none", "full", "suffix")), other=Flag()), "Whether folders stay."
        ),
        "download": Key(OneOf(("always", "on-demand")), "When it is fetched; here always before."),
    }
)

_DURATION = Either(text=Text(convert=seconds_of), other=Whole(least=1))

STEP = Record(
    {
        "name": Key(Text(), "The step's name.", required=True),
        "image": Key(Text(), "The container image.", required=True),
        "command": Key(
            Either(text=Text(), other=ListOf(_ANY_TEXT, least=1)),
            "What is run.",
            required=True,
        ),
        "parameters": Key(ListOf(_PARAMETER), "What the command takes."),
        "environment-variables": Key(ListOf(_VARIABLE), "Variables of the command."),
        "time-limit": Key(_DURATION, "Time that an execution may take."),
        "source-path": Key(_ANY_TEXT, "Fills {source-path}."),
        "description": Key(_ANY_TEXT, "What it is for."),
        "icon": Key(_ANY_TEXT, "Shown beside it."),
        "category": Key(_ANY_TEXT, "Where it is listed."),
        "outputs": Key(ListOf(Anything()), "What it writes."),
        "resources": Key(Elsewhere({"type": ["object", "null"]}), "GPUs of an execution."),
        "inputs": Key(ListOf(_INPUT), "What it reads."),
        "stop-condition": Key(Text(convert=_parsed), "Expression that ends one execution."),
        **{
            name: Key(Anything(), "Of the platform.")
            for name in (
                "environment",
                "runtime-config-preset",
                "environment-variable-groups",
                "mounts",
                "cache-volumes",
                "no-output-timeout",
                "autorestart",
                "upload-store",
            )
        },
    },
    partial=True,
)

NOTE = Record(
    {
        "task": Key(Text(), "The task that it is about.", required=True),
        "metric": Key(Text(), "What is optimised."),
        "direction": Key(OneOf(("minimize", "maximize")), "Instead of a target value."),
        "seed": KEYS["seed"],
        "runner": Key(KEYS["runner"].shape, "Where commands run, instead of the step's image."),
        "gpus": Key(KEYS["gpus"].shape, "Devices of an execution, instead of the step's."),
        "inputs": Key(MapOf(_URIS), "Where inputs are, instead of where the step says."),
    },
)
"""Our own item of the file, which Valohai passes over: ``- hpo: {task: NAME}``."""
