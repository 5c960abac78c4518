"""
A step's command, in the language that it is written in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from airflow_hpo.blueprint.template import Template

if TYPE_CHECKING:
    from airflow_hpo.blueprint.jinja import JinjaTemplate
    from airflow_hpo.model.trial_spec import Step

    CommandTemplate: TypeAlias = Template | JinjaTemplate

__all__ = ["parse_command"]


def parse_command(step: Step) -> CommandTemplate:
    """
    Return the command of *step*, parsed.

    Raises:
        ValueError: If it is not in its language; the message has the column.
    """
    if step.template == "jinja":
        from airflow_hpo.blueprint.jinja import JinjaTemplate

        return JinjaTemplate.parse(step.command)
    return Template.parse(step.command)
