"""
TEXT -> TRIALS: tables, a trial a row, as CSV or as a list of JSON objects.
"""

from __future__ import annotations

import csv
import io
import json
import math
from typing import TYPE_CHECKING, Any

from airflow_hpo.history.lines import read_object
from airflow_hpo.history.told import Entry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_hpo.model.blueprint import Blueprint
    from airflow_hpo.model.values import Value

__all__ = ["read_csv", "read_json"]

# Columns of `hpo export` that are about the trial and not about its values.
_PLAIN = ("number", "state", "sampler", "resource", "reason")
_PASSED_OVER = ("attempt", "started", "finished", "duration_s", "feasible")
_PREFIXES = {"parameter": "configuration", "value": "values", "metric": "metrics"}


def read_csv(text: str, blueprint: Blueprint) -> Iterator[Entry]:
    """
    Yield the trials of a table with a header.

    A column is a parameter or an objective's metric by its name, or as
    ``hpo export`` writes them: ``parameter.NAME``, ``value.METRIC``,
    ``metric.NAME``. ``state`` says how a trial ended; any other is a metric.
    """
    # Cells of any length are somebody's parameters; the file's size is bounded.
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] = []
    first = 1
    try:
        for row in rows:
            if not header:
                header = [name.strip() for name in row]
                problems = _header_problems(header)
                if problems:
                    yield Entry(first, None, problems)
                    return
            elif row:
                yield _csv_entry(header, row, first, blueprint)
            first = rows.line_num + 1
    except csv.Error as error:
        yield Entry(rows.line_num, None, (f"a row must be CSV: {error}",))


def _header_problems(header: list[str]) -> tuple[str, ...]:
    if len(header) == 1 and ";" in header[0]:
        return ("columns must be separated by commas, got semicolons",)
    twice = sorted({name for name in header if name and header.count(name) > 1})
    return (f"columns must differ, got {', '.join(twice)} twice",) if twice else ()


def _csv_entry(header: list[str], row: list[str], line: int, blueprint: Blueprint) -> Entry:
    if len(row) != len(header):
        message = f"a row must have {len(header)} cells, as the header has, got {len(row)}"
        return Entry(line, None, (message,))
    cells = {name: cell for name, cell in zip(header, row, strict=True) if name and cell != ""}
    return _flat_entry(cells, line, blueprint)


def read_json(text: str, blueprint: Blueprint) -> Iterator[Entry]:
    """
    Yield the trials of a JSON list: rows as of a CSV, or objects as of JSON lines.
    """
    decoder = json.JSONDecoder()
    place = _skipped(text, 0)
    if text[place : place + 1] != "[":
        yield Entry(1, None, ("a file must be a JSON list of trials",))
        return
    place = _skipped(text, place + 1)
    while text[place : place + 1] != "]":
        line = text.count("\n", 0, place) + 1
        try:
            value, place = decoder.raw_decode(text, place)
            place = _end_of_item(text, place)
        except (ValueError, RecursionError) as error:
            yield Entry(line, None, (f"a file must be a JSON list of trials: {error}",))
            return
        yield _json_entry(value, line, blueprint)
        if text[place] == ",":
            place = _skipped(text, place + 1)


def _end_of_item(text: str, place: int) -> int:
    place = _skipped(text, place)
    if text[place : place + 1] not in {",", "]"}:
        raise ValueError("a comma or the end of the list is missing")
    return place


def _skipped(text: str, place: int) -> int:
    while place < len(text) and text[place] in " \t\r\n":
        place += 1
    return place


def _json_entry(value: Value, line: int, blueprint: Blueprint) -> Entry:
    if isinstance(value, dict) and not {"configuration", "parameters"} & value.keys():
        given = {name: item for name, item in value.items() if item is not None}
        return _flat_entry(given, line, blueprint)
    return read_object(value, line, _metrics(blueprint))


def _metrics(blueprint: Blueprint) -> list[str]:
    return [objective.metric for objective in blueprint.objectives]


def _flat_entry(cells: Mapping[str, Any], line: int, blueprint: Blueprint) -> Entry:
    """
    Return the trial of a row, whose cells may be text.
    """
    fields: dict[str, Any] = {"configuration": {}, "values": {}, "metrics": {}}
    prefixed = any(name.startswith("parameter.") for name in cells)
    for name, cell in cells.items():
        group, key = _place(name, blueprint, prefixed=prefixed)
        if group == "configuration":
            fields[group][key] = _parameter(key, cell, blueprint)
        elif group == "":
            fields[key] = _parsed(cell) if key == "resource" else cell
        elif group is not None:
            fields[group][key] = _parsed(cell)
    diverged = [item for item in fields["values"].values() if _is_infinite(item)]
    if diverged:
        # A loss that diverged is one way to say that there is no value.
        fields["values"] = {}
        fields.setdefault("state", "infeasible")
    return read_object(fields, line, _metrics(blueprint))


def _place(name: str, blueprint: Blueprint, *, prefixed: bool) -> tuple[str | None, str]:
    """
    Return what a column is about, and its name there; `None` for nothing.
    """
    head, _, rest = name.partition(".")
    if prefixed and head in _PREFIXES and rest:
        return _PREFIXES[head], rest
    if not prefixed and name in blueprint.space.by_name:
        return "configuration", name
    if not prefixed and name in _metrics(blueprint):
        return "values", name
    if name in _PLAIN:
        return "", name
    return (None if name in _PASSED_OVER else "metrics"), name


def _parameter(name: str, cell: Value, blueprint: Blueprint) -> Value:
    """
    Return the value that a cell is, which its parameter tells.
    """
    parameter = blueprint.space.by_name.get(name)
    readings = [_parsed(cell), cell]
    if isinstance(cell, str) and cell.startswith("'"):
        readings.append(cell[1:])  # kept from being a formula
    if parameter is not None:
        for reading in readings:
            if parameter.distribution.contains(reading):
                return reading
    return readings[0]


_WORDS = {"True": True, "False": False, "nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def _parsed(cell: Value) -> Value:
    """
    Return what the text of a cell says, in JSON's words or Python's.
    """
    if not isinstance(cell, str):
        return cell
    if cell in _WORDS:
        return _WORDS[cell]
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        pass
    try:
        return float(cell) if cell.strip("+-. 0123456789eE") == "" else cell
    except ValueError:
        return cell


def _is_infinite(value: Value) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
