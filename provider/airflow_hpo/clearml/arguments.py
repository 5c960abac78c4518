"""
From the arguments of a ``HyperParameterOptimizer`` to a blueprint.

They become a file of the dialect ClearML, so that both mean the same.
"""

from __future__ import annotations

import inspect
import json
import math
import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint import parse_blueprints
from airflow_hpo.clearml.base_tasks import BaseTask, find_task
from airflow_hpo.clearml.optimizers import SearchStrategy
from airflow_hpo.clearml.parameters import Parameter, RandomSeed
from airflow_hpo.clearml.tasks import Task
from airflow_hpo.errors import BlueprintError, Problem
from airflow_hpo.model.registry import did_you_mean

if TYPE_CHECKING:
    from airflow_hpo.model.blueprint import Blueprint
    from airflow_hpo.model.values import Value

__all__ = ["make_blueprint"]

_OWN = "airflow_hpo"
_KWARGS = "optimizer_kwargs"
_OPTUNA = ("optuna_sampler", "optuna_pruner")

# What ClearML takes where nothing is said; not worth a warning of no effect.
_USUAL: Mapping[str, Any] = {
    "execution_queue": "default",
    "auto_connect_task": True,
    "always_create_task": False,
    "save_top_k_tasks_only": 0,
}


def make_blueprint(
    arguments: Mapping[str, Any],
    optimizer_kwargs: Mapping[str, Any],
    own: Mapping[str, Any],
    *,
    place: tuple[str, int],
) -> tuple[Blueprint, list[Problem]]:
    """
    Return the blueprint that the arguments come to, and what to be warned of.

    Args:
        arguments: By name; `None` and ClearML's defaults are left out.

        optimizer_kwargs: What is passed on to the optimizer.

        own: What the section ``airflow_hpo`` of a file would have.

        place: File and line of the call, for messages.

    Raises:
        BlueprintError: With everything that is wrong, by argument.
    """
    noted: list[Problem] = []
    data = {
        name: _plain(name, value)
        for name, value in arguments.items()
        if value is not None and _USUAL.get(name, ...) != value
    }
    data[_KWARGS] = {
        name: _of_optuna(name, value) if name in _OPTUNA else _plain(name, value)
        for name, value in optimizer_kwargs.items()
        if value is not None
    }
    data[_OWN] = {name: _plain(name, value) for name, value in own.items()}
    # What a logger prints beside each scalar says how far a trial is.
    data[_OWN].setdefault("metrics", {"format": "json_lines", "resource": "iteration"})
    if "optimizer_class" in arguments:
        data["optimizer_class"] = _class_name(arguments["optimizer_class"])
    if RandomSeed.get_random_seed() is not None:
        data[_OWN].setdefault("seed", RandomSeed.get_random_seed())
    _fill_in_task(data, arguments.get("base_task_id"), noted)
    try:
        (blueprint,) = parse_blueprints(json.dumps(data), problems=noted)
    except BlueprintError as error:
        raise BlueprintError(_moved(error.problems, place)) from None
    return blueprint, _moved(noted, place)


def _moved(problems: Sequence[Problem], place: tuple[str, int]) -> list[Problem]:
    """
    Return *problems* at the line of the call, by the arguments' names.
    """
    file, line = place
    return [
        replace(
            problem,
            path=problem.path.removeprefix(f"{_KWARGS}."),
            file=file,
            line=line,
            column=1,
        )
        for problem in problems
    ]


def _plain(name: str, value: Any) -> Value:  # noqa: ANN401 - whatever a script passes
    """
    Return *value* as JSON has it.
    """
    if isinstance(value, Parameter):
        value = value.to_dict()
    if isinstance(value, Mapping):
        return {str(key): _plain(name, item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset, range)):
        return [_plain(name, item) for item in value]
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    return _scalar(name, value)


def _scalar(name: str, value: Any) -> Value:  # noqa: ANN401 - whatever a script passes
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "item"):  # a number of NumPy's
        return value.item()
    if name in {"base_task_id", "optimizer_class", "auto_connect_task"}:
        return str(value)
    raise ValueError(f"{name} must hold numbers, text, lists and mappings only, got {value!r}")


