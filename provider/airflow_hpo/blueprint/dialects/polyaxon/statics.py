"""
Parameters that are not searched: declarations, params, inputs with a default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_hpo.blueprint.dialects.polyaxon.shapes import Given, Section, Truth
from airflow_hpo.blueprint.problems import show
from airflow_hpo.blueprint.records import Key
from airflow_hpo.blueprint.shapes import BROKEN, Anything, Text

if TYPE_CHECKING:
    from airflow_hpo.blueprint.dialects.polyaxon.keys import Spelling
    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.blueprint.problems import Problems
    from airflow_hpo.model.values import Value

__all__ = [
    "MISSING",
    "Static",
    "is_template",
    "merged",
    "read_inputs",
    "read_params",
    "read_values",
]


class _Missing:
    """
    Stands for no value, as there is none.
    """


MISSING = _Missing()


@dataclass(frozen=True)
class Static:
    """
    One parameter with at most one value.

    Args:
        name: Its name.

        value: `MISSING` where it has none.

        path: Where the value stands, or the parameter.

        is_flag: Whether commands get ``--name`` or nothing in its place.

        is_input: Whether it was declared as an input, and this is its default.

        variable: The environment variable that it is passed by as well.
    """

    name: str
    value: Value
    path: Path
    is_flag: bool = False
    is_input: bool = False
    variable: str | None = None


def is_template(value: Value) -> bool:
    """
    Return whether *value* is put together from other parameters.
    """
    return isinstance(value, str) and any(mark in value for mark in ("{{", "{%"))


def read_values(given: Value, path: Path, problems: Problems) -> dict[str, Static]:
    """
    Return the parameters of a mapping of names to values.
    """
    if not isinstance(given, dict):
        problems.error(path, f"must be a mapping of names to values, got {show(given)}")
        return {}
    found = {}
    for name, value in given.items():
        here = (*path, name)
        if Anything().read(value, here, problems) is not BROKEN:
            found[name] = Static(name, value, here)
    return found


_PARAM = {
    "value": Key(Given(), "Its value."),
    "ref": Key(Given(), "Another run whose output it is."),
    "context_only": Key(Given(), "Of no effect here."),
    "connection": Key(Given(), "Of no effect here."),
    "to_init": Key(Given(), "Of no effect here."),
    "to_env": Key(Text(), "Environment variable."),
}


def read_params(
    given: Value, path: Path, spelled: Spelling, problems: Problems
) -> dict[str, Static]:
    """
    Return the parameters that an operation gives its component.
    """
    if not isinstance(given, dict):
        problems.error(path, f"must be a mapping of names to {{value: ...}}, got {show(given)}")
        return {}
    found: dict[str, Static] = {}
    shape = Section(_PARAM, spelled)
    for name, item in given.items():
        here = (*path, name)
        if not isinstance(item, dict):
            found |= read_values({name: item}, path, problems)
            continue
        part = shape.read(item, here, problems)
        if part is BROKEN:
            continue
        if "ref" in part.keys:
            message = "a value of another run is not supported yet"
            problems.error(part.place("ref"), message, hint="write value: ...", at_key=True)
            continue
        if Anything().read(item.get("value"), (*here, "value"), problems) is not BROKEN:
            place = part.place("value")
            found[name] = Static(name, item.get("value"), place, variable=part.get("to_env"))
    return found


def _input(spelled: Spelling, default: str) -> Section:
    passed_over = (
        *("description", "is_list", "to_init", "connection", "options", "delay_validation"),
        *("validation", "searchable", "tags"),
    )
    return Section(
        {
            "name": Key(Text(), "Its name.", required=True),
            "type": Key(Given(), "Its type."),
            default: Key(Given(), "Its value where nothing else gives one."),
            "is_optional": Key(Truth(), "Whether it may have none."),
            "is_flag": Key(Truth(), "Whether commands get --name or nothing."),
            "to_env": Key(Text(), "Environment variable."),
            **{name: Key(Given(), "Of no effect here.") for name in passed_over},
        },
        spelled,
        also={"default": default, "value": default},
    )


def read_inputs(
    given: Value, path: Path, spelled: Spelling, problems: Problems
) -> dict[str, Static]:
    """
    Return the inputs of a list; those without a default have no value.
    """
    if not isinstance(given, list):
        problems.error(path, f"must be a list of inputs, got {show(given)}")
        return {}
    default = "value" if spelled else "default"
    shape, found = _input(spelled, default), dict[str, Static]()
    for index, item in enumerate(given):
        part = shape.read(item, (*path, index), problems)
        if part is BROKEN:
            continue
        name, place = part.get("name"), part.place(default)
        value = part.get(default, MISSING)
        if value is not MISSING and Anything().read(value, place, problems) is BROKEN:
            continue
        if value is MISSING and part.get("is_optional"):
            value = None
        if name in found:
            problems.error(part.place("name"), f"{show(name)} must not be there twice")
        found[name] = Static(
            name,
            value,
            place,
            is_flag=bool(part.get("is_flag")),
            is_input=True,
            variable=part.get("to_env"),
        )
    return found


def merged(*sources: Mapping[str, Static]) -> dict[str, Static]:
    """
    Return the parameters of all *sources*; a later one gives a value, and is still a flag.
    """
    found: dict[str, Static] = {}
    for source in sources:
        for name, static in source.items():
            before = found.get(name)
            if before is None:
                found[name] = static
            elif static.value is not MISSING:
                found[name] = Static(
                    name,
                    static.value,
                    static.path,
                    is_flag=before.is_flag,
                    variable=static.variable or before.variable,
                )
    return found
