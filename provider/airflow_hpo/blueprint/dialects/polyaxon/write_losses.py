"""
What of a blueprint has no place at all in an operation of Polyaxon's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_hpo.blueprint.dialects.writing import changed
from airflow_hpo.model.blueprint import DagSpec, Retries, Step, TrialSpec
from airflow_hpo.model.stop import Budget

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel

    from airflow_hpo.blueprint.dialects.writing import Losses
    from airflow_hpo.model.blueprint import Blueprint

__all__ = ["say_rest"]

_NOTHING = "there is nothing like it; it is left out"

# What the writer writes, or tells by itself.
_TOLD = {
    "blueprint": {
        *("name", "description", "objectives", "space", "resource", "stop", "source", "pruner"),
        *("strategy", "budget", "execution", "trial", "dag"),
    },
    "budget": {"trials", "failures", "failure_share"},
    "trial": {
        *("steps", "runner", "environment", "workdir", "timeout_s", "retries", "platform"),
    },
    "retries": {"code"},
    "dag": {"tags", "schedule"},
    "step": {"name", "command", "template"},
}


def say_rest(blueprint: Blueprint, losses: Losses) -> None:
    """
    Note everything that differs from what a file without it would mean.
    """
    objective = blueprint.objectives[0]
    if len(blueprint.objectives) > 1:
        losses.say("objective", "there is one metric; the others are left out")
    if objective.direction is None:
        losses.say("objective", "a metric is maximised or minimised; minimize is written")
    for name in changed(objective, type(objective)(metric="x", direction="minimize")):
        if name not in {"metric", "direction", "target"}:
            losses.say(f"objective.{name}", _NOTHING)
    for path in _changes(blueprint):
        losses.say(path, _NOTHING)
    platform = blueprint.trial.platform
    if platform is not None and platform.name != "polyaxon":
        losses.say("trial.platform", "runs find the surroundings of Polyaxon")
    if len(blueprint.trial.steps) > 1 or blueprint.trial.steps[0].name != Step().name:
        losses.say("trial.steps", "a job has one step, and that has no name")


def _changes(blueprint: Blueprint) -> Iterator[str]:
    """
    Yield the paths of all keys that are given and told nowhere else.
    """
    for name, field in type(blueprint).model_fields.items():
        usual = field.get_default(call_default_factory=True)
        if name not in _TOLD["blueprint"] and getattr(blueprint, name) != usual:
            yield name
    if blueprint.space.constraints:
        yield "constraints"
    steps = blueprint.trial.steps
    parts: list[tuple[str, str, BaseModel, BaseModel]] = [
        ("budget", "budget", blueprint.budget, Budget(trials=1)),
        ("trial", "trial", blueprint.trial, TrialSpec(steps=steps)),
        ("retries", "trial.retries", blueprint.trial.retries, Retries()),
        ("dag", "dag", blueprint.dag, DagSpec()),
    ]
    for index, step in enumerate(steps):
        path = "trial" if len(steps) == 1 else f"trial.steps.{index}"
        parts.append(("step", path, step, Step()))
    for kind, path, part, default in parts:
        names = [name for name in changed(part, default) if name not in _TOLD.get(kind, ())]
        yield from (f"{path}.{name.removesuffix('_s')}" for name in names)
