"""
What a dialect has read of one study, before its parts are seen together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from airflow_hpo.model.callbacks import Callbacks
from airflow_hpo.model.dag import DagSpec
from airflow_hpo.model.objective import Objective
from airflow_hpo.model.resource import Resource
from airflow_hpo.model.space import Parameter
from airflow_hpo.model.stop import Budget, StopRule
from airflow_hpo.model.strategy import Execution, PrunerSpec, StrategySpec
from airflow_hpo.model.trial_spec import TrialSpec
from airflow_hpo.model.values import Value
from airflow_hpo.model.warm_start import WarmStart

__all__ = ["Draft"]


@dataclass(slots=True)
class Draft:
    """
    The parts of a blueprint; those that were refused are left out.

    Problems are noted at the places where the native dialect has these parts;
    other dialects say where theirs are by `Problems.relocate`.

    Args:
        parameters: By name, in the user's order.

        broken: Names of parameters that were refused: they exist all the same.

        constraints:
            By their index in the file, as are *outcome_constraints*, *points*
            and *stop*.

        placeholder: How commands of the dialect ask for one parameter.

        folder: Where commands start in, and their files' paths; `None` where nobody knows.
    """

    name: str | None = None
    description: str = ""
    study: str | None = None
    objectives: tuple[Objective, ...] = ()
    parameters: dict[str, Parameter] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    constraints: dict[int, str] = field(default_factory=dict)
    outcome_constraints: dict[int, str] = field(default_factory=dict)
    points: dict[int, Mapping[str, Value]] = field(default_factory=dict)
    warm_start: WarmStart | None = None
    strategy: StrategySpec | None = None
    pruner: PrunerSpec | None = None
    budget: Budget | None = None
    execution: Execution | None = None
    stop: dict[int, StopRule] = field(default_factory=dict)
    resource: Resource | None = None
    trial: TrialSpec | None = None
    dag: DagSpec | None = None
    callbacks: Callbacks | None = None
    placeholder: str = "{{{name}}}"
    folder: Path | None = None

    @property
    def names(self) -> set[str]:
        """
        The names of all parameters, good and broken.
        """
        return self.broken.union(self.parameters)
