"""
Where in a shell line a value stands: between words, in quotes, in a comment.

A value is safe only if it is quoted for the place where it is put. This reads
a line as a POSIX shell would, as far as quoting goes, and says for each value
which quoting that is. Where it cannot be sure, it says so: nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from enum import Enum
from typing import ClassVar

__all__ = ["VALUE", "Surroundings", "surroundings"]

VALUE = "\0"
"""Stands for a value in the line that is read."""


class Surroundings(Enum):
    """
    What the shell makes of the text at one place; the value says it in words.
    """

    WORDS = "between words"
    SINGLE = "in single quotes"
    DOUBLE = "in double quotes"
    COMMENT = "in a comment"
    BACKTICKS = "in backticks"
    ARITHMETIC = "in arithmetic"
    EXPANSION = "in the expansion of a variable"
    HERE_DOCUMENT = "in a here-document"
    ESCAPED = "behind a backslash"
    DOLLAR = "behind a dollar sign"
    UNCLEAR = "behind what only a full shell can read"


def surroundings(line: str) -> Sequence[Surroundings]:
    """
    Return the surroundings of each `VALUE` in *line*, in order.

    Raises:
        ValueError: If a quote is never closed.

    Example:
        >>> [found.name for found in surroundings(f"train {VALUE} '{VALUE}' # {VALUE}")]
        ['WORDS', 'SINGLE', 'COMMENT']
    """
    if _PLAIN.fullmatch(line):
        return (Surroundings.WORDS,) * line.count(VALUE)
    reader = _Reader(line)
    try:
        reader.words(0, depth=0)
    except _UnclearError:
        reader.found += [Surroundings.UNCLEAR] * (line.count(VALUE) - len(reader.found))
    return reader.found


# Nothing here has a meaning for quoting.
_PLAIN = re.compile(r"[^\\'\"`$#<()]*")

_SPECIAL_IN_WORDS = re.compile(r"""[\\'"`$#<()\n\0]|\b(?:case|esac)\b""")
_SPECIAL_IN_DOUBLE = re.compile(r'[\\"`$\0]')
_DELIMITER = re.compile(r"-?[ \t]*([^\s;&|<>()\0]+)")
_BACKTICKED = re.compile(r"(?:[^\\`]|\\.)*`", re.DOTALL)
_EXPANDED = re.compile(r"[^'\"\\`$}]*\}")
_PARENTHESES = re.compile(r"[()'\"\\`]")
_BEFORE_COMMENT = frozenset("\n\t ;&|()")

_MAX_DEPTH = 20


class _UnclearError(Exception):
    """
    From here on nothing is certain.
    """


class _Reader:
    """
    Reads one line; `found` grows by one for each value that is passed.
    """

    def __init__(self, line: str) -> None:
        self.line = line
        self.found: list[Surroundings] = []
        self._delimiters: list[tuple[str, bool]] = []

    def words(self, position: int, *, depth: int) -> int:
        """
        Read words up to the parenthesis that closes them, or to the end.

        Returns:
            The position behind what was read.
        """
        if depth > _MAX_DEPTH:
            raise _UnclearError
        groups = 0
        while True:
            match = _SPECIAL_IN_WORDS.search(self.line, position)
            if match is None:
                return len(self.line)
            position, char = match.end(), match.group()
            if char in "()" and not self.line.startswith("((", position - 1):
                groups += 1 if char == "(" else -1
                if groups < 0 < depth:
                    return position
            else:
                position = self._in_words[char](self, position, depth)

    def double(self, position: int, depth: int) -> int:
        """
        Read what is in double quotes, the closing one included.
        """
        start = position
        while True:
            match = _SPECIAL_IN_DOUBLE.search(self.line, position)
            if match is None:
                raise ValueError(f"a double quote must be closed, got {self._rest(start - 1)}")
            position, char = match.end(), match.group()
            if char == '"':
                return position
            if char == VALUE:
                self._value(position, Surroundings.DOUBLE)
            else:
                position = self._in_words[char](self, position, depth)

    def _single(self, position: int, _depth: int) -> int:
        if self.line[position - 2 : position - 1] == "$":
            raise _UnclearError  # bash and sh read this apart
        end = self.line.find("'", position)
        if end < 0:
            raise ValueError(f"a single quote must be closed, got {self._rest(position - 1)}")
        return self._all(Surroundings.SINGLE, position, end + 1)

    def _backslash(self, position: int, _depth: int) -> int:
        return self._all(Surroundings.ESCAPED, position, position + 1)

    def _backticks(self, position: int, _depth: int) -> int:
        match = _BACKTICKED.match(self.line, position)
        if match is None:
            raise _UnclearError
        return self._all(Surroundings.BACKTICKS, position, match.end())

    def _dollar(self, position: int, depth: int) -> int:
        following = self.line[position : position + 2]
        if following == "((":
            return self._arithmetic(position, depth)
        if following[:1] == "(":
            return self.words(position + 1, depth=depth + 1)
        if following[:1] == "{":
            match = _EXPANDED.match(self.line, position)
            if match is None:
                raise _UnclearError
            return self._all(Surroundings.EXPANSION, position, match.end())
        return position

    def _arithmetic(self, position: int, _depth: int) -> int:
        open_ones = 0
        for match in _PARENTHESES.finditer(self.line, position):
            if match.group() not in "()":
                break
            open_ones += 1 if match.group() == "(" else -1
            if open_ones == 0:
                return self._all(Surroundings.ARITHMETIC, position, match.end())
        raise _UnclearError

    def _double_parenthesis(self, position: int, depth: int) -> int:
        return self._arithmetic(position - 1, depth)

    def _case(self, position: int, depth: int) -> int:
        if depth > 0:
            # The parentheses of its patterns have no opening ones.
            raise _UnclearError
        return position

    def _hash(self, position: int, _depth: int) -> int:
        if position > 1 and self.line[position - 2] not in _BEFORE_COMMENT:
            return position
        end = self.line.find("\n", position)
        return self._all(Surroundings.COMMENT, position, len(self.line) if end < 0 else end)

    def _less(self, position: int, _depth: int) -> int:
        if not self.line.startswith("<", position):
            return position
        if self.line.startswith("<<", position):
            return position + 2  # a here-string: what follows is a word
        match = _DELIMITER.match(self.line, position + 1)
        if match is None:
            raise _UnclearError
        delimiter = re.sub(r"[\\'\"]", "", match.group(1))
        self._delimiters.append((delimiter, match.group().startswith("-")))
        return match.end()

    def _newline(self, position: int, _depth: int) -> int:
        for delimiter, indented in self._delimiters:
            tabs = r"\t*" if indented else ""
            end = re.compile(rf"^{tabs}{re.escape(delimiter)}$", re.MULTILINE)
            match = end.search(self.line, position)
            stop = len(self.line) if match is None else match.end()
            position = self._all(Surroundings.HERE_DOCUMENT, position, stop)
        self._delimiters.clear()
        return position

    def _word_value(self, position: int, _depth: int) -> int:
        self._value(position, Surroundings.WORDS)
        return position

    def _value(self, position: int, surroundings: Surroundings) -> None:
        behind_dollar = self.line[position - 2 : position - 1] == "$"
        self.found.append(Surroundings.DOLLAR if behind_dollar else surroundings)

    def _all(self, surroundings: Surroundings, start: int, end: int) -> int:
        """
        Pass everything up to *end*, values included.
        """
        self.found += [surroundings] * self.line.count(VALUE, start, end)
        return end

    def _rest(self, start: int) -> str:
        text = self.line[start : start + 20].replace(VALUE, "{}")
        return repr(text)

    _in_words: ClassVar[dict[str, Callable[[_Reader, int, int], int]]] = {
        "\\": _backslash,
        "'": _single,
        '"': double,
        "`": _backticks,
        "$": _dollar,
        "#": _hash,
        "<": _less,
        "(": _double_parenthesis,
        "case": _case,
        "esac": _case,
        "\n": _newline,
        VALUE: _word_value,
    }