def _class_name(given: object) -> str:
    """
    Return what a file would call the optimizer's class.
    """
    if isinstance(given, str):
        return given
    if isinstance(given, type) and issubclass(given, SearchStrategy):
        return given.__name__
    if isinstance(given, type) and hasattr(given, "options_class"):
        return f"{given.__module__}:{given.__qualname__}"
    raise ValueError(
        "optimizer_class must be RandomSearch, GridSearch, OptimizerOptuna, OptimizerBOHB, "
        f"or the class of a strategy, got {given!r}"
    )


def _of_optuna(name: str, given: object) -> Value:
    """
    Return a sampler or pruner of Optuna's by name, with the settings that it keeps.

    A sampler does not keep its seed.
    """
    if isinstance(given, (str, Mapping)):
        return _plain(name, given)
    if isinstance(given, type):
        return given.__name__
    kept = vars(given)
    known = inspect.signature(type(given)).parameters.values()
    settings = {
        item.name: kept[f"_{item.name}"]
        for item in known
        if not item.name.startswith("warn_")
        and f"_{item.name}" in kept
        and _is_setting(kept[f"_{item.name}"], item.default)
    }
    return {"name": type(given).__name__, **settings}


def _is_setting(value: object, usual: object) -> bool:
    if isinstance(value, float) and not math.isfinite(value):
        return False
    return isinstance(value, (str, bool, int, float)) and value != usual


def _fill_in_task(data: dict[str, Any], given: object, noted: list[Problem]) -> None:
    """
    Put the command of the base task in its place.
    """
    own = data[_OWN]
    text = data.get("base_task_id", "")
    record = find_task(given.id if isinstance(given, Task) else text) if text else None
    own.setdefault("workdir", record.workdir if record else str(Path.cwd()))
    if "command" in own or not text:
        return
    if record is not None:
        data.setdefault("task_name", record.name)
        own["command"] = _command_of(record, data, noted)
        data["base_task_id"] = record.id
    elif Path(text).suffix == ".py" and " " not in text:
        data.setdefault("task_name", Path(text).stem)
        if not Path(own["workdir"], text).is_file():
            raise ValueError(f"base_task_id must be a script that exists, got {text!r}")
        own["command"] = f"{_escaped(shlex.join([sys.executable, text]))} {{parameters}}"
    elif not any(character in text for character in " {") and Path(text).suffix != ".sh":
        Task.get_task(task_id=text)  # raises with what there is


def _escaped(command: str) -> str:
    return command.replace("{", "{{").replace("}", "}}")


def _command_of(record: BaseTask, data: Mapping[str, Any], noted: list[Problem]) -> str:
    """
    Return the command of a recorded task.

    What it connected it reads by itself; the rest is passed as ``--name=value``.
    """
    if not record.command:
        raise ValueError(f"base_task_id must be a task that was started, got {record.name!r}")
    command = _escaped(shlex.join(record.command))
    if not record.parameters:
        return f"{command} {{parameters}}"
    connected = set(record.parameters)
    bare = {name.partition("/")[2] for name in connected}
    words = [f': "$HPO_PARAMS_FILE"\n{command}']
    for name in dict.fromkeys(_names(data.get("hyper_parameters", []))):
        if name not in connected and name not in bare:
            hint = did_you_mean(name, [*connected, *bare])
            message = f"is no parameter that {record.name!r} connects: passed as an option"
            noted.append(Problem(name, message, hint, severity="warning"))
            words.append(f"{{{name}:--{name.rpartition('/')[2]}=}}")
    return " ".join(words)


def _names(items: Value) -> Iterator[str]:
    """
    Yield what the training code calls the parameters, those of combinations too.
    """
    for item in items if isinstance(items, list) else ():
        if not isinstance(item, dict):
            continue
        if isinstance(item.get("name"), str):
            yield item["name"]
        if item.get("type") == "ParameterSet":
            for combination in item.get("values") or ():
                for name, value in combination.items():
                    is_parameter = isinstance(value, dict) and "type" in value
                    yield from _names([{"name": name, **value}]) if is_parameter else [name]
