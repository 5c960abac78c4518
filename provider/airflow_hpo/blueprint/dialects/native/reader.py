"""
From the keys of a native blueprint to the parts of the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.checks import Draft
from airflow_hpo.blueprint.dialects.base import build
from airflow_hpo.blueprint.dialects.native.callback_keys import read_callbacks
from airflow_hpo.blueprint.dialects.native.dag_keys import read_dag
from airflow_hpo.blueprint.dialects.native.warm_start_keys import read_warm_start
from airflow_hpo.blueprint.shapes import BROKEN
from airflow_hpo.model.blueprint import (
    TASK_OPTIONS,
    Execution,
    MetricsSpec,
    Placement,
    PlatformSpec,
    PrunerSpec,
    Resource,
    Retries,
    RunnerSpec,
    Step,
    StrategySpec,
    TrialSpec,
)
from airflow_hpo.model.distribution import (
    Categorical,
    Constant,
    Distribution,
    Float,
    Int,
    LogNormal,
    Normal,
)
from airflow_hpo.model.objective import Objective
from airflow_hpo.model.signs import FailureSpec
from airflow_hpo.model.space import Parameter
from airflow_hpo.model.stop import Budget, ExpressionRule, MetricRule, PlateauRule, StopRule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.blueprint.problems import Problems
    from airflow_hpo.model.values import Value

__all__ = ["read_draft"]


def read_draft(found: Mapping[str, Any], data: Mapping[str, Value], problems: Problems) -> Draft:
    """
    Return the parts of one blueprint.

    Args:
        found: The valid entries, as the keys' shapes read them.

        data: The whole document, to tell what was refused from what is absent.

        problems: Gets what the model refuses.
    """
    draft = Draft(
        name=found.get("name"),
        description=found.get("description", ""),
        study=found.get("study"),
        objectives=_objectives(found, data, problems),
        constraints=_whole(found.get("constraints")),
        outcome_constraints=_whole(found.get("outcome_constraints")),
        points=_whole(found.get("points")),
        warm_start=read_warm_start(found.get("warm_start"), problems),
        stop=_stop(found, problems),
        trial=_trial(found, data, problems),
    )
    _read_space(draft, found, data, problems)
    draft.budget = _budget(found, problems)
    draft.strategy = _strategy(found, problems)
    draft.execution = build(Execution, found.get("execution", {}), ("execution",), problems)
    draft.dag = read_dag(found.get("dag", {}), problems)
    if "resource" in found:
        draft.resource = _resource(found["resource"], problems)
    draft.callbacks = read_callbacks(found.get("callbacks", {}))
    if "pruner" in found:
        draft.pruner = build(
            PrunerSpec, _with_options(found["pruner"], "name"), ("pruner",), problems
        )
    return draft


def _resource(keys: Mapping[str, Any], problems: Problems) -> Resource | None:
    rungs: list[Placement] = []
    for index, item in _whole(keys.get("rungs")).items():
        values = dict(item)
        if "runner" in values:
            values["runner"] = RunnerSpec(**_with_options(values["runner"], "name"))
        rung = build(Placement, values, ("resource", "rungs", index), problems)
        rungs += [] if rung is None else [rung]
    return build(Resource, {**keys, "rungs": tuple(rungs)}, ("resource",), problems)


def _whole(items: list[Any] | None) -> dict[int, Any]:
    """
    Return the items that were not refused, by their index.
    """
    return {index: item for index, item in enumerate(items or ()) if item is not BROKEN}


def _objectives(
    found: Mapping[str, Any], data: Mapping[str, Value], problems: Problems
) -> tuple[Objective, ...]:
    items: list[Objective] = []
    for index, item in _whole(found.get("objective")).items():
        path: Path = ("objective", index) if isinstance(data["objective"], list) else ("objective",)
        if problems.touches(path):
            continue
        hint = None if {"direction", "target"} & item.keys() else _DIRECTION
        objective = build(Objective, item, path, problems, hint=hint)
        if objective is not None:
            items.append(objective)
    return tuple(items)


_DIRECTION = "write direction: minimize, or direction: maximize"


def _read_space(
    draft: Draft, found: Mapping[str, Any], data: Mapping[str, Value], problems: Problems
) -> None:
    given = data.get("space")
    draft.broken = set(given) if isinstance(given, dict) else set()
    for name, (kind, keys) in found.get("space", {}).items():
        path = ("space", name)
        distribution = _distribution(kind, keys, path, problems)
        if distribution is None:
            continue
        values = {"name": name, "distribution": distribution, "when": keys.get("when", {})}
        values["default"] = (keys["default"],) if "default" in keys else ()
        parameter = build(Parameter, values, path, problems)
        if parameter is not None:
            draft.parameters[name] = parameter
            draft.broken.discard(name)


_GAUSSIAN: Mapping[str, type[Normal | LogNormal]] = {"normal": Normal, "lognormal": LogNormal}
_UNIFORM: Mapping[str, type[Float | Int]] = {"float": Float, "int": Int}


def _distribution(
    kind: str, keys: Mapping[str, Any], path: Path, problems: Problems
) -> Distribution | None:
    values = {name: value for name, value in keys.items() if name not in {kind, "when", "default"}}
    if kind == "constant":
        return build(Constant, {"value": keys["constant"]}, path, problems)
    if kind == "choice":
        values["choices"] = keys["choice"]
        return build(Categorical, values, path, problems)
    if kind in _GAUSSIAN:
        values["mean"], values["deviation"] = keys[kind]
        return build(_GAUSSIAN[kind], values, (*path, kind), problems)
    values["low"], values["high"] = keys[kind]
    hint = _bounds_hint(*keys[kind], log=values.get("log", False))
    return build(_UNIFORM[kind], values, (*path, kind), problems, hint=hint)


# Exponents of ten that a learning rate or the like may have.
_EXPONENTS = range(-12, 13)


def _bounds_hint(low: float, high: float, *, log: bool) -> str | None:
    """
    Return what bounds that are refused were probably meant to be.
    """
    if low > high and (high > 0 or not log):
        return f"write [{_plain(high)}, {_plain(low)}]"
    if log and low < 0 and low in _EXPONENTS and high in _EXPONENTS:
        return f"bounds are values, not exponents: [1.0e{low:+.0f}, 1.0e{high:+.0f}]"
    return None


def _plain(number: float) -> str:
    return repr(number).removesuffix(".0")


def _budget(found: Mapping[str, Any], problems: Problems) -> Budget | None:
    if "budget" not in found:
        return None
    values = {_BUDGET_FIELDS.get(name, name): value for name, value in found["budget"].items()}
    if isinstance(values.get("failures"), float):
        values["failure_share"] = values.pop("failures")
    return build(Budget, values, ("budget",), problems)


_BUDGET_FIELDS = {"wall_clock": "wall_clock_s", "trial_time": "trial_time_s"}


def _strategy(found: Mapping[str, Any], problems: Problems) -> StrategySpec | None:
    values = found.get("strategy", {})
    if isinstance(values, str):
        problems.relocate({("strategy", "name"): ("strategy",)})
        values = {"name": values}
    return build(StrategySpec, values, ("strategy",), problems)


def _stop(found: Mapping[str, Any], problems: Problems) -> dict[int, StopRule]:
    rules: dict[int, StopRule] = {}
    for index, item in _whole(found.get("stop")).items():
        path = ("stop", index)
        rule: StopRule | None
        if isinstance(item, str):
            rule = build(ExpressionRule, {"expression": item}, path, problems)
        elif "plateau" in item:
            values = {"trials" if name == "plateau" else name: item[name] for name in item}
            rule = build(PlateauRule, values, path, problems)
        else:
            rule = build(MetricRule, item, path, problems)
        if rule is not None:
            rules[index] = rule
    return rules


def _with_options(item: str | Mapping[str, Any], key: str) -> dict[str, Any]:
    """
    Return name and options of what is chosen by name.
    """
    if isinstance(item, str):
        return {key: item}
    own = {name: value for name, value in item.items() if name not in {key, "options"}}
    named = {key: item[key]} if key in item else {}
    return {**named, "options": {**own, **item.get("options", {})}}


_STEP_FIELDS = ("template", "gpus", *TASK_OPTIONS)
_TRIAL_FIELDS = ("environment", "workdir", "on_failure", "until", "reuse", "deferrable")
_TIMES = {"timeout": "timeout_s", "grace": "grace_s"}


def _trial(
    found: Mapping[str, Any], data: Mapping[str, Value], problems: Problems
) -> TrialSpec | None:
    if "trial" not in found:
        return None
    keys = found["trial"]
    steps = _steps(keys, data["trial"], problems)
    if not steps:
        return None
    values: dict[str, Any] = {name: keys[name] for name in _TRIAL_FIELDS if name in keys}
    values |= {field: keys[name] for name, field in _TIMES.items() if name in keys}
    path = ("trial",)
    if "runner" in keys:
        values["runner"] = RunnerSpec(**_with_options(keys["runner"], "name"))
    if "platform" in keys:
        values["platform"] = PlatformSpec(**_with_options(keys["platform"], "name"))
    if "metrics" in keys:
        values["metrics"] = MetricsSpec(**_with_options(keys["metrics"], "format"))
    if "retries" in keys:
        values["retries"] = build(Retries, keys["retries"], (*path, "retries"), problems)
    if "failures" in keys:
        given = {name: _signs(item) for name, item in keys["failures"].items()}
        spec = build(FailureSpec, given, (*path, "failures"), problems)
        values |= {} if spec is None else {"failures": spec}
    return build(TrialSpec, {**values, "steps": tuple(steps)}, path, problems)


def _signs(item: Any) -> Any:  # noqa: ANN401 - a mapping of lists, or a word
    if not isinstance(item, dict):
        return item
    return {name: tuple(_whole(listed).values()) for name, listed in item.items()}


def _steps(keys: Mapping[str, Any], given: Value, problems: Problems) -> list[Step]:
    """
    Return the steps: those that are listed, or the one beside ``command``.
    """
    if "steps" not in given:
        one = {name: keys[name] for name in ("command", *_STEP_FIELDS) if name in keys}
        problems.relocate({("trial", "steps", 0): ("trial",)})
        if "command" in given and "command" not in keys:
            return []  # it was refused
        return [Step(**one)]
    for name in ("command", *_STEP_FIELDS):
        if name in given:
            message = "must stand in a step where there are steps"
            problems.error(("trial", name), message, at_key=True)
    steps = []
    for index, item in _whole(keys.get("steps")).items():
        values = dict(item)
        if "runner" in values:
            values["runner"] = RunnerSpec(**_with_options(values["runner"], "name"))
        step = build(Step, values, ("trial", "steps", index), problems)
        if step is not None:
            steps.append(step)
    return steps
