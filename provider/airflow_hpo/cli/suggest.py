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
    open_journal,
    read_blueprint,
    read_bytes,
    shown_name,
)
from airflow_hpo.cli.output import Format, complain, show_json, show_table

if TYPE_CHECKING:
    from airflow_hpo.model.blueprint import Blueprint
    from airflow_hpo.model.record import StudyRecord
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
        help="Trials so far: CSV, JSON, or one JSON object a line with configuration, values, "
        "state. hpo export writes all three; - for lines from stdin.",
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

    A warm start of the blueprint is fetched first, as the study itself would.

    The same file, history and seed always give the same suggestions.
    """
    from airflow_hpo.history import given_points, history_notes, history_of
    from airflow_hpo.strategies import strategy_for

    wanted = read_blueprint(file, blueprint)
    record = _record(wanted, history, seed=wanted.strategy.seed if seed is None else seed)
    for note in history_notes(record, wanted):
        complain(f"note: {note}")
    strategy = strategy_for(wanted, points=given_points(record, wanted))
    suggestions = strategy.suggest(
        wanted.space, history_of(record, wanted), count, seed=record.seed
    )
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


def _record(blueprint: Blueprint, history: Path | None, *, seed: int | None) -> StudyRecord:
    """
    Return a study that nobody keeps, with this history and the warm start's.
    """
    from airflow_hpo.history import preview

    trials = () if history is None else _history(history, blueprint)
    return preview(blueprint, open_journal(None), trials=trials, seed=seed or 0)


def _history(file: Path, blueprint: Blueprint) -> tuple[Trial, ...]:
    from airflow_hpo.history.files import describe, read_entries
    from airflow_hpo.history.strict import as_own_trials

    text = read_bytes(file).decode("utf-8-sig", "replace")
    entries = read_entries(text, blueprint, suffix=file.suffix.lower())
    trials, problems = as_own_trials(entries, blueprint)
    if problems:
        complain(describe(shown_name(file), problems))
        raise typer.Exit(1)
    return trials
