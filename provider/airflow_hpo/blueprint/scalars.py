"""
Plain YAML scalars by the core schema of YAML 1.2.

``1e-4`` is a number, ``1_000``, ``1:30``, ``on`` and ``2026-01-01`` are text.
"""

from __future__ import annotations

import math
import re
from typing import Any

__all__ = ["MAX_DIGITS", "plain_value", "tagged_value"]

# Longer whole numbers do not survive a conversion to float.
MAX_DIGITS = 300

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}

_NUMBER = re.compile(
    r"""(?P<int>[-+]?[0-9]+)
      | 0o(?P<octal>[0-7]+)
      | 0x(?P<hex>[0-9a-fA-F]+)
      | (?P<float>[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?)
      | (?P<inf>[-+]?\.(?:inf|Inf|INF))
      | (?P<nan>\.(?:nan|NaN|NAN))
    """,
    re.VERBOSE,
)

_NUMBER_STARTS = frozenset("+-.0123456789")

_BASES = {"int": 10, "octal": 8, "hex": 16}

_TAG_PREFIX = "tag:yaml.org,2002:"


def plain_value(text: str) -> Any:  # noqa: ANN401 - any scalar
    """
    Return what the unquoted scalar *text* stands for.

    Raises:
        ValueError: If it is a whole number of absurd length.

    Example:
        >>> [plain_value(text) for text in ("1e-4", "017", "0o17", "on", "~", "1_000")]
        [0.0001, 17, 15, 'on', None, '1_000']
    """
    if text[:1] not in _NUMBER_STARTS:
        return _WORDS.get(text, text)
    match = _NUMBER.fullmatch(text)
    if match is None:
        return text
    kind = match.lastgroup or ""
    if kind in _BASES:
        if len(text) > MAX_DIGITS:
            raise ValueError(
                f"a whole number must have at most {MAX_DIGITS} digits, got {len(text)}"
            )
        return int(match.group(kind), _BASES[kind])
    if kind == "float":
        return float(text)
    return math.nan if kind == "nan" else float(text.replace(".", ""))


def tagged_value(tag: str, text: str) -> Any:  # noqa: ANN401 - any scalar
    """
    Return the scalar *text* as the standard *tag* reads it (``!!str 5``).

    Raises:
        ValueError: If the tag is not one of YAML's core, or does not fit.
    """
    name = tag.removeprefix(_TAG_PREFIX)
    if name in {"!", "str"}:
        return text
    if name not in _FITTING or name == tag:
        shown = f"!!{name}" if name != tag else tag
        raise ValueError(f"tags must be of YAML's core (!!str, !!int ...), got {shown}")
    value = plain_value(text)
    if name == "float" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, _FITTING[name]) or (name == "int" and isinstance(value, bool)):
        raise ValueError(f"a value tagged !!{name} must be one, got {text!r}")
    return value


_FITTING: dict[str, type] = {"int": int, "float": float, "bool": bool, "null": type(None)}
