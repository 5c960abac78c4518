"""
What of ClearML's settings has no effect here, said where somebody gave it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_hpo.blueprint.dialects.clearml.keys import WITHOUT_EFFECT

if TYPE_CHECKING:
    from airflow_hpo.blueprint.checks import Draft
    from airflow_hpo.blueprint.dialects.clearml.settings import Settings
    from airflow_hpo.blueprint.problems import Problems

__all__ = ["say_what_has_no_effect"]

_BOHB = "OptimizerBOHB"


def say_what_has_no_effect(settings: Settings, draft: Draft, problems: Problems) -> None:
    """
    Warn of each setting that is given and changes nothing in *draft*.
    """
    for name, why in WITHOUT_EFFECT.items():
        if name in settings.values:
            problems.warn(settings.place(name), f"has no effect: {why}", at_key=True)
    if settings.get("save_top_k_tasks_only", 0) > 0:
        count = settings.values["save_top_k_tasks_only"]
        problems.warn(
            settings.place("save_top_k_tasks_only"),
            "has no effect: every trial is kept",
            hint=f"hpo top STUDY -n {count} shows the best {count}",
            at_key=True,
        )
    if settings.optimizer != _BOHB:
        _say_of_iterations(settings, draft, problems)


def _say_of_iterations(settings: Settings, draft: Draft, problems: Problems) -> None:
    prunes_later = draft.pruner is not None and "warmup" in draft.pruner.options
    if "min_iteration_per_job" in settings.values and not prunes_later:
        message = f"has no effect with {settings.optimizer}: nothing ends a job early"
        problems.warn(settings.place("min_iteration_per_job"), message, at_key=True)
    if "max_iteration_per_job" in settings.values:
        problems.warn(
            settings.place("max_iteration_per_job"),
            "is told to the trial as HPO_MAX_ITERATIONS, which has to end by itself",
            at_key=True,
        )
