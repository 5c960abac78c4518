"""
Plain data -> YAML that reads back as the same data, laid out for people.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.scalars import plain_value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow_hpo.model.values import Value

__all__ = ["Block", "emit"]

_WIDTH = 100

# Text that needs no quotes inside brackets and braces either, unless it would
# be read as something else than text.
_PLAIN = re.compile(
    r"[A-Za-z0-9_./@%+~^<>=*()$-](?:[\w./@%+~^<>=*()$&!| -]*[\w./@%+~^<>=*()$!-])?", re.ASCII
)
_BAD_STARTS = frozenset("@%*&!|>-?~<=+")

_ESCAPED = re.compile('[\\x00-\\x1f"\\\\\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff\ufffe\uffff]')
_SHORT = {"\n": "\\n", "\t": "\\t", "\r": "\\r", '"': '\\"', "\\": "\\\\"}


class Block(dict[str, Any]):
    """
    A mapping that is written with a line for each key.
    """


def emit(data: Mapping[str, Any]) -> str:
    """
    Return *data* as a YAML document.

    Example:
        >>> print(emit({"a": 1e-05, "b": Block(c="yes", d=["1", {}])}), end="")
        a: 1e-05
        b:
          c: yes
          d: ["1", {}]
    """
    return "".join(f"{line}\n" for line in _lines(data, ""))


def _lines(data: Mapping[str, Any], indent: str) -> Iterator[str]:
    for name, value in data.items():
        key = f"{indent}{_scalar(name)}:"
        if isinstance(value, Block):
            yield key
            yield from _lines(value, f"{indent}  ")
        elif isinstance(value, str) and _is_literal(value):
            yield f"{key} |{_chomping(value)}"
            yield from (f"{indent}  {line}" if line else "" for line in _split(value))
        elif isinstance(value, list) and len(key) + len(_flow(value)) >= _WIDTH:
            yield key
            yield from (f"{indent}  - {_flow(item)}" for item in value)
        else:
            yield f"{key} {_flow(value)}"


def _is_literal(text: str) -> bool:
    """
    Return whether *text* may stand as it is below its key.
    """
    return (
        "\n" in text.rstrip("\n")
        and not text.startswith((" ", "\n"))
        and _ESCAPED.search(text.replace("\n", "").replace('"', "").replace("\\", "")) is None
    )


def _chomping(text: str) -> str:
    if not text.endswith("\n"):
        return "-"
    return "+" if text.endswith("\n\n") else ""


def _split(text: str) -> Sequence[str]:
    return text.removesuffix("\n").split("\n")


def _flow(value: Value) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_flow, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_scalar(name)}: {_flow(item)}' for name, item in value.items())}}}"
    return _scalar(value)


def _scalar(value: Value) -> str:
    if not isinstance(value, str):
        return json.dumps(value)
    plain = _PLAIN.fullmatch(value) is not None and value[0] not in _BAD_STARTS
    if plain and plain_value(value) == value and value != "<<" and "--" not in value[:3]:
        return value
    return f'"{_ESCAPED.sub(_escape, value)}"'


def _escape(match: re.Match[str]) -> str:
    char = match.group()
    code = ord(char)
    return _SHORT.get(char) or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")  # noqa: PLR2004
