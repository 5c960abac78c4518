"""
Commands: Valohai's placeholders become those of our templates.

Values that are not searched are written out as Valohai would write them.
"""

from __future__ import annotations

import re
import shlex
import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_hpo.blueprint.problems import show

if TYPE_CHECKING:
    from airflow_hpo.blueprint.dialects.valohai.declared import Declared
    from airflow_hpo.model.values import Value

__all__ = ["PLACEHOLDER", "Filling", "Script", "join", "pattern_problem"]

PLACEHOLDER = re.compile(r"{(.+?)}")
"""What may be one; what is no name of anything stays as it is."""

_FIELDS = frozenset({"name", "value", "v"})
# Formats that cannot blow a value up.
_FORMAT = re.compile(r"[<>=^]?[-+ ]?0?[0-9]{0,2}[,_]?(\.[0-9]{1,2})?[a-zA-Z%]?")


@dataclass(frozen=True)
class Filling:
    """
    What is put in for one parameter.

    Args:
        declared: The parameter.

        value: Its value where it is not searched; `None` for none.

        is_searched: Whether each execution has its own value.
    """

    declared: Declared
    value: Value = None
    is_searched: bool = False


def pattern_problem(pattern: str) -> str | None:
    """
    Return what is wrong with a ``pass-as``, if anything is.
    """
    rule = "must hold no braces but {name}, {value} and {v}"
    try:
        for bit in pattern.split():
            for _, name, spec, conversion in string.Formatter().parse(bit):
                if name is not None and name not in _FIELDS:
                    return f"{rule}, got {show(pattern)}"
                if _FORMAT.fullmatch(spec or "") is None or conversion not in {None, "s", "r"}:
                    return f"must format values plainly, got {show(pattern)}"
    except ValueError:
        return f"{rule}, got {show(pattern)}"
    return None


def _bits(pattern: str, name: str, value: Value) -> list[str]:
    """
    Return the words that *pattern* makes of a value that is known.
    """
    fields = {"name": name, "value": value, "v": value}
    try:
        return [bit.format_map(fields) for bit in pattern.split()]
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name} cannot be passed as {show(pattern)}: {error}") from None


