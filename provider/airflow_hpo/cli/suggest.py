"""
``hpo suggest``: what a strategy would try next. Nothing is stored.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from airflow_hpo.cli.options import (
    BlueprintArgument,
    FormatOption,
    NameOption,
    read_blueprint,
    read_bytes,
    shown_name,
)
from airflow_hpo.cli.output import Format, complain, show_json, show_table

if TYPE_CHECKING:
    from airflow_hpo.model.blueprint import Blueprint
    from airflow_hpo.model.trial import Trial

__all__ = ["register"]


_SeedOption = Annotated[
    int | None,
    typer.Option("--seed", min=0, help="Default: the blueprint's, else 0.", show_default=False),
]
_HistoryOption = Annotated[
    Path | None,
    typer.Option(
        "--history",
        metavar="FILE",
        help="Trials so far, one JSON object a line: configuration, values, state. "
        "hpo export --to jsonl writes it; - for stdin.",
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """
    Add the command to *app*.
    """
    app.command("suggest", epilog="Example: hpo suggest digits.yaml --count 3 --seed 7")(_suggest)


def _suggest(
    file: BlueprintArgument,
    *,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many.")] = 1,
    seed: _SeedOption = None,
    history: _HistoryOption = None,
    blueprint: NameOption = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """
    Show what would be tried next, given a history. Nothing is stored.

    The same file, history and seed always give the same suggestions.
    """
    from airflow_hpo.strategies import strategy_for

    wanted = read_blueprint(file, blueprint)
    trials = () if history is None else _history(history, wanted)
    chosen = wanted.strategy.seed if seed is None else seed
    suggestions = strategy_for(wanted).suggest(wanted.space, trials, count, seed=chosen or 0)
    configurations = [dict(suggestion.configuration) for suggestion in suggestions]
    if len(configurations) < count:
        complain(f"the space has no more than {len(configurations)} further configurations")
    if output is Format.JSON:
        show_json(configurations)
        return
    names = [parameter.name for parameter in wanted.space.parameters]
    show_table(
        [*names, "sampler"],
        [
            [*(suggestion.configuration.get(name) for name in names), suggestion.sampler]
            for suggestion in suggestions
        ],
    )


def _history(file: Path, blueprint: Blueprint) -> tuple[Trial, ...]:
    from airflow_hpo.cli.history import parse_history

    trials, problems = parse_history(read_bytes(file).decode("utf-8-sig", "replace"), blueprint)
    if problems:
        lines = [f"{shown_name(file)}:{number}: {message}" for number, message in problems]
        noun = "problem" if len(lines) == 1 else "problems"
        complain("\n".join([f"{len(lines)} {noun} in history:", *lines]))
        raise typer.Exit(1)
    return trials
