"""
``hpo plan``: what would run, before anything does.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from airflow_hpo.cli.options import (
    BlueprintArgument,
    FormatOption,
    NameOption,
    StorageOption,
    open_journal,
    open_study,
    read_blueprint,
)
from airflow_hpo.cli.output import (
    Format,
    complain,
    say,
    show_json,
    show_table,
    shown_duration,
    shown_value,
)

if TYPE_CHECKING:
    from airflow_hpo.model.blueprint import Blueprint
    from airflow_hpo.model.record import StudyRecord
    from airflow_hpo.plan import Forecast, Plan

__all__ = ["register"]

_StudyOption = Annotated[
    str | None,
    typer.Option(
        "--study",
        metavar="NAME",
        help="The study whose trials tell how long one takes. Default: the blueprint's own.",
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """
    Add the command to *app*.
    """
    app.command("plan", epilog="Example: hpo plan digits.yaml --format json")(_plan)


def _plan(
    file: BlueprintArgument,
    *,
    blueprint: NameOption = None,
    study: _StudyOption = None,
    storage: StorageOption = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """
    Show what one DAG run of a blueprint would do at most. Nothing runs.

    Where the study has trials already, their durations tell how long it will
    probably take.

    Exit code 0: it fits the budget. 1: it is expected to exceed it.
    """
    from airflow_hpo.history import history_notes
    from airflow_hpo.plan import excess, forecast, make_plan

    wanted = read_blueprint(file, blueprint)
    earlier = _earlier(wanted, study, storage)
    plan = make_plan(wanted)
    plan = replace(plan, notes=(*plan.notes, *history_notes(earlier, wanted)))
    expected = forecast(plan, wanted, earlier.trials)
    if output is Format.JSON:
        show_json(plan.to_dict() | {"expected": expected and expected.to_dict()})
    else:
        _show(plan, expected)
    exceeded = excess(expected, wanted.budget)
    for message in exceeded:
        complain(message)
    raise typer.Exit(1 if exceeded else 0)


def _earlier(blueprint: Blueprint, name: str | None, storage: str | None) -> StudyRecord:
    """
    Return the study as it goes on; an empty one where nobody says which it is.
    """
    from airflow_hpo.history import preview

    if name is not None:
        return open_study(storage, name).record()
    fixed = blueprint.study is not None and "{" not in blueprint.study
    return preview(blueprint, open_journal(storage), study=blueprint.study if fixed else None)


def _show(plan: Plan, expected: Forecast | None) -> None:
    say(f"{plan.study} ({plan.dialect}): {plan.trials} trials, {plan.mode}")
    if plan.rounds:
        show_table(
            ["round", "trials", "sampler"],
            [[round_.round, round_.trials, round_.sampler] for round_ in plan.rounds],
        )
    if plan.brackets:
        several = any(bracket.iteration for bracket in plan.brackets)
        columns = ["bracket", "rung", "trials", "resource", "promote", "spent"]
        rows = [
            [
                *([bracket.iteration] if several else []),
                *(bracket.bracket, rung.rung, rung.trials, rung.resource),
                *(rung.promote, rung.spent),
            ]
            for bracket in plan.brackets
            for rung in bracket.rungs
        ]
        show_table([*(["iteration"] if several else []), *columns], rows)
    say(
        f"{plan.tasks} task instances, at most {plan.peak_parallelism} trials at the same time, "
        f"resource {shown_value(plan.total_resource)} "
        f"({shown_value(plan.full_trials)} full trials)"
    )
    if expected is not None:
        noun = "trial" if expected.trials == 1 else "trials"
        say(
            f"expected: {shown_duration(expected.wall_clock_s)} of wall clock, "
            f"{shown_duration(expected.trial_time_s)} of trial time, "
            f"as long as {expected.trials} earlier {noun} took"
        )
    for note in plan.notes:
        say(f"note: {note}")
