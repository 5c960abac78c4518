"""
Checks of what the steps of a trial mean together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_hpo.blueprint.commands import parse_command
from airflow_hpo.blueprint.problems import show
from airflow_hpo.model.placement import TASK_OPTIONS
from airflow_hpo.model.trial_spec import Step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_hpo.blueprint.checks.draft import Draft
    from airflow_hpo.blueprint.problems import Problems

__all__ = ["check_steps"]

# What a task has once.
_OF_THE_TASK = (*TASK_OPTIONS, "retries")


def check_steps(steps: Sequence[Step], draft: Draft, problems: Problems) -> None:
    """
    Note steps that share a task and want different ones, and those that cannot be run once.
    """
    if draft.execution is not None and draft.execution.mode == "async":
        _check_shared(steps, problems)
    for index, step in enumerate(steps):
        if step.once:
            _check_once(step, index, steps, draft, problems)


def _check_shared(steps: Sequence[Step], problems: Problems) -> None:
    """
    Note what *steps*, which run in one task, say of it differently.
    """
    usual = Step()
    for name in _OF_THE_TASK:
        asked = {index: getattr(step, name) for index, step in enumerate(steps)}
        asked = {index: value for index, value in asked.items() if value != getattr(usual, name)}
        for index, value in asked.items():
            first = min(asked)
            if value != asked[first]:
                message = (
                    f"must be that of step {steps[first].name}, {show(asked[first])}, as all "
                    f"steps of a trial run in one task in the mode async, got {show(value)}"
                )
                problems.error(("trial", "steps", index, name), message)


def _check_once(
    step: Step, index: int, steps: Sequence[Step], draft: Draft, problems: Problems
) -> None:
    path = ("trial", "steps", index)
    if not all(before.once for before in steps[:index]):
        message = "must be false behind steps that are run by each trial"
        problems.error((*path, "once"), message)
    if all(each.once for each in steps):
        problems.error((*path, "once"), "must be false in one step, which is then each trial's")
    try:
        template = parse_command(step)
    except ValueError:
        return  # noted already
    names = template.names() | (draft.names if template.takes_all else set())
    searched = sorted(
        name for name in names & draft.parameters.keys() if not draft.parameters[name].is_constant
    )
    resource = [draft.resource.name] if draft.resource is not None else []
    for name in [*searched, *(names & set(resource))]:
        message = f"must not name {name} in a step that is run once: trials have different values"
        problems.error((*path, "command"), message)
