"""
BLUEPRINT -> PLAN, by the shape that its study takes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_hpo.errors import StudyError
from airflow_hpo.model.ladder import Bracket, total_spent, total_trials
from airflow_hpo.plan.table import Plan, Round
from airflow_hpo.strategies import strategy_for
from airflow_hpo.strategies.auto import explain, phases_of
from airflow_hpo.strategies.points import distinct_points
from airflow_hpo.strategies.support import caveats

if TYPE_CHECKING:
    from airflow_hpo.model.blueprint import Blueprint

__all__ = ["make_plan"]


def make_plan(blueprint: Blueprint) -> Plan:
    """
    Return the plan of one DAG run.

    A space with fewer configurations than the budget has trials caps it, and
    a note says so.

    Raises:
        StudyError: If a ladder has more trials than the budget.
    """
    support = strategy_for(blueprint).support
    if support.multi_fidelity and not support.asynchronous:
        return _around(_ladder(blueprint), blueprint)
    make = _asynchronous if blueprint.execution.mode == "async" else _batch
    return _around(make(blueprint), blueprint)


def _around(plan: Plan, blueprint: Blueprint) -> Plan:
    """
    Return *plan* with what stands before and behind a search that has a champion.
    """
    champion = blueprint.dag.champion
    if champion is None:
        return plan
    more = 3 if blueprint.dag.approve else 1
    if not champion.is_checked:
        return replace(plan, tasks=plan.tasks + more)
    note = "the champion is tried first, once there is one: where it holds, nothing else runs"
    return replace(plan, tasks=plan.tasks + more + 3, notes=(*plan.notes, note))


def _ladder(blueprint: Blueprint) -> Plan:
    """
    Return the plan of brackets that run side by side, each rung a group of tasks.
    """
    brackets, budget = _brackets(blueprint), blueprint.budget.trials
    trials = total_trials(brackets)
    champion = blueprint.dag.champion
    checked = champion is not None and champion.is_checked
    if trials + checked > budget:
        more = " and the champion's check" if checked else ""
        raise StudyError(
            f"budget.trials must be at least {trials + checked} for strategy "
            f"{blueprint.strategy.name}{more}, got {budget}: so many trials have the rungs of its "
            "brackets"
        )
    left = budget - trials - checked
    notes = [f"{left} of budget.trials stay unused"] if left else []
    rungs = sum(len(bracket.rungs) for bracket in brackets)
    at_once = sum(bracket.rungs[0].trials for bracket in brackets)
    return Plan(
        **_common(blueprint),
        mode="ladder",
        trials=trials,
        rounds=(),
        brackets=brackets,
        tasks=_tasks(blueprint, trials, once=len(brackets)) + 2 * rungs + 1,
        **_resources(blueprint, brackets, trials),
        peak_parallelism=min(at_once, blueprint.execution.concurrency or at_once),
        notes=tuple(notes),
    )


def _tasks(blueprint: Blueprint, trials: int, *, once: int) -> int:
    """
    Return how many tasks the steps of all trials are.
    """
    steps, own = len(blueprint.trial.steps), len(blueprint.trial.own_steps)
    return trials * own + once * (steps - own)


def _asynchronous(blueprint: Blueprint) -> Plan:
    """
    Return the plan of slots that ask one by one.
    """
    trials, notes = _capped_trials(blueprint)
    brackets = _brackets(blueprint)
    return Plan(
        **_common(blueprint),
        mode="async",
        trials=trials,
        rounds=(),
        brackets=brackets,
        tasks=trials + 3,
        **_resources(blueprint, brackets, trials),
        peak_parallelism=min(trials, blueprint.execution.concurrency or trials),
        notes=notes,
    )


def _batch(blueprint: Blueprint) -> Plan:
    """
    Return the plan of rounds, one after the other.
    """
    trials, notes = _capped_trials(blueprint)
    samplers = _samplers(blueprint, trials)
    batch = blueprint.execution.batch_size
    rounds = tuple(
        Round(index, len(names), ", ".join(dict.fromkeys(names)))
        for index, names in enumerate(
            samplers[start : start + batch] for start in range(0, trials, batch)
        )
    )
    brackets = _brackets(blueprint)
    return Plan(
        **_common(blueprint),
        mode="batch",
        trials=trials,
        rounds=rounds,
        brackets=brackets,
        tasks=_tasks(blueprint, trials, once=1) + 2 * len(rounds) + 1,
        **_resources(blueprint, brackets, trials),
        peak_parallelism=min(batch, trials, blueprint.execution.concurrency or trials),
        notes=notes,
    )


def _common(blueprint: Blueprint) -> dict[str, Any]:
    return {"study": blueprint.name, "dialect": blueprint.source.dialect}


def _brackets(blueprint: Blueprint) -> tuple[Bracket, ...]:
    """
    Return the table of a strategy that promotes; empty for all others.
    """
    strategy = strategy_for(blueprint)
    table = getattr(strategy, "brackets", None)
    if table is None:
        return ()
    found: tuple[Bracket, ...] = table(blueprint.space)
    return found


def _resources(blueprint: Blueprint, brackets: tuple[Bracket, ...], trials: int) -> dict[str, Any]:
    """
    Return what is spent, in units of the resource and in full trials.
    """
    full = 1.0 if blueprint.resource is None else blueprint.resource.max
    spent = total_spent(brackets) if brackets else trials * full
    return {"total_resource": spent, "full_trials": spent / full}


def _capped_trials(blueprint: Blueprint) -> tuple[int, tuple[str, ...]]:
    wanted = blueprint.budget.trials
    limit = strategy_for(blueprint).limit(blueprint.space)
    chosen = explain(blueprint)
    notes = tuple(caveats(blueprint.strategy.name, blueprint.space))
    notes = notes if chosen is None else (chosen, *notes)
    if limit is None or limit >= wanted:
        return wanted, notes
    what = "configuration" if limit == 1 else "configurations"
    note = f"budget.trials is capped to {limit}: there are {limit} {what}, not {wanted}"
    return limit, (*notes, note)


def _samplers(blueprint: Blueprint, trials: int) -> list[str]:
    """
    Return what proposes each of the first *trials* trials.
    """
    points = len(distinct_points(blueprint.space, blueprint.points))
    names: list[str] = []
    for phase in phases_of(blueprint):
        names[phase.start :] = [phase.strategy] * (trials - phase.start)
    return ["point"] * min(points, trials) + names[points:]
