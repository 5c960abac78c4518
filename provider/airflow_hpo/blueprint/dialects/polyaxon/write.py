"""
MODEL -> TEXT: a blueprint as an operation of Polyaxon's, version 1.1.

What an operation has no key for but this package needs stands in annotations
``airflow-hpo/...``, which Polyaxon hands on.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.dialects.devices import GPU, whole_gpus
from airflow_hpo.blueprint.dialects.foreign import to_yaml
from airflow_hpo.blueprint.dialects.polyaxon.keys import ANNOTATION
from airflow_hpo.blueprint.dialects.polyaxon.statics import is_template
from airflow_hpo.blueprint.dialects.polyaxon.write_command import command_of
from airflow_hpo.blueprint.dialects.polyaxon.write_losses import say_rest
from airflow_hpo.blueprint.dialects.polyaxon.write_search import matrix_of
from airflow_hpo.blueprint.dialects.polyaxon.write_space import say_of_parameter
from airflow_hpo.blueprint.dialects.writing import Losses
from airflow_hpo.model.retuning import ScheduleSpec

if TYPE_CHECKING:
    from airflow_hpo.blueprint.dialects.writing import Written
    from airflow_hpo.model.blueprint import Blueprint

__all__ = ["write"]

_IMAGE = "python:3.12"


def write(blueprint: Blueprint) -> Written:
    """
    Return *blueprint* as an operation, and what that cannot say.
    """
    losses = Losses()
    matrix = matrix_of(blueprint, losses)
    data: dict[str, Any] = {
        "version": 1.1,
        "kind": "operation",
        "name": blueprint.name,
        "description": blueprint.description,
        "tags": list(blueprint.dag.tags),
        "schedule": _schedule(blueprint, losses),
        "matrix": matrix,
        "termination": _termination(blueprint),
        "component": {
            "inputs": _inputs(blueprint, matrix, losses),
            "run": {
                "kind": "job",
                "environment": {"annotations": _annotations(blueprint, matrix)},
                "container": _container(blueprint, losses),
            },
        },
    }
    if not data["component"]["inputs"]:
        del data["component"]["inputs"]
    say_rest(blueprint, losses)
    needed = {"matrix", "component"}
    return losses.written(
        to_yaml({name: value for name, value in data.items() if value or name in needed})
    )


def _schedule(blueprint: Blueprint, losses: Losses) -> dict[str, Any] | None:
    schedule = blueprint.dag.schedule
    if isinstance(schedule, ScheduleSpec):
        if schedule.cron is None or schedule.timezone is not None or schedule.assets:
            losses.say("dag.schedule", "their schedule is cron in UTC; the rest is left out")
        schedule = schedule.cron
    if schedule is not None and schedule.startswith("@"):
        losses.say("dag.schedule", f"the preset {schedule} is written as it is; theirs is cron")
    return None if schedule is None else {"kind": "cron", "cron": schedule}


def _termination(blueprint: Blueprint) -> dict[str, Any]:
    trial, found = blueprint.trial, dict[str, Any]()
    if trial.retries.code:
        found["maxRetries"] = trial.retries.code
    if trial.timeout_s is not None:
        whole = float(trial.timeout_s).is_integer()
        found["timeout"] = int(trial.timeout_s) if whole else trial.timeout_s
    return found


def _inputs(blueprint: Blueprint, matrix: dict[str, Any], losses: Losses) -> list[dict[str, Any]]:
    """
    Return all parameters: constants with their value, what is searched without one.
    """
    found: list[dict[str, Any]] = []
    for parameter in blueprint.space.parameters:
        entry: dict[str, Any] = {"name": parameter.name, "isOptional": True}
        if parameter.is_constant:
            say_of_parameter(parameter, losses)
            value = parameter.distribution.from_unit(0.5)
            entry["value"] = value
            if is_template(value):
                message = "text with {{ is a template there, and is put together from others"
                losses.say(f"space.{parameter.name}", message)
        found.append(entry)
    if blueprint.resource is not None and matrix["kind"] != "hyperband":
        losses.say("resource", "runs have no resource; each is given all of it")
        amount = blueprint.resource.max
        whole = int(amount) if amount.is_integer() else amount
        found.append({"name": blueprint.resource.name, "isOptional": True, "value": whole})
    return found


def _annotations(blueprint: Blueprint, matrix: dict[str, Any]) -> dict[str, str]:
    """
    Return what this package needs to read the same again.
    """
    found = {}
    if re.sub(r"[^\w.-]+", "-", blueprint.name).strip("-") != blueprint.name:
        found["name"] = blueprint.name
    if "metric" not in matrix:
        objective = blueprint.objectives[0]
        found["metric"] = objective.metric
        found["direction"] = objective.direction or "minimize"
    if matrix["kind"] != "hyperband":
        batch = min(blueprint.execution.batch_size, blueprint.budget.trials)
        found["batch-size"] = str(batch)
    return {ANNOTATION + name: value for name, value in found.items()}


def _container(blueprint: Blueprint, losses: Losses) -> dict[str, Any]:
    trial = blueprint.trial
    image = trial.runner.options.get("image")
    if not isinstance(image, str):
        image = _IMAGE
        losses.say("trial.runner", f"a container needs an image; {image} is written")
    else:
        losses.say("trial.runner", "runs are Polyaxon's own; the image alone is written")
    found: dict[str, Any] = {"image": image}
    if trial.workdir is not None:
        found["workingDir"] = trial.workdir
        if trial.workdir.startswith("/") or is_template(trial.workdir) or not trial.workdir:
            losses.say("trial.workdir", "such a folder is the container's own")
    found["command"] = ["/bin/sh", "-c"]
    found["args"] = [command_of(blueprint, losses)]
    if trial.environment:
        found["env"] = [{"name": name, "value": value} for name, value in trial.environment.items()]
    gpus = whole_gpus(trial, losses)
    if gpus:
        found["resources"] = {"limits": {GPU: gpus}}
    for name, value in trial.environment.items():
        if is_template(value):
            losses.say("trial.environment", f"{{{{ in the value of {name} begins a template there")
    return found
