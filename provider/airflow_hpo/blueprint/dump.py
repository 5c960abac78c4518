"""
MODEL -> TEXT: a blueprint as a file of the native dialect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.emit import Block, emit
from airflow_hpo.blueprint.units import show_duration, show_share
from airflow_hpo.model.dag import DagSpec
from airflow_hpo.model.distribution import Categorical, Constant, Float, Int
from airflow_hpo.model.placement import Placement, TaskSpec
from airflow_hpo.model.retuning import ScheduleSpec
from airflow_hpo.model.stop import ExpressionRule, PlateauRule
from airflow_hpo.model.strategy import Execution, StrategySpec
from airflow_hpo.model.trial_spec import Step, TrialSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

    from airflow_hpo.model.blueprint import Blueprint
    from airflow_hpo.model.callbacks import Callback, Callbacks
    from airflow_hpo.model.distribution import Distribution
    from airflow_hpo.model.objective import Objective
    from airflow_hpo.model.resource import Resource
    from airflow_hpo.model.retuning import ChampionSpec, PreviousStart
    from airflow_hpo.model.space import Parameter
    from airflow_hpo.model.stop import Budget, StopRule
    from airflow_hpo.model.values import Value
    from airflow_hpo.model.warm_start import WarmStart

__all__ = ["dump"]


def dump(blueprint: Blueprint) -> str:
    """
    Return *blueprint* in the native dialect.

    Read back, it is the same blueprint, apart from its source. Keys that have
    their default value are left out.
    """
    objectives = [_objective(objective) for objective in blueprint.objectives]
    data: dict[str, Any] = {
        "hpo": 1,
        "name": blueprint.name,
        "description": blueprint.description or None,
        "study": blueprint.study,
        "objective": objectives[0] if len(objectives) == 1 else objectives,
        "space": Block(
            (parameter.name, _parameter(parameter)) for parameter in blueprint.space.parameters
        ),
        "constraints": list(blueprint.space.constraints),
        "outcome_constraints": list(blueprint.outcome_constraints),
        "points": list(blueprint.points),
        "warm_start": None if blueprint.warm_start is None else _warm_start(blueprint.warm_start),
        "strategy": _changed(blueprint.strategy, StrategySpec()),
        "pruner": None
        if blueprint.pruner is None
        else _named("name", blueprint.pruner.name, blueprint.pruner.options),
        "budget": _budget(blueprint.budget),
        "execution": _changed(blueprint.execution, Execution()),
        "stop": [_stop_rule(rule) for rule in blueprint.stop],
        "resource": None if blueprint.resource is None else _resource(blueprint.resource),
        "trial": Block(_trial(blueprint.trial)),
        "callbacks": _callbacks(blueprint.callbacks),
        "dag": _dag(blueprint.dag),
    }
    if not blueprint.space.parameters:
        data["space"] = {}
    needed = {"space", "trial"}
    return emit({name: value for name, value in data.items() if value or name in needed})


def _callbacks(callbacks: Callbacks) -> dict[str, Any]:
    return {
        event: [_callback(each) for each in getattr(callbacks, event)]
        for event in type(callbacks).model_fields
        if getattr(callbacks, event)
    }


def _callback(callback: Callback) -> Value:
    if callback.function is not None:
        return callback.function
    more = {"arguments": callback.arguments} if callback.arguments else {}
    return {"notifier": callback.notifier, **more}


def _changed(part: BaseModel, default: BaseModel) -> dict[str, Any]:
    """
    Return the fields of *part* that differ from *default*.
    """
    usual = default.model_dump()
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in part.model_dump().items()
        if _differs(value, usual[name])
    }


def _differs(value: Value, default: Value) -> bool:
    return value != default or type(value) is not type(default)


def _objective(objective: Objective) -> dict[str, Any]:
    data = objective.model_dump(exclude_none=True)
    if data["value"] == "last":
        del data["value"]
    return data


def _parameter(parameter: Parameter) -> Value:
    distribution = parameter.distribution
    if isinstance(distribution, Constant) and not parameter.when:
        value = distribution.value
        if isinstance(value, (str, int, float)):
            return value
    data = _distribution(distribution)
    if parameter.when:
        data["when"] = {parent: _some(values) for parent, values in parameter.when.items()}
    if parameter.default:
        data["default"] = parameter.default[0]
    return data


def _warm_start(warm_start: WarmStart) -> dict[str, Any]:
    data: dict[str, Any] = {"from": warm_start.source.model_dump(exclude_defaults=True)}
    if warm_start.trials is not None:
        data["trials"] = warm_start.trials
    return data if warm_start.use == "history" else {**data, "as": warm_start.use}


def _distribution(distribution: Distribution) -> dict[str, Any]:
    match distribution:
        case Constant():
            return {"constant": distribution.value}
        case Categorical():
            weights = distribution.weights
            more = {} if weights is None else {"weights": list(weights)}
            return {"choice": list(distribution.choices), **more}
        case Float() | Int():
            bounds = [distribution.low, distribution.high]
        case _:
            bounds = [distribution.mean, distribution.deviation]
    fields = type(distribution).model_fields
    return {
        distribution.kind: bounds,
        **{
            name: getattr(distribution, name)
            for name in ("step", "log", "anchor")
            if name in fields and getattr(distribution, name) != fields[name].default
        },
    }


def _some(values: tuple[Value, ...]) -> Value:
    """
    Return one value as itself where that cannot be taken for a list of values.
    """
    if len(values) == 1 and not isinstance(values[0], list):
        return values[0]
    return list(values)


def _budget(budget: Budget) -> dict[str, Any]:
    data: dict[str, Any] = {"trials": budget.trials}
    if budget.wall_clock_s is not None:
        data["wall_clock"] = show_duration(budget.wall_clock_s)
    if budget.trial_time_s is not None:
        data["trial_time"] = show_duration(budget.trial_time_s)
    if budget.failures is not None:
        data["failures"] = budget.failures
    if budget.failure_share is not None:
        data["failures"] = show_share(budget.failure_share)
    if budget.identical_failures is not None:
        data["identical_failures"] = budget.identical_failures
    return data


def _dag(dag: DagSpec) -> dict[str, Any]:
    data = _changed(dag, DagSpec())
    if "tasks" in data:
        data["tasks"] = _changed(dag.tasks, TaskSpec())
    if isinstance(dag.schedule, ScheduleSpec):
        data["schedule"] = dag.schedule.model_dump(exclude_defaults=True)
    if dag.warm_start is not None:
        data["warm_start"] = _previous(dag.warm_start)
    if dag.champion is not None:
        data["champion"] = _champion(dag.champion)
    return data


def _previous(start: PreviousStart) -> dict[str, Any]:
    data: dict[str, Any] = {"from": "previous"}
    if start.trials is not None:
        data["trials"] = start.trials
    if start.max_age_s is not None:
        data["max_age"] = show_duration(start.max_age_s)
    return data if start.use == "points" else {**data, "as": start.use}


def _champion(champion: ChampionSpec) -> dict[str, Any]:
    data: dict[str, Any] = {"asset": champion.asset} if champion.asset else {}
    if champion.tolerance is not None:
        data["tolerance"] = champion.tolerance
    if champion.tolerance_share is not None:
        data["tolerance"] = show_share(champion.tolerance_share)
    return data


def _resource(resource: Resource) -> dict[str, Any]:
    data: dict[str, Any] = {"name": resource.name, "min": resource.min, "max": resource.max}
    if resource.type is not None:
        data["type"] = resource.type
    if resource.rungs:
        data["rungs"] = [_placement(rung) for rung in resource.rungs]
    return data


def _placement(placement: Placement) -> dict[str, Any]:
    data = {
        "at_least": placement.at_least,
        **_changed(placement, Placement(at_least=placement.at_least)),
    }
    if placement.runner is not None:
        data["runner"] = _chosen(placement.runner.name, placement.runner.options)
    return data


def _stop_rule(rule: StopRule) -> Value:
    if isinstance(rule, ExpressionRule):
        return rule.expression
    if isinstance(rule, PlateauRule):
        more = {"min_delta": rule.min_delta} if rule.min_delta else {}
        return {"plateau": rule.trials, **more}
    data = rule.model_dump(exclude={"kind"}, exclude_none=True)
    if not rule.tolerance:
        del data["tolerance"]
    return data


def _named(key: str, name: str, options: Mapping[str, Value]) -> dict[str, Value]:
    """
    Return what is chosen by name, its options beside it where names allow.
    """
    taken = {key, "options"}
    beside = {option: value for option, value in options.items() if option not in taken}
    below = {option: value for option, value in options.items() if option in taken}
    return {key: name, **beside, **({"options": below} if below else {})}


def _chosen(name: str, options: Mapping[str, Value]) -> Value:
    return _named("name", name, options) if options else name


def _trial(trial: TrialSpec) -> dict[str, Any]:
    default = TrialSpec(steps=trial.steps)
    data: dict[str, Any] = {}
    only = trial.steps[0]
    if len(trial.steps) == 1 and only.name == Step().name and only.runner is None:
        data |= _step(only)
        data.pop("name", None)
    else:
        data["steps"] = [_step(step) for step in trial.steps]
    if trial.runner != default.runner:
        data["runner"] = _chosen(trial.runner.name, trial.runner.options)
    data |= {
        name: value
        for name, value in _changed(trial, default).items()
        if name in {"environment", "workdir", "on_failure", "until", "reuse", "deferrable"}
    }
    if trial.platform is not None:
        data["platform"] = _chosen(trial.platform.name, trial.platform.options)
    if trial.metrics != default.metrics:
        data["metrics"] = _named("format", trial.metrics.format, trial.metrics.options)
    if trial.timeout_s is not None:
        data["timeout"] = show_duration(trial.timeout_s)
    if trial.grace_s != default.grace_s:
        data["grace"] = show_duration(trial.grace_s)
    return data | _retries(trial, default)


def _retries(trial: TrialSpec, default: TrialSpec) -> dict[str, Any]:
    data: dict[str, Any] = {}
    if trial.retries != default.retries:
        data["retries"] = _changed(trial.retries, default.retries)
    if trial.failures != default.failures:
        data["failures"] = trial.failures.model_dump(mode="json", exclude_defaults=True)
    return data


def _step(step: Step) -> dict[str, Any]:
    data = {"name": step.name, **_changed(step, Step())}
    if step.runner is not None:
        data["runner"] = _chosen(step.runner.name, step.runner.options)
    return data
