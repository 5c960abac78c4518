"""
TRIAL -> TASKS: a task for each, or a group with a task a step, and how those run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import chain, task_group

from airflow_hpo.factory.demands import task_options
from airflow_hpo.operators.slots import SLOT_INDEX_TEMPLATE
from airflow_hpo.operators.step import OnceOperator, StepOperator
from airflow_hpo.operators.trial import MAP_INDEX_TEMPLATE, TrialOperator

if TYPE_CHECKING:
    from airflow_hpo.factory.site import Site
    from airflow_hpo.model.trial_spec import Step

__all__ = ["lay_trials", "slot_options", "trial_names", "trial_options"]

# The task of a trial, or the group of its steps.
_TRIAL = "trial"


def trial_names(site: Site) -> tuple[str, ...]:
    """
    Return what the tasks of a trial are called, in order: one, or one a step.
    """
    steps = site.blueprint.trial.own_steps
    return tuple(f"{_TRIAL}.{step.name}" for step in steps) if len(steps) > 1 else (_TRIAL,)


def lay_trials(site: Site, suggested: Any, resource: float | None = None) -> Any:  # noqa: ANN401
    """
    Lay out the trials of a round: a mapped task, or a mapped group with a task a step.

    In front of the first ones stand the steps that run once for all.
    """
    trial = site.blueprint.trial
    steps = [_step_options(site, resource, step=step) for step in trial.own_steps]
    if len(steps) > 1:

        @task_group(group_id=_TRIAL)
        def each(trial: Any) -> None:  # noqa: ANN401 - an element of what was suggested
            tasks = [StepOperator(task_id=own["step"], trial=trial, **own) for own in steps]
            chain(*tasks)

        trials = each.expand(trial=suggested)
    elif len(trial.steps) > 1:
        trials = StepOperator.partial(task_id=_TRIAL, **steps[0]).expand(trial=suggested)
    else:
        del steps[0]["step"]
        trials = TrialOperator.partial(task_id=_TRIAL, **steps[0]).expand(trial=suggested)
    if getattr(suggested.operator, "round", None) == 0:
        once = [
            OnceOperator(
                task_id=f"once_{step.name}",
                trial=suggested,
                **_step_options(site, resource, step=step),
            )
            for step in trial.steps
            if step.once
        ]
        chain(*once, trials)
    return trials


def _step_options(site: Site, resource: float | None, *, step: Step) -> dict[str, Any]:
    """
    Return all options of the task that runs *step* of a trial.
    """
    options = {**trial_options(site, resource, step=step), **site.shared}
    return {"step": step.name, "map_index_template": MAP_INDEX_TEMPLATE, **options}


def trial_options(
    site: Site, resource: float | None = None, *, step: Step | None = None
) -> dict[str, Any]:
    """
    Return how the trials' tasks run: where, how many at once, how often again.

    Args:
        site: Says it for all trials.

        resource: What these are given, where rungs run in places of their own.

        step: The one that the task runs; by default it runs them all.
    """
    blueprint = site.blueprint
    trial, asked = blueprint.trial, blueprint.trial.task if step is None else step
    retries = asked.retries or trial.retries
    options: dict[str, Any] = {"retries": retries.infrastructure + retries.code}
    if blueprint.execution.concurrency is not None:
        options["max_active_tis_per_dagrun"] = blueprint.execution.concurrency
    place = None if blueprint.resource is None else blueprint.resource.placement(resource)
    runner = (place and place.runner) or asked.runner or trial.runner
    gpus = max((each.gpus for each in ([step] if step else trial.steps)), default=0.0)
    gpus = gpus if place is None or place.gpus is None else place.gpus
    options |= task_options(asked, place, gpus=gpus, leases=runner.name == "subprocess")
    return {**options, **site.trial}


def slot_options(site: Site) -> dict[str, Any]:
    """
    Return the options of the slots' tasks.
    """
    return {
        "map_index_template": SLOT_INDEX_TEMPLATE,
        **trial_options(site),
        **site.shared,
    }
