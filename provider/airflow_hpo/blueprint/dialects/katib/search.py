"""
The algorithm of an Experiment, what ends trials early, and what ends it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.dialects.base import build
from airflow_hpo.blueprint.dialects.katib.keys import Numeral
from airflow_hpo.blueprint.dialects.own import OWN
from airflow_hpo.blueprint.problems import show
from airflow_hpo.blueprint.shapes import BROKEN
from airflow_hpo.model.blueprint import PrunerSpec, Resource, StrategySpec
from airflow_hpo.model.ladder import Scale, hyperband, total_trials
from airflow_hpo.model.registry import did_you_mean
from airflow_hpo.model.space import Space
from airflow_hpo.model.stop import Budget
from airflow_hpo.strategies.support import exhaustible

if TYPE_CHECKING:
    from airflow_hpo.blueprint.checks import Draft
    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.blueprint.problems import Problems

__all__ = ["PARALLEL", "Search", "read_budget", "read_pruner", "read_resource", "read_search"]

PARALLEL = 3
"""So many trials run at the same time where the file does not say it."""

# Experiments without an end have so many trials; a grid that has none as many as this.
_TRIALS = 100
_CELLS = 1000

_STARTUP = 10
_ETA = 3

_ALGORITHM = ("spec", "algorithm")
_EARLY = ("spec", "earlyStopping")

_WHOLE, _REAL = "a whole number of at least 0", "a number of at least 0"


@dataclass
class Search:
    """
    What the algorithm comes to.

    Args:
        name: Katib's.

        settings: Its settings by name: numbers, or texts.

        places: Where each stands.
    """

    name: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    places: dict[str, Path] = field(default_factory=dict)

    def place(self, name: str) -> Path:
        """
        Return where a setting stands, or the algorithm.
        """
        return self.places.get(name, _ALGORITHM)


# By the algorithm: its settings, and what they are; a tuple has the words that there are.
_SEED = {"random_state": _WHOLE}
_TPE = {"n_startup_trials": _WHOLE, "n_ei_candidates": _WHOLE, **_SEED}
_ALGORITHMS: Mapping[str, Mapping[str, str | tuple[str, ...]]] = {
    "random": _SEED,
    "grid": _SEED,
    "tpe": {"gamma": _REAL, "prior_weight": _REAL, **_SEED},
    "multivariate-tpe": _TPE,
    "bayesianoptimization": {
        "base_estimator": ("GP", "RF", "ET", "GBRT"),
        "n_initial_points": _WHOLE,
        "acq_func": ("gp_hedge", "LCB", "EI", "PI", "EIps", "PIps"),
        "acq_optimizer": ("auto", "sampling", "lbfgs"),
        **_SEED,
    },
    "cmaes": {"sigma": _REAL, "restart_strategy": ("none", "ipop", "bipop"), **_SEED},
    "sobol": {},
    "hyperband": {"resource_name": "", "eta": _REAL, "r_l": _REAL},
}

_NOT_READ = {
    "pbt": "a population goes on from checkpoints: write a native blueprint with strategy pbt",
    "enas": "architectures are not searched",
    "darts": "architectures are not searched",
}


def read_search(algorithm: Any, own: Mapping[str, Any], problems: Problems) -> Search:  # noqa: ANN401
    """
    Return the algorithm and its valid settings, or note what is wrong with them.

    Args:
        algorithm: The section, or `BROKEN`.

        own: Our own section; with a strategy of its own the algorithm does not matter.

        problems: Gets what is wrong.
    """
    if algorithm is BROKEN or algorithm is None or "strategy" in own:
        return Search()
    name = algorithm["algorithmName"]
    if name not in _ALGORITHMS:
        message = f"must be one of {', '.join(_ALGORITHMS)}, got {show(name)}"
        hint = _NOT_READ.get(name) or did_you_mean(name, _ALGORITHMS)
        own_strategy = f"write {OWN}: {{strategy: ...}} for one of ours"
        problems.error((*_ALGORITHM, "algorithmName"), message, hint=hint or own_strategy)
        return Search()
    found = Search(name)
    _read_settings(algorithm, _ALGORITHMS[name], _ALGORITHM, found, problems)
    return found


def _read_settings(
    section: Mapping[str, Any],
    known: Mapping[str, str | tuple[str, ...]],
    path: Path,
    found: Search,
    problems: Problems,
) -> None:
    for index, item in enumerate(section.get("algorithmSettings") or ()):
        here = (*path, "algorithmSettings", index)
        if item is BROKEN:
            continue
        name = item["name"]
        if name not in known:
            names = ", ".join(known) or "none"
            message = f"must be a setting of {section['algorithmName']} ({names}), got {show(name)}"
            problems.error((*here, "name"), message, hint=did_you_mean(name, known))
            continue
        if name in found.places:
            problems.error((*here, "name"), f"must be given once, got {name} again")
            continue
        found.places[name] = (*here, "value")
        value = _setting(item["value"], known[name], (*here, "value"), problems)
        if value is not BROKEN:
            found.settings[name] = value


def _setting(text: str, rule: str | tuple[str, ...], path: Path, problems: Problems) -> Any:  # noqa: ANN401
    if isinstance(rule, tuple):
        if text in rule:
            return text
        message = f"must be one of {', '.join(rule)}, got {show(text)}"
        problems.error(path, message, hint=did_you_mean(text, rule))
        return BROKEN
    if not rule:
        return text
    number = Numeral().read(text, path, problems)
    if number is BROKEN:
        return BROKEN
    if number < 0 or (rule == _WHOLE and not isinstance(number, int)):
        problems.error(path, f"must be {rule}, got {show(text)}")
        return BROKEN
    return number


def read_resource(
    search: Search, given: Mapping[str, Mapping[str, Any]], problems: Problems
) -> Resource | None:
    """
    Return what Hyperband gives trials more or less of.

    Args:
        search: The algorithm.

        given: The parameters of the file by name; one of them is the resource.

        problems: Gets what is wrong.
    """
    if search.name != "hyperband" or problems.touches(_ALGORITHM):
        return None
    for key in ("resource_name", "r_l"):
        if key not in search.settings:
            hint = f"write algorithmSettings: [{{name: {key}, value: ...}}]"
            problems.error(_ALGORITHM, f"{key} must be given for hyperband", hint=hint)
    name: str | None = search.settings.get("resource_name")
    most = search.settings.get("r_l")
    if name is None or most is None:
        return None
    if name not in given:
        message = f"must name a parameter, got {show(name)}"
        problems.error(search.place("resource_name"), message, hint=did_you_mean(name, given))
        return None
    kind = "int" if given[name]["parameterType"] == "int" else "float"
    values = {"name": name, "min": 1.0, "max": most, "type": kind}
    return build(Resource, values, search.place("r_l"), problems)


def read_strategy(
    search: Search, own: Mapping[str, Any], parallel: int, problems: Problems
) -> StrategySpec | None:
    """
    Return the strategy, or note why there is none.
    """
    if "strategy" in own:
        given = own["strategy"]
        values = {"name": given} if isinstance(given, str) else _with_options(given)
    elif not search.name or problems.touches(_ALGORITHM):
        return None
    else:
        values = _STRATEGIES[search.name](search, parallel, problems)
    seed = own.get("seed", search.settings.get("random_state"))
    for name, place in (("startup_trials", "n_initial_points"), ("seed", "random_state")):
        problems.relocate({("strategy", name): search.place(place)})
    return build(StrategySpec, {**values, "seed": seed}, _ALGORITHM, problems)


def _with_options(given: Mapping[str, Any]) -> dict[str, Any]:
    options = {key: it for key, it in given.items() if key != "name" and it is not BROKEN}
    return {"name": given["name"], "options": options}


def _tpe(search: Search, parallel: int, problems: Problems) -> dict[str, Any]:
    del problems
    names = ("gamma", "prior_weight")
    options = {name: search.settings[name] for name in names if name in search.settings}
    return {"name": "hyperopt_tpe", "startup_trials": parallel, "options": options}


def _multivariate(search: Search, parallel: int, problems: Problems) -> dict[str, Any]:
    del parallel, problems
    options: dict[str, Any] = {"multivariate": True}
    if "n_ei_candidates" in search.settings:
        options["n_ei_candidates"] = search.settings["n_ei_candidates"]
    startup = search.settings.get("n_startup_trials", _STARTUP)
    return {"name": "tpe", "startup_trials": startup, "options": options}


_ACQUISITIONS = {"EI": "ei", "PI": "poi", "LCB": "ucb", "EIps": "ei", "PIps": "poi"}


def _bayesian(search: Search, parallel: int, problems: Problems) -> dict[str, Any]:
    del parallel
    given = search.settings
    if given.get("base_estimator", "GP") != "GP":
        message = "has no effect: the model is a Gaussian process"
        problems.warn(search.place("base_estimator"), message)
    if "acq_optimizer" in given:
        message = "has no effect: the acquisition is maximised in one way"
        problems.warn(search.place("acq_optimizer"), message)
    wanted = given.get("acq_func", "gp_hedge")
    acquisition = _ACQUISITIONS.get(wanted, "ei")
    if wanted.endswith("ps") or (wanted == "gp_hedge" and "acq_func" in given):
        message = f"is searched by {acquisition}: {wanted} is not built in"
        problems.warn(search.place("acq_func"), message)
    startup = given.get("n_initial_points", _STARTUP)
    options = {"acquisition": acquisition}
    return {"name": "gp", "startup_trials": startup, "options": options}


def _cmaes(search: Search, parallel: int, problems: Problems) -> dict[str, Any]:
    del parallel
    for name in ("sigma", "restart_strategy"):
        if search.settings.get(name, "none") != "none":
            message = "has no effect: the strategy chooses it by itself"
            problems.warn(search.place(name), message)
    return {"name": "cmaes"}


def _hyperband(search: Search, parallel: int, problems: Problems) -> dict[str, Any]:
    del parallel, problems
    return {"name": "hyperband", "options": {"eta": search.settings.get("eta", _ETA)}}


def _plain(name: str) -> Callable[[Search, int, Problems], dict[str, Any]]:
    return lambda *_: {"name": name}


_STRATEGIES: Mapping[str, Callable[[Search, int, Problems], dict[str, Any]]] = {
    "random": _plain("random"),
    "grid": _plain("grid"),
    "tpe": _tpe,
    "multivariate-tpe": _multivariate,
    "bayesianoptimization": _bayesian,
    "cmaes": _cmaes,
    "sobol": _plain("qmc"),
    "hyperband": _hyperband,
}

_MEDIAN = {"min_trials_required": _WHOLE, "start_step": _WHOLE}


def read_pruner(section: Any, problems: Problems) -> PrunerSpec | None:  # noqa: ANN401
    """
    Return what ends trials early, or note why there is nothing.
    """
    if section is None or section is BROKEN:
        return None
    name = section["algorithmName"]
    if name != "medianstop":
        message = f"must be medianstop, got {show(name)}"
        problems.error((*_EARLY, "algorithmName"), message)
        return None
    found = Search(name)
    _read_settings(section, _MEDIAN, _EARLY, found, problems)
    for ours, theirs in (("startup_trials", "min_trials_required"), ("warmup", "start_step")):
        problems.relocate({("pruner", ours): found.places.get(theirs, _EARLY)})
    options = {
        "startup_trials": found.settings.get("min_trials_required", 3),
        "warmup": found.settings.get("start_step", 4),
        "averages": True,
    }
    return PrunerSpec(name="median", options=options)


def read_budget(spec: Mapping[str, Any], draft: Draft, problems: Problems) -> Budget | None:
    """
    Return how many trials there are, which an Experiment need not say.
    """
    path = ("spec", "maxTrialCount")
    trials = spec.get("maxTrialCount")
    if trials is None and not problems.touches(path):
        trials = _trials(draft, path, problems)
    if trials is None:
        return None
    failed = spec.get("maxFailedTrialCount")
    return Budget(trials=trials, failures=None if failed is None else max(1, failed))


def _trials(draft: Draft, path: Path, problems: Problems) -> int | None:
    name = "" if draft.strategy is None else draft.strategy.name
    if name == "hyperband":
        return _of_all_brackets(draft)
    if name == "grid":
        if draft.broken or not draft.parameters:
            return None
        return exhaustible(Space(parameters=tuple(draft.parameters.values()))) or _CELLS
    message = f"should be given, or only the goal ends the experiment; it is {_TRIALS}"
    problems.warn(path, message, hint=f"write maxTrialCount: {_TRIALS}", at_key=True)
    return _TRIALS


def _of_all_brackets(draft: Draft) -> int | None:
    if draft.resource is None or draft.strategy is None:
        return None
    at = draft.resource
    try:
        scale = Scale(at.min, at.max, draft.strategy.options.get("eta", _ETA), at.whole)
        return total_trials(hyperband(scale))
    except ValueError:
        return None  # the strategy tells what is wrong with eta
