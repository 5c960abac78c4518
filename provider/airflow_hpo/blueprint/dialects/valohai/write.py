"""
MODEL -> TEXT: a blueprint as a step and a task of a ``valohai.yaml``.

What Valohai has no key for but this package needs stands in an item of our own,
``- hpo: {task: NAME}``, which Valohai passes over.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.checks.placement import gives_gpus
from airflow_hpo.blueprint.dialects.devices import GPU, whole_gpus
from airflow_hpo.blueprint.dialects.foreign import to_yaml
from airflow_hpo.blueprint.dialects.valohai.tasks import ON_FAILURE, STARTUP, slug
from airflow_hpo.blueprint.dialects.valohai.write_command import commands_of
from airflow_hpo.blueprint.dialects.valohai.write_losses import say_rest
from airflow_hpo.blueprint.dialects.valohai.write_space import Column, searched_as
from airflow_hpo.blueprint.dialects.writing import Losses
from airflow_hpo.model.blueprint import Execution
from airflow_hpo.model.stop import ExpressionRule, PlateauRule

if TYPE_CHECKING:
    from airflow_hpo.blueprint.dialects.writing import Written
    from airflow_hpo.model.blueprint import Blueprint, TrialSpec
    from airflow_hpo.model.stop import StopRule

__all__ = ["write"]

# Strategies by what they are there: the type of a task, and the engine.
_TYPES: dict[str, dict[str, str]] = {
    "tpe": {"type": "bayesian_tpe"},
    "hyperopt_tpe": {"type": "bayesian_tpe", "engine": "hyperopt"},
    "random": {"type": "random_search"},
    "grid": {"type": "grid_search"},
    "manual": {"type": "manual_search"},
}

_IMAGE = "python:3.12"

_ON_CHILD_ERROR = {ours: theirs for theirs, ours in ON_FAILURE.items()}

_METRIC = re.compile(r"[^\W\d]\w*(?:[.-][^\W\d]\w*)*")


def write(blueprint: Blueprint) -> Written:
    """
    Return *blueprint* as a ``valohai.yaml``, and what that cannot say.
    """
    losses = Losses()
    columns = [Column(parameter, losses) for parameter in blueprint.space.parameters]
    items = [
        {"step": _step(blueprint, columns, losses)},
        {"task": _task(blueprint, columns, losses)},
        {"hpo": _note(blueprint, losses)},
    ]
    say_rest(blueprint, losses)
    return losses.written(to_yaml(items))


def _step(blueprint: Blueprint, columns: list[Column], losses: Losses) -> dict[str, Any]:
    trial, platform = blueprint.trial, blueprint.trial.platform
    options = {} if platform is None or platform.name != "valohai" else platform.options
    parameters = [column.declaration() for column in columns]
    for name, value in options.get("parameters", {}).items():
        flag = isinstance(value, bool)
        parameters.append(
            {"name": name, "type": "flag"} if flag else {"name": name, "default": value}
        )
    if blueprint.resource is not None:
        losses.say("resource", "trials have no resource; each is given all of it")
        amount = blueprint.resource.max
        whole = {"type": "integer", "default": int(amount)} if amount.is_integer() else {}
        usual = {"name": blueprint.resource.name, "type": "float", "default": amount}
        parameters.append({**usual, **whole})
    commands = commands_of(blueprint, losses)
    image = trial.runner.options.get("image")
    if not isinstance(image, str):
        image = _IMAGE
        losses.say("trial.runner", f"a step needs an image; {image} is written")
    found: dict[str, Any] = {
        "name": options.get("step") or blueprint.name,
        "image": image,
        "command": commands[0] if len(commands) == 1 else commands,
        "parameters": parameters,
        "inputs": [_input(spec) for spec in options.get("inputs", [])],
        "environment-variables": [
            {"name": name, "default": value} for name, value in trial.environment.items()
        ],
        "resources": _resources(trial, losses),
    }
    if trial.until is not None:
        found["stop-condition"] = trial.until
    if trial.timeout_s is not None:
        whole_s = float(trial.timeout_s).is_integer()
        text = f"{Decimal(repr(trial.timeout_s)):f}s"
        found["time-limit"] = int(trial.timeout_s) if whole_s else text
    return {name: value for name, value in found.items() if value not in ([], {})}


def _resources(trial: TrialSpec, losses: Losses) -> dict[str, Any]:
    gpus = whole_gpus(trial, losses)
    if gpus and not gives_gpus(trial.runner):
        losses.say("trial.gpus", f"the runner {trial.runner.name} gives none; none are written")
        gpus = 0
    return {"devices": {GPU: gpus}} if gpus else {}


def _input(spec: dict[str, Any]) -> dict[str, Any]:
    found = {"name": spec["name"], "default": list(spec.get("uris", []))}
    if not found["default"]:
        found = {"name": spec["name"], "optional": True}
    if spec.get("filename"):
        found["filename"] = spec["filename"]
    if spec.get("keep_directories", "none") != "none":
        found["keep-directories"] = spec["keep_directories"]
    return found


def _task(blueprint: Blueprint, columns: list[Column], losses: Losses) -> dict[str, Any]:
    objective, kind = blueprint.objectives[0], _kind(blueprint, columns, losses)
    platform = blueprint.trial.platform
    options = {} if platform is None or platform.name != "valohai" else platform.options
    name = blueprint.name if slug(blueprint.name) else "study"
    found: dict[str, Any] = {
        "name": name,
        "step": options.get("step") or blueprint.name,
        "description": blueprint.description or None,
        **kind,
        "optimization-target-metric": objective.metric,
        "optimization-target-value": objective.target,
        **_searched(blueprint, columns, losses, kind=kind["type"]),
        **_counts(blueprint, kind=kind["type"]),
        "on-child-error": _ON_CHILD_ERROR[blueprint.trial.on_failure],
        "stop-condition": _condition(blueprint.stop, losses),
        "reuse-children": blueprint.trial.reuse or None,
    }
    if slug(name) != blueprint.name:
        losses.say("name", f"a task's name becomes {slug(name)}")
    return {name: value for name, value in found.items() if value is not None}


def _kind(blueprint: Blueprint, columns: list[Column], losses: Losses) -> dict[str, str]:
    """
    Return the type of the task, and its engine.
    """
    name = blueprint.strategy.name
    if all(column.is_fixed for column in columns) and name != "manual":
        for path in ("strategy", "budget.trials", "execution"):
            losses.say(path, "where nothing is searched there is one execution")
        return {"type": "grid_search"}
    if _works_together(blueprint):
        return {"type": "distributed"}
    if name not in _TYPES:
        losses.say("strategy.name", f"{name} is none of theirs; Bayesian optimisation is written")
    found = _TYPES.get(name, _TYPES["tpe"])
    startup = blueprint.strategy.startup_trials
    if found["type"] == "bayesian_tpe" and startup != STARTUP:
        message = f"the first {STARTUP} executions are always random"
        losses.say("strategy.startup_trials", message)
    if found.get("engine") == "hyperopt" and blueprint.strategy.options.get("startup") != "number":
        message = "start-up goes by an execution's number, not by how many have finished"
        losses.say("strategy.options.startup", message)
    _say_options(blueprint, losses)
    return found


def _say_options(blueprint: Blueprint, losses: Losses) -> None:
    name = blueprint.strategy.name
    for option in blueprint.strategy.options:
        if (name, option) not in {("manual", "configurations"), ("hyperopt_tpe", "startup")}:
            losses.say(f"strategy.options.{option}", "there is no such option")


def _works_together(blueprint: Blueprint) -> bool:
    """
    Return whether all executions have one configuration, and wait for each other.
    """
    options, platform = blueprint.strategy.options, blueprint.trial.platform
    group = None if platform is None else platform.options.get("group")
    alone = len(options.get("configurations", ())) == 1
    return alone and group is not None and group == options.get("repeat", 1)


def _searched(
    blueprint: Blueprint, columns: list[Column], losses: Losses, *, kind: str
) -> dict[str, Any]:
    """
    Return what the task does with the step's parameters.
    """
    if kind == "manual_search":
        return {"parameter-sets": _sets(blueprint, columns, losses)}
    if kind == "distributed":
        row = _sets(blueprint, columns, losses)[0]
        return {
            "parameters": [
                {"name": name, "style": "single", "rules": {"value": value}}
                for name, value in row.items()
            ]
        }
    return {
        "parameters": [
            searched_as(column, losses, listed=kind == "grid_search")
            for column in columns
            if not column.is_fixed
        ]
    }


def _sets(blueprint: Blueprint, columns: list[Column], losses: Losses) -> list[dict[str, Any]]:
    """
    Return the configurations of a list, each with a value of everything that varies.
    """
    path, rows = "strategy.options.configurations", blueprint.strategy.options["configurations"]
    # A set that is empty is none; so one that never changes has a value all the same.
    varying = [column for column in columns if not column.is_fixed] or columns[:1]
    found = []
    for row in rows:
        full = {
            column.name: row.get(column.name, column.distribution.from_unit(0.5))
            for column in varying
        }
        if any(name not in row for name in full):
            losses.say(path, "every set has a value of each parameter; those missing are made up")
        found.append({column.name: column.value(full[column.name]) for column in varying})
    defaults = [column.name for column in columns if column.is_fixed and column.is_conditional]
    if any(name not in row for row in rows for name in defaults):
        losses.say(path, "a default holds in every set, also where there was no value")
    if any(column.is_odd for column in columns):
        losses.say(path, "values are written in the type that the step declares")
    if rows and not varying:
        losses.say("budget.trials", "where there are no parameters there is one execution")
    return found


def _counts(blueprint: Blueprint, *, kind: str) -> dict[str, Any]:
    execution = blueprint.execution
    usual = Execution()
    found: dict[str, Any] = {}
    if kind in {"random_search", "bayesian_tpe", "distributed"} or blueprint.budget.trials < _total(
        blueprint
    ):
        found["execution-count"] = blueprint.budget.trials
    batch = execution.batch_size
    if execution.mode != "batch":
        batch = execution.concurrency or batch
    batch = min(batch, blueprint.budget.trials)
    if kind != "bayesian_tpe" or batch != usual.batch_size:
        found["execution-batch-size"] = batch
    if execution.concurrency is not None:
        found["maximum-queued-executions"] = execution.concurrency
    return found


def _total(blueprint: Blueprint) -> int:
    """
    Return how many executions a list or a grid comes to.
    """
    if blueprint.strategy.name == "manual":
        return len(blueprint.strategy.options.get("configurations", []))
    total = 1
    for parameter in blueprint.space.parameters:
        total *= parameter.distribution.size() or 1
    return total


def _condition(rules: tuple[StopRule, ...], losses: Losses) -> str | None:
    """
    Return the expression that any of *rules* comes to.
    """
    found = [
        text
        for index, rule in enumerate(rules)
        if (text := _expression(rule, f"stop.{index}", losses)) is not None
    ]
    if len(found) > 1:
        losses.say("stop", "there is one condition; the rules are joined by or")
    return " or ".join(f"({text})" for text in found) if len(found) > 1 else next(iter(found), None)


def _expression(rule: StopRule, path: str, losses: Losses) -> str | None:
    if isinstance(rule, ExpressionRule):
        return rule.expression
    if isinstance(rule, PlateauRule):
        losses.say(path, "no condition can tell that a study does not improve; it is left out")
        return None
    if _METRIC.fullmatch(rule.metric) is None:
        losses.say(path, f"no condition can name the metric {rule.metric!r}; it is left out")
        return None
    losses.say(path, "it is written as a condition, which looks at the last value of each metric")
    if rule.at_least is not None:
        return f"{rule.metric} >= {rule.at_least}"
    if rule.at_most is not None:
        return f"{rule.metric} <= {rule.at_most}"
    return f"abs({rule.metric} - {rule.target}) <= {rule.tolerance}"


def _note(blueprint: Blueprint, losses: Losses) -> dict[str, Any]:
    """
    Return our own item: what is no loss where this package reads the file.
    """
    found: dict[str, Any] = {"task": blueprint.name}
    where = "it stands in the item hpo, which only this package reads"
    objective, runner = blueprint.objectives[0], blueprint.trial.runner
    if objective.direction is not None:
        found["direction"] = objective.direction
        losses.say("objective.direction", f"there are target values only; {where}")
    if blueprint.strategy.seed is not None:
        found["seed"] = blueprint.strategy.seed
        losses.say("strategy.seed", f"there is no seed; {where}")
    found["runner"] = {"name": runner.name, **runner.options} if runner.options else runner.name
    return found
