"""
What commands print: JSON for programs, tables and lines for people.
"""

from __future__ import annotations

import io
import sys
from enum import Enum
from typing import TYPE_CHECKING, Any, NoReturn

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "Format",
    "complain",
    "cut",
    "refuse",
    "say",
    "show_json",
    "show_table",
    "shown_duration",
    "shown_time",
    "shown_value",
]

# Wide enough that a table which is piped somewhere is never cut.
_WIDE = 100_000

_MINUTE = 60
_HOUR = 3600


class Format(str, Enum):
    """
    Who reads the output.
    """

    TEXT = "text"
    JSON = "json"


def say(text: str = "") -> None:
    """
    Print a line for people.
    """
    typer.echo(text)


def complain(text: str) -> None:
    """
    Print a line to standard error.
    """
    typer.echo(text, err=True)


def refuse(message: str) -> NoReturn:
    """
    End the program: what it was asked for cannot be done as it was said.
    """
    complain(message)
    raise typer.Exit(2)


def show_json(value: Any) -> None:  # noqa: ANN401 - any JSON value
    """
    Print *value* as JSON.
    """
    from airflow_hpo.report import to_json

    typer.echo(to_json(value), nl=False)


def show_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """
    Print a table: fitted to a terminal, never cut where it is piped.

    Columns of numbers are set to the right.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = [list(row) for row in rows]
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for index, column in enumerate(columns):
        numeric = all(
            row[index] is None or (_is_number(row[index]) and row[index] is not None)
            for row in rows
        )
        table.add_column(
            Text(column), justify="right" if rows and numeric else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(*(Text(shown_value(value)) for value in row))
    if sys.stdout.isatty():
        Console().print(table)
        return
    text = io.StringIO()
    Console(file=text, width=_WIDE, color_system=None).print(table)
    say("\n".join(line.rstrip() for line in text.getvalue().splitlines()))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def shown_value(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """
    Return *value* as people read it: six digits, text bare, nothing for none.
    """
    import json

    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def cut(text: str, width: int) -> str:
    """
    Return the first line of *text*, cut to *width* characters.
    """
    lines = text.strip().splitlines()
    line = lines[0] if lines else ""
    more = len(lines) > 1 or len(line) > width
    return f"{line[: width - 1]}…" if more else line


def shown_time(seconds: float | None) -> str:
    """
    Return a moment in this machine's own time.
    """
    from datetime import datetime

    if seconds is None:
        return ""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def shown_duration(seconds: float | None) -> str:
    """
    Return how long something took: ``0.4 s``, ``12 s``, ``3:05``, ``2:03:05``.
    """
    if seconds is None:
        return ""
    if seconds < _MINUTE:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"  # noqa: PLR2004
    whole = round(seconds)
    if whole < _HOUR:
        return f"{whole // 60}:{whole % 60:02d}"
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
