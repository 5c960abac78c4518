"""
Five daily intervals and a backfill on a real scheduler, and the DAG that waits for champions.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from airflow_hpo.model.record import StudyRecord
from airflow_hpo.storage import open_storage
from airflow_hpo.study import Study

_DAG = "retuned"
_DAYS = 5

# On the third of the five days the world is upside down.
_COMMAND = """case "$HPO_STUDY" in *%s) s=-;; *) s=;; esac; printf '{{"y": %%s%%s}}\\n' "$s" {x}"""


def _blueprint(days: list[str]) -> dict[str, Any]:
    return {
        "hpo": 1,
        "name": _DAG,
        "study": "retuned-{{ ds }}",
        "objective": {"metric": "y", "direction": "maximize"},
        "space": {"x": {"float": [0.1, 1]}},
        "strategy": {"name": "random", "seed": 5},
        "budget": {"trials": 3},
        "execution": {"batch_size": 3},
        "trial": {"command": _COMMAND % days[2]},
        "dag": {
            "schedule": "@daily",
            "start_date": days[0],
            "catchup": True,
            "warm_start": {"from": "previous", "trials": 1, "max_age": "30d"},
            "champion": {"tolerance": "5%"},
        },
    }


@dataclass(frozen=True)
class _Retuned:
    """
    What is left of the runs.
    """

    days: list[str]
    runs: dict[str, dict[str, Any]]
    stack: Any

    def study(self, day: str) -> StudyRecord:
        """
        Return the study of a day.
        """
        storage = open_storage(self.stack.storage_url)
        return Study.load(storage, f"retuned-{day}").record()

    def state(self, day: str, task_id: str) -> str:
        """
        Return the state of a task in the run of a day.
        """
        tasks = self.stack.task_instances(_DAG, self.runs[day]["dag_run_id"])
        return next(task["state"] for task in tasks if task["task_id"] == task_id)


def _runs(stack) -> dict[str, dict[str, Any]]:
    found = stack.get(f"/dags/{_DAG}/dagRuns", limit=50)["dag_runs"]
    return {run["logical_date"][:10]: run for run in found}


def _wait_for(stack, days: list[str]) -> dict[str, dict[str, Any]]:
    def ended() -> dict[str, dict[str, Any]] | None:
        runs = _runs(stack)
        states = {runs[day]["state"] if day in runs else None for day in days}
        return runs if states <= {"success", "failed"} else None

    return stack.until(ended, timeout=420, what=f"the runs of {days} must end")


@pytest.fixture(scope="module", name="retuned")
def _retuned(stack) -> _Retuned:
    """
    Five scheduled days, one after the other.
    """
    today = datetime.now(timezone.utc).date()
    days = [str(today - timedelta(days=_DAYS - 1 - each)) for each in range(_DAYS)]
    folder = Path(stack.env["AIRFLOW__CORE__DAGS_FOLDER"])
    stack.wait_for_dag("consumer")
    stack.patch("/dags/consumer", {"is_paused": False})
    (folder / "blueprints" / "retuned.yaml").write_text(json.dumps(_blueprint(days), indent=1))
    stack.wait_for_dag(_DAG)
    stack.patch(f"/dags/{_DAG}", {"is_paused": False})
    return _Retuned(days, _wait_for(stack, days), stack)


def test_every_interval_ran(retuned):
    """
    Five days, five runs, each made by the scheduler and well.
    """
    runs = [retuned.runs[day] for day in retuned.days]

    assert [run["run_type"] for run in runs] == ["scheduled"] * _DAYS
    assert [run["state"] for run in runs] == ["success"] * _DAYS


def test_days_on_which_the_champion_holds_try_nothing_else(retuned):
    """
    The first day searches; the second keeps what it found after one trial; on the third the
    champion falls and a search is made; on the fourth the new one is tried, and so on.
    """
    first, second, third, _, _ = (retuned.study(day) for day in retuned.days)

    assert [len(study.trials) for study in (first, second, third)] == [3, 1, 3]
    best = max(first.trials, key=lambda trial: trial.values)
    assert second.trials[0].configuration == best.configuration
    assert second.stop.rule == "champion"
    assert retuned.state(retuned.days[1], "round_00.suggest") == "skipped"
    assert retuned.state(retuned.days[1], "champion") == "skipped"
    assert third.trials[0].values[0] == -best.values[0]
    for day in retuned.days[1:]:
        assert retuned.study(day).trials[0].sampler == "champion"


def test_what_was_promoted_is_the_champion_of_the_next_day(retuned):
    """
    The journal has a promotion for each search, and each day's champion is the last before it.
    """
    promoted = open_storage(retuned.stack.storage_url).promotions()
    own = [each for each in promoted if each["asset"] == "hpo://retuned/champion"]

    assert [each["study"] for each in own][:2] == [
        f"retuned-{retuned.days[0]}",
        f"retuned-{retuned.days[2]}",
    ]
    fourth = retuned.study(retuned.days[3])
    assert fourth.notes["champion_checked"]["study"] == f"retuned-{retuned.days[2]}"


def test_a_dag_runs_on_the_champion(stack, retuned):
    """
    The consumer ran for the promotions, and got parameters, value, run, trial and files.
    """

    def arrived() -> list[dict[str, Any]] | None:
        runs = stack.get("/dags/consumer/dagRuns", limit=50)["dag_runs"]
        if not runs or {run["state"] for run in runs} != {"success"}:
            return None
        return [
            extra for run in runs for extra in stack.xcom("consumer", run["dag_run_id"], "deploy")
        ]

    extras = {
        extra["study"]: extra
        for extra in stack.until(arrived, timeout=120, what="the consumer must run")
    }
    first = retuned.study(retuned.days[0])
    best = max(first.trials, key=lambda trial: trial.values)
    found = extras[first.name]
    assert (found["trial"], found["parameters"]) == (best.number, best.configuration)
    assert (found["value"], found["values"]) == (best.values[0], {"y": best.values[0]})
    assert found["run"] == retuned.runs[retuned.days[0]]["dag_run_id"]
    assert Path(found["artifacts"]).is_dir()
    runs = stack.get("/dags/consumer/dagRuns", limit=50)["dag_runs"]
    kept = {stack.xcom("consumer", run["dag_run_id"], "recall") for run in runs}
    assert kept <= {*extras, ""}  # nothing where Airflow keeps no state with assets


def test_a_backfill_builds_on_what_was_before_in_time(stack, retuned):
    """
    Two days before the others, made afterwards: the first begins from nothing, the second from the
    first; neither sees what came later.
    """
    start = datetime.fromisoformat(retuned.days[0]).replace(tzinfo=timezone.utc)
    earlier = [str((start - timedelta(days=each)).date()) for each in (3, 2)]
    body = {
        "dag_id": _DAG,
        "from_date": f"{earlier[0]}T00:00:00Z",
        "to_date": f"{earlier[1]}T00:00:00Z",
        "max_active_runs": 1,
        "run_on_latest_version": True,
    }

    # While something else writes to its SQLite file Airflow answers with 503, and takes all back.
    stack.until(
        lambda: stack.post("/backfills", body), timeout=120, what="the backfill must be made"
    )
    runs = _wait_for(stack, earlier)

    assert [runs[day]["run_type"] for day in earlier] == ["backfill"] * 2
    assert [runs[day]["state"] for day in earlier] == ["success"] * 2
    studies = [retuned.study(day) for day in earlier]
    assert [len(study.trials) for study in studies] == [3, 1]
    assert studies[0].notes["warm_started"]["source"] == "no interval before"
    assert studies[1].notes["champion_checked"]["study"] == f"retuned-{earlier[0]}"
