"""
TEXT -> a positioned document: plain data, and the place of every key and value.

JSON is YAML.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from airflow_hpo.blueprint.compose import Composer, event_source
from airflow_hpo.blueprint.places import Mark, Marks, Path, Place, dotted, place_of
from airflow_hpo.blueprint.text import decode, json_as_yaml
from airflow_hpo.errors import BlueprintError, Problem

__all__ = ["Document", "Path", "dotted", "read_document"]


@dataclass(frozen=True)
class Document:
    """
    One parsed file.

    Args:
        data: Mappings, lists and scalars. Aliases share their value: read only.

        file: The file's name as it was given.

        text: The whole text.
    """

    data: Any
    file: str
    text: str
    _root: Mark = field(repr=False, compare=False)
    _marks: dict[int, Marks] = field(repr=False, compare=False)

    @property
    def sha256(self) -> str:
        """
        The hash of the text, hexadecimal.
        """
        return hashlib.sha256(self.text.encode()).hexdigest()

    def completed(self, defaults: Mapping[str, Any]) -> Document:
        """
        Return the document with *defaults* for the keys that it does not have.
        """
        if not isinstance(self.data, dict):
            return self
        data = {**self.data, **{key: defaults[key] for key in defaults if key not in self.data}}
        marks = {**self._marks, id(data): self._marks.get(id(self.data), {})}
        return replace(self, data=data, _marks=marks)

    def has(self, *path: str | int) -> bool:
        """
        Return whether there is a value at *path*.
        """
        data = self.data
        for part in path:
            if part not in self._marks.get(id(data), {}):
                return False
            data = data[part]
        return True

    def where(self, *path: str | int) -> Place:
        """
        Return line and column of the value at *path*.

        Where there is no such value, the place of the nearest one around it.
        """
        return self._place(path)[1]

    def where_key(self, *path: str | int) -> Place:
        """
        Return line and column of the key at *path*; of the item in a list.
        """
        return self._place(path)[0]

    def _place(self, path: Path) -> tuple[Place, Place]:
        key = value = self._root
        data = self.data
        for part in path:
            marks = self._marks.get(id(data), {})
            if part not in marks:
                # The key of what surrounds it tells more than its brace.
                break
            key, value = marks[part]
            data = data[part]
        return place_of(key), place_of(value)


def read_document(content: str | bytes, *, file: str = "<blueprint>") -> Document:
    """
    Parse one YAML (or JSON) document.

    Args:
        content: Text, or the bytes of a UTF-8 file.

        file: Its name, for messages.

    Raises:
        BlueprintError: If it is not one well-formed document of modest size.
    """
    text = decode(content, file=file)
    composer = Composer(event_source(json_as_yaml(text)), file)
    try:
        root = composer.compose()
    except yaml.MarkedYAMLError as error:
        composer.problems.append(_syntax_problem(error, text, file))
    except yaml.reader.ReaderError as error:
        composer.problems.append(Problem("", f"is not valid YAML: {error.reason}", file=file))
    if composer.problems:
        raise BlueprintError(composer.problems)
    return Document(composer.data, file, text, root, composer.marks)


# What a part of the parser's complaint most often means.
_HINTS = {
    "start any token": "put text that begins with @, % or ` in quotes",
    "mapping values are not allowed": (
        "put text that holds ': ' in quotes, or check the line's indentation"
    ),
    "flow mapping": "close the brace, or put text that begins with one in quotes",
    "flow sequence": "close the bracket, or put text that begins with one in quotes",
    "flow node": "close the bracket or brace",
    "quoted scalar": "close the quotes",
    "block": "check the line's indentation",
}


def _syntax_problem(error: yaml.MarkedYAMLError, text: str, file: str) -> Problem:
    """
    Return the parser's complaint as a problem at the parser's place.
    """
    complaint = (error.problem or error.context or "cannot be read").strip()
    message = f"is not valid YAML: {complaint}"
    mark = error.problem_mark or error.context_mark
    if error.context and error.context_mark is not None and error.context != complaint:
        message += f", {error.context} that begins at line {error.context_mark.line + 1}"
    said = f"{error.problem} {error.context}"
    hint = next((hint for part, hint in _HINTS.items() if part in said), None)
    line, column = (0, 0) if mark is None else place_of(mark)
    before = "".join(text.split("\n")[line - 1 : line])[:column]
    if "\t" in before:
        hint = "indent with spaces, not tabs"
    elif before.endswith("{") and "flow mapping" in said:
        hint = "put text that holds braces in quotes"
    return Problem("", message, hint, file=file, line=line, column=column)
