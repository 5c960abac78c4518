"""
Shapes of Polyaxon's: sections in two spellings, numbers that may be quoted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.problems import show
from airflow_hpo.blueprint.records import Key
from airflow_hpo.blueprint.scalars import plain_value
from airflow_hpo.blueprint.shapes import BROKEN, Number, OneOf, Shape, Text, Whole
from airflow_hpo.model.registry import did_you_mean

if TYPE_CHECKING:
    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.blueprint.problems import Problems
    from airflow_hpo.model.values import Value

__all__ = [
    "Amount",
    "Command",
    "Count",
    "Given",
    "Part",
    "Section",
    "Truth",
    "Word",
    "camel",
    "snake",
    "unquoted",
]


def camel(name: str) -> str:
    """
    Return a name as newer files spell it.

    Example:
        >>> camel("n_restarts_optimizer")
        'nRestartsOptimizer'
    """
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), name)


def snake(name: str) -> str:
    """
    Return a name in small letters and underscores.

    Example:
        >>> snake("numRestartsOptimizer")
        'num_restarts_optimizer'
    """
    return re.sub(r"([A-Z])", lambda match: f"_{match[1].lower()}", name)


def unquoted(value: Value) -> Value:
    """
    Return the number that a text stands for; anything else as it is.

    Example:
        >>> unquoted("1e-4"), unquoted(" 2 "), unquoted("relu")
        (0.0001, 2, 'relu')
    """
    if not isinstance(value, str):
        return value
    try:
        number = plain_value(value.strip())
    except ValueError:
        return value
    return number if isinstance(number, (int, float)) and value.strip() else value


@dataclass(frozen=True)
class Count(Shape):
    """
    A whole number, which may be quoted or written as 3.0.

    Args:
        least: It must be this or greater.
    """

    least: int | None = None

    def read(self, value: Value, path: Path, problems: Problems) -> Any:  # noqa: ANN401
        """
        Return the number.
        """
        number = unquoted(value)
        if isinstance(number, float) and number.is_integer():
            number = int(number)
        is_number = isinstance(number, (int, float)) and not isinstance(number, bool)
        shown = number if is_number else value
        return Whole(least=self.least, below=2**63).read(shown, path, problems)

    def schema(self) -> dict[str, Any]:
        """
        Return the JSON Schema of the value.
        """
        return Whole(least=self.least).schema()


@dataclass(frozen=True)
class Amount(Shape):
    """
    A finite number, which may be quoted.

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
        return Number(above=self.above, least=self.least).read(unquoted(value), path, problems)

    def schema(self) -> dict[str, Any]:
        """
        Return the JSON Schema of the value.
        """
        return Number(above=self.above, least=self.least).schema()


@dataclass(frozen=True)
class Truth(Shape):
    """
    True or false, which may be quoted.
    """

    def read(self, value: Value, path: Path, problems: Problems) -> Any:  # noqa: ANN401
        """
        Return the truth value.
        """
        word = value.lower() if isinstance(value, str) else value
        if isinstance(word, bool):
            return word
        if isinstance(word, str) and word in {"true", "false"}:
            return word == "true"
        problems.error(path, f"must be true or false, got {show(value)}")
        return BROKEN

    def schema(self) -> dict[str, Any]:
        """
        Return the JSON Schema of the value.
        """
        return {"type": "boolean"}


@dataclass(frozen=True)
class Word(Shape):
    """
    One of a few words, in small or capital letters.

    Args:
        words: All of them, small.
    """

    words: tuple[str, ...]

    def read(self, value: Value, path: Path, problems: Problems) -> Any:  # noqa: ANN401
        """
        Return the word in small letters.
        """
        if isinstance(value, str) and value.lower() in self.words:
            return value.lower()
        return OneOf(self.words).read(value, path, problems)

    def schema(self) -> dict[str, Any]:
        """
        Return the JSON Schema of the value.
        """
        return OneOf(self.words).schema()


@dataclass(frozen=True)
class Given(Shape):
    """
    Any value; it is looked at elsewhere.
    """

    def read(self, value: Value, path: Path, problems: Problems) -> Any:  # noqa: ANN401
        """
        Return the value as it is.
        """
        del path, problems
        return value

    def schema(self) -> dict[str, Any]:
        """
        Return the JSON Schema of the value.
        """
        return {}


# Longer commands are programs, and take their time to be read.
_MOST_CHARACTERS = 30_000


