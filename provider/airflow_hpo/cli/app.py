"""
The program: its commands, and what an error looks like.
"""

from __future__ import annotations

import errno
import io
import os
import sys
import traceback
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from airflow_hpo.cli import (
    airflow_runs,
    bring,
    check,
    compare,
    convert,
    export,
    generate,
    init,
    plan,
    repair,
    run,
    stop,
    studies,
    suggest,
)
from airflow_hpo.errors import HpoError

__all__ = ["app", "main"]

# What a shell says of a program that somebody interrupted.
_INTERRUPTED = 130


class _Group(TyperGroup):
    """
    Shows what the package raises on purpose as a message, not as a traceback.
    """

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - typer's own context, by version
        """
        Run the command; an expected error ends it with exit code 1.
        """
        try:
            return super().invoke(ctx)
        except HpoError as error:
            _explain(error)
        except KeyboardInterrupt:
            raise typer.Exit(_INTERRUPTED) from None
        except OSError as error:
            if error.errno == errno.EPIPE:  # whoever read the output has gone
                raise
            _explain(error)
        raise typer.Exit(1)


def _explain(error: Exception) -> None:
    if os.environ.get("HPO_DEBUG"):
        traceback.print_exc()
    else:
        typer.echo(str(error), err=True)


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(value: bool) -> None:  # noqa: FBT001 - what typer calls
    if value:
        # By name: the root's own imports lead to rooms that the core can't have.
        typer.echo(f"hpo {import_module('airflow_hpo').__version__}")
        raise typer.Exit


@app.callback()
def _program(
    *,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """
    Hyperparameter optimisation from blueprints: check, plan, run, look at studies.
    """


for _module in (
    init,
    check,
    plan,
    convert,
    generate,
    suggest,
    run,
    stop,
    studies,
    compare,
    repair,
    export,
    bring,
    airflow_runs,
):
    _module.register(app)


def main() -> None:
    """
    Run the program with the arguments of this process.
    """
    for stream in (sys.stdout, sys.stderr):
        # Names and values may hold any character; the terminal may not.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    app(prog_name="hpo")
