"""
A command for each named step of the workflow, in the workflow's order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.dialects.logml.keys import WORKFLOW
from airflow_hpo.blueprint.dialects.own import OWN, step_of
from airflow_hpo.blueprint.template import ALL_PARAMETERS, Placeholder, Template
from airflow_hpo.model.blueprint import Step

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_hpo.blueprint.dialects.logml.space import Found
    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.blueprint.problems import Problems

__all__ = ["read_steps"]


def read_steps(own: Mapping[str, Any], found: Found, problems: Problems) -> tuple[Step, ...] | None:
    """
    Return the steps that have a command, or note why they cannot be run.

    Those before the first whose parameters are searched are the same for all
    trials, and are run once a study.
    """
    path: Path = (OWN, "steps")
    given = own["steps"]
    named = [name for name in WORKFLOW if name in given]
    searched = [name for name in WORKFLOW if found.searched.get(name)]
    before = problems.errors
    for name in searched:
        if name not in given:
            message = f"must have a command for {name}, whose parameters are searched"
            problems.error(path, message, hint=f"write {name}: COMMAND", at_key=True)
    steps, once = [], True
    for index, name in enumerate(named):
        problems.relocate(
            {
                ("trial", "steps", index): (*path, name),
                ("trial", "steps", index, "command"): (*path, name),
            }
        )
        once = once and name not in searched
        try:
            command = _full(given[name], name, found)
        except ValueError as error:
            problems.error((*path, name), str(error))
            continue
        told = step_of(own, problems, index=index)
        steps.append(Step(name=name, command=command, once=once, **told))
    return tuple(steps) if steps and problems.errors == before else None


def _full(command: str, step: str, found: Found) -> str:
    """
    Return *command* with the full names of the step's parameters.
    """
    own = [name for name in found.parameters if name.startswith(f"{step}.")]
    parts = Template.parse(command).parts
    return "".join(
        part.replace("{", "{{").replace("}", "}}")
        if isinstance(part, str)
        else _placeholder(part, step, own)
        for part in parts
    )


def _placeholder(part: Placeholder, step: str, own: Sequence[str]) -> str:
    if part.name == ALL_PARAMETERS:
        return " ".join(f"{{{name}:--{name.removeprefix(f'{step}.')}=}}" for name in own)
    full = f"{step}.{part.name}"
    name = full if full in own else part.name
    return f"{{{name}}}" if part.flag is None else f"{{{name}:{part.flag}}}"
