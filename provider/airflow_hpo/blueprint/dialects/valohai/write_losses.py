"""
What of a blueprint has no place at all in a ``valohai.yaml``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_hpo.blueprint.dialects.writing import untold
from airflow_hpo.model.blueprint import DagSpec, Execution, Step, StrategySpec, TrialSpec
from airflow_hpo.model.stop import Budget

if TYPE_CHECKING:
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
        "reuse",
    },
    "step": {"name", "command", "template", "gpus"},
}


def say_rest(blueprint: Blueprint, losses: Losses) -> None:
    """
    Note everything that differs from what a file without it would mean.
    """
    objectives = blueprint.objectives
    if len(objectives) > 1:
        losses.say("objective", "there is one metric; the others are left out")
    if objectives[0].value != "last":
        losses.say("objective.value", "the last value of a metric counts")
    for name in untold(blueprint, _parts(blueprint), _TOLD):
        losses.say(name, _NOTHING)
    platform = blueprint.trial.platform
    if platform is not None and platform.name != "valohai":
        losses.say("trial.platform", "executions find the surroundings of Valohai")
    steps = blueprint.trial.steps
    if len(steps) > 1 or steps[0].name != Step().name:
        losses.say("trial.steps", "a task has one step; its commands run one after another")


def _parts(blueprint: Blueprint) -> dict[str, tuple[BaseModel, BaseModel]]:
    """
    Return the parts that the writer looks into, and what they are by default.
    """
    return {
        "strategy": (blueprint.strategy, StrategySpec()),
        "budget": (blueprint.budget, Budget(trials=1)),
        "execution": (blueprint.execution, Execution()),
        "trial": (blueprint.trial, TrialSpec(steps=blueprint.trial.steps)),
        "dag": (blueprint.dag, DagSpec()),
    }
