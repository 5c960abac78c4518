"""
Shapes of lists and mappings: every entry read, every problem noted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from airflow_hpo.blueprint.document import Path
from airflow_hpo.blueprint.problems import Problems, show
from airflow_hpo.blueprint.shapes import BROKEN, Shape
from airflow_hpo.model.registry import did_you_mean
from airflow_hpo.model.values import Value

__all__ = ["Key", "ListOf", "MapOf", "OneOrMany", "Pair", "Record", "one_of"]


@dataclass(frozen=True)
class ListOf(Shape):
    """
    A list of one shape.

    Args:
        item: The shape.

        least: It has at least so many items.
    """

    item: Shape
    least: int = 0

    def read(self, value: Value, path: Path, problems: Problems) -> Any:  # noqa: ANN401
        """
        Return the list; `BROKEN` in place of items that were refused.
        """
        if not isinstance(value, list):
            hint = None if value is None or isinstance(value, dict) else f"write [{show(value)}]"
            problems.error(path, f"must be a list, got {show(value)}", hint=hint)
            return BROKEN
        if len(value) < self.least:
            noun = "item" if self.least == 1 else "items"
            problems.error(path, f"must have at least {self.least} {noun}, got {len(value)}")
            return BROKEN
        return [self.item.read(item, (*path, index), problems) for index, item in enumerate(value)]

    def schema(self) -> dict[str, Any]:
        """
        Return the JSON Schema of the value.
        """
        least = {"minItems": self.least} if self.least else {}
        return {"type": "array", "items": self.item.schema(), **least}


@dataclass(frozen=True)
class OneOrMany(Shape):
    """
    A value of one shape, or a list of such.

    Args:
        item: The shape.
    """

    item: Shape

    def read(self, value: Value, path: Path, problems: Problems) -> Any:  # noqa: ANN401
        """
        Return a list either way; `BROKEN` in place of items that were refused.
        """
        if isinstance(value, list):
            return ListOf(self.item, least=1).read(value, path, problems)
        return [self.item.read(value, path, problems)]

    def schema(self) -> dict[str, Any]:
        """
        Return the JSON Schema of the value.
        """
        return {"anyOf": [self.item.schema(), ListOf(self.item, least=1).schema()]}


@dataclass(frozen=True)
class Pair(Shape):
    """
    A list of exactly two.

    Args:
        item: Shape of both.

        names: What they are.
    """

    item: Shape
    names: tuple[str, str]

    def read(self, value: Value, path: Path, problems: Problems) -> Any:  # noqa: ANN401
        """
        Return both.
        """
        if not isinstance(value, list) or len(value) != len(self.names):
            form = f"[{', '.join(self.names)}]"
            problems.error(path, f"must be {form}, got {show(value)}", hint=self._hint(value))
            return BROKEN
        found = [self.item.read(item, (*path, index), problems) for index, item in enumerate(value)]
        return BROKEN if BROKEN in found else tuple(found)

    def _hint(self, value: Value) -> str | None:
        if not isinstance(value, dict) or len(value) != len(self.names):
            return None
        return f"write [{', '.join(map(show, value.values()))}]"

    def schema(self) -> dict[str, Any]:
        """
        Return the JSON Schema of the value.
        """
        size = len(self.names)
        return {
            "type": "array",
            "items": self.item.schema(),
            "minItems": size,
            "maxItems": size,
        }


@dataclass(frozen=True)
class MapOf(Shape):
    """
    A mapping of any names to one shape.

    Args:
        item: The shape.

        pattern: Regular expression of a name.

        rule: What the pattern asks for, in words.
    """

    item: Shape
    pattern: str = ""
    rule: str = ""

    def read(self, value: Value, path: Path, problems: Problems) -> Any:  # noqa: ANN401
        """
        Return the mapping without the entries that were refused.
        """
        if not isinstance(value, dict):
            problems.error(path, f"must be a mapping, got {show(value)}")
            return BROKEN
        found = {}
        for name, item in value.items():
            here = (*path, name)
            if self.pattern and re.fullmatch(self.pattern, name) is None:
                problems.error(here, f"must be {self.rule}, got {show(name)}", at_key=True)
                continue
            read = self.item.read(item, here, problems)
            if read is not BROKEN:
                found[name] = read
        return found

    def schema(self) -> dict[str, Any]:
        """
        Return the JSON Schema of the value.
        """
        names = {"propertyNames": {"pattern": self.pattern}} if self.pattern else {}
        return {"type": "object", "additionalProperties": self.item.schema(), **names}


@dataclass(frozen=True)
class Key:
    """
    One key of a record.

    Args:
        shape: What it may be given.

        about: What it means, in a sentence; editors show it.

        required: Whether it must be there.

        example: What to write where it is missing.
    """

    shape: Shape
    about: str
    required: bool = False
    example: str | None = None


def one_of(*names: str) -> dict[str, Any]:
    """
    Return the JSON Schema of a mapping with exactly one of these keys.
    """
    return {"oneOf": [{"required": [name]} for name in names]}


@dataclass(frozen=True)
class Record(Shape):
    """
    A mapping of known keys.

    Args:
        keys: All of them.

        foreign: Keys of other tools, and what to write instead.

        rest: Shape of any other key; `None` refuses them.

        main: The key that a value without a mapping is probably meant for.

        partial: Whether the rest is of use where a required key is missing.

        together: What the JSON Schema says about keys together.
    """

    keys: Mapping[str, Key]
    foreign: Mapping[str, str] = field(default_factory=dict)
    rest: Shape | None = None
    main: str | None = None
    partial: bool = False
    together: Mapping[str, Any] = field(default_factory=dict)

    def read(self, value: Value, path: Path, problems: Problems) -> Any:  # noqa: ANN401
        """
        Return the valid entries; `BROKEN` where a required one is missing.
        """
        if not isinstance(value, dict):
            problems.error(path, f"must be a mapping, got {show(value)}", hint=self._hint(value))
            return BROKEN
        found = {}
        for name, item in value.items():
            here = (*path, name)
            key = self.keys.get(name)
            if key is not None:
                read = key.shape.read(item, here, problems)
            elif self.rest is not None:
                read = self.rest.read(item, here, problems)
            else:
                self._unknown(name, here, problems)
                continue
            if read is not BROKEN:
                found[name] = read
        return found if self._complete(found, value, path, problems) or self.partial else BROKEN

    def _complete(
        self, found: Mapping[str, Any], value: Mapping[str, Value], path: Path, problems: Problems
    ) -> bool:
        if self._required <= found.keys():
            return True
        for name, key in self.keys.items():
            if key.required and name not in value:
                hint = f"write {name}: {key.example}" if key.example else None
                problems.error(path, f"{name} must be given", hint=hint, at_key=True)
        return False

    @cached_property
    def _required(self) -> frozenset[str]:
        return frozenset(name for name, key in self.keys.items() if key.required)

    def _unknown(self, name: str, path: Path, problems: Problems) -> None:
        hint = self.foreign.get(name) or did_you_mean(name, self.keys)
        known = ", ".join(self.keys)
        problems.error(path, f"unknown key; the keys here are {known}", hint=hint, at_key=True)

    def _hint(self, value: Value) -> str | None:
        """
        Return the mapping that was meant, where that can be known.
        """
        if isinstance(value, list) or value is None:
            return None
        names = sorted(self._required) or [name for name in (self.main,) if name]
        meant = {self.main: value if isinstance(value, str) else show(value)}
        entries = ", ".join(f"{name}: {meant.get(name, '...')}" for name in names)
        return f"write {{{entries}}}" if entries else None

    def schema(self) -> dict[str, Any]:
        """
        Return the JSON Schema of the value.
        """
        return {
            "type": "object",
            "properties": {
                name: {"description": key.about, **key.shape.schema()}
                for name, key in self.keys.items()
            },
            **({"required": sorted(self._required)} if self._required else {}),
            "additionalProperties": False if self.rest is None else self.rest.schema(),
            **self.together,
        }
