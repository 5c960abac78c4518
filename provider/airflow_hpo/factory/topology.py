"""
PLAN -> TASKS: how a study is laid over a DAG. The one place that knows.

A layout adds the tasks of a plan to the DAG at hand. Each shape of a plan has
one, in one table; another way to lay the same plan out, such as a loop instead
of unrolled rounds, is another function in that table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from airflow.sdk import TaskGroup

from airflow_hpo.factory.champion import challenge, crown
from airflow_hpo.factory.trials import lay_trials, slot_options, trial_names, trial_options
from airflow_hpo.hooks.compat import conf
from airflow_hpo.operators.evaluate import EvaluateOperator
from airflow_hpo.operators.slots import OpenOperator, SettleOperator, SlotOperator
from airflow_hpo.operators.suggest import SuggestOperator
from airflow_hpo.strategies import STRATEGIES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_hpo.factory.site import Site
    from airflow_hpo.model.ladder import Bracket
    from airflow_hpo.operators.report import ReportOperator
    from airflow_hpo.plan import Plan

    Layout: TypeAlias = Callable[[Site], ReportOperator]

__all__ = ["lay_out", "surround"]


def lay_out(site: Site) -> ReportOperator:
    """
    Add the tasks of a plan to the DAG at hand and return the last of them.

    Raises:
        ValueError: If there is no layout for the plan's shape.
    """
    layout = _LAYOUTS.get(site.plan.mode)
    if layout is None:
        known = ", ".join(_LAYOUTS)
        raise ValueError(f"the shape of a DAG must be one of {known}, got {site.plan.mode!r}")
    report = layout(site)
    surround(site, report)
    return report


def surround(site: Site, report: ReportOperator) -> None:
    """
    Add what stands before and behind the search that *report* ends.
    """
    champion = site.blueprint.dag.champion
    if champion is not None and champion.is_checked:
        trial = {**trial_options(site), **site.shared}
        challenge(report, small=site.small, trial=trial, prefix=site.prefix)
    if champion is not None:
        crown(report, site.blueprint, small=site.small)
    for task in report.get_flat_relatives(upstream=True) if site.prefix else ():
        if isinstance(task, SuggestOperator) and task.task_id.startswith(site.prefix):
            task.search = site.prefix.removesuffix(".")


def _unrolled_rounds(site: Site) -> ReportOperator:
    """
    Lay out a group a round, one behind the other, and the report behind them.
    """
    plan, small = site.plan, site.small
    count = len(plan.rounds)
    width = max(2, len(str(count - 1)))
    groups = [f"round_{each.round:0{width}d}" for each in plan.rounds]
    tasks = [site.ids(group, ("suggest", *trial_names(site), "evaluate")) for group in groups]
    previous: EvaluateOperator | None = None
    for index, (group, each) in enumerate(zip(groups, plan.rounds, strict=True)):
        with TaskGroup(group_id=group, tooltip=f"{each.trials} trials by {each.sampler}"):
            suggest = SuggestOperator(task_id="suggest", round=index, rounds=count, **small)
            trials = lay_trials(site, suggest.output)
            evaluate = EvaluateOperator(
                task_id="evaluate",
                round=index,
                suggest_task_id=tasks[index][0],
                trial_task_id=tasks[index][-2],
                later=tasks[index + 1 :],
                **small,
            )
        trials >> evaluate
        if previous is not None:
            previous >> suggest
        previous = evaluate
    watched = [task for each in tasks for task in (each[0], each[-1])]
    report = site.report(watched)
    if previous is not None:
        previous >> report
    return report


def _ladder(site: Site) -> ReportOperator:
    """
    Lay out a group a bracket, side by side, in each a group a rung, and the report behind them.
    """
    blueprint, plan = site.blueprint, site.plan
    _check_rungs(plan)
    watched, last = list[str](), list[EvaluateOperator]()
    before: EvaluateOperator | None = None
    staggered = STRATEGIES.load(blueprint.strategy.name).learns_from_rungs
    for bracket in plan.brackets:
        with TaskGroup(group_id=bracket.name, tooltip=_bracket_tooltip(bracket)):
            rungs = _rungs(site, bracket)
        watched += [task.task_id for pair in rungs for task in pair]
        first, (_, top) = rungs[0], rungs[-1]
        if before is not None and staggered:
            before >> first[0]
        before = first[1]
        last.append(top)
    report = site.report(watched)
    for top in last:
        top >> report
    return report


def _rungs(site: Site, bracket: Bracket) -> list[tuple[SuggestOperator, EvaluateOperator]]:
    """
    Lay out the rungs of one bracket, each waiting for the one below.
    """
    small = site.small
    groups = [f"rung_{rung.rung}" for rung in bracket.rungs]
    names = [
        ("promote" if rung.rung else "suggest", *trial_names(site), "evaluate")
        for rung in bracket.rungs
    ]
    tasks = [
        site.ids(f"{bracket.name}.{group}", own) for group, own in zip(groups, names, strict=True)
    ]
    found: list[tuple[SuggestOperator, EvaluateOperator]] = []
    for index, rung in enumerate(bracket.rungs):
        with TaskGroup(group_id=groups[index], tooltip=f"{rung.trials} on {rung.resource:g}"):
            suggest = SuggestOperator(
                task_id=names[index][0],
                round=index,
                place=[bracket.iteration, bracket.bracket, rung.rung],
                **small,
            )
            trials = lay_trials(site, suggest.output, rung.resource)
            evaluate = EvaluateOperator(
                task_id="evaluate",
                round=index,
                suggest_task_id=tasks[index][0],
                trial_task_id=tasks[index][-2],
                later=tasks[index + 1 :],
                **small,
            )
        trials >> evaluate
        if found:
            found[-1][1] >> suggest
        found.append((suggest, evaluate))
    return found


def _bracket_tooltip(bracket: Bracket) -> str:
    return " → ".join(f"{rung.trials} on {rung.resource:g}" for rung in bracket.rungs)


def _check_rungs(plan: Plan) -> None:
    """
    Refuse a rung that no mapped task has room for.
    """
    limit = _map_limit()
    for bracket in plan.brackets:
        for rung in bracket.rungs:
            if rung.trials > limit:
                raise ValueError(
                    f"a rung must not have more trials than Airflow's [core] max_map_length = "
                    f"{limit}, got {rung.trials} in rung {rung.rung} of bracket {bracket.bracket}"
                )


def _map_limit() -> int:
    return conf.getint("core", "max_map_length", fallback=1024)


def _slots(site: Site) -> ReportOperator:
    """
    Lay out the opening, a mapped task over the slots, what settles them, and the report.

    More slots than one mapped task may have are several mapped tasks.
    """
    plan, small = site.plan, site.small
    limit = _map_limit()
    parts = [
        range(start, min(start + limit, plan.trials)) for start in range(0, plan.trials, limit)
    ]
    names = ["trial"] if len(parts) == 1 else [f"trial_{part}" for part in range(len(parts))]
    ids = [f"{site.prefix}{name}" for name in names]
    options = slot_options(site)
    start = OpenOperator(task_id="open", **small)
    settle = SettleOperator(task_id="settle", slots=ids, **small)
    others = {task_id: len(part) for task_id, part in zip(ids, parts, strict=True)}
    for name, part in zip(names, parts, strict=True):
        slot = SlotOperator.partial(task_id=name, others=others, **options)
        start >> slot.expand(slot=list(part)) >> settle
    watched = [start.task_id, settle.task_id]
    report = site.report(watched)
    settle >> report
    return report


_LAYOUTS: Mapping[str, Layout] = {
    "batch": _unrolled_rounds,
    "ladder": _ladder,
    "async": _slots,
}
