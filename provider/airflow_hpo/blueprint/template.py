"""
Command templates: a shell line in which parameters stand in braces.

==================  ==========================================================
``{name}``          the value, quoted for the shell
``{name:--flag}``   ``--flag value``, or nothing where *name* is not active
``{name:--flag=}``  ``--flag=value``, or nothing
``{parameters}``    every active parameter, as ``--name=value``
``{{`` and ``}}``   a brace
==================  ==========================================================

A value that is not text is written as JSON: ``true``, ``null``, ``0.001``,
``[64, 32]``. Whatever a value holds, it stays one word of the shell, or one
part of the word that it is written into. There is nothing else in the
language: no attribute, no index, no format.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from airflow_hpo.blueprint.quoting import VALUE, Surroundings, surroundings
from airflow_hpo.model.values import Configuration, Value

__all__ = ["ALL_PARAMETERS", "Placeholder", "Template", "quoted", "word_of"]

ALL_PARAMETERS = "parameters"
"""The name that stands for all active parameters."""

_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_NAME = re.compile(r"[^\s{}:]+")
# What may stand before a value without meaning anything to the shell.
_FLAG = re.compile(r"[\w@%+=:,./-]+", re.ASCII)


def word_of(value: Value) -> str:
    """
    Return *value* as the text that a program gets.

    Example:
        >>> [word_of(value) for value in ("a b", True, 1e-05, [1, "x"])]
        ['a b', 'true', '1e-05', '[1, "x"]']
    """
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Placeholder:
    """
    What stands in braces.

    Args:
        name: Of the parameter, or `ALL_PARAMETERS`.

        flag: What stands before the value; `None` for the value alone.

        around: What the shell reads around it; one of `_QUOTED`.
    """

    name: str
    flag: str | None
    around: Surroundings


@dataclass(frozen=True, slots=True)
class Template:
    """
    One parsed template; make it with `parse`.

    Example:
        >>> template = Template.parse("train {note} {lr:--lr} {seed:--seed=}")
        >>> print(template.render({"note": "a b", "lr": 1e-3}))
        train 'a b' --lr 0.001 ...
    """

    text: str
    _parts: tuple[str | Placeholder, ...]

    @classmethod
    def parse(cls, text: str) -> Template:
        """
        Parse *text*.

        Raises:
            ValueError: If it is not in the language; the message has the column.
        """
        pieces = list(_pieces(text))
        line = "".join(piece if isinstance(piece, str) else VALUE for piece in pieces)
        if line.count(VALUE) != sum(not isinstance(piece, str) for piece in pieces):
            raise ValueError("a command must hold no NUL character")
        around = iter(surroundings(line))
        return cls(
            text,
            tuple(
                piece if isinstance(piece, str) else _placeholder(piece, next(around))
                for piece in pieces
                if piece
            ),
        )

    def names(self) -> frozenset[str]:
        """
        Return every name in braces but `ALL_PARAMETERS`.
        """
        return frozenset(part.name for part in self._placeholders()) - {ALL_PARAMETERS}

    def needed_names(self) -> frozenset[str]:
        """
        Return the names that there must be: all of them.
        """
        return self.names()

    def bare_names(self) -> frozenset[str]:
        """
        Return the names whose value must be there: those without a flag.
        """
        bare = (part.name for part in self._placeholders() if part.flag is None)
        return frozenset(bare) - {ALL_PARAMETERS}

    @property
    def tells_late(self) -> bool:
        """
        Whether some of what is wrong shows only with values: nothing here does.
        """
        return False

    def written(self, name: str) -> str:
        """
        Return how the template asks for *name*.
        """
        return f"{{{name}}}"

    @property
    def plain_hint(self) -> str:
        """
        How a name is written that is no parameter, with ``{name}`` for it.
        """
        return "write {{{{{name}}}}} for braces that are meant"

    @property
    def parts(self) -> tuple[str | Placeholder, ...]:
        """
        The text and the placeholders, in order; braces that are meant are single.
        """
        return self._parts

    @property
    def takes_all(self) -> bool:
        """
        Whether every active parameter is passed.
        """
        return any(part.name == ALL_PARAMETERS for part in self._placeholders())

    def render(self, configuration: Configuration) -> str:
        """
        Return the shell line for *configuration*.

        Raises:
            ValueError: If a name without a flag has no value.
        """
        return "".join(
            part if isinstance(part, str) else _rendered(part, configuration)
            for part in self._parts
        )

    def _placeholders(self) -> list[Placeholder]:
        return [part for part in self._parts if isinstance(part, Placeholder)]


def _pieces(text: str) -> Iterator[str | re.Match[str]]:
    """
    Yield the text between braces, and the matches of what is in them.
    """
    position = 0
    for match in _PIECE.finditer(text):
        yield text[position : match.start()]
        position = match.end()
        if match.group(1) is not None:
            yield match
        elif len(match.group()) > 1:
            yield match.group()[0]
        else:
            raise ValueError(
                f"a brace must be closed, or doubled where it is meant ({match.group() * 2}), "
                f"got {match.group()} {_where(text, match.start())}"
            )
    yield text[position:]


def _where(text: str, offset: int) -> str:
    line = text.count("\n", 0, offset)
    column = offset - (text.rfind("\n", 0, offset) + 1) + 1
    return f"at column {column}" + (f" of line {line + 1}" if line else "")


def _placeholder(match: re.Match[str], around: Surroundings) -> Placeholder:
    where = _where(match.string, match.start())
    name, colon, flag = match.group(1).partition(":")
    if _NAME.fullmatch(name) is None:
        raise ValueError(
            f"braces must hold a parameter's name, got {match.group()} {where}; "
            "write {{ and }} for braces that are meant"
        )
    if colon and (_FLAG.fullmatch(flag) is None or name == ALL_PARAMETERS):
        raise ValueError(
            f"a colon must be followed by a flag, got {match.group()} {where}; "
            "write {{ and }} for braces that are meant"
        )
    if around is Surroundings.DOLLAR:
        raise ValueError(
            f"a parameter must not stand {around.value}, got ${match.group()} {where}; "
            f"write ${{{match.group()}}} for a variable of the shell"
        )
    if around not in _QUOTED:
        raise ValueError(
            f"a parameter must not stand {around.value}, got {match.group()} {where}; "
            "give its value to a shell variable first, and use that"
        )
    if around is not Surroundings.WORDS and (colon or name == ALL_PARAMETERS):
        raise ValueError(f"{match.group()} must stand outside quotes, got it {where}")
    return Placeholder(name, flag if colon else None, around)


def _rendered(part: Placeholder, configuration: Configuration) -> str:
    if part.name == ALL_PARAMETERS and ALL_PARAMETERS not in configuration:
        words = (f"--{name}={word_of(value)}" for name, value in configuration.items())
        return " ".join(map(shlex.quote, words))
    if part.name not in configuration:
        if part.flag is not None:
            return ""
        raise ValueError(f"the command needs a value of {part.name}, which is not active")
    value = _QUOTED[part.around](word_of(configuration[part.name]))
    if part.flag is None:
        return value
    return f"{part.flag}{value}" if part.flag.endswith("=") else f"{part.flag} {value}"


def quoted(text: str, around: Surroundings) -> str:
    """
    Return *text* so that the shell reads it as it is, where *around* tells.

    Raises:
        ValueError: If nothing can be quoted there.
    """
    if around not in _QUOTED:
        raise ValueError(f"a value must not stand {around.value}")
    return _QUOTED[around](text)


def _in_double_quotes(text: str) -> str:
    return re.sub(r'([\\$`"])', r"\\\1", text)


def _in_single_quotes(text: str) -> str:
    return text.replace("'", "'\"'\"'")


_QUOTED: Mapping[Surroundings, Callable[[str], str]] = {
    Surroundings.WORDS: shlex.quote,
    Surroundings.SINGLE: _in_single_quotes,
    Surroundings.DOUBLE: _in_double_quotes,
}
