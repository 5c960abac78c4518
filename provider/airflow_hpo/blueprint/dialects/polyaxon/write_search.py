"""
From strategy, budget, execution and rules to a matrix.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.dialects.polyaxon.write_space import is_listable, param_of
from airflow_hpo.model.ladder import Scale, hyperband, total_trials
from airflow_hpo.model.stop import MetricRule

if TYPE_CHECKING:
    from airflow_hpo.blueprint.dialects.writing import Losses
    from airflow_hpo.model.blueprint import Blueprint

__all__ = ["matrix_of"]

_STARTUP = 10

_HYPEROPT = {"hyperopt_tpe": "tpe", "hyperopt_random": "rand", "hyperopt_anneal": "anneal"}

_LADDERS = ("hyperband", "bohb", "halving", "asha")


def matrix_of(blueprint: Blueprint, losses: Losses) -> dict[str, Any]:
    """
    Return the search, and note what it cannot say.
    """
    kind = _kind(blueprint, losses)
    data: dict[str, Any] = {"kind": kind}
    concurrency = blueprint.execution.concurrency
    if concurrency is not None:
        data["concurrency"] = concurrency
    data |= _MAKERS[kind](blueprint, losses)
    if kind in {"bayes", "hyperband", "hyperopt", "tpe"}:
        objective = blueprint.objectives[0]
        direction = objective.direction or "minimize"
        data["metric"] = {"name": objective.metric, "optimization": direction}
    _seed(blueprint, kind, data, losses)
    if kind != "mapping":
        tunable = blueprint.space.tunable
        listed = kind == "grid"
        data["params"] = {each.name: param_of(each, losses, listed=listed) for each in tunable}
    rules = [
        *_stop(blueprint, losses),
        *_failures(blueprint, data, losses),
        *_policy(blueprint, losses),
    ]
    if rules:
        data["earlyStopping"] = rules
    if blueprint.execution.mode != "batch":
        for key in ("mode", "batch_size", "concurrency"):
            losses.say(f"execution.{key}", "runs are suggested in batches")
    return data


def _kind(blueprint: Blueprint, losses: Losses) -> str:
    name = blueprint.strategy.name
    if name != "manual" and not blueprint.space.tunable:
        for path in ("strategy", "budget.trials", "execution", "resource"):
            losses.say(path, "where nothing is searched there is one run")
        return "mapping"
    if name == "grid" and not all(
        is_listable(parameter.distribution) for parameter in blueprint.space.tunable
    ):
        losses.say("strategy", "so many values cannot be listed; random search is written")
        return "random"
    kinds = {"grid": "grid", "manual": "mapping", "gp": "bayes", "tpe": "tpe"}
    kinds |= dict.fromkeys(("random", "numpy_random"), "random")
    kinds |= dict.fromkeys(_HYPEROPT, "hyperopt") | dict.fromkeys(_LADDERS[:1], "hyperband")
    if name in kinds and (kinds[name] != "hyperband" or blueprint.resource is not None):
        return kinds[name]
    on_ladder = name in _LADDERS and blueprint.resource is not None
    written = "hyperband" if on_ladder else "tpe"
    for path in ("strategy", "budget.trials") if on_ladder else ("strategy",):
        losses.say(path, f"{name} is none of theirs; {written} is written")
    return written


def _seed(blueprint: Blueprint, kind: str, data: dict[str, Any], losses: Losses) -> None:
    seed, name = blueprint.strategy.seed, blueprint.strategy.name
    if kind == "random" and (name == "random") is (seed is not None) and name != "grid":
        message = "with a seed configurations come from a stream of their own, else from ours"
        losses.say("strategy.name", message)
    if seed is None:
        return
    if kind in {"grid", "mapping"}:
        losses.say("strategy.seed", "nothing is drawn")
    else:
        data["seed"] = seed


def _options(blueprint: Blueprint, known: dict[str, Any], losses: Losses) -> None:
    """
    Note options that are not those which are read again.
    """
    if blueprint.strategy.options != known:
        losses.say("strategy.options", f"read again they are {known or 'none'}")


def _startup(blueprint: Blueprint, known: int | None, losses: Losses) -> None:
    if blueprint.strategy.startup_trials != known:
        what = "are not counted" if known is None else f"are {known}"
        losses.say("strategy.startup_trials", f"first random runs {what}")


def _grid(blueprint: Blueprint, losses: Losses) -> dict[str, Any]:
    _options(blueprint, {}, losses)
    return {"numRuns": blueprint.budget.trials}


def _random(blueprint: Blueprint, losses: Losses) -> dict[str, Any]:
    _options(blueprint, {}, losses)
    if blueprint.strategy.name != "random":
        _startup(blueprint, None, losses)
    return {"numRuns": blueprint.budget.trials}


def _mapping(blueprint: Blueprint, losses: Losses) -> dict[str, Any]:
    rows = blueprint.strategy.options.get("configurations", [{}])
    rows = [dict(row) for row in rows]
    if blueprint.strategy.name != "manual":
        rows = [{}]
    constants = {each.name for each in blueprint.space.parameters if each.is_constant}
    rows = [{key: row[key] for key in row if key not in constants} for row in rows]
    names = {name for row in rows for name in row}
    conditional = any(each.when for each in blueprint.space.parameters)
    if conditional or any(row.keys() != names for row in rows):
        losses.say("strategy.options", "what a row leaves out has no value there")
    if blueprint.budget.trials < len(rows):
        losses.say("budget.trials", f"all {len(rows)} configurations are run")
    if blueprint.strategy.options.get("repeat", 1) > 1:
        losses.say("strategy.options.repeat", "each row is run once")
    _startup(blueprint, None, losses)
    return {"values": rows}


_USUAL = {"acquisition": "ei", "kappa": 1.96, "eps": 0.0, "kernel": "matern", "nu": 2.5}


def _bayes(blueprint: Blueprint, losses: Losses) -> dict[str, Any]:
    given = {**_USUAL, "length_scale": 1.0, "n_restarts": 1, **blueprint.strategy.options}
    if given["length_scale"] is None:
        given["length_scale"] = 1.0
    which = "kappa" if given["acquisition"] == "ucb" else "eps"
    process = {
        "kernel": given["kernel"],
        "lengthScale": given["length_scale"],
        "nu": given["nu"],
        "numRestartsOptimizer": given["n_restarts"],
    }
    known = {
        "acquisition": given["acquisition"],
        which: given[which],
        **{name: given[name] for name in ("kernel", "nu", "length_scale", "n_restarts")},
    }
    if given["kernel"] == "rbf":
        del process["nu"], known["nu"]
    _options(blueprint, known, losses)
    startup = blueprint.strategy.startup_trials
    if startup is None or startup > blueprint.budget.trials:
        startup = min(_STARTUP, blueprint.budget.trials)
    _startup(blueprint, startup, losses)
    utility = {"acquisitionFunction": given["acquisition"], which: given[which]}
    return {
        "numInitialRuns": startup,
        "maxIterations": blueprint.budget.trials - startup,
        "utilityFunction": {**utility, "gaussianProcess": process},
    }


def _iterations(blueprint: Blueprint, losses: Losses) -> dict[str, Any]:
    """
    Return runs by iteration, which may be a few more than there were.
    """
    trials = blueprint.budget.trials
    each = min(blueprint.execution.batch_size, trials)
    often = -(-trials // each)
    if each * often != trials:
        losses.say("budget.trials", f"{often} iterations of {each} runs are {each * often}")
    return {"numRuns": each, "maxIterations": often}


def _hyperopt(blueprint: Blueprint, losses: Losses) -> dict[str, Any]:
    _options(blueprint, {}, losses)
    _startup(blueprint, None, losses)
    algorithm = _HYPEROPT[blueprint.strategy.name]
    return {"algorithm": algorithm, **_iterations(blueprint, losses)}


def _tpe(blueprint: Blueprint, losses: Losses) -> dict[str, Any]:
    _options(blueprint, {}, losses)
    _startup(blueprint, _STARTUP, losses)
    return _iterations(blueprint, losses)


def _hyperband(blueprint: Blueprint, losses: Losses) -> dict[str, Any]:
    resource, options = blueprint.resource, blueprint.strategy.options
    assert resource is not None  # noqa: S101 - see _kind
    eta, resume = options.get("eta", 3), options.get("resume", True)
    most = max(1, round(resource.max))
    if resource.min != 1 or resource.max != most or resource.rungs or resource.type is None:
        losses.say("resource", f"it goes from 1 to a whole number, {most}, everywhere alike")
    _options(blueprint, {"eta": float(eta), "resume": resume}, losses)
    _startup(blueprint, None, losses)
    scale = Scale(1, most, eta, whole=resource.whole, resume=resume)
    if scale.steps <= _MOST_STEPS and total_trials(hyperband(scale)) != blueprint.budget.trials:
        losses.say("budget.trials", "all brackets are run once")
    losses.say("execution", "rungs are as large as the brackets make them")
    kind = "int" if resource.whole else "float"
    return {
        "maxIterations": most,
        "eta": eta,
        "resource": {"name": resource.name, "type": kind},
        "resume": resume,
    }


_MOST_STEPS = 16

_MAKERS = {
    "grid": _grid,
    "random": _random,
    "mapping": _mapping,
    "bayes": _bayes,
    "hyperopt": _hyperopt,
    "tpe": _tpe,
    "hyperband": _hyperband,
}


def _stop(blueprint: Blueprint, losses: Losses) -> list[dict[str, Any]]:
    found = []
    for rule in blueprint.stop:
        if not isinstance(rule, MetricRule) or rule.target is not None:
            losses.say("stop", "only thresholds of metrics can be said; other rules are left out")
            continue
        if rule.tolerance:
            losses.say("stop", "a threshold has no tolerance")
        side = "maximize" if rule.at_least is not None else "minimize"
        value = rule.at_least if rule.at_least is not None else rule.at_most
        found.append(
            {
                "kind": "metric_early_stopping",
                "metric": rule.metric,
                "value": value,
                "optimization": side,
            }
        )
    return found


def _failures(blueprint: Blueprint, data: dict[str, Any], losses: Losses) -> list[dict[str, Any]]:
    budget = blueprint.budget
    runs = len(data["values"]) if data["kind"] == "mapping" else budget.trials
    if data["kind"] == "grid":
        cells = [each.distribution.size() or 1 for each in blueprint.space.parameters]
        runs = min(runs, math.prod(cells))
    percent = None
    if budget.failure_share is not None:
        percent = budget.failure_share * 100
        losses.say("budget.failures", "the share is of all runs, those that wait too")
    elif budget.failures is not None:
        percent = budget.failures / runs * 100
        if budget.failures > runs:
            losses.say("budget.failures", "more failures than runs are left out")
            return []
        if "budget.trials" in {loss.path for loss in losses.found}:
            losses.say("budget.failures", "it is a share of all runs")
    return [] if percent is None else [{"kind": "failure_early_stopping", "percent": percent}]


_PRUNERS = {
    "median": {"interval": "evaluationInterval", "startup_trials": "minSamples"},
    "average": {"interval": "evaluationInterval", "startup_trials": "minSamples"},
    "truncation": {
        "interval": "evaluationInterval",
        "percent": "percent",
        "include_complete": "includeSucceeded",
    },
    "diff": {
        "interval": "evaluationInterval",
        "percent": "percent",
        "startup_trials": "minSamples",
    },
}


def _policy(blueprint: Blueprint, losses: Losses) -> list[dict[str, Any]]:
    pruner = blueprint.pruner
    if pruner is None:
        return []
    if pruner.name not in _PRUNERS:
        losses.say("pruner", f"{pruner.name} is none of their policies; it is left out")
        return []
    given, words = dict(pruner.options), _PRUNERS[pruner.name]
    policy: dict[str, Any] = {"kind": pruner.name}
    again: dict[str, Any] = {"averages": True} if pruner.name == "median" else {}
    usual = {"percent": 20.0 if pruner.name == "truncation" else 10.0}
    for option, word in words.items():
        value = given.get(option, usual.get(option))
        if value is not None and _is_whole(option, value):
            policy[word] = int(value) if option in {"interval", "startup_trials"} else value
            again[option] = policy[word]
    interval = again.get("interval", 1)
    warmup = given.get("warmup")
    if warmup is not None and float(warmup).is_integer():
        policy["minInterval"] = int(warmup) + interval
        again["warmup"] = int(warmup)
    if again != given:
        losses.say("pruner", f"read again its options are {again or 'none'}")
    objective = blueprint.objectives[0]
    return [
        {
            "kind": "metric_early_stopping",
            "metric": objective.metric,
            "value": 0,  # must be there, and says nothing beside a policy
            "optimization": objective.direction or "minimize",
            "policy": policy,
        }
    ]


def _is_whole(option: str, value: Any) -> bool:  # noqa: ANN401 - an option's value
    if option not in {"interval", "startup_trials"}:
        return True
    return isinstance(value, (int, float)) and float(value).is_integer() and value >= 1
