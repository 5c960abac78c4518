"""
What stands around a search where there is a champion: its trial before, its crowning behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import TaskGroup

from airflow_hpo.operators.champion import (
    ChallengeOperator,
    NominateOperator,
    PromoteOperator,
    VerdictOperator,
)
from airflow_hpo.operators.trial import MAP_INDEX_TEMPLATE, TrialOperator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import BaseOperator

    from airflow_hpo.model.blueprint import Blueprint
    from airflow_hpo.operators.report import ReportOperator

__all__ = ["CHECK", "challenge", "crown"]

CHECK = "check"
"""The group of tasks that try the champion on the run's data."""


def challenge(
    report: ReportOperator, *, small: Mapping[str, Any], trial: Mapping[str, Any], prefix: str
) -> None:
    """
    Put the champion's trial in front of the search that *report* ends.

    Args:
        report: The last task of the search.

        small: Options of all tasks but the trials'.

        trial: Options of the trials' tasks.

        prefix: What the ids of the search's tasks begin with.
    """
    # What stands before the search in another DAG is none of it.
    own = {each for each in report.get_flat_relative_ids(upstream=True) if each.startswith(prefix)}
    tasks = [report.dag.get_task(each) for each in sorted(own)]
    ids = [f"{prefix}{CHECK}.{name}" for name in ("suggest", "trial")]
    with TaskGroup(CHECK, tooltip="the champion on this run's data"):
        suggest = ChallengeOperator(task_id="suggest", **small)
        tried = TrialOperator.partial(
            task_id="trial", map_index_template=MAP_INDEX_TEMPLATE, **trial
        ).expand(trial=suggest.output)
        verdict = VerdictOperator(
            task_id="evaluate",
            suggest_task_id=ids[0],
            trial_task_id=ids[1],
            later=_stages(report),
            **small,
        )
    tried >> verdict
    verdict >> [each for each in tasks if not each.upstream_task_ids & own]
    report.watched = [suggest.task_id, verdict.task_id, *report.watched]


def _stages(report: ReportOperator) -> list[list[str]]:
    """
    Return the tasks of each stage of the search, the one that asks for its trials first.
    """
    found = []
    names = list(report.watched)
    for first, last in zip(names[::2], names[1::2], strict=True):
        behind = report.dag.get_task(first).get_flat_relative_ids(upstream=False)
        ahead = report.dag.get_task(last).get_flat_relative_ids(upstream=True)
        found.append([first, *sorted(behind & ahead), last])
    return found


def crown(report: ReportOperator, blueprint: Blueprint, *, small: Mapping[str, Any]) -> None:
    """
    Put what publishes the best trial behind *report*, and before it who is asked.
    """
    last: BaseOperator = report
    approval: str | None = None
    if blueprint.dag.approve:
        nominate = NominateOperator(task_id="nominate", **small)
        last = _approval(nominate)
        report >> nominate >> last
        approval = last.task_id
    champion = PromoteOperator(
        task_id="champion", asset=blueprint.champion_asset, approval=approval, **small
    )
    last >> champion


def _approval(nominate: NominateOperator) -> BaseOperator:
    from airflow.providers.standard.operators.hitl import ApprovalOperator

    pulled = f"{{{{ ti.xcom_pull(task_ids='{nominate.task_id}', key='%s') }}}}"
    return ApprovalOperator(task_id="approve", subject=pulled % "subject", body=pulled % "question")
