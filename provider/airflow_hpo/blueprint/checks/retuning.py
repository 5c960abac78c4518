"""
Checks of what each run of a DAG has to do with the runs before it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airflow_hpo.strategies.support import lacks

if TYPE_CHECKING:
    from airflow_hpo.blueprint.checks.draft import Draft
    from airflow_hpo.blueprint.problems import Problems

__all__ = ["check_retuning"]

# What makes a template render differently from run to run.
_PER_RUN = re.compile(r"\{\{|\{%")


def check_retuning(draft: Draft, problems: Problems) -> None:
    """
    Note what keeps a run from building on those before it.
    """
    dag = draft.dag
    if dag is None:
        return
    if dag.approve and dag.champion is None and not problems.touches(("dag", "champion")):
        message = "needs a champion: without one there is nothing to approve"
        problems.error(("dag", "approve"), message, hint="write champion: {}", at_key=True)
    if dag.warm_start is not None:
        _check_warm_start(draft, problems)
    checked = dag.champion is not None and dag.champion.is_checked
    if checked and _is_fixed(draft):
        _refuse_fixed(draft, ("dag", "champion", "tolerance"), problems)
    if (checked or dag.warm_start is not None) and (dag.max_active_runs or 1) > 1:
        message = (
            "should be 1 where runs build on those before them, "
            f"got {dag.max_active_runs}: a run takes what has ended when it begins"
        )
        problems.warn(("dag", "max_active_runs"), message)


def _check_warm_start(draft: Draft, problems: Problems) -> None:
    path = ("dag", "warm_start")
    if draft.warm_start is not None:
        message = "must be the only one, got warm_start at the top of the file as well"
        problems.error(path, message, at_key=True)
    if _is_fixed(draft):
        _refuse_fixed(draft, path, problems)
    start = None if draft.dag is None else draft.dag.warm_start
    strategy = "" if draft.strategy is None else draft.strategy.name
    if start is not None and start.use == "history" and lacks(strategy, "history"):
        message = f"must be points with strategy {strategy}, which cannot learn from a history"
        problems.error((*path, "as"), message, hint="write as: points")


def _is_fixed(draft: Draft) -> bool:
    return draft.study is not None and _PER_RUN.search(draft.study) is None


def _refuse_fixed(draft: Draft, path: tuple[str, ...], problems: Problems) -> None:
    problems.error(
        path,
        f"needs a study of its own for each run, got the fixed name {draft.study}",
        hint='leave out study, or write study: "NAME-{{ ds }}"',
        at_key=True,
    )
