"""
PLAN -> TASKS: how a study is laid over a DAG. The one place that knows.

A layout adds the tasks of a plan to the DAG at hand. Each shape of a plan has
one, in one table; another way to lay the same plan out, such as a loop instead
of unrolled rounds, is another function in that table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from airflow.sdk import TaskGroup

from airflow_hpo.operators.base import SealedBlueprint
from airflow_hpo.operators.evaluate import EvaluateOperator
from airflow_hpo.operators.report import ReportOperator
from airflow_hpo.operators.suggest import SuggestOperator
from airflow_hpo.operators.trial import MAP_INDEX_TEMPLATE, TrialOperator

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_hpo.model.blueprint import Blueprint
    from airflow_hpo.plan import Plan

    Layout: TypeAlias = Callable[[Blueprint, Plan, Mapping[str, Any]], ReportOperator]

__all__ = ["SETTINGS", "lay_out", "study_template"]

# What a person may change per run, taken from the trigger form.
SETTINGS = {
    "trials": "{{ params.trials }}",
    "batch_size": "{{ params.batch_size }}",
    "seed": "{{ params.seed }}",
}

# The tasks of a round.
_ROUND = ("suggest", "trial", "evaluate")

# Options of a step that its task takes over under the same name.
_STEP_OPTIONS = ("pool", "queue", "executor", "priority_weight")


def study_template(blueprint: Blueprint) -> str:
    """
    Return the template of the study's name; the trigger form may override it.
    """
    name = blueprint.study or f"{blueprint.name}-{{{{ run_id }}}}"
    return f"{{% if params.study %}}{{{{ params.study }}}}{{% else %}}{name}{{% endif %}}"


def lay_out(blueprint: Blueprint, plan: Plan) -> ReportOperator:
    """
    Add the tasks of *plan* to the DAG at hand and return the last of them.

    Raises:
        ValueError: If there is no layout for the plan's shape.
    """
    layout = _LAYOUTS.get(plan.mode)
    if layout is None:
        known = ", ".join(_LAYOUTS)
        raise ValueError(f"the shape of a DAG must be one of {known}, got {plan.mode!r}")
    shared = {
        "blueprint": SealedBlueprint(blueprint),
        "study": study_template(blueprint),
        "settings": SETTINGS,
    }
    return layout(blueprint, plan, shared)


def _unrolled_rounds(blueprint: Blueprint, plan: Plan, shared: Mapping[str, Any]) -> ReportOperator:
    """
    Lay out a group a round, one behind the other, and the report behind them.
    """
    count = len(plan.rounds)
    width = max(2, len(str(count - 1)))
    groups = [f"round_{each.round:0{width}d}" for each in plan.rounds]
    tasks = [tuple(f"{group}.{name}" for name in _ROUND) for group in groups]
    options = _trial_options(blueprint)
    previous: EvaluateOperator | None = None
    for index, (group, each) in enumerate(zip(groups, plan.rounds, strict=True)):
        with TaskGroup(group_id=group, tooltip=f"{each.trials} trials by {each.sampler}"):
            suggest = SuggestOperator(task_id="suggest", round=index, rounds=count, **shared)
            trial = TrialOperator.partial(task_id="trial", **options, **shared)
            trials = trial.expand(trial=suggest.output)
            evaluate = EvaluateOperator(
                task_id="evaluate",
                round=index,
                suggest_task_id=tasks[index][0],
                trial_task_id=tasks[index][1],
                later=tasks[index + 1 :],
                **shared,
            )
        trials >> evaluate
        if previous is not None:
            previous >> suggest
        previous = evaluate
    watched = [task for suggest, _, evaluate in tasks for task in (suggest, evaluate)]
    report = ReportOperator(task_id="report", watched=watched, **shared)
    if previous is not None:
        previous >> report
    return report


def _trial_options(blueprint: Blueprint) -> dict[str, Any]:
    """
    Return how the trials' tasks run: where, how many at once, how often again.
    """
    trial, step = blueprint.trial, blueprint.trial.steps[0]
    options: dict[str, Any] = {
        "map_index_template": MAP_INDEX_TEMPLATE,
        "retries": trial.retries.infrastructure + trial.retries.code,
        "pool_slots": step.pool_slots,
    }
    if blueprint.execution.concurrency is not None:
        options["max_active_tis_per_dagrun"] = blueprint.execution.concurrency
    for name in _STEP_OPTIONS:
        if getattr(step, name) is not None:
            options[name] = getattr(step, name)
    return options


_LAYOUTS: Mapping[str, Layout] = {"batch": _unrolled_rounds}
