"""
``hpo plan``: what would run, before anything does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from airflow_hpo.cli.options import BlueprintArgument, FormatOption, NameOption, read_blueprint
from airflow_hpo.cli.output import Format, say, show_json, show_table, shown_value

if TYPE_CHECKING:
    from airflow_hpo.plan import Plan

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """
    Add the command to *app*.
    """
    app.command("plan", epilog="Example: hpo plan digits.yaml --format json")(_plan)


def _plan(
    file: BlueprintArgument,
    *,
    blueprint: NameOption = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """
    Show what one DAG run of a blueprint would do at most. Nothing runs.
    """
    from airflow_hpo.plan import make_plan

    plan = make_plan(read_blueprint(file, blueprint))
    if output is Format.JSON:
        show_json(plan.to_dict())
    else:
        _show(plan)


def _show(plan: Plan) -> None:
    say(f"{plan.study} ({plan.dialect}): {plan.trials} trials, {plan.mode}")
    if plan.rounds:
        show_table(
            ["round", "trials", "sampler"],
            [[round_.round, round_.trials, round_.sampler] for round_ in plan.rounds],
        )
    if plan.brackets:
        show_table(
            ["bracket", "rung", "trials", "resource", "promote"],
            [
                [bracket.bracket, rung.rung, rung.trials, rung.resource, rung.promote]
                for bracket in plan.brackets
                for rung in bracket.rungs
            ],
        )
    say(
        f"{plan.tasks} task instances, at most {plan.peak_parallelism} trials at the same time, "
        f"resource {shown_value(plan.total_resource)} "
        f"({shown_value(plan.full_trials)} full trials)"
    )
    for note in plan.notes:
        say(f"note: {note}")
