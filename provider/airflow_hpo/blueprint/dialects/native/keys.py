"""
The keys of a native blueprint: what each may be given, and what it means.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_hpo.blueprint.dialects.native.callback_keys import CALLBACKS
from airflow_hpo.blueprint.dialects.native.dag_keys import DAG
from airflow_hpo.blueprint.dialects.native.space_keys import ParameterShape
from airflow_hpo.blueprint.dialects.native.study_keys import (
    BUDGET,
    EXECUTION,
    OBJECTIVE,
    PRUNER,
    RESOURCE,
    STRATEGY,
    StopRuleShape,
)
from airflow_hpo.blueprint.dialects.native.trial_keys import TRIAL
from airflow_hpo.blueprint.dialects.native.warm_start_keys import WARM_START
from airflow_hpo.blueprint.document import Path
from airflow_hpo.blueprint.problems import Problems, show
from airflow_hpo.blueprint.records import Key, ListOf, MapOf, OneOrMany, Record
from airflow_hpo.blueprint.shapes import BROKEN, Anything, Shape, Text
from airflow_hpo.model.values import Value

__all__ = ["BLUEPRINT", "VERSION"]


@dataclass(frozen=True)
class _Version(Shape):
    """
    The version of the dialect.
    """

    def read(self, value: Value, path: Path, problems: Problems) -> Any:  # noqa: ANN401
        """
        Return the version.
        """
        if value == 1 and isinstance(value, int) and not isinstance(value, bool):
            return 1
        problems.error(path, f"must be 1, the only version there is, got {show(value)}")
        return BROKEN

    def schema(self) -> dict[str, Any]:
        """
        Return the JSON Schema of the value.
        """
        return {"const": 1}


VERSION = _Version()

BLUEPRINT = Record(
    {
        "hpo": Key(VERSION, "Marks a blueprint; the version of this vocabulary.", required=True),
        "name": Key(
            Text(
                pattern=r"^[\w.-]{1,200}$",
                rule="letters, digits, dots, dashes and underscores, 200 at most",
            ),
            "The study's name, and the DAG's.",
            required=True,
            example="digits",
        ),
        "description": Key(Text(empty=True), "What it is for."),
        "study": Key(
            Text(examples=("digits-{{ ds }}",)),
            "The study's name in the journal, as an Airflow template. A fixed one continues "
            "that study in every run; by default each run begins a new one.",
        ),
        "objective": Key(
            OneOrMany(OBJECTIVE),
            "What is optimised.",
            required=True,
            example="{metric: val_accuracy, direction: maximize}",
        ),
        "space": Key(
            MapOf(
                ParameterShape(),
                pattern=r"^[^\s{}:]+$",
                rule="a name without white space, braces or colons",
            ),
            "The parameters, by name.",
            required=True,
            example="{learning_rate: {float: [1e-5, 1e-1], log: true}}",
        ),
        "constraints": Key(
            ListOf(Text(examples=("hidden * batch_size <= 8192",))),
            "Expressions over parameters that must hold.",
        ),
        "outcome_constraints": Key(
            ListOf(Text(examples=("latency_ms <= 20",))),
            "Expressions over a trial's metrics that must hold; it is not feasible otherwise.",
        ),
        "points": Key(
            ListOf(MapOf(Anything())), "Configurations tried first; missing values are sampled."
        ),
        "warm_start": Key(
            WARM_START, "Trials of another study, or of a file, that this one begins with."
        ),
        "strategy": Key(STRATEGY, "What proposes configurations: its name, or a mapping."),
        "pruner": Key(PRUNER, "What ends single trials early."),
        "budget": Key(BUDGET, "What the study may spend.", required=True, example="{trials: 20}"),
        "execution": Key(EXECUTION, "How trials are laid over time."),
        "stop": Key(ListOf(StopRuleShape()), "Rules that end the study; any one suffices."),
        "resource": Key(RESOURCE, "What a trial can be given more of."),
        "trial": Key(
            TRIAL,
            "How one configuration is evaluated.",
            required=True,
            example="{command: ...}",
        ),
        "callbacks": Key(CALLBACKS, "Whom the study tells what happens."),
        "dag": Key(DAG, "What the Airflow DAG is like."),
    },
    foreign={
        "parameters": "write space",
        "params": "write space",
        "hyperparameters": "write space",
        "search_space": "write space",
        "metric": "write objective: {metric: ...}",
        "direction": "write objective: {direction: ...}",
        "algorithm": "write strategy: {name: ...}",
        "sampler": "write strategy: {name: ...}",
        "trials": "write budget: {trials: ...}",
        "max_trials": "write budget: {trials: ...}",
        "n_trials": "write budget: {trials: ...}",
        "command": "write trial: {command: ...}",
        "steps": "write trial: {steps: [...]}",
        "runner": "write trial: {runner: ...}",
        "metrics": "write trial: {metrics: ...}",
        "environment": "write trial: {environment: ...}",
        "schedule": "write dag: {schedule: ...}",
        "batch_size": "write execution: {batch_size: ...}",
        "seed": "write strategy: {seed: ...}",
        "early_stopping": "write stop, or pruner for single trials",
        "history": "write warm_start: {from: ...}",
        "points_to_evaluate": "write points",
    },
    partial=True,
)
"""The whole file."""
