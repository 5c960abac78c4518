"""
From early stopping to stop rules, a limit of failures and a pruner.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.dialects.base import build
from airflow_hpo.model.blueprint import PrunerSpec
from airflow_hpo.model.stop import MetricRule

if TYPE_CHECKING:
    from airflow_hpo.blueprint.checks import Draft
    from airflow_hpo.blueprint.dialects.polyaxon.reading import Reading
    from airflow_hpo.blueprint.dialects.polyaxon.shapes import Part
    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.blueprint.problems import Problems

__all__ = ["direction_of", "fill_in_stopping"]

_FAILURES = "failure_early_stopping"


def direction_of(rule: Part) -> str:
    """
    Return which values a rule is after: large ones if it says nothing.
    """
    if "higher" in rule.keys:
        return "maximize" if rule.get("higher") else "minimize"
    return str(rule.get("optimization", "maximize"))


def fill_in_stopping(reading: Reading, draft: Draft, problems: Problems) -> dict[Path, Path]:
    """
    Fill in stop rules, pruner and the limit of failures of *draft*.

    Returns:
        Where the file has what the checks name by the native dialect's keys.
    """
    places: dict[Path, Path] = {}
    for index, rule in enumerate(reading.rules):
        if rule.get("kind") == _FAILURES:
            _limit_failures(rule, draft, problems)
        elif "policy" in rule.spelled:
            if "policy" in rule.keys:
                _prune(rule, draft, problems)
                places[("pruner",)] = rule.place("policy")
        else:
            _stop(rule, index, draft, problems)
            side = rule.place("optimization" if "optimization" in rule.spelled else "value")
            places |= {("stop", index, name): side for name in ("at_least", "at_most")}
            places[("stop", index)] = rule.path
    return places


def _stop(rule: Part, index: int, draft: Draft, problems: Problems) -> None:
    if "percent" in rule.keys:
        message = f"has no effect without kind: {_FAILURES}"
        problems.warn(rule.place("percent"), message, at_key=True)
    missing = [name for name in ("metric", "value") if name not in rule.spelled]
    for name in missing:
        problems.error(rule.path, f"{name} must be given", at_key=True)
    if missing or rule.keys.keys() != rule.spelled.keys():
        return
    side = "at_least" if direction_of(rule) == "maximize" else "at_most"
    values = {"metric": rule.get("metric"), side: rule.get("value")}
    found = build(MetricRule, values, rule.path, problems)
    if found is not None:
        draft.stop[index] = found


def _limit_failures(rule: Part, draft: Draft, problems: Problems) -> None:
    """
    Set how many failed trials end the study; of several limits the least.
    """
    for name in ("metric", "value", "optimization", "policy"):
        if name in rule.spelled:
            problems.warn(rule.place(name), f"has no effect with kind: {_FAILURES}", at_key=True)
    if "percent" not in rule.keys:
        if "percent" not in rule.spelled:
            problems.error(
                rule.path, "percent must be given", hint="write percent: 30", at_key=True
            )
        return
    percent, place = rule.get("percent"), rule.place("percent")
    if percent > 100:  # noqa: PLR2004 - percent
        problems.error(place, f"must be at most 100, got {percent:g}")
        return
    if draft.budget is None:
        return
    # All runs count, those that have not begun too.
    failures = max(1, math.ceil(percent / 100 * draft.budget.trials - 1e-9))
    if percent < 1:
        message = f"is {percent:g} of 100: {failures} of {draft.budget.trials} trials may fail"
        problems.warn(place, message, hint=f"write {percent * 100:g} for {percent:.0%}")
    before = draft.budget.failures or failures
    draft.budget = draft.budget.model_copy(update={"failures": min(before, failures)})


_OPTIONS = {
    "median": ("interval", "warmup", "startup_trials"),
    "average": ("interval", "warmup", "startup_trials"),
    "truncation": ("interval", "warmup", "percent", "include_complete"),
    "diff": ("interval", "warmup", "percent", "startup_trials"),
}
"""What each pruner takes."""

_KEYS = {
    "interval": "evaluation_interval",
    "warmup": "min_interval",
    "startup_trials": "min_samples",
    "percent": "percent",
    "include_complete": "include_succeeded",
}


def _prune(rule: Part, draft: Draft, problems: Problems) -> None:
    policy: Part = rule.get("policy")
    kind = policy.get("kind")
    if draft.pruner is not None:
        message = f"must be the only policy, got it beside {draft.pruner.name}"
        problems.error(rule.place("policy"), message, at_key=True)
        return
    _check_policy(rule, policy, draft, problems)
    options: dict[str, Any] = {
        option: policy.get(_KEYS[option])
        for option in _OPTIONS[kind]
        if _KEYS[option] in policy.keys
    }
    if "warmup" in options:
        # The first look is at report number min_interval, not one interval later.
        options["warmup"] = max(0, options["warmup"] - options.get("interval", 1))
    if kind == "median":
        options["averages"] = True
    for name in policy.keys:
        if name != "kind" and name not in [_KEYS[option] for option in _OPTIONS[kind]]:
            problems.warn(policy.place(name), f"has no effect with {kind}", at_key=True)
    draft.pruner = build(
        PrunerSpec, {"name": kind, "options": options}, rule.place("policy"), problems
    )


def _check_policy(rule: Part, policy: Part, draft: Draft, problems: Problems) -> None:
    kind = policy.get("kind")
    if kind in {"truncation", "diff"} and "percent" not in policy.spelled:
        message = f"percent must be given with {kind}"
        problems.error(policy.path, message, hint="write percent: 20", at_key=True)
    if "value" in rule.keys:
        message = "has no effect beside a policy: no value ends the study"
        problems.warn(rule.place("value"), message, at_key=True)
    if not draft.objectives or "metric" not in rule.spelled:
        if "metric" not in rule.spelled:
            problems.error(rule.path, "metric must be given", at_key=True)
        return
    objective = draft.objectives[0]
    if rule.get("metric") not in {None, objective.metric}:
        message = f"must be the metric that is optimised with a policy, {objective.metric}"
        problems.error(rule.place("metric"), f"{message}, got {rule.get('metric')}")
    elif direction_of(rule) != objective.direction and "optimization" in rule.keys:
        message = f"must be {objective.direction}, as the search does, got {direction_of(rule)}"
        problems.error(rule.place("optimization"), message)
