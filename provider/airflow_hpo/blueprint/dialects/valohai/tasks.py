"""
From a task and its step to the parts of the model.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.checks import Draft
from airflow_hpo.blueprint.dialects.base import build
from airflow_hpo.blueprint.dialects.valohai.axes import add_defaults, read_axes, read_sets
from airflow_hpo.blueprint.dialects.valohai.steps import (
    declared_of,
    say_unsupported,
    trial_of,
)
from airflow_hpo.blueprint.problems import show
from airflow_hpo.model.blueprint import DagSpec, Execution, StrategySpec
from airflow_hpo.model.distribution import Constant
from airflow_hpo.model.objective import Objective
from airflow_hpo.model.stop import Budget, ExpressionRule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_hpo.blueprint.dialects.valohai.axes import Axes
    from airflow_hpo.blueprint.dialects.valohai.declared import Declared
    from airflow_hpo.blueprint.dialects.valohai.items import Item
    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.blueprint.problems import Problems
    from airflow_hpo.model.values import Value

__all__ = ["ON_FAILURE", "STARTUP", "check_slugs", "read_task", "slug"]

_BAYESIAN = "bayesian_tpe"
_ENGINES = {"optuna": "tpe", "hyperopt": "hyperopt_tpe"}

STARTUP = 20
"""So many first executions are random, by their number."""

# What the form of a new Bayesian task is filled in with.
_COUNT, _BATCH = 50, 5

# One round is one mapped task, which Airflow does not let grow any larger.
_ROUND = 1000

ON_FAILURE = {
    "continue-and-complete": "continue",
    "continue-and-error": "continue_then_fail",
    "stop-all-and-error": "stop",
}

_TOGETHER = "distributed"
_LISTED = ("manual_search", _TOGETHER)


def slug(name: str) -> str:
    """
    Return *name* as a study and a DAG may be called.

    Example:
        >>> slug("Task 1: learning rate")
        'task-1-learning-rate'
    """
    return re.sub(r"[^\w.]+", "-", name.lower()).strip("-")[:200]


@dataclass
class _Reading:
    """
    What is at hand while one task is read.
    """

    task: Item
    step: Item
    note: Item | None
    problems: Problems

    @property
    def type(self) -> str:
        return str(self.task.keys.get("type", "grid_search"))

    def noted(self, key: str) -> Any:  # noqa: ANN401 - whatever the key may be given
        return None if self.note is None else self.note.keys.get(key)


def read_task(task: Item, step: Item, note: Item | None, problems: Problems) -> Draft | None:
    """
    Return what *task* says, or `None` where its type cannot be had.
    """
    at = _Reading(task, step, note, problems)
    say_unsupported(step, problems, has_runner=at.noted("runner") is not None)
    _warn_of_keys(at)
    declared, known = declared_of(step, problems)
    listed = at.type in {"grid_search", *_LISTED}
    axes = read_axes(task, declared, problems, listed=listed, known=known)
    configurations = _configurations(at, declared, axes, known=known)
    add_defaults(axes, task, declared, problems)
    draft = Draft(
        name=slug(task.name), description=task.keys.get("description", "").strip(), dag=DagSpec()
    )
    draft.placeholder = "{{parameter:{name}}}"
    draft.parameters = axes.parameters(declared, problems)
    draft.broken = axes.broken
    _relocate(at, axes)
    draft.objectives = _objectives(at)
    _plan(at, draft, axes, configurations)
    # Where one is missing, the others of a group would wait for ever.
    usual = "stop-all-and-error" if at.type == _TOGETHER else "continue-and-error"
    on_failure = ON_FAILURE[task.keys.get("on-child-error", usual)]
    if "stop-condition" in task.keys:
        path, values = (*task.path, "stop-condition"), {"expression": task.keys["stop-condition"]}
        rule = build(ExpressionRule, values, path, problems)
        draft.stop = {} if rule is None else {0: rule}
    fillings = axes.fillings(declared)
    draft.trial = trial_of(step, fillings, note=note, on_failure=on_failure, problems=problems)
    _finish(at, draft)
    return draft


def _finish(at: _Reading, draft: Draft) -> None:
    """
    Fill in what a task says of its executions.
    """
    trial, count = draft.trial, at.task.keys.get("execution-count")
    if trial is None:
        return
    if at.task.keys.get("reuse-children"):
        trial = trial.model_copy(update={"reuse": True})
    if at.type == _TOGETHER and count and trial.platform is not None:
        options = {**trial.platform.options, "group": count}
        platform = trial.platform.model_copy(update={"options": options})
        trial = trial.model_copy(update={"platform": platform})
    draft.trial = trial


def _warn_of_keys(at: _Reading) -> None:
    keys, path = at.task.keys, at.task.path
    if "parameters" not in at.task.given and "parameter-sets" not in at.task.given:
        message = "parameters or parameter-sets must be given"
        at.problems.error(path, message, at_key=True)
    if keys.get("parameter-sets") and at.type != "manual_search":
        message = "only makes sense with manual search and has no effect"
        at.problems.warn((*path, "parameter-sets"), message, at_key=True)
    if at.type != _BAYESIAN and "engine" in keys:
        message = "only makes sense for Bayesian TPE tasks and has no effect"
        at.problems.warn((*path, "engine"), message, at_key=True)


def _configurations(
    at: _Reading, declared: Mapping[str, Declared], axes: Axes, *, known: bool
) -> list[dict[str, Value]] | None:
    """
    Return what a manual search tries; `None` for other types and where that is wrong.
    """
    if at.type == _TOGETHER:
        return _together(at, axes)
    if at.type != "manual_search":
        return None
    if at.task.keys.get("parameter-sets"):
        return read_sets(at.task, declared, axes, at.problems, known=known)
    rows = max((len(values) for values in axes.values.values()), default=1)
    for name, values in axes.values.items():
        if len(values) not in {1, rows}:
            message = f"must have one value, or as many as the others, {rows}"
            at.problems.error(axes.places[name], f"{message}, got {len(values)}")
            return None
    columns = {
        name: values * rows if len(values) == 1 else values for name, values in axes.values.items()
    }
    return [{name: column[row] for name, column in columns.items()} for row in range(rows)]


def _together(at: _Reading, axes: Axes) -> list[dict[str, Value]] | None:
    """
    Return the one configuration of executions that work together.
    """
    several = [name for name, values in axes.values.items() if len(values) > 1]
    for name in several:
        message = "must have one value where executions work together"
        at.problems.error(axes.places[name], f"{message}, got {len(axes.values[name])}")
    return None if several else [{name: values[0] for name, values in axes.values.items()}]


def _objectives(at: _Reading) -> tuple[Objective, ...]:
    keys, path = at.task.keys, at.task.path
    metric = at.noted("metric") or keys.get("optimization-target-metric")
    direction, target = at.noted("direction"), keys.get("optimization-target-value")
    names = ("optimization-target-metric", "optimization-target-value")
    if any(at.problems.touches((*path, name)) for name in names):
        return ()
    hint = f"or a top-level item - hpo: {{task: {at.task.name}, metric: loss, direction: minimize}}"
    if metric is None:
        what = "" if at.type == _BAYESIAN else ", so that executions can be compared"
        message = f"optimization-target-metric must be given{what}"
        at.problems.error(path, message, hint=f"write it, {hint}", at_key=True)
        return ()
    if direction is None and target is None:
        message = "optimization-target-value must be given: the value to come close to"
        at.problems.error(path, message, hint=f"write it, {hint}", at_key=True)
        return ()
    if direction is not None and target is not None:
        message = f"has no effect beside direction: {direction}"
        at.problems.warn((*path, "optimization-target-value"), message, at_key=True)
        target = None
    values = {"metric": metric, "direction": direction, "target": target}
    found = build(Objective, values, path, at.problems)
    return () if found is None else (found,)


def _plan(
    at: _Reading, draft: Draft, axes: Axes, configurations: list[dict[str, Value]] | None
) -> None:
    """
    Fill in strategy, budget and execution.
    """
    name, options = _strategy(at, axes)
    if at.type in _LISTED:
        options = {"configurations": configurations or [{}], **options}
    values: dict[str, Any] = {"name": name, "options": options, "seed": at.noted("seed")}
    if at.type == _BAYESIAN:
        values["startup_trials"] = STARTUP
    draft.strategy = build(StrategySpec, values, at.task.path, at.problems)
    if at.type in _LISTED and configurations is None:
        draft.strategy = None  # what is wrong is noted
    count = _count(at, axes, configurations)
    if count is None:
        return
    draft.budget = build(Budget, {"trials": count}, at.task.path, at.problems)
    draft.execution = _execution(at, count)


def _strategy(at: _Reading, axes: Axes) -> tuple[str, dict[str, Any]]:
    if at.type == _BAYESIAN:
        # Random by their number, whatever became of the executions before.
        name = _ENGINES[at.task.keys.get("engine", "optuna")]
        return name, {"startup": "number"} if name == "hyperopt_tpe" else {}
    if at.type == "random_search":
        return "random", {}
    varies = any(not isinstance(found, Constant) for found in axes.distributions.values())
    if at.type == "grid_search" and not (varies or axes.broken):
        return "manual", {"configurations": [{}]}  # a grid of one
    if at.type == _TOGETHER:
        return "manual", {"repeat": at.task.keys.get("execution-count", 1)}
    return {"grid_search": "grid", "manual_search": "manual"}[at.type], {}


def _count(at: _Reading, axes: Axes, configurations: list[dict[str, Value]] | None) -> int | None:
    """
    Return how many executions there are.
    """
    given = at.task.keys.get("execution-count")
    if at.type == _BAYESIAN:
        return given or _COUNT
    if at.type == "random_search":
        return given or _random_count(at)
    if at.type == _TOGETHER:
        _need_count(at, hint="write execution-count: 3")
        return given
    if at.type == "manual_search":
        total = len(configurations or [{}])
    else:
        total = math.prod(len(values) for values in axes.values.values())
    if given is not None and given < total:
        at.problems.warn(
            (*at.task.path, "execution-count"),
            f"only the first {given} of {total} executions are run",
        )
        return int(given)
    if given is not None:
        message = f"has no effect: there are {total} executions"
        at.problems.warn((*at.task.path, "execution-count"), message, at_key=True)
    return total


def _random_count(at: _Reading) -> int | None:
    counts = [
        keys["rules"]["count"]
        for keys in at.task.keys.get("parameters", [])
        if keys and keys["style"] == "random" and "count" in keys["rules"]
    ]
    if not counts:
        _need_count(at, hint="write execution-count: 20")
    return max(counts, default=None)


def _need_count(at: _Reading, *, hint: str) -> None:
    path = (*at.task.path, "execution-count")
    if "execution-count" not in at.task.keys and not at.problems.touches(path):
        message = f"execution-count must be given for {at.type.replace('_', ' ')}"
        at.problems.error(at.task.path, message, hint=hint, at_key=True)


def _execution(at: _Reading, count: int) -> Execution | None:
    keys = at.task.keys
    queued = keys.get("maximum-queued-executions")
    if at.type == _TOGETHER:
        return _all_at_once(at, count)
    usual = _ROUND
    if at.type == _BAYESIAN:
        usual = _BATCH
    elif "stop-condition" in keys or keys.get("on-child-error") == "stop-all-and-error":
        # What ends a study is looked at after each round: one of all would be too late.
        usual = queued or _BATCH
    batch = min(keys.get("execution-batch-size", usual), count)
    values = {"batch_size": batch}
    if queued is not None:
        values["concurrency"] = min(queued, batch)
    return build(Execution, values, at.task.path, at.problems)


def _all_at_once(at: _Reading, count: int) -> Execution | None:
    """
    Return how executions run that wait for each other.
    """
    for name in ("maximum-queued-executions", "execution-batch-size"):
        given = at.task.keys.get(name)
        if given is not None and given < count:
            message = f"must be at least execution-count, {count}, where they wait for each other"
            at.problems.error((*at.task.path, name), f"{message}, got {given}")
    values = {"batch_size": count, "concurrency": count}
    return build(Execution, values, at.task.path, at.problems)


def _relocate(at: _Reading, axes: Axes) -> None:
    """
    Say where this file has what the checks name by the native dialect's keys.
    """
    task, step = at.task, at.step
    runner: Path = step.place("command")
    if at.note is not None:
        runner = at.note.place("runner")
    at.problems.relocate(
        {
            ("name",): (*task.path, "name"),
            ("objective",): task.place("optimization-target-metric"),
            ("space",): task.place("parameters"),
            **{("space", name): place for name, place in axes.places.items()},
            ("strategy",): task.place("type"),
            ("strategy", "name"): task.place("engine" if "engine" in task.given else "type"),
            ("strategy", "options"): task.place("parameters"),
            ("strategy", "options", "configurations"): task.place("parameter-sets"),
            ("strategy", "startup_trials"): task.place("execution-count"),
            ("budget",): _count_place(task),
            ("budget", "trials"): _count_place(task),
            ("execution",): task.place("execution-batch-size"),
            ("stop",): task.place("stop-condition"),
            ("stop", 0): task.place("stop-condition"),
            ("trial",): step.path,
            ("trial", "until"): step.place("stop-condition"),
            ("trial", "platform"): step.place("inputs"),
            ("trial", "runner"): runner,
            ("trial", "runner", "name"): runner,
            ("trial", "steps", 0): step.path,
            ("dag",): task.path,
        }
    )


def _count_place(task: Item) -> Path:
    """
    Return where *task* says how many executions there are.
    """
    names = ("execution-count", "parameter-sets", "parameters")
    return task.place(next((name for name in names if name in task.given), names[0]))


def check_slugs(names: Mapping[str, str], task: Item, problems: Problems) -> None:
    """
    Note that *task* would be called like an earlier one, or like nothing.
    """
    found = slug(task.name)
    path = (*task.path, "name")
    if not found:
        rule = "must have a letter or a digit, to call a DAG by"
        problems.error(path, f"{rule}, got {show(task.name)}")
    elif found in names:
        message = f"must not become the same name as {show(names[found])}, {found}"
        problems.error(path, f"{message}, got {show(task.name)}")
