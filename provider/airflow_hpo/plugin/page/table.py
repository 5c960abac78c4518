"""
SNAPSHOT -> TABLE: the trials that are asked for, sorted, filtered, a page at a time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_hpo.model.expression import Expression
from airflow_hpo.plugin.page.overview import place_json
from airflow_hpo.report import finite

if TYPE_CHECKING:
    from airflow_hpo.model.values import Value
    from airflow_hpo.plugin.page.shelf import Snapshot

__all__ = ["Wish", "chosen", "page"]

_COMPARES = re.compile("[<>=]")

# So many rows at most are sent at once.
MOST = 500


@dataclass(frozen=True, slots=True)
class Wish:
    """
    Which trials are asked for.

    Args:
        sort: A column.

        descending: Whether the largest come first; who has no value is last anyway.

        states: Only trials in these; empty for all.

        text: An expression over parameters and metrics, such as ``lr < 0.01``,
            or else text that a cell has to contain.

        run: Only those of this DAG run.
    """

    sort: str = "number"
    descending: bool = True
    states: frozenset[str] = frozenset()
    text: str = ""
    run: str = ""


def page(snapshot: Snapshot, wish: Wish, *, offset: int, limit: int) -> dict[str, Any]:
    """
    Return a page of the trials, and how many there are.
    """
    rows = chosen(snapshot, wish)
    shown = rows[max(offset, 0) : max(offset, 0) + min(max(limit, 1), MOST)]
    return {
        "version": snapshot.version,
        "total": len(snapshot.rows),
        "found": len(rows),
        "offset": max(offset, 0),
        "columns": snapshot.columns,
        "rows": [
            {
                "cells": [finite(row[column]) for column in snapshot.columns],
                "number": row["number"],
                "task": place_json(snapshot.places.get(row["number"])),
            }
            for row in shown
        ],
    }


def chosen(snapshot: Snapshot, wish: Wish) -> list[dict[str, Any]]:
    """
    Return the rows that a wish is about, in its order.
    """
    rows: Iterable[dict[str, Any]] = snapshot.rows
    if wish.states:
        rows = (row for row in rows if row["state"] in wish.states)
    if wish.run:
        places = snapshot.places
        own = {number for number, place in places.items() if place.run == wish.run}
        rows = (row for row in rows if row["number"] in own)
    text = wish.text.strip()
    if text:
        rows = filter(_condition(text, snapshot.columns) or _contains(text), rows)
    sort = wish.sort if wish.sort in snapshot.columns else "number"
    return _sorted(list(rows), sort, descending=wish.descending)


def _sorted(rows: list[dict[str, Any]], column: str, *, descending: bool) -> list[dict[str, Any]]:
    """
    Return *rows* by a column: numbers before text, who has none behind, ties by number.
    """
    rows = sorted(rows, key=lambda row: row["number"])
    known = [row for row in rows if row[column] is not None]
    known.sort(key=lambda row: _rank(row[column]), reverse=descending)
    return known + [row for row in rows if row[column] is None]


def _rank(value: Value) -> tuple[int, float, str]:
    if isinstance(value, (bool, int, float)) and value == value:  # noqa: PLR0124 - not NaN
        return (0, float(value), "")
    return (1, 0.0, value if isinstance(value, str) else json.dumps(value, default=str))


def _contains(text: str) -> Callable[[Mapping[str, Any]], bool]:
    wanted = text.casefold()
    return lambda row: any(
        wanted in str(value).casefold() for value in row.values() if value is not None
    )


def _condition(text: str, columns: Sequence[str]) -> Callable[[Mapping[str, Any]], bool] | None:
    """
    Return *text* as a condition, if it is one whose names are all known.
    """
    try:
        expression = Expression.parse(text)
    except ValueError:
        return None
    known = {column.split(".", 1)[-1]: column for column in reversed(columns)}
    known |= {column: column for column in columns}
    names = expression.names()
    # A word alone is looked for, whatever it is the name of.
    if not _COMPARES.search(text) or not all(name in known for name in names):
        return None
    return lambda row: expression.holds(lambda name: row[known[name]])