@dataclass(frozen=True)
class Command(Shape):
    """
    A shell line, or a word of one, of a length that anybody writes.

    Args:
        empty: Whether it may be empty.
    """

    empty: bool = False

    def read(self, value: Value, path: Path, problems: Problems) -> Any:  # noqa: ANN401
        """
        Return the text.
        """
        text = Text(empty=self.empty).read(value, path, problems)
        if text is not BROKEN and len(text) > _MOST_CHARACTERS:
            problems.error(
                path, f"must have at most {_MOST_CHARACTERS} characters, got {len(text)}"
            )
            return BROKEN
        return text

    def schema(self) -> dict[str, Any]:
        """
        Return the JSON Schema of the value.
        """
        return Text(empty=self.empty).schema()


@dataclass(frozen=True)
class Part:
    """
    What was read of a section.

    Args:
        keys: Valid entries by their plain name: small letters and underscores.

        path: Where the section stands.

        spelled: For each plain name, how the file spells it.

        words: For each plain name, how the section spells it.
    """

    keys: Mapping[str, Any]
    path: Path
    spelled: Mapping[str, str] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)

    def get(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - whatever it may be
        """
        Return the entry *name*.
        """
        return self.keys.get(name, default)

    def place(self, name: str) -> Path:
        """
        Return where the entry *name* stands, or the section if it has none.
        """
        return (*self.path, self.spelled[name]) if name in self.spelled else self.path

    def word(self, name: str) -> str:
        """
        Return how the entry *name* is spelled here.
        """
        return self.spelled.get(name) or self.words.get(name, name)


@dataclass(frozen=True)
class Section(Shape):
    """
    A mapping of known keys; ``null`` is the same as no entry.

    Args:
        keys: By their plain names.

        spelled: How each is spelled where that is not its plain name; with
            capitals or with underscores is the same.

        also: Other spellings that are read, and the plain names that they mean.

        foreign: Keys that are not read, and what to write instead.
    """

    keys: Mapping[str, Key]
    spelled: Mapping[str, str] = field(default_factory=dict)
    also: Mapping[str, str] = field(default_factory=dict)
    foreign: Mapping[str, str] = field(default_factory=dict)

    def read(self, value: Value, path: Path, problems: Problems) -> Any:  # noqa: ANN401
        """
        Return the valid entries as a `Part`; `BROKEN` where a required one is missing.
        """
        if not isinstance(value, dict):
            problems.error(path, f"must be a mapping, got {show(value)}")
            return BROKEN
        plain = self._plain()
        found: dict[str, Any] = {}
        spelled: dict[str, str] = {}
        for given, item in value.items():
            here = (*path, given)
            name = plain.get(given)
            if name is None:
                self._unknown(given, here, problems)
            elif name in spelled:
                message = f"must not be given beside {spelled[name]}, which means the same"
                problems.error(here, message, at_key=True)
            elif item is not None:
                spelled[name] = given
                read = self.keys[name].shape.read(item, here, problems)
                if read is not BROKEN:
                    found[name] = read
        words = {name: self.spelled.get(name, name) for name in self.keys}
        part = Part(found, path, spelled, words)
        return part if self._complete(part, problems) else BROKEN

    def _plain(self) -> dict[str, str]:
        """
        Return the plain name of every spelling.
        """
        words = {name: self.spelled.get(name, name) for name in self.keys}
        also = {word: name for word, name in self.also.items() if name in self.keys}
        small = {snake(word): name for name, word in words.items()}
        return {**also, **small, **{word: name for name, word in words.items()}}

    def _unknown(self, given: str, path: Path, problems: Problems) -> None:
        names = [self.spelled.get(name, name) for name in self.keys]
        hint = self.foreign.get(given) or did_you_mean(given, names)
        message = f"unknown key; the keys here are {', '.join(names)}"
        problems.error(path, message, hint=hint, at_key=True)

    def _complete(self, part: Part, problems: Problems) -> bool:
        complete = True
        for name, key in self.keys.items():
            if not key.required or name in part.keys:
                continue
            complete = False
            if name not in part.spelled:
                word = self.spelled.get(name, name)
                hint = f"write {word}: {key.example}" if key.example else None
                problems.error(part.path, f"{word} must be given", hint=hint, at_key=True)
        return complete

    def schema(self) -> dict[str, Any]:
        """
        Return the JSON Schema of the value.
        """
        return {
            "type": "object",
            "properties": {
                self.spelled.get(name, name): {"description": key.about, **key.shape.schema()}
                for name, key in self.keys.items()
            },
            "additionalProperties": False,
        }
