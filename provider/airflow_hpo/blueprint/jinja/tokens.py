"""
TEXT -> tokens: what is outside of tags whole, what is inside word by word.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

__all__ = ["Token", "tokens", "where"]

_OPENING = re.compile(r"\{([{%#])([-+]?)")
_COMMENT_END = re.compile(r"(-?)#\}")
_RAW = re.compile(r"\s*raw\s*(-?)%\}")
_RAW_END = re.compile(r"\{%([-+]?)\s*endraw\s*(-?)%\}")
_WORD = re.compile(
    r"""(?P<space>\s+)
      | (?P<name>[A-Za-z_]\w*)
      | (?P<number>\d+(?:_\d+)*(?:\.\d+(?:_\d+)*)?(?:[eE][-+]?\d+)?)
      | (?P<string>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
      | (?P<op>\*\*|//|[=!<>]=|[-+*/%~<>=.,:|()\[\]{}])
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_CLOSING = {"{": re.compile(r"-?\}\}"), "%": re.compile(r"[-+]?%\}")}
_PAIRS = {")": "(", "]": "[", "}": "{"}

# A template of more tokens is no command.
_MOST = 10_000
# Each may nest a level deeper, and Python's own stack is not endless.
_MOST_IN_A_TAG = 300
_LONGEST_NUMBER = 100


@dataclass(frozen=True, slots=True)
class Token:
    """
    One token.

    Args:
        kind: ``data``, ``open``, ``close``, ``name``, ``number``, ``string``,
            ``op`` or ``end``.

        value: The text; the number; of ``open``, ``{`` or ``%``.

        offset: Where it begins in the template.
    """

    kind: str
    value: Any
    offset: int


def where(text: str, offset: int) -> str:
    """
    Return the place of *offset* in words.
    """
    line = text.count("\n", 0, offset)
    column = offset - (text.rfind("\n", 0, offset) + 1) + 1
    return f"at column {column}" + (f" of line {line + 1}" if line else "")


def tokens(text: str) -> list[Token]:
    """
    Return the tokens of *text*, an ``end`` last.

    Raises:
        ValueError: If a tag or a text is not closed, or a character is none of
            the language.
    """
    found: list[Token] = []
    for token in _tokens(text):
        found.append(token)
        if len(found) > _MOST:
            raise ValueError(f"a template must have at most {_MOST} tokens")
    found.append(Token("end", "", len(text)))
    return found


def _tokens(text: str) -> Iterator[Token]:
    position, trim = 0, False
    while position < len(text):
        match = _OPENING.search(text, position)
        end = len(text) if match is None else match.start()
        data = text[position:end]
        data = data.lstrip() if trim else data
        if match is not None and match[2] == "-":
            data = data.rstrip()
        if data:
            yield Token("data", data, position)
        if match is None:
            return
        raw = _RAW.match(text, match.end()) if match[1] == "%" else None
        if match[1] == "#":
            position, trim = _behind_comment(text, match)
        elif raw is not None:
            token, position, trim = _raw(text, raw)
            yield token
        else:
            yield Token("open", match[1], match.start())
            words = list(islice(_words(text, match), _MOST_IN_A_TAG + 1))
            if len(words) > _MOST_IN_A_TAG:
                place = where(text, match.start())
                raise ValueError(f"a tag must have at most {_MOST_IN_A_TAG} tokens {place}")
            yield from words
            position = words[-1].offset + len(words[-1].value)
            trim = words[-1].value.startswith("-")


def _behind_comment(text: str, match: re.Match[str]) -> tuple[int, bool]:
    end = _COMMENT_END.search(text, match.end())
    if end is None:
        raise ValueError(f"a comment must be closed, got {{# {where(text, match.start())}")
    return end.end(), end[1] == "-"


def _raw(text: str, raw: re.Match[str]) -> tuple[Token, int, bool]:
    end = _RAW_END.search(text, raw.end())
    if end is None:
        raise ValueError(f"raw must be closed by endraw, got it {where(text, raw.start())}")
    inside = text[raw.end() : end.start()]
    inside = inside.lstrip() if raw[1] else inside
    inside = inside.rstrip() if end[1] == "-" else inside
    return Token("data", inside, raw.end()), end.end(), end[2] == "-"


def _words(text: str, opening: re.Match[str]) -> Iterator[Token]:
    """
    Yield what is in a tag, the closing of it last.
    """
    position, open_ones = opening.end(), list[str]()
    closing = _CLOSING[opening[1]]
    while position < len(text):
        end = None if open_ones else closing.match(text, position)
        if end is not None:
            yield Token("close", end.group(), position)
            return
        match = _WORD.match(text, position)
        if match is None:
            got = repr(text[position])
            raise ValueError(f"a tag must hold an expression, got {got} {where(text, position)}")
        if match.lastgroup != "space":
            yield _token(match, text)
        if match.lastgroup == "op":
            _balance(match.group(), open_ones, text, position)
        position = match.end()
    got = f"{opening.group()} {where(text, opening.start())}"
    raise ValueError(f"a tag must be closed, got {got}")


def _balance(op: str, open_ones: list[str], text: str, position: int) -> None:
    if op in _PAIRS.values():
        open_ones.append(op)
    elif op in _PAIRS and (not open_ones or open_ones.pop() != _PAIRS[op]):
        raise ValueError(f"brackets must be opened first, got {op} {where(text, position)}")


def _token(match: re.Match[str], text: str) -> Token:
    kind, value = match.lastgroup or "", match.group()
    if kind == "number":
        if len(value) > _LONGEST_NUMBER:
            place = where(text, match.start())
            raise ValueError(f"a number must have at most {_LONGEST_NUMBER} characters {place}")
        plain = value.replace("_", "")
        number: float = float(plain) if re.search("[.eE]", plain) else int(plain)
        return Token(kind, number, match.start())
    if kind == "string":
        return Token(kind, _unescaped(value), match.start())
    return Token(kind, value, match.start())


def _unescaped(literal: str) -> str:
    if "\\" not in literal:
        return literal[1:-1]
    try:
        text = ast.literal_eval(literal.replace("\n", "\\n"))
    except (ValueError, SyntaxError):
        return literal[1:-1]
    return str(text).replace("\0", "")
