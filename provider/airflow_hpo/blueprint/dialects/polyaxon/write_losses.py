"""
What of a blueprint has no place at all in an operation of Polyaxon's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_hpo.blueprint.dialects.writing import changed, untold
from airflow_hpo.model.blueprint import DagSpec, Retries, Step, TrialSpec
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
        *("name", "description", "objectives", "space", "resource", "stop", "source", "pruner"),
        *("strategy", "budget", "execution", "trial", "dag"),
    },
    "budget": {"trials", "failures", "failure_share"},
    "trial": {
        *("steps", "runner", "environment", "workdir", "timeout_s", "retries", "platform"),
    },
    "trial.retries": {"code"},
    "dag": {"tags", "schedule"},
    "step": {"name", "command", "template", "gpus"},
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
    for path in untold(blueprint, _parts(blueprint), _TOLD):
        losses.say(path, _NOTHING)
    platform = blueprint.trial.platform
    if platform is not None and platform.name != "polyaxon":
        losses.say("trial.platform", "runs find the surroundings of Polyaxon")
    if len(blueprint.trial.steps) > 1 or blueprint.trial.steps[0].name != Step().name:
        losses.say("trial.steps", "a job has one step, and that has no name")


def _parts(blueprint: Blueprint) -> dict[str, tuple[BaseModel, BaseModel]]:
    """
    Return the parts that the writer looks into, and what they are by default.
    """
    return {
        "budget": (blueprint.budget, Budget(trials=1)),
        "trial": (blueprint.trial, TrialSpec(steps=blueprint.trial.steps)),
        "trial.retries": (blueprint.trial.retries, Retries()),
        "dag": (blueprint.dag, DagSpec()),
    }
