"""
What of a blueprint has no place at all in a ``valohai.yaml``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_hpo.blueprint.dialects.writing import changed
from airflow_hpo.model.blueprint import DagSpec, Execution, Step, StrategySpec, TrialSpec
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
        *("name", "description", "objectives", "space", "resource", "stop", "source"),
        *("strategy", "budget", "execution", "trial", "dag"),
    },
    "strategy": {"name", "startup_trials", "seed", "options"},
    "budget": {"trials"},
    "execution": {"batch_size", "concurrency"},
    "trial": {
        "steps",
        "runner",
        "environment",
        "workdir",
        "timeout_s",
        "on_failure",
        "platform",
        "until",
    },
    "step": {"name", "command", "template"},
}

# What fields are called in a blueprint, where that is not their name.
_KEYS = {"failure_share": "failures"}


def say_rest(blueprint: Blueprint, losses: Losses) -> None:
    """
    Note everything that differs from what a file without it would mean.
    """
    objectives = blueprint.objectives
    if len(objectives) > 1:
        losses.say("objective", "there is one metric; the others are left out")
    if objectives[0].value != "last":
        losses.say("objective.value", "the last value of a metric counts")
    for name in _changes(blueprint):
        losses.say(name, _NOTHING)
    platform = blueprint.trial.platform
    if platform is not None and platform.name != "valohai":
        losses.say("trial.platform", "executions find the surroundings of Valohai")
    steps = blueprint.trial.steps
    if len(steps) > 1 or steps[0].name != Step().name:
        losses.say("trial.steps", "a task has one step; its commands run one after another")


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
        ("strategy", "strategy", blueprint.strategy, StrategySpec()),
        ("budget", "budget", blueprint.budget, Budget(trials=1)),
        ("execution", "execution", blueprint.execution, Execution()),
        ("trial", "trial", blueprint.trial, TrialSpec(steps=steps)),
        ("dag", "dag", blueprint.dag, DagSpec()),
    ]
    for index, step in enumerate(steps):
        path = "trial" if len(steps) == 1 else f"trial.steps.{index}"
        parts.append(("step", path, step, Step()))
    for kind, path, part, default in parts:
        told = _TOLD.get(kind, ())
        names = [name for name in changed(part, default) if name not in told]
        yield from (f"{path}.{_KEYS.get(name, name.removesuffix('_s'))}" for name in names)