def _plain(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _quoted(words: Sequence[str]) -> str:
    return _plain(" ".join(map(shlex.quote, words)))


def _open_bit(bit: str, name: str) -> str:
    """
    Return one word of a pattern whose value is not known yet.
    """
    parts = []
    for literal, field, spec, conversion in string.Formatter().parse(bit):
        text = literal + (name if field == "name" else "")
        parts.append(_plain(shlex.quote(text)) if text else "")
        if field in {"v", "value"}:
            if spec or conversion:
                raise ValueError(f"a format of {name}, which is searched, is not supported yet")
            parts.append(f"{{{name}}}")
    return "".join(parts) or "''"


class Script:
    """
    Fills placeholders in; keeps what the shell has to know first.

    Args:
        fillings: By name, in the step's order.

        source_path: What ``{source-path}`` stands for, if anything.
    """

    def __init__(self, fillings: Mapping[str, Filling], source_path: str | None = None) -> None:
        self._fillings = fillings
        self._source_path = source_path
        self._switches: dict[str, int] = {}
        self.mentioned: set[str] = set()
        self.left: list[str] = []

    def fill(self, command: str) -> str:
        """
        Return *command* as a template of ours.

        Raises:
            ValueError: If a placeholder cannot be said in one.
        """
        parts, position = list[str](), 0
        for match in PLACEHOLDER.finditer(command):
            found = self._placeholder(match[1])
            if found is None:
                found = _plain(match[0])
            parts += [_plain(command[position : match.start()]), found]
            position = match.end()
        return "".join([*parts, _plain(command[position:])]).strip()

    def prelude(self) -> Iterator[str]:
        """
        Yield lines that set what flags are passed by.
        """
        for name, index in self._switches.items():
            yield (
                f"vh_yes{index}=; vh_no{index}=1; "
                f"if [ {{{name}}} = true ]; then vh_yes{index}=1; vh_no{index}=; fi"
            )

    def _placeholder(self, text: str) -> str | None:
        if text == "source-path" and self._source_path is not None:
            return _quoted([self._source_path])
        if text in {"parameters", "params"}:
            self.mentioned.update(self._fillings)
            return " ".join(filter(None, map(self._argument, self._fillings.values())))
        kind, colon, name = text.partition(":")
        if not colon or kind not in {"parameter", "parameter-value"}:
            return None
        filling = self._fillings.get(name)
        has_value = filling is not None and (filling.is_searched or filling.value is not None)
        if filling is not None and filling.declared.multiple and not has_value:
            self.mentioned.add(name)
            return "" if kind == "parameter" else _quoted(["[]"])
        if filling is None or (kind == "parameter-value" and not has_value):
            self.left.append(f"{{{text}}}")
            return None
        self.mentioned.add(name)
        return self._argument(filling) if kind == "parameter" else self._value(filling)

    def _argument(self, filling: Filling) -> str:
        declared = filling.declared
        if declared.kind == "flag":
            return self._flag(filling)
        if filling.is_searched:
            bits = declared.pattern.split()
            return " ".join(_open_bit(bit, declared.name) for bit in bits)
        if filling.value is None:
            return ""
        words = [
            word
            for value in _passed(declared, filling.value)
            for word in _bits(declared.pattern, declared.name, value)
        ]
        return _quoted(words)

    def _flag(self, filling: Filling) -> str:
        words = {truth: _flag_words(filling.declared, is_set=truth) for truth in (True, False)}
        if not filling.is_searched:
            return "" if filling.value is None else _quoted(words[bool(filling.value)])
        return self._switched(filling.declared.name, _quoted(words[True]), _quoted(words[False]))

    def _switched(self, name: str, yes: str, no: str) -> str:
        """
        Return what the shell reads as *yes* or *no*, by the value of a flag.
        """
        if "'" in yes + no:
            raise ValueError(
                f"words of {name}, which is searched, that need quotes are not supported yet"
            )
        index = self._switches.setdefault(name, len(self._switches))
        return "".join(
            f"${{{{vh_{case}{index}:+{words}}}}}"
            for case, words in (("yes", yes), ("no", no))
            if words
        )

    def _value(self, filling: Filling) -> str:
        declared = filling.declared
        if not filling.is_searched:
            return _quoted([str(filling.value)])
        if declared.kind == "flag":
            return self._switched(declared.name, "True", "False")
        if declared.multiple:
            raise ValueError(
                f"{{parameter-value:{declared.name}}} of a parameter of several values, "
                "which is searched, is not supported yet"
            )
        return f"{{{declared.name}}}"


def _passed(declared: Declared, value: Value) -> list[Value]:
    """
    Return the values that the pattern is filled in with, once each.
    """
    if declared.multiple == "repeat":
        return list(value)
    if declared.multiple == "separate":
        separator = str(declared.keys.get("multiple-separator") or ",")
        return [separator.join(map(str, value))] if value else []
    return [value]


def _flag_words(declared: Declared, *, is_set: bool) -> list[str]:
    either = (declared.keys.get("pass-true-as"), declared.keys.get("pass-false-as"))
    pattern = declared.pattern if is_set else None
    if any(either):
        pattern = either[0] if is_set else either[1]
    return _bits(pattern, declared.name, is_set) if pattern else []


_SIMPLE = re.compile(r"[^;&|#\n<\\]*")


def join(commands: Sequence[str], prelude: Sequence[str] = ()) -> str:
    """
    Return templates of *commands* as one script that ends at the first that fails.

    Example:
        >>> print(join(["cd code", "a; b"]))
        cd code && {{
        a; b
        }}
    """
    first, *rest = commands
    shebang = ""
    if first.startswith("#!"):
        shebang, _, first = first.partition("\n")
    some = [command for command in (first, *rest) if command.strip()]
    if len(some) > 1:
        some = [
            command if _SIMPLE.fullmatch(command) else f"{{{{\n{command}\n}}}}" for command in some
        ]
    return "\n".join([*filter(None, [shebang]), *prelude, " && ".join(some)])
