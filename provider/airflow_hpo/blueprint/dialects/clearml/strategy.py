"""
From ClearML's optimizers, and Optuna's samplers in one of them, to strategies.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.dialects.base import build
from airflow_hpo.blueprint.dialects.clearml.keys import BOHB, WITHOUT_EFFECT
from airflow_hpo.blueprint.dialects.clearml.settings import OPTIMIZERS
from airflow_hpo.blueprint.problems import show
from airflow_hpo.blueprint.shapes import BROKEN
from airflow_hpo.model.blueprint import Resource, StrategySpec
from airflow_hpo.model.ladder import Scale, hyperband, total_spent, total_trials
from airflow_hpo.model.registry import did_you_mean
from airflow_hpo.strategies import STRATEGIES

if TYPE_CHECKING:
    from airflow_hpo.blueprint.dialects.clearml.settings import Settings
    from airflow_hpo.blueprint.problems import Problems

__all__ = ["bohb_trials", "read_resource", "read_strategy"]

_SAMPLERS = {
    "TPESampler": "tpe",
    "RandomSampler": "random",
    "GridSampler": "grid",
    "BruteForceSampler": "grid",
    "CmaEsSampler": "cmaes",
    "GPSampler": "optuna_gp",
    "QMCSampler": "qmc",
    "NSGAIISampler": "nsga2",
    "NSGAIIISampler": "nsga3",
}

# Optuna's own default.
_OPTUNA_STARTUP = 10

_OPTUNA, _BOHB = "OptimizerOptuna", "OptimizerBOHB"


def read_strategy(
    settings: Settings, resource: Resource | None, problems: Problems
) -> StrategySpec | None:
    """
    Return the strategy, or note why there is none.

    Args:
        settings: What the file says.

        resource: What OptimizerBOHB gives its jobs more or less of.

        problems: Gets what is wrong.
    """
    if problems.touches(settings.place("optimizer_class")):
        return None
    values = _values(settings, resource, problems)
    if values is None:
        return None
    _warn_of_others_options(settings, problems)
    if "seed" in settings.own:
        values["seed"] = settings.own["seed"]
    return build(StrategySpec, values, ("strategy",), problems)


def _values(
    settings: Settings, resource: Resource | None, problems: Problems
) -> dict[str, Any] | None:
    name = settings.optimizer
    if name == _OPTUNA:
        return _sampler(settings, problems)
    if name == _BOHB:
        return None if resource is None else _bohb(settings, resource, problems)
    if name in OPTIMIZERS:
        return {"name": OPTIMIZERS[name]}
    own = _own_strategy(name, settings, problems)
    return None if own is None else {"name": own, "options": settings.options}


def _sampler(settings: Settings, problems: Problems) -> dict[str, Any] | None:
    """
    Return what ``optuna_sampler`` comes to; TPE where it is not given.
    """
    place = settings.place("optuna_sampler")
    if problems.touches(place):
        return None
    given = settings.get("optuna_sampler", "TPESampler")
    options = {} if isinstance(given, str) else dict(given)
    if BROKEN in options.values():
        return None
    name = given if isinstance(given, str) else options.pop("name")
    bare = name.rpartition(".")[2]
    if bare not in _SAMPLERS:
        message = f"must be one of {', '.join(_SAMPLERS)}, got {show(name)}"
        problems.error(place, message, hint=did_you_mean(bare, _SAMPLERS))
        return None
    values: dict[str, Any] = {"name": _SAMPLERS[bare]}
    for theirs, ours in (("seed", "seed"), ("n_startup_trials", "startup_trials")):
        if theirs in options:
            values[ours] = options.pop(theirs)
    if bare == "TPESampler":
        values.setdefault("startup_trials", _OPTUNA_STARTUP)
    if not isinstance(given, str):
        problems.relocate({("strategy", "options"): place})
    return {**values, "options": options}


def _own_strategy(name: str, settings: Settings, problems: Problems) -> str | None:
    """
    Return the name of a strategy that is none of ClearML's.
    """
    if name in STRATEGIES:
        return name
    module, _, bare = name.rpartition(".")
    if module and all(part.isidentifier() for part in name.split(".")):
        return f"{module}:{bare}"
    known = (*OPTIMIZERS, *STRATEGIES.names())
    problems.error(
        settings.place("optimizer_class"),
        f"must be one of {', '.join(OPTIMIZERS)}, a strategy's name or the import path of one, "
        f"got {show(name)}",
        hint=did_you_mean(name, known),
    )
    return None


def _warn_of_others_options(settings: Settings, problems: Problems) -> None:
    """
    Warn of what is for another optimizer than the one that is used.
    """
    theirs = {
        _OPTUNA: ("optuna_sampler", "optuna_pruner"),
        _BOHB: tuple(BOHB.keys() - WITHOUT_EFFECT.keys()),
    }
    for optimizer, names in theirs.items():
        for name in names:
            if name in settings.values and settings.optimizer != optimizer:
                message = f"has no effect with {settings.optimizer}: it is for {optimizer}"
                problems.warn(settings.place(name), message, at_key=True)


# Our names of what HpBandSter has, and what theirs are to be multiplied by.
_BOHB_OPTIONS = {
    "eta": ("eta", 1),
    "min_points_in_model": ("min_points", 1),
    "top_n_percent": ("good_share", 0.01),
    "num_samples": ("n_candidates", 1),
    "random_fraction": ("random_fraction", 1),
}
_USUAL_ETA = 3.0


def _bohb(settings: Settings, resource: Resource, problems: Problems) -> dict[str, Any] | None:
    """
    Return BOHB with as many rounds of all brackets as the budget has room for.

    The budget is what ClearML's documentation calls it: all jobs together have
    at most ``total_max_jobs * max_iteration_per_job`` iterations, though each
    of them started afresh.
    """
    options: dict[str, Any] = {}
    for theirs, (ours, factor) in _BOHB_OPTIONS.items():
        problems.relocate({("strategy", "options", ours): settings.place(theirs)})
        if theirs in settings.values:
            given = settings.values[theirs]
            options[ours] = given if factor == 1 else given * factor
    try:
        scale = Scale(
            resource.min, resource.max, options.get("eta", _USUAL_ETA), resource.whole, resume=False
        )
    except ValueError as error:
        problems.error(settings.place("eta"), str(error))
        return None
    spent = total_spent(hyperband(scale)) / resource.max
    jobs = settings.get("total_max_jobs")
    if jobs is not None and spent > jobs:
        least = math.ceil(spent)
        problems.error(
            settings.place("total_max_jobs"),
            f"must have room for one round of all brackets, {least} full jobs, got {jobs}",
            hint=f"write total_max_jobs: {least}, or a larger min_iteration_per_job",
        )
        return None
    rounds = 1 if jobs is None else int(jobs / spent)
    return {"name": OPTIMIZERS[_BOHB], "options": {**options, "iterations": rounds}}


def bohb_trials(spec: StrategySpec, resource: Resource) -> int:
    """
    Return how many trials BOHB's rounds have, promoted ones counted anew.
    """
    eta = spec.options.get("eta", _USUAL_ETA)
    scale = Scale(resource.min, resource.max, eta, resource.whole)
    return total_trials(hyperband(scale, iterations=spec.options["iterations"]))


def read_resource(settings: Settings, problems: Problems) -> Resource | None:
    """
    Return what OptimizerBOHB gives its jobs more or less of.
    """
    if settings.optimizer != _BOHB:
        return None
    names = ("min_iteration_per_job", "max_iteration_per_job", "total_max_jobs")
    missing = [name for name in names if name not in settings.places]
    for name in missing:
        problems.error((name,), f"must be given for {_BOHB}", hint=f"write {name}: 10")
    low, high = (settings.get(name) for name in names[:2])
    if missing or low is None or high is None:
        return None
    values = {"name": settings.own.get("iterations", "iterations"), "min": low, "max": high}
    return build(Resource, values, settings.place(names[1]), problems)
