"""
PYTHON -> TRIAL: what a function or a TaskFlow task means for the tasks of trials.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.definitions.context import Context

from airflow_hpo.model.placement import RunnerSpec
from airflow_hpo.model.trial_spec import Retries
from airflow_hpo.operators.function import InnerTask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from airflow_hpo.model.blueprint import Blueprint

__all__ = ["Code", "code_of"]

# What a task is called whose function is called in its own process.
_HERE = frozenset({"@task", "@task.hpo_trial"})

# Options of a TaskFlow task that say nothing about a trial's.
_IDLE = frozenset({"task_id", "op_kwargs", "op_args", "multiple_outputs", "retries"})

_ANY = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@dataclass(frozen=True)
class Code:
    """
    A trial's code, with the options that its task was given.

    Args:
        function: Called in each trial.

        arguments: Those that are the same for all trials.

        inner: How it is called, if not in the trial's own process.

        placed: Options of the trial's task.

        retries: How often the task is tried again; `None` if that is not said.
    """

    function: Callable[..., Any]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    inner: InnerTask | None = None
    placed: Mapping[str, Any] = field(default_factory=dict)
    retries: int | None = None

    @property
    def name(self) -> str:
        """
        What a person calls it.
        """
        return getattr(self.function, "__qualname__", type(self.function).__qualname__)

    @property
    def stand_in(self) -> dict[str, Any]:
        """
        The key ``trial`` of a blueprint that leaves it to the code.
        """
        # Anything that can be ended, as the function can: `fit` takes its place.
        return {"command": "false"}

    def options(self, blueprint: Blueprint) -> dict[str, Any]:
        """
        Return the options of the tasks that run the trials of *blueprint*.
        """
        found: dict[str, Any] = {"python_callable": self.function}
        if self.arguments:
            found["op_kwargs"] = dict(self.arguments)
        if self.inner is not None:
            found["inner"] = self.inner
        if blueprint.trial.timeout_s is not None:  # nobody else could interrupt it
            found["execution_timeout"] = timedelta(seconds=blueprint.trial.timeout_s)
        return {**found, **self.placed}

    def fit(self, blueprint: Blueprint) -> Blueprint:
        """
        Return *blueprint* with this code as its trial.

        Raises:
            ValueError: If the function does not take the parameters; it says all.
        """
        if problems := list(_problems(self, blueprint)):
            raise ValueError(f"{self.name}, the trial of {blueprint.name}: {'; '.join(problems)}")
        called = RunnerSpec(name="inline", options={"callable": f"python:{_plain(self.name)}"})
        # One task, which asks of Airflow what the blueprint's own steps would.
        changes: dict[str, Any] = {"runner": called, "steps": (blueprint.trial.task,)}
        if self.retries is not None:
            changes["retries"] = Retries(infrastructure=self.retries, code=self.retries)
        return blueprint.model_copy(update={"trial": blueprint.trial.model_copy(update=changes)})


def code_of(trial: Any) -> Code:  # noqa: ANN401 - whatever somebody hands over
    """
    Return the code that *trial* stands for.

    Raises:
        TypeError: If it is neither a function nor a TaskFlow task.
    """
    if hasattr(trial, "operator_class") and hasattr(trial, "function"):
        return _of_task(trial)
    if isinstance(trial, BaseOperator) or not callable(trial):
        raise TypeError(
            f"trial must be a function or a TaskFlow task, got {type(trial).__name__}; an "
            "operator is what such a function may return"
        )
    return Code(trial)


def _of_task(task: Any) -> Code:  # noqa: ANN401 - Airflow's class is private
    of_all = set(inspect.signature(BaseOperator).parameters)
    given = {name: value for name, value in task.kwargs.items() if name not in _IDLE}
    placed = {name: value for name, value in given.items() if name in of_all}
    kind, inner = getattr(task.operator_class, "custom_operator_name", ""), None
    if kind not in _HERE:
        own = {name: value for name, value in given.items() if name not in of_all}
        inner = InnerTask(task.operator_class, own)
    arguments = task.kwargs.get("op_kwargs") or {}
    return Code(task.function, arguments, inner, placed, task.kwargs.get("retries"))


def _problems(code: Code, blueprint: Blueprint) -> Iterator[str]:
    """
    Yield why the function cannot be called with the configurations of a blueprint.
    """
    parameters = inspect.signature(code.function).parameters
    if list(parameters) == ["configuration"]:
        return
    known = set(blueprint.space.by_name)
    if blueprint.resource is not None:
        known.add(blueprint.resource.name)
    takes_all = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    for name in sorted(() if takes_all else known - set(parameters)):
        yield f"it must take the parameter {name}"
    for name in sorted(known & set(code.arguments)):
        yield f"{name} must not be given, as the search gives it"
    sometimes = {name for name, each in blueprint.space.by_name.items() if each.when}
    given = known | set(code.arguments) | set(Context.__annotations__)
    for name in _required(parameters):
        if name not in given:
            yield f"{name} must have a default or a value, as in partial({name}=...)"
        elif name in sometimes:
            yield f"{name} must have a default, as it is not always active"


def _required(parameters: Mapping[str, inspect.Parameter]) -> Iterator[str]:
    for name, each in parameters.items():
        if each.kind not in _ANY and each.default is each.empty:
            yield name


def _plain(name: str) -> str:
    return "".join(each for each in name if each.isalnum() or each in "_.") or "function"
