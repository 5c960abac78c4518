"""
From an algorithm to strategy, budget and execution.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.dialects.base import build
from airflow_hpo.model.blueprint import Execution, Resource, StrategySpec
from airflow_hpo.model.ladder import Scale, hyperband, total_trials
from airflow_hpo.model.stop import Budget

if TYPE_CHECKING:
    from airflow_hpo.blueprint.checks import Draft
    from airflow_hpo.blueprint.dialects.polyaxon.reading import Reading
    from airflow_hpo.blueprint.dialects.polyaxon.shapes import Part
    from airflow_hpo.blueprint.problems import Problems

__all__ = ["fill_in_search"]

# One round is one mapped task, which Airflow does not let grow any larger.
_ROUND = 1000

# More rounds than these make a DAG that nobody looks through.
_MOST_ROUNDS = 50

# So many trials teach Polyaxon's TPE before it begins.
_TPE_STARTUP = 10

_HYPEROPT = {"tpe": "hyperopt_tpe", "rand": "hyperopt_random", "anneal": "hyperopt_anneal"}


@dataclass(frozen=True)
class _Plan:
    """
    What an algorithm comes to.

    Args:
        strategy: Its values.

        trials: How many.

        batch: How many are suggested together at most; `None` for all of them.
    """

    strategy: Mapping[str, Any]
    trials: int
    batch: int | None = None


def fill_in_search(reading: Reading, draft: Draft, problems: Problems) -> None:
    """
    Fill in strategy, budget, resource and execution of *draft*.
    """
    if not reading.algorithm:
        return
    _check_options(reading, problems)
    if reading.algorithm != "iterative" and "tuner" in reading.shared.spelled:
        message = "has no effect: the search is made by a strategy of ours"
        problems.warn(reading.shared.place("tuner"), message, at_key=True)
    if reading.algorithm == "grid_search" and "seed" in reading.shared.spelled:
        message = "has no effect: nothing is drawn in grid search"
        problems.warn(reading.shared.place("seed"), message, at_key=True)
    plan = _PLANS[reading.algorithm](reading, draft, problems)
    if plan is None:
        return
    draft.strategy = build(
        StrategySpec, {**plan.strategy, "seed": _seed(reading)}, reading.search.path, problems
    )
    draft.budget = build(Budget, {"trials": plan.trials}, reading.search.path, problems)
    draft.execution = _execution(reading, plan, problems)


def _seed(reading: Reading) -> int | None:
    found = reading.shared.get("seed", reading.own.get("seed"))
    return None if found is None else int(found)


def _check_options(reading: Reading, problems: Problems) -> None:
    """
    Note options that the algorithm does not take.
    """
    for name, option in reading.options.items():
        if reading.algorithm == "grid_search" and option.is_distribution:
            word = "kind: random" if reading.is_new else "random_search: {n_experiments: 20}"
            message = f"{name} must list its values for grid search, got {_word(reading, name)}"
            problems.error(option.path, message, hint=f"write {word}, or values", at_key=True)
        elif reading.algorithm == "bo" and option.is_distribution and option.kind != "uniform":
            message = f"{_word(reading, name)} is refused by Polyaxon with Bayesian optimization"
            how = "its probabilities guide the first trials" if option.kind == "pvalues" else ""
            how = how or "its scale is kept"
            problems.warn(option.path, f"{message}; here {how}", at_key=True)


def _word(reading: Reading, name: str) -> str:
    kind = reading.options[name].kind
    new = {"values": "choice", "pvalues": "pchoice"}
    return new.get(kind, kind) if reading.is_new else kind


def _size(reading: Reading) -> int | None:
    """
    Return how many combinations there are; `None` where they cannot be counted.
    """
    sizes = [option.distribution.size() for option in reading.options.values()]
    return None if None in sizes else math.prod(size for size in sizes if size is not None)


def _grid(reading: Reading, draft: Draft, problems: Problems) -> _Plan | None:
    del draft
    size = _size(reading)
    if size is None or not reading.options or reading.broken:
        return None
    wanted = reading.search.get("n_experiments")
    place, word = reading.search.place("n_experiments"), reading.search.word("n_experiments")
    if wanted is None:
        return _Plan({"name": "grid"}, size)
    if wanted > size:
        message = f"{word} is capped to the number of combinations, {size}, got {wanted}"
        problems.warn(place, message)
    elif wanted < size:
        problems.warn(place, f"only the first {wanted} of {size} combinations are run")
    return _Plan({"name": "grid"}, min(wanted, size))


def _random(reading: Reading, draft: Draft, problems: Problems) -> _Plan:
    del draft, problems
    # With a seed, Polyaxon's own stream: the same trials as there.
    name = "random" if _seed(reading) is None else _SEEDED
    return _Plan({"name": name}, reading.search.get("n_experiments"))


_SEEDED = "numpy_random"


def _iterative(reading: Reading, draft: Draft, problems: Problems) -> _Plan:
    del draft
    tuner = reading.shared.get("tuner")
    what = f"the tuner {tuner.get('hubRef')}" if isinstance(tuner, dict) else "no tuner"
    problems.warn(
        (*reading.search.path, "kind"),
        f"leaves the search to a tuner of one's own, got {what}: configurations are random here",
        hint="write kind: tpe or kind: bayes",
    )
    return _Plan({"name": "random"}, reading.search.get("n_iterations"))


def _mapping(reading: Reading, draft: Draft, problems: Problems) -> _Plan:
    del draft, problems
    rows = list(reading.rows.values())
    names = list(dict.fromkeys(name for row in rows for name in row))
    # What a row does not give has no value there.
    whole = [{name: row.get(name) for name in names} for row in rows]
    return _Plan({"name": "manual", "options": {"configurations": whole}}, len(whole))


def _bo(reading: Reading, draft: Draft, problems: Problems) -> _Plan | None:
    del draft
    part = reading.search
    first, later = part.get("n_initial_trials"), part.get("n_iterations")
    if not first + later:
        word = f"{part.word('n_initial_trials')} and {part.word('n_iterations')}"
        problems.error(part.path, f"{word} must not both be 0", at_key=True)
        return None
    options = _utility(part, problems)
    values = {"name": "gp", "startup_trials": first, "options": options}
    # Trials that are suggested together do not know of each other.
    return _Plan(values, first + later, max(1, later // 4))


_PROCESS = {
    "kernel": "kernel",
    "nu": "nu",
    "length_scale": "length_scale",
    "n_restarts_optimizer": "n_restarts",
}
_USUAL_PROCESS = {"kernel": "matern", "nu": 1.5, "length_scale": 1.0, "n_restarts": 0}


def _utility(part: Part, problems: Problems) -> dict[str, Any]:
    """
    Return the options of Bayesian optimisation.
    """
    options: dict[str, Any] = {"acquisition": "ucb", **_USUAL_PROCESS}
    utility: Part | None = part.get("utility_function")
    if utility is None:
        message = f"{part.word('utility_function')} should be given, as Polyaxon fails without it"
        problems.warn(part.path, f"{message}; it is ucb here", at_key=True)
        return options
    options["acquisition"] = utility.get("acquisition_function", "ucb")
    needed = "kappa" if options["acquisition"] == "ucb" else "eps"
    if needed not in utility.spelled:
        message = f"{needed} must be given with {options['acquisition']}"
        problems.error(utility.path, message, hint=f"write {needed}: ...", at_key=True)
    options |= {needed: utility.get(needed)} if needed in utility.keys else {}
    _without_effect(utility, "eps" if needed == "kappa" else "kappa", options, problems)
    process: Part | None = utility.get("gaussian_process")
    if process is not None:
        options |= {_PROCESS[name]: value for name, value in process.keys.items()}
    if options["kernel"] == "rbf":
        del options["nu"]
        if process is not None and "nu" in process.keys:
            problems.warn(process.place("nu"), "has no effect with the kernel rbf", at_key=True)
    return options


def _without_effect(
    utility: Part, other: str, options: Mapping[str, Any], problems: Problems
) -> None:
    if other in utility.keys:
        message = f"has no effect with {options['acquisition']}"
        problems.warn(utility.place(other), message, at_key=True)
    for name in ("n_warmup", "n_iter"):
        if name in utility.keys:
            message = "has no effect: what promises most is searched for in another way"
            problems.warn(utility.place(name), message, at_key=True)


def _iterations(reading: Reading, problems: Problems) -> int:
    """
    Return how many runs there are over all iterations.
    """
    part = reading.search
    each, often = part.get("n_experiments"), part.get("n_iterations")
    if often is None:
        word, runs = part.word("n_iterations"), part.word("n_experiments")
        message = f"{word} should be given, as there is no end without it"
        problems.warn(
            part.path,
            f"{message}; {runs} is taken for the number of all runs, {each}",
            hint=f"write {word}: 10",
            at_key=True,
        )
    return int(each) * int(often or 1)


def _hyperopt(reading: Reading, draft: Draft, problems: Problems) -> _Plan:
    del draft
    part = reading.search
    algorithm = part.get("algorithm", "tpe")
    if "algorithm" not in part.spelled:
        message = "algorithm should be given, as Polyaxon fails without it; it is tpe here"
        problems.warn(part.path, message, hint="write algorithm: tpe", at_key=True)
    return _Plan(
        {"name": _HYPEROPT[algorithm]}, _iterations(reading, problems), part.get("n_experiments")
    )


def _tpe(reading: Reading, draft: Draft, problems: Problems) -> _Plan:
    del draft
    values = {"name": "tpe", "startup_trials": _TPE_STARTUP}
    return _Plan(values, _iterations(reading, problems), reading.search.get("n_experiments"))


def _hyperband(reading: Reading, draft: Draft, problems: Problems) -> _Plan | None:
    part = reading.search
    resource = part.get("resource")
    kind = resource.get("type", "float")
    values = {"name": resource.get("name"), "min": 1, "max": part.get("max_iter"), "type": kind}
    draft.resource = build(Resource, values, resource.path, problems)
    if draft.resource is None:
        return None
    eta, resume = part.get("eta"), part.get("resume", False)
    scale = Scale(1, part.get("max_iter"), eta, whole=kind == "int", resume=resume)
    if scale.steps > _MOST_RUNGS:
        message = f"must be less than {eta:g} ** {_MOST_RUNGS}, got {part.get('max_iter')}"
        problems.error(part.place("max_iter"), message)
        return None
    trials = total_trials(hyperband(scale, configurations=_size(reading)))
    return _Plan({"name": "hyperband", "options": {"eta": eta, "resume": resume}}, trials)


# With more, the first bracket alone has more trials than anybody runs.
_MOST_RUNGS = 16

_PLANS = {
    "grid_search": _grid,
    "random_search": _random,
    "mapping": _mapping,
    "iterative": _iterative,
    "bo": _bo,
    "hyperopt": _hyperopt,
    "tpe": _tpe,
    "hyperband": _hyperband,
}


def _execution(reading: Reading, plan: _Plan, problems: Problems) -> Execution | None:
    usual = None if reading.is_new else 1
    concurrency = reading.shared.get("concurrency", usual)
    place = reading.shared.place("concurrency")
    if reading.algorithm == "hyperband":
        return build(Execution, {"concurrency": concurrency}, place, problems)
    batch = reading.own.get("batch_size") or _batch(reading, plan, concurrency)
    if plan.batch is not None and concurrency is not None and batch < min(concurrency, plan.trials):
        problems.warn(
            place,
            f"{concurrency} of {plan.trials} trials would be suggested without knowing of each "
            f"other: at most {batch} are at a time",
            hint=f"write airflow_hpo: {{batch_size: {concurrency}}} if that is meant",
        )
    values = {"batch_size": min(batch, plan.trials)}
    if concurrency is not None:
        values["concurrency"] = min(concurrency, values["batch_size"])
    return build(Execution, values, place, problems)


def _batch(reading: Reading, plan: _Plan, concurrency: int | None) -> int:
    """
    Return how many trials are suggested together.
    """
    least = math.ceil(plan.trials / _MOST_ROUNDS)
    if plan.batch is not None:
        wanted = plan.batch
        if reading.algorithm == "bo" and concurrency is not None:
            wanted = min(wanted, concurrency)
    elif reading.rules:
        # What ends a study is looked at after each round too: one of all would be late.
        wanted = concurrency or _ROUND
    else:
        wanted = _ROUND
    return min(max(wanted, least), plan.trials, _ROUND)
