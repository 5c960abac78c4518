"""
Bytes -> text: size, encoding, and what YAML allows in a file at all.
"""

from __future__ import annotations

import re
from dataclasses import replace

from airflow_hpo.errors import BlueprintError, Problem

__all__ = ["MAX_BYTES", "decode", "json_as_yaml"]

MAX_BYTES = 1024 * 1024
"""The largest file that is read."""

# What YAML allows in a file, turned around.
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_SURROGATES = re.compile(
    r"(?<!\\)(?:\\\\)*\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})"
)

_BREAKS = re.compile("[\x85\u2028\u2029\ufeff]")
_TABS = re.compile(r"^[ \t]+", re.MULTILINE)


def decode(content: str | bytes, *, file: str) -> str:
    """
    Return the text of *content*, without a byte order mark.

    Raises:
        BlueprintError: If it is too large, not UTF-8, or holds what YAML forbids.
    """
    if isinstance(content, bytes):
        _check_size(len(content), file)
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            good = content[: error.start].decode("utf-8-sig", "replace")
            message = f"the file must be UTF-8, got byte 0x{content[error.start]:02x}"
            problem = _problem_at(good, len(good), message, file)
            raise BlueprintError([replace(problem, hint="save the file as UTF-8")]) from None
    else:
        text = content.removeprefix("\ufeff")
    match = _UNPRINTABLE.search(text)
    if match is not None:
        message = f"control characters are not allowed, got U+{ord(match.group()):04X}"
        raise BlueprintError([_problem_at(text, match.start(), message, file)])
    if len(text) * 4 > MAX_BYTES:
        _check_size(len(text.encode()), file)
    return text


def _check_size(size: int, file: str) -> None:
    if size > MAX_BYTES:
        message = "the file must not be larger than 1 MiB"
        raise BlueprintError([Problem("", message, file=file, line=1, column=1)])


def _problem_at(text: str, offset: int, message: str, file: str) -> Problem:
    line = text.count("\n", 0, offset) + 1
    column = offset - (text.rfind("\n", 0, offset) + 1) + 1
    return Problem("", message, file=file, line=line, column=column)


def json_as_yaml(text: str) -> str:
    """
    Return *text* with what JSON, but not every YAML parser, allows written otherwise.

    That is indentation by tabs, characters written as two surrogates, and
    those that older YAML takes for the end of a line. Text that does not begin
    as JSON does stays as it is.
    """
    if text.lstrip()[:1] not in {"{", "["}:
        return text
    text = _BREAKS.sub(lambda match: f"\\u{ord(match.group()):04x}", text)
    if "\n\t" in text:
        text = _TABS.sub(lambda match: match.group().replace("\t", " "), text)
    return _SURROGATES.sub(_joined, text) if "\\u" in text else text


def _joined(match: re.Match[str]) -> str:
    high, low = (int(half, 16) for half in match.groups())
    before = match.group()[: match.start(1) - match.start() - len("\\u")]
    return before + chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
