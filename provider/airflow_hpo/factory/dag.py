"""
BLUEPRINT -> DAG: id, schedule, trigger form, documentation, and its tasks.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from inspect import signature
from itertools import groupby
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, BaseOperator

from airflow_hpo.errors import BlueprintError
from airflow_hpo.factory.demands import find_problems
from airflow_hpo.factory.form import trigger_form
from airflow_hpo.factory.schedule import schedule_of
from airflow_hpo.factory.site import site_of
from airflow_hpo.factory.topology import lay_out
from airflow_hpo.hooks.compat import conf
from airflow_hpo.plan import make_plan

if TYPE_CHECKING:
    from airflow_hpo.model.blueprint import Blueprint
    from airflow_hpo.model.objective import Objective
    from airflow_hpo.plan import Plan, Round

__all__ = ["RETRIES", "build_dag", "check_for_airflow", "documentation", "limits"]

# Airflow 3.1 knows only whether delays grow, later ones by which factor.
_BACKOFF: float = (
    True
    if isinstance(signature(BaseOperator).parameters["retry_exponential_backoff"].default, bool)
    else 2.0
)

RETRIES = {
    "retry_delay": timedelta(seconds=10),
    "retry_exponential_backoff": _BACKOFF,
    "max_retry_delay": timedelta(minutes=5),
}
"""How the tasks of a study are tried again."""


def build_dag(blueprint: Blueprint) -> DAG:
    """
    Return the DAG that runs *blueprint*.

    The same blueprint gives the same DAG, byte for byte once it is serialised,
    in any process.

    Raises:
        ValueError: If Airflow refuses what the blueprint says of its DAG.
    """
    spec, plan = blueprint.dag, make_plan(blueprint)
    check_for_airflow(blueprint)
    default_args = {"retries": spec.retries, **RETRIES}
    if spec.owner is not None:
        default_args["owner"] = spec.owner
    dag = DAG(
        blueprint.dag_id,
        description=blueprint.description or None,
        schedule=schedule_of(spec.schedule),
        start_date=_start_date(spec.start_date),
        catchup=spec.catchup,
        tags=["hpo", *spec.tags],
        default_args=default_args,
        doc_md=documentation(blueprint, plan),
        auto_register=False,
        **limits(blueprint, plan),
    )
    with dag:
        report = lay_out(site_of(blueprint, plan))
        if hasattr(dag, "add_result"):  # Airflow 3.3
            dag.add_result(report.output)
    # Not before the tasks: each would get a copy, which costs more than they do.
    dag.params.update(trigger_form(blueprint, plan))
    dag.timetable.validate()
    return dag


def check_for_airflow(blueprint: Blueprint) -> None:
    """
    Refuse what only Airflow can tell to be wrong.

    Raises:
        ValueError: With what that is.

        BlueprintError: The same, with places in the file.
    """
    _check_template(blueprint.study)
    problems = find_problems(blueprint)
    if problems:
        raise BlueprintError(problems)


def _check_template(study: str | None) -> None:
    """
    Refuse a template of the study's name that could not be rendered.
    """
    if study is None:
        return
    from jinja2 import Environment, TemplateSyntaxError

    try:
        Environment().parse(study)  # noqa: S701 - nothing is rendered
    except TemplateSyntaxError as error:
        raise ValueError(f"study must be a template, got {study!r}: {error}") from None


def limits(blueprint: Blueprint, plan: Plan) -> dict[str, Any]:
    """
    Return how much of the DAG runs at once, where Airflow's defaults don't do.
    """
    limits: dict[str, Any] = {}
    spec = blueprint.dag
    checked = spec.champion is not None and spec.champion.is_checked
    if spec.max_active_runs is not None:
        limits["max_active_runs"] = spec.max_active_runs
    elif checked or spec.warm_start is not None:
        limits["max_active_runs"] = 1  # each builds on the one before
    if plan.mode != "batch" and blueprint.execution.concurrency is not None:
        # One limit for all tasks of trials together.
        limits["max_active_tasks"] = blueprint.execution.concurrency
    # A round is meant to run at once: only its own limits should hold it back.
    elif plan.peak_parallelism > conf.getint("core", "max_active_tasks_per_dag", fallback=16):
        limits["max_active_tasks"] = plan.peak_parallelism
    return limits


def _start_date(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        date = datetime.fromisoformat(re.sub("[zZ]$", "+00:00", text.strip()))
    except ValueError:
        raise ValueError(
            f"dag.start_date must be a date in ISO 8601, such as 2026-01-31, got {text!r}"
        ) from None
    return date if date.tzinfo is not None else date.replace(tzinfo=timezone.utc)


def documentation(blueprint: Blueprint, plan: Plan) -> str:
    """
    Return what the DAG's page says: what it does, the plan, and the blueprint.

    Airflow keeps the Python file that made a DAG, never the YAML: it is here.
    """
    aims = " and ".join(_aim(each) for each in blueprint.objectives)
    size = f"{_count(plan.trials, 'trial')}{_shape(plan)}"
    parameters = _count(len(blueprint.space.tunable), "parameter")
    strategy = f"strategy `{blueprint.strategy.name}`"
    lines = [
        blueprint.description,
        f"Tunes {parameters} to {aims}: at most {size}, {strategy}.",
        "\n".join(_rounds(plan)),
        "\n".join(_brackets(plan)),
        *plan.notes,
    ]
    source = blueprint.source
    if source.text:
        ticks = max(map(len, re.findall("`{3,}", source.text)), default=2) + 1
        fence = "`" * ticks
        lines += [
            f"Blueprint (dialect {source.dialect}, sha256 `{source.sha256}`):",
            f"{fence}yaml\n{source.text.rstrip()}\n{fence}",
        ]
    return "\n\n".join(filter(None, lines)) + "\n"


def _shape(plan: Plan) -> str:
    if plan.mode == "ladder":
        return f" in {_count(len(plan.brackets), 'bracket')}"
    if plan.mode == "async":
        return f", {plan.peak_parallelism} at a time"
    return f" in {_count(len(plan.rounds), 'round')}"


def _brackets(plan: Plan) -> list[str]:
    """
    Return the rungs of all brackets as a table; nothing where there are none.
    """
    if not plan.brackets:
        return []
    return [
        "| bracket | rung | trials | resource | promoted |",
        "|---|---|---|---|---|",
        *(
            f"| {bracket.name.removeprefix('bracket_')} | {rung.rung} | {rung.trials} "
            f"| {rung.resource:g} | {rung.promote} |"
            for bracket in plan.brackets
            for rung in bracket.rungs
        ),
    ]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _aim(objective: Objective) -> str:
    if objective.target is None:
        return f"{objective.direction} `{objective.metric}`"
    return f"bring `{objective.metric}` close to {objective.target:g}"


def _rounds(plan: Plan) -> list[str]:
    """
    Return the plan's rounds as rows of a table, equal neighbours in one.
    """

    def alike(each: Round) -> tuple[int, str]:
        return each.trials, each.sampler

    rows = ["| round | trials | proposed by |", "|---|---|---|"] if plan.rounds else []
    for (trials, sampler), group in groupby(plan.rounds, key=alike):
        numbers = [each.round for each in group]
        span = f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
        rows.append(f"| {span} | {trials} | {sampler} |")
    return rows
