"""
The blueprint: everything a person says about one study, in any dialect.

The model speaks values and seconds; the dialects translate into it.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from airflow_hpo.model.base import Document
from airflow_hpo.model.callbacks import Callbacks
from airflow_hpo.model.dag import DagSpec
from airflow_hpo.model.expression import Expression
from airflow_hpo.model.objective import Objective
from airflow_hpo.model.outcomes import Outcomes
from airflow_hpo.model.placement import TASK_OPTIONS, Placement, RunnerSpec, TaskSpec
from airflow_hpo.model.resource import Resource
from airflow_hpo.model.space import Space
from airflow_hpo.model.stop import Budget, StopRule
from airflow_hpo.model.strategy import Execution, PrunerSpec, StrategySpec
from airflow_hpo.model.trial_spec import (
    MetricsSpec,
    OnFailure,
    PlatformSpec,
    Retries,
    Step,
    TrialSpec,
)
from airflow_hpo.model.values import Value
from airflow_hpo.model.warm_start import WarmStart

# All parts of a blueprint can be had here, too, wherever they stand.
__all__ = [
    "TASK_OPTIONS",
    "Blueprint",
    "DagSpec",
    "Execution",
    "MetricsSpec",
    "OnFailure",
    "Placement",
    "PlatformSpec",
    "PrunerSpec",
    "Resource",
    "Retries",
    "RunnerSpec",
    "Source",
    "Step",
    "StrategySpec",
    "TaskSpec",
    "TrialSpec",
]


class Source(Document):
    """
    Where a blueprint came from.

    Args:
        dialect: ``native``, ``valohai`` ...

        file: The file's name as it was given; empty if it was never a file.

        text: The whole text, so that a study carries what made it.

        sha256: Of the text, hexadecimal.
    """

    dialect: str = "native"
    file: str = ""
    text: str = ""
    sha256: str = ""


class Blueprint(Document):
    """
    One study, whole.

    Args:
        name: Letters, digits, dots, dashes and underscores.

        trial: How one configuration is evaluated.

        study:
            Template of the study's name (Airflow's variables); `None` for a
            new study in each DAG run. A fixed name continues that study.

        points: Configurations tried first; missing values are sampled.

        warm_start: What the study is told before its first trial.

        outcome_constraints:
            Expressions over a trial's metrics that must hold, or it is not
            feasible, however good its objectives are; see `Outcomes`.
    """

    name: str = Field(pattern=r"^[\w.-]{1,200}\Z")
    description: str = ""
    study: str | None = None
    objectives: tuple[Objective, ...] = Field(min_length=1)
    space: Space
    outcome_constraints: tuple[str, ...] = ()
    points: tuple[dict[str, Value], ...] = ()
    warm_start: WarmStart | None = None
    strategy: StrategySpec = Field(default_factory=StrategySpec)
    pruner: PrunerSpec | None = None
    budget: Budget
    execution: Execution = Field(default_factory=Execution)
    stop: tuple[StopRule, ...] = ()
    resource: Resource | None = None
    trial: TrialSpec
    callbacks: Callbacks = Field(default_factory=Callbacks)
    dag: DagSpec = Field(default_factory=DagSpec)
    source: Source = Field(default_factory=Source)

    @field_validator("outcome_constraints")
    @classmethod
    def _parsed_constraints(cls, constraints: tuple[str, ...]) -> tuple[str, ...]:
        for text in constraints:
            Expression.parse(text)
        return constraints

    @property
    def outcomes(self) -> Outcomes:
        """
        Which trials are feasible.
        """
        return Outcomes(self.objectives, self.outcome_constraints)

    @property
    def dag_id(self) -> str:
        """
        The id of the DAG that this blueprint becomes.
        """
        return self.dag.id or self.name

    @property
    def beginning(self) -> WarmStart | None:
        """
        What a study is told before its first trial: its own warm start, or its DAG's.
        """
        if self.warm_start is not None or self.dag.warm_start is None:
            return self.warm_start
        return self.dag.warm_start.warm_start

    @property
    def champion_asset(self) -> str:
        """
        The URI of the asset that the best trial is published as.
        """
        own = self.dag.champion.asset if self.dag.champion is not None else ""
        return own or f"hpo://{self.name}/champion"

    def with_settings(
        self, *, trials: int | None = None, batch_size: int | None = None, seed: int | None = None
    ) -> Blueprint:
        """
        Return the blueprint with what a person chose for one run of it.

        `None` keeps what the blueprint says.
        """
        changes: dict[str, Any] = {}
        if trials is not None:
            changes["budget"] = self.budget.model_copy(update={"trials": trials})
        if batch_size is not None:
            changes["execution"] = self.execution.model_copy(update={"batch_size": batch_size})
        if seed is not None:
            changes["strategy"] = self.strategy.model_copy(update={"seed": seed})
        return self.model_copy(update=changes)
