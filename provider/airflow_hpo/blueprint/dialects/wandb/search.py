"""
A sweep's method, its end, and what ends runs early.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.dialects.base import build
from airflow_hpo.blueprint.dialects.own import OWN
from airflow_hpo.blueprint.dialects.wandb.keys import METHODS
from airflow_hpo.blueprint.problems import show
from airflow_hpo.blueprint.shapes import BROKEN
from airflow_hpo.model.blueprint import PrunerSpec, StrategySpec
from airflow_hpo.model.space import Space
from airflow_hpo.model.stop import Budget
from airflow_hpo.strategies.support import exhaustible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_hpo.blueprint.checks import Draft
    from airflow_hpo.blueprint.problems import Problems

__all__ = ["read_budget", "read_pruner", "read_strategy"]

# Sweeps without a cap have so many runs; a grid that has no end as many as this.
_RUNS = 100
_CELLS = 1000

_ETA = 3


def read_strategy(
    data: Mapping[str, Any], own: Mapping[str, Any], draft: Draft, problems: Problems
) -> StrategySpec | None:
    """
    Return the strategy, or note why there is none.
    """
    values = _own_strategy(own) if "strategy" in own else _method(data, draft, problems)
    if values is None:
        return None
    if "seed" in own:
        values["seed"] = own["seed"]
    return build(StrategySpec, values, ("strategy",), problems)


def _own_strategy(own: Mapping[str, Any]) -> dict[str, Any]:
    given = own["strategy"]
    if isinstance(given, str):
        return {"name": given}
    options = {key: it for key, it in given.items() if key != "name" and it is not BROKEN}
    return {"name": given["name"], "options": options}


def _method(data: Mapping[str, Any], draft: Draft, problems: Problems) -> dict[str, Any] | None:
    method = data.get("method")
    if method == "custom":
        message = "custom is code of one's own, which is not read"
        problems.error(("method",), message, hint=f"write {OWN}: {{strategy: ...}} beside it")
        return None
    if method == "ax":
        several = len(draft.objectives) > 1
        name = "tpe" if several else METHODS["bayes"]
        what = f"is searched by the strategy {name}: Ax is not built in"
        problems.warn(("method",), what, hint=f"write {OWN}: {{strategy: ...}} for another")
        return {"name": name}
    return None if method is None else {"name": METHODS[method]}


def read_budget(data: Mapping[str, Any], draft: Draft, problems: Problems) -> Budget | None:
    """
    Return how many trials there are, which a sweep need not say.
    """
    runs = data.get("run_cap")
    if runs is None and not problems.touches(("run_cap",)):
        runs = _runs(draft, problems)
    return None if runs is None else Budget(trials=runs)


def _runs(draft: Draft, problems: Problems) -> int | None:
    if draft.strategy is not None and draft.strategy.name == "grid":
        if draft.broken or not draft.parameters:
            return None
        return exhaustible(Space(parameters=tuple(draft.parameters.values()))) or _CELLS
    message = f"should be given, or the sweep has no end; it is {_RUNS}"
    problems.warn(("run_cap",), message, hint=f"write run_cap: {_RUNS}", at_key=True)
    return _RUNS


def read_pruner(data: Mapping[str, Any], problems: Problems) -> PrunerSpec | None:
    """
    Return what ends runs early, which is compared with the others at each bracket.
    """
    path = ("early_terminate",)
    given = data.get(path[0])
    if given is None or problems.touches(path):
        return None
    eta = given.get("eta", _ETA)
    if eta != int(eta):
        message = f"must be a whole number here, got {show(eta)}"
        problems.error((*path, "eta"), message, hint=f"write eta: {max(2, round(eta))}")
        return None
    first = _first_bracket(given, int(eta), problems)
    if first is None:
        return None
    options = {"min_resource": first, "reduction_factor": int(eta)}
    return PrunerSpec(name="halving_stop", options=options)


def _first_bracket(given: Mapping[str, Any], eta: int, problems: Problems) -> float | None:
    """
    Return the iteration of the first bracket, of the two ways to say it.
    """
    path = ("early_terminate",)
    last, first, count = (given.get(name) for name in ("max_iter", "min_iter", "s"))
    if last is None or count is None:
        for name in ("max_iter", "s"):
            if name in given and first is not None:
                message = "has no effect: the brackets begin at min_iter"
                problems.warn((*path, name), message, at_key=True)
        if first is None:
            message = "must have min_iter, or max_iter and s"
            problems.error(path, message, hint="write min_iter: 3", at_key=True)
        return first
    if first is not None:
        message = "has no effect: the brackets are counted back from max_iter"
        problems.warn((*path, "min_iter"), message, at_key=True)
    brackets = [at for at in (last / eta**k for k in range(1, min(count, 64) + 1)) if at >= 1]
    if not brackets:
        message = f"must be at least eta={eta}, so that there is a bracket, got {last}"
        problems.error((*path, "max_iter"), message)
        return None
    return float(min(brackets))
