"""
From Optuna's pruners, which OptimizerOptuna takes, to ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.dialects.base import build
from airflow_hpo.blueprint.problems import show
from airflow_hpo.blueprint.shapes import BROKEN
from airflow_hpo.model.blueprint import PrunerSpec
from airflow_hpo.model.registry import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_hpo.blueprint.dialects.clearml.settings import Settings
    from airflow_hpo.blueprint.problems import Problems
    from airflow_hpo.model.values import Value

__all__ = ["read_pruner"]

# By Optuna's names: ours, and those of the options.
_STEPS = {"n_warmup_steps": "warmup", "interval_steps": "interval"}
_PRUNERS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "MedianPruner": ("median", {"n_startup_trials": "startup_trials", **_STEPS}),
    "PercentilePruner": (
        "percentile",
        {"percentile": "percentile", "n_startup_trials": "startup_trials", **_STEPS},
    ),
    "ThresholdPruner": ("threshold", {"lower": "lower", "upper": "upper", **_STEPS}),
    "PatientPruner": ("patience", {"patience": "patience", "min_delta": "min_delta"}),
    "SuccessiveHalvingPruner": (
        "halving_stop",
        {"min_resource": "min_resource", "reduction_factor": "reduction_factor"},
    ),
}
_NONE = "NopPruner"
_KNOWN = (*_PRUNERS, _NONE)


def read_pruner(settings: Settings, problems: Problems) -> PrunerSpec | None:
    """
    Return what ends jobs early, which with OptimizerOptuna is the median by default.
    """
    if settings.optimizer != "OptimizerOptuna" or _is_of_no_use(settings):
        return None
    place = settings.place("optuna_pruner")
    problems.relocate({("pruner",): place, ("pruner", "name"): place})
    if problems.touches(place):
        return None
    given = settings.get("optuna_pruner", "MedianPruner")
    options: dict[str, Value] = {} if isinstance(given, str) else dict(given)
    if BROKEN in options.values():
        return None
    name = str(given if isinstance(given, str) else options.pop("name")).rpartition(".")[2]
    if name == _NONE:
        return None
    if name not in _PRUNERS:
        message = f"must be one of {', '.join(_KNOWN)}, got {show(name)}"
        hint = did_you_mean(name, _KNOWN)
        if name == "HyperbandPruner":
            hint = "write optimizer_class: hyperband, or OptimizerBOHB"
        problems.error(place, message, hint=hint)
        return None
    return _named(name, options, settings, problems)


def _is_of_no_use(settings: Settings) -> bool:
    """
    Return whether nobody asked for a pruner where there can be none.
    """
    several = len(settings.get("objective_metric_title", ())) > 1
    runner = settings.own.get("runner", {})
    inline = "inline" in (runner, runner.get("name") if isinstance(runner, dict) else None)
    return "optuna_pruner" not in settings.values and (several or inline)


def _named(
    name: str, options: Mapping[str, Value], settings: Settings, problems: Problems
) -> PrunerSpec | None:
    ours, names = _PRUNERS[name]
    place = settings.place("optuna_pruner")
    for theirs in options.keys() - names.keys():
        problems.error(
            (*place, theirs),
            f"must be one of {', '.join(names)}, got {show(theirs)}",
            hint=did_you_mean(theirs, names),
            at_key=True,
        )
    found: dict[str, Any] = {names[it]: value for it, value in options.items() if it in names}
    for theirs, own in names.items():
        problems.relocate({("pruner", own): (*place, theirs)})
    least = settings.get("min_iteration_per_job")
    if least is not None and "warmup" in names.values():
        found.setdefault("warmup", least)
    return build(PrunerSpec, {"name": ours, "options": found}, ("pruner",), problems)
