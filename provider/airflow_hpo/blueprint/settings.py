"""
BLUEPRINT + WHAT A PERSON CHOSE -> BLUEPRINT: the settings of one run.

Everything that is wrong is told at once, by the names of the form's fields.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from airflow_hpo.blueprint.bounds import rebound
from airflow_hpo.errors import StudyError
from airflow_hpo.model.blueprint import Blueprint
from airflow_hpo.model.explain import flaws
from airflow_hpo.model.registry import did_you_mean
from airflow_hpo.model.space import Parameter, Space
from airflow_hpo.model.stop import MetricRule, StopRule, to_number
from airflow_hpo.model.strategy import StrategySpec
from airflow_hpo.model.values import Value
from airflow_hpo.model.warm_start import WarmStart, WarmStartSource
from airflow_hpo.strategies import STRATEGIES, setting_for
from airflow_hpo.strategies.points import points_problems
from airflow_hpo.strategies.support import lacks, strategy_problems, unsupported

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "SPACE",
    "Settings",
    "apply_settings",
    "read_settings",
    "target_of",
]

SPACE = "space."
"""What the names of fields begin with that hold the bounds of a parameter."""


@dataclass(frozen=True, slots=True)
class Settings:
    """
    What a person chose for one run; `None` keeps what the blueprint says.

    Args:
        trials: The budget.

        batch_size: Trials suggested together.

        seed: Of the whole study.

        strategy: The name of another one, which has its usual options.

        target: The objective's value that ends the study.

        warm_start: The study whose trials are taken first.

        space: New bounds by the parameter's name, in the form of `rebound`.
    """

    trials: int | None = None
    batch_size: int | None = None
    seed: int | None = None
    strategy: str | None = None
    target: float | None = None
    warm_start: str | None = None
    space: Mapping[str, Value] = field(default_factory=dict)


# Whole numbers and their least and greatest values.
_NUMBERS = {"trials": (1, 10**9), "batch_size": (1, 10**9), "seed": (0, 2**63 - 1)}

_KNOWN = (*_NUMBERS, "strategy", "target", "warm_start", "space")


def read_settings(given: Mapping[str, Any]) -> Settings:
    """
    Return settings as templates render them: as text, of which some is empty.

    Args:
        given: By name; ``space`` is JSON, or a mapping, of all fields, of which
            those count that begin with `SPACE`.

    Raises:
        StudyError: With everything that is wrong.
    """
    wrong: list[str] = []
    unknown = sorted(set(given) - set(_KNOWN))
    if unknown:
        wrong.append(f"settings must be {', '.join(_KNOWN)}, got {', '.join(unknown)}")
    found: dict[str, Any] = {}
    for name in _KNOWN:
        text = str(given.get(name) if given.get(name) is not None else "").strip()
        if text in {"", "None"}:
            continue
        try:
            found[name] = given[name] if name == "space" else text
            found[name] = _READERS[name](name, found[name])
        except ValueError as error:
            wrong.append(str(error))
    if wrong:
        raise StudyError("; ".join(wrong))
    return Settings(**found)


def _whole(name: str, text: str) -> int:
    low, high = _NUMBERS[name]
    if not text.lstrip("-").isdecimal() or not low <= int(text) <= high:
        raise ValueError(f"{name} must be a whole number in [{low}, {high}], got {text!r}")
    return int(text)


def _number(name: str, text: str) -> float:
    number = to_number(text)
    if number is None:
        raise ValueError(f"{name} must be a number, got {text!r}")
    return number


def _text(name: str, text: str) -> str:
    del name
    return text


def _bounds(name: str, value: Any) -> dict[str, Value]:  # noqa: ANN401 - whatever was given
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise ValueError(f"{name} must be JSON, got {value!r:.100}: {error}") from None
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} must be a mapping, got {value!r:.100}")  # noqa: TRY004 - told with the others
    return {key.removeprefix(SPACE): each for key, each in value.items() if key.startswith(SPACE)}


_READERS: Mapping[str, Callable[[str, Any], Any]] = {
    **dict.fromkeys(_NUMBERS, _whole),
    "strategy": _text,
    "target": _number,
    "warm_start": _text,
    "space": _bounds,
}


def target_of(blueprint: Blueprint) -> tuple[str, float | None] | None:
    """
    Return ``at_least`` or ``at_most``, and the objective's value that ends the study.

    The value is `None` where no rule names one. There is no target at all
    where the objective has no direction, or where there are several.
    """
    objective, *others = blueprint.objectives
    if others or objective.direction is None:
        return None
    key = "at_least" if objective.direction == "maximize" else "at_most"
    rules = [rule for rule in blueprint.stop if _is_target(rule, objective.metric, key)]
    return key, getattr(rules[0], key) if rules else None


def _is_target(rule: StopRule, metric: str, key: str) -> bool:
    return isinstance(rule, MetricRule) and rule.metric == metric and getattr(rule, key) is not None


def apply_settings(blueprint: Blueprint, settings: Settings) -> Blueprint:
    """
    Return the blueprint of a run with these settings.

    Points outside of new bounds are left out: they are only what is tried first.

    Raises:
        StudyError: With everything that is wrong.
    """
    wrong: list[str] = []
    found = blueprint.with_settings(
        trials=settings.trials, batch_size=settings.batch_size, seed=settings.seed
    )
    changes: dict[str, Any] = {}
    for name, change in (
        ("space", _space),
        ("strategy", _strategy),
        ("stop", _stop),
        ("warm_start", _warm_start),
    ):
        part = change(found, settings, wrong)
        if part is not None:
            changes[name] = part
    found = found.model_copy(update=changes)
    if changes and not wrong:
        if "space" in changes:
            points = [point for point in found.points if not _misfit(found.space, point)]
            found = found.model_copy(update={"points": tuple(points)})
        wrong += _unfit(found, blueprint)
    if wrong:
        raise StudyError("; ".join(wrong))
    return found


def _misfit(space: Space, point: Mapping[str, Value]) -> bool:
    return any(True for _ in points_problems(space, [point]))


def _space(blueprint: Blueprint, settings: Settings, wrong: list[str]) -> Space | None:
    """
    Return the space with the new bounds; `None` where they are the old ones.
    """
    space, before = blueprint.space, len(wrong)
    changed: dict[str, Parameter] = {}
    for name, value in settings.space.items():
        parameter = space.by_name.get(name)
        if parameter is None or parameter.is_constant:
            hint = did_you_mean(name, [each.name for each in space.tunable])
            wrong.append(f"{SPACE}{name} must name a parameter{f'; {hint}' if hint else ''}")
            continue
        if value is not None:
            item = rebound(parameter, value, name=SPACE + name, wrong=wrong)
            if item is not None and item != parameter.distribution:
                changed[name] = parameter.model_copy(update={"distribution": item})
    if not changed or len(wrong) > before:
        return None
    parameters = tuple(changed.get(each.name, each) for each in space.parameters)
    try:
        return Space(parameters=parameters, constraints=space.constraints)
    except ValidationError as error:
        wrong += [f"{SPACE}{', '.join(changed)}: {flaw}" for flaw in flaws(error, Space)]
        return None


def _strategy(blueprint: Blueprint, settings: Settings, wrong: list[str]) -> StrategySpec | None:
    """
    Return the other strategy; its options are its own, so the blueprint's do not hold for it.
    """
    spec, name = blueprint.strategy, settings.strategy
    if name is None or name == spec.name:
        return None
    try:
        new, old = STRATEGIES.load(name).support, STRATEGIES.load(spec.name).support
    except (ValueError, ImportError, AttributeError) as error:
        wrong.append(f"strategy: {error}")
        return None
    if _lays_out_rungs(new) or _lays_out_rungs(old):
        wrong.append(
            f"strategy must be {spec.name} in this DAG, whose tasks are laid out for it, got {name}"
        )
        return None
    return StrategySpec(name=name, seed=spec.seed, startup_trials=spec.startup_trials)


def _lays_out_rungs(support: Any) -> bool:  # noqa: ANN401 - strategies.base.Support
    return bool(support.multi_fidelity and not support.asynchronous)


def _stop(
    blueprint: Blueprint, settings: Settings, wrong: list[str]
) -> tuple[StopRule, ...] | None:
    """
    Return the stop rules with another target.
    """
    found = target_of(blueprint)
    if settings.target is None or (found is not None and found[1] == settings.target):
        return None
    if found is None:
        wrong.append("target must be given only where there is one objective with a direction")
        return None
    key, metric = found[0], blueprint.objectives[0].metric
    others = [rule for rule in blueprint.stop if not _is_target(rule, metric, key)]
    return (*others, MetricRule.model_validate({"metric": metric, key: settings.target}))


def _warm_start(blueprint: Blueprint, settings: Settings, wrong: list[str]) -> WarmStart | None:
    """
    Return the warm start from another study, used as the strategy can use it.
    """
    del wrong
    name, old = settings.warm_start, blueprint.warm_start
    if name is None or (old is not None and old.source.study == name):
        return None
    use = "points" if lacks(settings.strategy or blueprint.strategy.name, "history") else "history"
    return WarmStart(
        source=WarmStartSource(study=name),
        trials=None if old is None else old.trials,
        use=use if old is None else old.use,
    )


def _unfit(found: Blueprint, before: Blueprint) -> list[str]:
    """
    Return why the strategy cannot go on with what was changed.
    """
    spec = found.strategy
    reasons = unsupported(
        spec.name, space=found.space, objectives=found.objectives, mode=found.execution.mode
    )
    setting = setting_for(
        spec,
        objectives=found.objectives,
        trials=found.budget.trials,
        execution=found.execution,
        resource=found.resource,
        outcome_constraints=found.outcome_constraints,
    )
    if not reasons:
        problems = strategy_problems(spec, setting, space=found.space)
        reasons = [f"{each.path} {each.message}" for each in problems]
    if found.warm_start is not None and found.warm_start != before.warm_start:
        learns = found.warm_start.use == "points" or not lacks(spec.name, "history")
        reasons += [] if learns else [f"strategy {spec.name} cannot learn from a history"]
    return [f"strategy: {reason}" for reason in reasons]
