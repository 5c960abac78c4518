"""
Checks of the resource, of where its rungs run, and of the mode of execution.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_hpo.blueprint.checks.trial import check_runner
from airflow_hpo.blueprint.template import ALL_PARAMETERS
from airflow_hpo.model.placement import TASK_OPTIONS
from airflow_hpo.strategies import STRATEGIES
from airflow_hpo.strategies.support import able_to

if TYPE_CHECKING:
    from airflow_hpo.blueprint.checks.draft import Draft
    from airflow_hpo.blueprint.problems import Problems
    from airflow_hpo.model.placement import Placement
    from airflow_hpo.model.resource import Resource
    from airflow_hpo.model.strategy import StrategySpec
    from airflow_hpo.strategies.base import Support

__all__ = ["check_execution", "check_resource", "is_ladder"]

# Commands that read one of these get the resource without naming it.
_VARIABLES = ("HPO_RESOURCE", "HPO_PARAMS_FILE")


def check_execution(draft: Draft, problems: Problems) -> None:
    """
    Note what the mode of execution lacks, or has for nothing.
    """
    execution, support = draft.execution, _support(draft.strategy)
    if execution is None:
        return
    if execution.mode == "async" and execution.concurrency is None:
        rule = "must be given in the mode async: so many trials run at the same time"
        problems.error(("execution",), f"concurrency {rule}", hint="write concurrency: 4")
    if support is None or "batch_size" not in execution.model_fields_set:
        return
    if execution.mode == "async":
        problems.warn(("execution", "batch_size"), "says nothing in the mode async")
    elif is_ladder(draft):
        what = "says nothing on a ladder: its rungs are as large as the strategy makes them"
        problems.warn(("execution", "batch_size"), what)


def check_resource(draft: Draft, problems: Problems) -> None:
    """
    Note what keeps trials from getting their resource.
    """
    resource = draft.resource
    if resource is None:
        return
    if resource.name in draft.names:
        rule = f"must not be a parameter as well, got {resource.name!r}"
        hint = f"leave {resource.name} out of space: the strategy gives it"
        problems.error(("resource", "name"), rule, hint=hint)
    support = _support(draft.strategy)
    if support is None:
        return
    if support.multi_fidelity:
        _warn_of_unused(resource, draft, problems)
    for index, rung in enumerate(resource.rungs):
        _check_rung(rung, index, resource, problems, apart=is_ladder(draft))


def is_ladder(draft: Draft) -> bool:
    """
    Return whether rungs are waited for, and so have tasks of their own.
    """
    support = _support(draft.strategy)
    return support is not None and support.multi_fidelity and not support.asynchronous


def _support(spec: StrategySpec | None) -> Support | None:
    """
    Return what the strategy can do; `None` where there is no such strategy.
    """
    if spec is None:
        return None
    try:
        found: Support = STRATEGIES.load(spec.name).support
    except (ValueError, ImportError, AttributeError):
        return None  # told elsewhere
    return found


def _check_rung(
    rung: Placement, index: int, resource: Resource, problems: Problems, *, apart: bool
) -> None:
    path = ("resource", "rungs", index)
    if rung.at_least > resource.max:
        message = f"must not exceed max={resource.max:g}, got {rung.at_least:g}"
        problems.error((*path, "at_least"), message)
    if rung.runner is not None:
        check_runner(rung.runner, (*path, "runner"), problems)
    if apart:
        return
    names = set(able_to("multi_fidelity")) - set(able_to("asynchronous"))
    for key in TASK_OPTIONS:
        if getattr(rung, key) is not None:
            problems.error(
                (*path, key),
                f"must not differ from rung to rung where rungs share a task, got {key}",
                hint=f"rungs have tasks of their own with {', '.join(sorted(names))}; "
                "the runner may differ anyway",
            )


def _warn_of_unused(resource: Resource, draft: Draft, problems: Problems) -> None:
    """
    Warn where no command says how much of the resource is to be spent.
    """
    if draft.trial is None or problems.touches(("trial",)):
        return
    commands = [step.command for step in draft.trial.steps if step.command]
    ways = (resource.name, ALL_PARAMETERS, *_VARIABLES)
    if not any("{" in command for command in commands):
        return  # they read the file of parameters, which has it
    if any(way in command for command in commands for way in ways):
        return
    problems.warn(
        ("resource", "name"),
        f"is in no command, only in {_VARIABLES[0]} and the file of parameters",
        hint=f"write {draft.placeholder.format(name=resource.name)} in the command",
    )
