"""
A job's output as lines: read from a file that grows, page by page.

The cursor is a byte offset, so any process can go on where another stopped.
It stands behind a newline, or behind a carriage return (what came before it
was overwritten on a terminal), or else inside a line that was cut for being
too long: then the rest of that line is skipped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["CUT", "MAX_LINE", "PAGE", "read_lines", "tail"]

MAX_LINE = 2**20
"""Bytes of one line that are handed on."""

PAGE = 4 * MAX_LINE
"""Bytes that one call reads at most."""

CUT = f" … [line cut: longer than {MAX_LINE} bytes]"
"""Ends a line that was cut."""

# From how many bytes without a newline on the overwritten part of a progress
# bar is dropped before its line is complete.
_STALE = 2**16

# How much of the end of a file is looked at for its last lines, and how much
# of each of them is kept.
_TAIL_BYTES = 2**16
_TAIL_LINE = 500


def read_lines(path: Path, since: int, *, ended: bool) -> tuple[list[str], int]:
    r"""
    Return the complete lines of one page after *since*, and the new cursor.

    Of a line that was overwritten by carriage returns, as progress bars do,
    the last state counts. A JSON object printed behind such a bar becomes a
    line of its own: the bar wrote no newline, but somebody who reads standard
    output alone would have seen one.

    Args:
        path: The file; one that does not exist is empty.

        since: A cursor that an earlier call returned; 0 is the start.

        ended: Whether nobody writes any more: then the last line is complete.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder, "log")
        ...     _ = path.write_bytes(b"one\n 1%\r 2%\ntwo\nthr")
        ...     read_lines(path, 0, ended=False)
        (['one', ' 2%', 'two'], 16)
    """
    page = _read(path, since)
    start = _first_line(page)
    if start is None:
        return [], page.since + len(page.data)
    stop = max(page.data.rfind(b"\n") + 1, start)
    lines = list(_lines(page.data[start:stop], behind_bar=start == 0 and page.before == b"\r"))
    rest = page.data[stop:]
    if ended and page.is_last and rest:
        lines += _texts(rest, behind_bar=False)
        return lines, page.since + len(page.data)
    if len(rest) > _STALE:
        fresh = rest.rfind(b"\r", 0, -1) + 1
        if fresh:
            stop += fresh
        elif len(rest) > MAX_LINE:
            lines.append(_text(rest))
            stop = len(page.data)
    return lines, page.since + stop


def tail(path: Path, count: int) -> list[str]:
    """
    Return the last *count* lines that are not blank, long ones cut.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _TAIL_BYTES))
            data = file.read()
    except OSError:
        return []
    lines = [line.rstrip() for line in _lines(data + b"\n", behind_bar=False)]
    return [line[:_TAIL_LINE] for line in lines if line][-count:]


@dataclass(frozen=True, slots=True)
class _Page:
    """
    A piece of the file, the byte in front of it, and whether nothing follows.
    """

    data: bytes
    before: bytes
    since: int
    is_last: bool


def _read(path: Path, since: int) -> _Page:
    try:
        with path.open("rb") as file:
            # The job itself can empty the file (`echo > /dev/stdout`): start anew.
            since = since if since <= file.seek(0, 2) else 0
            file.seek(max(0, since - 1))
            before = file.read(1) if since else b"\n"
            data = file.read(PAGE)
    except FileNotFoundError:
        return _Page(b"", b"\n", since, is_last=True)
    return _Page(data, before, since, is_last=len(data) < PAGE)


def _first_line(page: _Page) -> int | None:
    """
    Return where the first line starts; `None` inside a cut line without end.
    """
    if page.before in {b"\n", b"\r"}:
        return 0
    newline = page.data.find(b"\n")
    return None if newline < 0 else newline + 1


def _lines(data: bytes, *, behind_bar: bool) -> Iterator[str]:
    for line in data.split(b"\n")[:-1]:
        yield from _texts(line, behind_bar=behind_bar)
        behind_bar = False


def _texts(line: bytes, *, behind_bar: bool) -> Iterator[str]:
    """
    Yield what a terminal would show of *line*; a JSON object behind a bar apart.
    """
    _, overwritten, shown = line.rstrip(b"\r").rpartition(b"\r")
    json_start = shown.find(b'{"') if overwritten or behind_bar else 0
    if json_start > 0:
        yield _text(shown[:json_start])
        shown = shown[json_start:]
    yield _text(shown)


def _text(line: bytes) -> str:
    mark = CUT if len(line) > MAX_LINE else ""
    return line[:MAX_LINE].decode("utf-8", "replace") + mark
