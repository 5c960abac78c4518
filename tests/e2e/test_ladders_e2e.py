"""
A ladder and a study without rounds on a real scheduler.
"""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import pytest

from airflow_hpo.model.trial import TrialState
from airflow_hpo.storage import open_storage
from airflow_hpo.study import Study


def result_of(stack, run_dag, dag_id):
    """
    Run a DAG to its end and return its tasks, its study's trials and its result.
    """
    run_id = run_dag(dag_id)
    record = Study.load(open_storage(stack.storage_url), f"{dag_id}-{run_id}").record()
    tasks = stack.task_instances(dag_id, run_id)
    result = stack.xcom(dag_id, run_id, "report")
    return SimpleNamespace(tasks=tasks, record=record, trials=record.trials, result=result)


@pytest.fixture(scope="module", name="ladder")
def _ladder(stack, run_dag):
    """
    The run of the ladder, once for all its tests.
    """
    return result_of(stack, run_dag, "ladder")


@pytest.fixture(scope="module", name="slots")
def _slots(stack, run_dag):
    """
    The run of the slots, once for all their tests.
    """
    return result_of(stack, run_dag, "slots")


def at_once(trials):
    """
    Return how many trials ran at the same time at most.
    """
    moments = [(t.started, 1) for t in trials] + [(t.finished, -1) for t in trials]
    running = peak = 0
    for _, change in sorted(moments):
        running += change
        peak = max(peak, running)
    return peak


def test_every_rung_ran(ladder):
    """
    Each rung had exactly the trials of the table, in tasks of its own group.
    """
    rungs = Counter((t.labels["bracket"], t.labels["rung"]) for t in ladder.trials)
    mapped = Counter(task["task_id"] for task in ladder.tasks if task["map_index"] >= 0)

    assert rungs == {(2, 0): 9, (2, 1): 3, (2, 2): 1, (1, 0): 5, (1, 1): 1, (0, 0): 3}
    assert mapped == {f"bracket_{b}.rung_{r}.trial": count for (b, r), count in rungs.items()}
    assert {task["state"] for task in ladder.tasks} == {"success"}


def test_promoted_trials_went_on(ladder):
    """
    A promoted trial found what its parent had left, and was told the total.
    """
    promoted = [trial for trial in ladder.trials if trial.parent is not None]

    assert len(promoted) == 5
    for trial in promoted:
        assert trial.metrics["before"] == ladder.trials[trial.parent].resource
        assert trial.metrics["steps"] == trial.resource


def test_the_best_moved_up(ladder):
    """
    Those that moved up are the best of their rung, and the result is the best at the top.
    """
    for bracket, rung, count in ((2, 0, 3), (2, 1, 1), (1, 0, 1)):
        own = [t for t in ladder.trials if t.labels["bracket"] == bracket]
        below = sorted((t for t in own if t.labels["rung"] == rung), key=lambda t: t.values)
        above = {t.parent for t in own if t.labels["rung"] == rung + 1}
        assert above == {trial.number for trial in below[:count]}
    top = [trial for trial in ladder.trials if trial.resource == 9]
    assert ladder.result["best"]["number"] == min(top, key=lambda t: t.values).number


def test_brackets_share_one_limit(ladder):
    """
    However many brackets there are, no more trials ran at once than was said.
    """
    assert at_once(ladder.trials) <= 2


def test_planned_stands_beside_actual(ladder):
    """
    The report has both, and they agree where nothing failed.
    """
    planned, done = ladder.result["planned"], ladder.result["actual"]

    assert planned["total_resource"] == done["total_resource"] == 69
    assert planned["trials"] == done["trials"] == 22


def test_slots_ask_when_they_start(slots):
    """
    Every trial belongs to a slot of its own, and was made just before it began.
    """
    keys = [trial.key for trial in slots.trials]

    assert len(set(keys)) == len(keys)
    assert at_once(slots.trials) <= 2
    began = sorted(slots.trials, key=lambda trial: trial.created)
    for earlier, later in zip(began, began[2:], strict=False):
        assert later.created >= min(earlier.finished, later.started)


def test_slots_promote(slots):
    """
    ASHA's rungs fill without rounds, and never more than a third moves up.
    """
    rungs = Counter(trial.labels["rung"] for trial in slots.trials)

    assert rungs[2] >= 1
    assert rungs[1] <= rungs[0] // 3
    assert rungs[2] <= rungs[1] // 3


def test_the_rest_is_skipped_at_once(slots):
    """
    Once the goal is reached no slot begins a trial, and nearly all are skipped without a start.
    """
    own = [task for task in slots.tasks if task["task_id"] == "trial"]
    states = Counter(task["state"] for task in own)
    never = [task for task in own if task["state"] == "skipped" and task["pid"] is None]

    assert len(own) == 40
    assert slots.record.stop.rule == "expression"
    assert len(slots.trials) < 30
    assert states["failed"] == 0
    assert len(never) >= 40 - len(slots.trials) - 4
    ended = {trial.state for trial in slots.trials}
    assert ended <= {TrialState.COMPLETE, TrialState.PRUNED}
