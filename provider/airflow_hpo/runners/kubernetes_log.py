"""
A container's output as the API gives it: a time in front of each line.

The times tell where to go on. Lines that were written at once have the same
time, so how many of those were copied is part of the mark.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_hpo.runners.transcript import Pen

__all__ = ["Entries", "since_time"]

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")


class Entries:
    """
    One reading of a container's output, from a mark on.

    What the copy has already is left out, whoever put it there.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._time = b""
        self._count = 0

    def feed(self, data: bytes, pen: Pen) -> None:
        """
        Copy the complete lines of the next piece.
        """
        whole, newline, self._rest = (self._rest + data).rpartition(b"\n")
        if newline:
            self._copy(whole.split(b"\n"), pen, end=b"\n")

    def end(self, pen: Pen) -> None:
        """
        Copy the last line, whose writer wrote no newline.
        """
        if self._rest:
            self._copy([self._rest], pen, end=b"")
            self._rest = b""

    def _copy(self, entries: list[bytes], pen: Pen, *, end: bytes) -> None:
        known = _order(str(pen.mark.get("time", ""))), int(pen.mark.get("count", 0))
        fresh: list[bytes] = []
        for entry in entries:
            time, _, text = entry.partition(b" ")
            if time == self._time:
                self._count += 1
            else:
                self._time, self._count = time, 1
            if fresh or (_order(time.decode("ascii", "replace")), self._count) > known:
                fresh.append(text)
        if fresh:
            mark = {"time": self._time.decode("ascii", "replace"), "count": self._count}
            pen.write(b"\n".join(fresh) + end, mark)


def since_time(mark: Mapping[str, Any]) -> str | None:
    """
    Return the whole second in which the last copied line was written.
    """
    found = _TIME.fullmatch(str(mark.get("time", "")))
    return None if found is None else f"{found[1]}{found[3]}"


def _order(time: str) -> tuple[float, int]:
    """
    Return what times are compared by: seconds, and billionths of one.
    """
    found = _TIME.fullmatch(time)
    if found is None:
        return 0.0, 0
    second = datetime.fromisoformat(f"{found[1]}{found[3].replace('Z', '+00:00')}")
    return second.timestamp(), int((found[2] or "").ljust(9, "0"))
