"""
A study as another tool kept it, and the blueprint that is made of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_hpo.model.blueprint import Blueprint
from airflow_hpo.model.distribution import Distribution
from airflow_hpo.model.objective import Objective
from airflow_hpo.model.space import Parameter, Space
from airflow_hpo.model.stop import Budget
from airflow_hpo.model.strategy import StrategySpec
from airflow_hpo.model.trial import Failure, TrialState
from airflow_hpo.model.trial_spec import Step as JobStep
from airflow_hpo.model.trial_spec import TrialSpec
from airflow_hpo.model.values import Configuration, Value, canonical

__all__ = ["ForeignStudy", "ForeignTrial", "json_value", "make_blueprint"]

# A parameter that others depend on has so many values at most.
_BRANCHES = 20

# What neither a parameter's nor a blueprint's name may have.
_ODD = re.compile(r"[\s{}:]+")
_ODDER = re.compile(r"[^\w.-]+")


@dataclass(frozen=True, slots=True)
class ForeignTrial:
    """
    One trial as another tool kept it.

    Args:
        number: That it had there.

        configuration: By the names of parameters there.

        state: A final one.

        values: One number per objective, where it is complete.

        metrics: Whatever else is known of it.

        measured: Values of the first objective by step.

        started: Seconds since the epoch; `None` if not known.

        finished: Likewise.
    """

    number: int
    configuration: Configuration
    state: TrialState
    values: tuple[float, ...] | None = None
    metrics: Mapping[str, Value] = field(default_factory=dict)
    measured: Mapping[int, float] = field(default_factory=dict)
    reason: str | None = None
    failure: Failure | None = None
    sampler: str = "imported"
    started: float | None = None
    finished: float | None = None


@dataclass(frozen=True, slots=True)
class ForeignStudy:
    """
    A study as another tool kept it.

    Args:
        name: That it had there.

        tool: Which tool.

        objectives: What was optimised.

        distributions: How each parameter was searched.

        trials: Those that have ended, by number.

        outcome_constraints: What feasible trials satisfy.

        left_out: How many trials were not taken, by the reason.
    """

    name: str
    tool: str
    objectives: tuple[Objective, ...]
    distributions: Mapping[str, Distribution]
    trials: Sequence[ForeignTrial]
    outcome_constraints: tuple[str, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)

    def renamed(self) -> Mapping[str, str]:
        """
        Return what each parameter is called here: names have no white space, brace or colon.
        """
        found: dict[str, str] = {}
        for name in self.distributions:
            new = _ODD.sub("_", name) or "_"
            while new in found.values():
                new += "_"
            found[name] = new
        return found


def make_blueprint(foreign: ForeignStudy, *, study: str) -> Blueprint:
    """
    Return a blueprint that goes on where *foreign* ended, but for its command.

    Of a parameter that only some trials have, the condition is found where
    there is one: it is there exactly while another one has certain values.

    Args:
        foreign: The study.

        study: What it is called here.
    """
    names = foreign.renamed()
    configurations = [
        {names[name]: value for name, value in trial.configuration.items()}
        for trial in foreign.trials
    ]
    parameters = [
        Parameter(
            name=new,
            distribution=foreign.distributions[old],
            when=_condition(new, list(names.values()), configurations),
        )
        for old, new in names.items()
    ]
    command = f"echo 'imported from {foreign.tool}: write the command here' >&2; exit 1"
    return Blueprint(
        name=(_ODDER.sub("_", study) or "imported")[:200],
        description=f"Imported from {foreign.tool}, where it was called {foreign.name}.",
        study=study if "{" not in study else None,
        objectives=foreign.objectives,
        space=Space(parameters=tuple(parameters)),
        outcome_constraints=foreign.outcome_constraints,
        strategy=StrategySpec(name="tpe" if len(foreign.objectives) == 1 else "nsga2"),
        budget=Budget(trials=max(1, len(foreign.trials))),
        trial=TrialSpec(steps=(JobStep(command=command),)),
    )


def _condition(
    name: str, names: Sequence[str], configurations: Sequence[Configuration]
) -> dict[str, tuple[Value, ...]]:
    having = [each for each in configurations if name in each]
    lacking = [each for each in configurations if name not in each]
    if not having or not lacking:
        return {}
    for parent in names:
        if parent == name or not all(parent in each for each in having):
            continue
        # A parent is there more often than its child: no condition in a circle.
        if sum(parent in each for each in configurations) <= len(having):
            continue
        values = {canonical(each[parent]): each[parent] for each in having}
        others = {canonical(each[parent]) for each in lacking if parent in each}
        if others and others.isdisjoint(values) and len(values) + len(others) <= _BRANCHES:
            return {parent: tuple(values[key] for key in sorted(values))}
    return {}


def json_value(value: Any) -> Value:  # noqa: ANN401 - whatever another tool kept
    """
    Return *value* as the journal keeps it; what JSON has no form for, as text.
    """
    if hasattr(value, "tolist"):  # a number or an array of numpy
        value = value.tolist()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(name): json_value(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_value(each) for each in value]
    return str(value)


def pairs(mapping: Mapping[str, Any]) -> Iterator[tuple[str, Value]]:
    """
    Yield names and values as the journal keeps them.
    """
    return ((str(name), json_value(value)) for name, value in mapping.items())
