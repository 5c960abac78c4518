"""
What a layout works with: the study, its plan, and where in which DAG they are laid out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_hpo.factory.demands import task_options
from airflow_hpo.factory.form import settings_templates
from airflow_hpo.operators.base import SealedBlueprint
from airflow_hpo.operators.report import ReportOperator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_hpo.model.blueprint import Blueprint
    from airflow_hpo.plan import Plan

__all__ = ["Site", "site_of", "study_template"]


def study_template(blueprint: Blueprint) -> str:
    """
    Return the template of the study's name; the trigger form may override it.
    """
    name = blueprint.study or f"{blueprint.name}-{{{{ run_id }}}}"
    return f"{{% if params.study %}}{{{{ params.study }}}}{{% else %}}{name}{{% endif %}}"


@dataclass(frozen=True)
class Site:
    """
    What a layout works with: what is to be laid out, and where.

    Args:
        blueprint: The study.

        plan: Its plan.

        study: Template of the study's name.

        settings: What is chosen per run, as templates.

        prefix: What the ids of tasks begin with, as in a group of another DAG.

        options: More options of all operators.

        trial: More options of the trials' tasks; they win.

        hand_over: Whether other tasks go on with the best trial.
    """

    blueprint: Blueprint
    plan: Plan
    study: str
    settings: Mapping[str, str] = field(default_factory=dict)
    prefix: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    trial: Mapping[str, Any] = field(default_factory=dict)
    hand_over: bool = False

    @property
    def shared(self) -> dict[str, Any]:
        """
        The options of all operators.
        """
        return {
            "blueprint": SealedBlueprint(self.blueprint),
            "study": self.study,
            "settings": self.settings,
            **self.options,
        }

    @property
    def small(self) -> dict[str, Any]:
        """
        The options of all operators but the trials'.
        """
        return {**task_options(self.blueprint.dag.tasks), **self.shared}

    def ids(self, group: str, names: Sequence[str]) -> tuple[str, ...]:
        """
        Return the ids that tasks with these *names* have in *group*.
        """
        return tuple(f"{self.prefix}{group}.{name}" for name in names)

    def report(self, watched: Sequence[str]) -> ReportOperator:
        """
        Return the last task, which looks at those that are *watched*.
        """
        options = {"watched": watched, "hand_over": self.hand_over, **self.small}
        return ReportOperator(task_id="report", **options)


def site_of(blueprint: Blueprint, plan: Plan) -> Site:
    """
    Return the site of a DAG of its own, where the trigger form has the settings.
    """
    settings = settings_templates(blueprint, plan)
    return Site(blueprint, plan, study_template(blueprint), settings)
