"""
Shapes: what a single value of a file may be, how it is read, its JSON Schema.

One declaration serves both the reader that reports every problem at its place
and the schema that editors check against. Nothing here knows a dialect.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from airflow_hpo.blueprint.document import Path
from airflow_hpo.blueprint.problems import Problems, show
from airflow_hpo.model.registry import did_you_mean
from airflow_hpo.model.values import Value

__all__ = [
    "BROKEN",
    "Anything",
    "Devices",
    "Either",
    "Flag",
    "Nullable",
    "Number",
    "OneOf",
    "Shape",
    "Text",
    "Whole",
    "finite",
]


class _Broken:
    """
    Stands for a value that was refused; the problem is noted already.
    """

    def __bool__(self) -> bool:
        return False


BROKEN = _Broken()


class Shape(ABC):
    """
    What a value may be.
    """

    @abstractmethod
    def read(self, value: Value, path: Path, problems: Problems) -> Any:  # noqa: ANN401
        """
        Return *value* in the model's terms, or note why not and return `BROKEN`.
        """

    @abstractmethod
    def schema(self) -> dict[str, Any]:
        """
        Return the JSON Schema of the value.
        """


@dataclass(frozen=True)
class Text(Shape):
    """
    Text.

    Args:
        pattern: Regular expression of the whole text.

        rule: What the pattern asks for, in words.

        convert: Makes the model's value of it, or raises `ValueError`.

        empty: Whether it may be empty.

        examples: Offered by editors.
    """

    pattern: str | None = None
    rule: str = ""
    convert: Callable[[str], Any] | None = None
    empty: bool = False
    examples: tuple[str, ...] = ()

    def read(self, value: Value, path: Path, problems: Problems) -> Any:  # noqa: ANN401
        """
        Return the text, converted.
        """
        if not isinstance(value, str):
            problems.error(path, f"must be text, got {show(value)}", hint=_quoting(value))
            return BROKEN
        if not value and not self.empty:
            problems.error(path, "must not be empty")
            return BROKEN
        if self.pattern is not None and re.fullmatch(self.pattern, value) is None:
            problems.error(path, f"must be {self.rule}, got {show(value)}")
            return BROKEN
        if self.convert is None:
            return value
        try:
            return self.convert(value)
        except ValueError as error:
            problems.error(path, str(error))
            return BROKEN

    def schema(self) -> dict[str, Any]:
        """
        Return the JSON Schema of the value.
        """
        return {
            "type": "string",
            **({} if self.empty else {"minLength": 1}),
            **({} if self.pattern is None else {"pattern": self.pattern}),
            **({"examples": list(self.examples)} if self.examples else {}),
        }


def _quoting(value: Value) -> str | None:
    if isinstance(value, dict):
        return "put text that begins with a brace in quotes"
    if isinstance(value, list) or value is None:
        return None
    return f'write "{show(value)}", in quotes'


@dataclass(frozen=True)
class Flag(Shape):
    """
    True or false.
    """

    def read(self, value: Value, path: Path, problems: Problems) -> Any:  # noqa: ANN401
        """
        Return the truth value.
        """
        if isinstance(value, bool):
            return value
        meant = _FLAG_WORDS.get(value.lower()) if isinstance(value, str) else None
        problems.error(
            path,
            f"must be true or false, got {show(value)}",
            hint=None if meant is None else f"write {meant}",
        )
        return BROKEN

    def schema(self) -> dict[str, Any]:
        """
        Return the JSON Schema of the value.
        """
        return {"type": "boolean"}


_FLAG_WORDS = {
    **dict.fromkeys(("yes", "on", "true", "y"), "true"),
    **dict.fromkeys(("no", "off", "false", "n"), "false"),
}


@dataclass(frozen=True)
class Number(Shape):
    """
    A finite number.

    Args:
        above: It must be greater than this.

        least: It must be this or greater.
    """

    above: float | None = None
    least: float | None = None

    def read(self, value: Value, path: Path, problems: Problems) -> Any:  # noqa: ANN401
        """
        Return the number as a float.
        """
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            problems.error(path, f"must be a number, got {show(value)}", hint=_number_hint(value))
        elif not math.isfinite(value):
            problems.error(path, f"must be finite, got {show(value)}")
        elif self.above is not None and not value > self.above:
            problems.error(path, f"must be above {self.above:g}, got {show(value)}")
        elif self.least is not None and not value >= self.least:
            problems.error(path, f"must be at least {self.least:g}, got {show(value)}")
        else:
            return float(value)
        return BROKEN

    def schema(self) -> dict[str, Any]:
        """
        Return the JSON Schema of the value.
        """
        return {
            "type": "number",
            **({} if self.above is None else {"exclusiveMinimum": self.above}),
            **({} if self.least is None else {"minimum": self.least}),
        }


@dataclass(frozen=True)
class Devices(Number):
    """
    A number of devices, or a share of one.
    """

    def read(self, value: Value, path: Path, problems: Problems) -> Any:  # noqa: ANN401
        """
        Return the number as a float.
        """
        number = super().read(value, path, problems)
        if number is BROKEN or number <= 1 or number.is_integer():
            return number
        problems.error(path, f"must be a whole number, or a share below 1, got {show(value)}")
        return BROKEN

    def schema(self) -> dict[str, Any]:
        """
        Return the JSON Schema of the value.
        """
        bound = {name: limit for name, limit in super().schema().items() if name != "type"}
        share = {"type": "number", **bound, "maximum": 1}
        return {"anyOf": [share, {"type": "integer", **bound}]}


def _number_hint(value: Value) -> str | None:
    if not isinstance(value, str):
        return None
    plain = value.replace("_", "").replace(",", ".").strip()
    try:
        float(plain)
    except ValueError:
        return None
    return f"write {plain}" + ("" if plain != value else ", without quotes")


@dataclass(frozen=True)
class Whole(Shape):
    """
    A whole number.

    Args:
        least: It must be this or greater.

        below: It must be less than this.
    """

    least: int | None = None
    below: int | None = None

    def read(self, value: Value, path: Path, problems: Problems) -> Any:  # noqa: ANN401
        """
        Return the number.
        """
        if isinstance(value, bool) or not isinstance(value, int):
            hint = _number_hint(value)
            if isinstance(value, float) and value.is_integer():
                hint = f"write {value:.0f}"
            problems.error(path, f"must be a whole number, got {show(value)}", hint=hint)
        elif self.least is not None and value < self.least:
            problems.error(path, f"must be at least {self.least}, got {value}")
        elif self.below is not None and value >= self.below:
            problems.error(path, f"must be below {self.below}, got {value}")
        else:
            return value
        return BROKEN

    def schema(self) -> dict[str, Any]:
        """
        Return the JSON Schema of the value.
        """
        return {
            "type": "integer",
            **({} if self.least is None else {"minimum": self.least}),
            **({} if self.below is None else {"exclusiveMaximum": self.below}),
        }


@dataclass(frozen=True)
class OneOf(Shape):
    """
    One of a few words.

    Args:
        words: All of them.
    """

    words: tuple[str, ...]

    def read(self, value: Value, path: Path, problems: Problems) -> Any:  # noqa: ANN401
        """
        Return the word.
        """
        if isinstance(value, str) and value in self.words:
            return value
        problems.error(
            path,
            f"must be one of {', '.join(map(repr, self.words))}, got {show(value)}",
            hint=did_you_mean(value, self.words) if isinstance(value, str) else None,
        )
        return BROKEN

    def schema(self) -> dict[str, Any]:
        """
        Return the JSON Schema of the value.
        """
        return {"enum": list(self.words)}


@dataclass(frozen=True)
class Anything(Shape):
    """
    Any value that JSON can hold.
    """

    def read(self, value: Value, path: Path, problems: Problems) -> Any:  # noqa: ANN401
        """
        Return the value as it is.
        """
        if finite(value):
            return value
        problems.error(path, f"must be finite, got {show(value)}")
        return BROKEN

    def schema(self) -> dict[str, Any]:
        """
        Return the JSON Schema of the value.
        """
        return {}


def finite(value: Value) -> bool:
    """
    Return whether no number in *value* is infinite or NaN.
    """
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, list):
        return all(map(finite, value))
    return all(map(finite, value.values())) if isinstance(value, dict) else True


@dataclass(frozen=True)
class Nullable(Shape):
    """
    A value or nothing.
    """

    shape: Shape

    def read(self, value: Value, path: Path, problems: Problems) -> Any:  # noqa: ANN401
        """
        Return the value, or `None`.
        """
        return None if value is None else self.shape.read(value, path, problems)

    def schema(self) -> dict[str, Any]:
        """
        Return the JSON Schema of the value.
        """
        return {"anyOf": [self.shape.schema(), {"type": "null"}]}


@dataclass(frozen=True)
class Either(Shape):
    """
    One shape for text, another for the rest.
    """

    text: Shape
    other: Shape

    def read(self, value: Value, path: Path, problems: Problems) -> Any:  # noqa: ANN401
        """
        Return what the shape that fits makes of it.
        """
        return (self.text if isinstance(value, str) else self.other).read(value, path, problems)

    def schema(self) -> dict[str, Any]:
        """
        Return the JSON Schema of the value.
        """
        return {"anyOf": [self.text.schema(), self.other.schema()]}
