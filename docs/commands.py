"""
What the page of the command line says of each command, out of the commands themselves.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from typer.models import ArgumentInfo, CommandInfo, OptionInfo

from airflow_hpo.cli import app

__all__ = ["commands"]

_WORDS = {int: "N", float: "X", str: "TEXT", Path: "PATH"}


def commands() -> str:
    """
    Return a section a command, in the order of ``hpo --help``.
    """
    return "\n\n".join(_section(command) for command in app.registered_commands)


def _section(command: CommandInfo) -> str:
    """
    Return what a command does, its example, and a table of its arguments and options.
    """
    about = inspect.cleandoc(inspect.getdoc(command.callback) or "")
    example = (command.epilog or "").removeprefix("Example: ")
    rows = [f"| {' | '.join(row)} |" for row in _rows(command)]
    table = ["\n".join(["| | default | |", "|---|---|---|", *rows])] if rows else []
    return "\n\n".join([f"### hpo {command.name}", about, f"    {example}", *table])


def _rows(command: CommandInfo) -> Iterator[tuple[str, str, str]]:
    hints = get_type_hints(command.callback, include_extras=True)
    parameters = inspect.signature(command.callback or app).parameters
    for name, parameter in parameters.items():
        hint = hints[name]
        if get_origin(hint) is not Annotated:
            continue
        kind, info = get_args(hint)[:2]
        shown = _names(name, kind, info)
        default = _default(parameter.default, info)
        yield f"`{shown}`".replace("|", "\\|"), default, (info.help or "").replace("|", "\\|")


def _names(name: str, kind: Any, info: ArgumentInfo | OptionInfo) -> str:  # noqa: ANN401 - any type
    """
    Return what somebody types: ``-n, --count N``.
    """
    value = info.metavar or _value(kind)
    if isinstance(info, ArgumentInfo):
        return info.metavar or name.upper()
    # Within Annotated, typer takes the first name for a default.
    given = [each for each in (info.default, *(info.param_decls or ())) if each is not ...]
    names = ", ".join(map(str, given)) or f"--{name.replace('_', '-')}"
    return f"{names} {value}".strip()


def _value(kind: Any) -> str:  # noqa: ANN401 - any type
    if get_origin(kind) in {Union, types.UnionType}:
        kind = next(each for each in get_args(kind) if each is not type(None))
    if get_origin(kind) is list:
        kind = get_args(kind)[0]
    if kind is bool:
        return ""
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "|".join(each.value for each in kind)
    return _WORDS.get(kind, "VALUE")


def _default(value: object, info: ArgumentInfo | OptionInfo) -> str:
    if value is inspect.Parameter.empty:
        return "required"
    if value is None or isinstance(value, bool) or info.show_default is False:
        return ""
    return f"`{value.value if isinstance(value, Enum) else value}`"
