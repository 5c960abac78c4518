"""
A distributed installation: PostgreSQL, Redis, two Celery workers, and one of them killed.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from airflow_hpo.driver import study_folder
from airflow_hpo.errors import StudyNotFoundError
from airflow_hpo.model.trial import TrialState
from airflow_hpo.storage import open_storage
from airflow_hpo.study import Study
from airflow_hpo.testing.celery import CeleryStack, CeleryWorker
from airflow_hpo.testing.redis import RedisServer, RedisUnavailableError

_HERE = Path(__file__).parent
_DAG = "spread"
_TRIALS = 24
_DEVICES = ("0", "1")
_LATE = 300

_SETTINGS = {
    # A killed task is noticed by its missing heartbeat: sooner here than by default.
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "8",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
}


@dataclass(frozen=True)
class _Spread:
    """
    A run that has ended, and what is known of it.
    """

    stack: CeleryStack
    url: str
    run_id: str
    state: str
    hit: int

    @property
    def study(self) -> Study:
        """
        The run's study.
        """
        return Study.load(open_storage(self.url), f"{_DAG}-{self.run_id}")

    def tasks(self) -> list[dict[str, Any]]:
        """
        Return the run's task instances.
        """
        return self.stack.task_instances(_DAG, self.run_id)


@pytest.fixture(scope="module", name="redis")
def _redis() -> Iterator[RedisServer]:
    """
    A Redis for as long as this file's tests run.
    """
    try:
        from airflow.providers.celery.executors import celery_executor  # noqa: F401
    except ImportError as error:
        pytest.skip(f"no Celery to test with: {error}")
    try:
        server = RedisServer()
    except RedisUnavailableError as error:
        pytest.skip(f"no Redis to test with: {error}")
    with server:
        yield server


@pytest.fixture(scope="module", name="spread")
def _spread(own_postgres, redis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Spread]:
    """
    One study on two workers; the one that trains is killed in its midst, and comes back.
    """
    root = tmp_path_factory.mktemp("celery")
    shutil.copytree(_HERE / "celery_dags", root / "dags")
    journal = own_postgres.url
    workers = {
        "cpu": CeleryWorker(("default",)),
        "gpu": CeleryWorker(("gpu",), concurrency=3, env={"HPO_GPUS": ",".join(_DEVICES)}),
    }
    with CeleryStack(
        root / "home",
        root / "dags",
        workers=workers,
        broker=redis.url,
        database=_own_database(journal),
        env=_SETTINGS,
        parallelism=8,
    ) as stack:
        stack.wait_for_dag(_DAG)
        connection = {"connection_id": "hpo_default", "conn_type": "hpo"}
        stack.post("/connections", {**connection, "extra": json.dumps({"url": journal})})
        run_id = stack.trigger(_DAG, run_id="one")
        hit = _kill_in_the_middle(stack, journal, run_id)
        state = stack.wait(_DAG, run_id, timeout=_LATE, interval=0.5)
        yield _Spread(stack, journal, run_id, state, hit)


def _own_database(server: str) -> str:
    """
    Make a database for Airflow's own tables and return its URL.
    """
    import psycopg

    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("CREATE DATABASE airflow")
    return server.replace("postgresql:", "postgresql+psycopg:").replace("/postgres?", "/airflow?")


def _kill_in_the_middle(stack: CeleryStack, journal: str, run_id: str) -> int:
    """
    Kill the training worker with all it runs once a third is done; returns the trials it ran.
    """
    storage, name = open_storage(journal), f"{_DAG}-{run_id}"

    def training() -> list[int] | None:
        try:
            trials = Study.load(storage, name).record().trials
        except StudyNotFoundError:
            return None
        done = [trial for trial in trials if trial.state is TrialState.COMPLETE]
        running = [trial.number for trial in trials if trial.state is TrialState.RUNNING]
        return running if len(done) >= _TRIALS // 3 and running else None

    hit = stack.until(training, timeout=_LATE, what="a third must be done", interval=0.1)
    stack.kill("worker-gpu", descendants=True)
    time.sleep(1)
    stack.start_component("worker-gpu")
    return len(hit)


def test_the_study_ends_complete(spread):
    """
    The run succeeds; all trials are complete, each once, with the value that its parameters make.
    """
    trials = spread.study.record().trials

    assert spread.state == "success"
    assert spread.hit
    assert [trial.number for trial in trials] == list(range(_TRIALS))
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}


def test_trials_of_the_killed_worker_ran_again(spread):
    """
    A trial that died with its worker has a second attempt; the others have one.
    """
    study = spread.study
    attempts = [len(study.storage.attempts(study.name, number)) for number in range(_TRIALS)]

    assert max(attempts) > 1
    assert sum(count > 1 for count in attempts) <= spread.hit + 1


def test_trials_ran_on_the_queue_gpu_and_nothing_else_did(spread):
    """
    Trials went through the queue of the training worker, all other tasks through the default one.
    """
    queues = {
        (task["task_id"].rpartition(".")[2] == "trial", task["queue"]) for task in spread.tasks()
    }

    assert queues == {(True, "gpu"), (False, "default")}


def test_trials_at_the_same_time_had_devices_of_their_own(spread):
    """
    With more trials than devices at once, each had one device, and no two had the same one.
    """
    folder = study_folder(spread.stack.artifacts, spread.study.name) / "trials"
    used = [json.loads(path.read_text()) for path in sorted(folder.glob("*/used.json"))]

    assert len(used) == _TRIALS
    assert {each["devices"] for each in used} == set(_DEVICES)
    for one, other in combinations(used, 2):
        if one["devices"] == other["devices"]:
            assert one["ended"] <= other["began"] or other["ended"] <= one["began"]


def test_the_check_asks_the_workers(spread, tmp_path):
    """
    A queue that a worker listens to is fine, another one is told, with those that there are.
    """
    text = (_HERE / "celery_dags" / "spread.yaml").read_text()
    for queue in ("gpu", "tpu"):
        (tmp_path / f"{queue}.yaml").write_text(text.replace("queue: gpu", f"queue: {queue}"))
    command = ("-m", "airflow_hpo.cli", "check", "--airflow", "--format", "json")
    files = (str(tmp_path / "gpu.yaml"), str(tmp_path / "tpu.yaml"))

    done = subprocess.run(
        [sys.executable, *command, *files],
        env=spread.stack.env,
        capture_output=True,
        text=True,
        check=True,
    )

    (problem,) = json.loads(done.stdout)
    assert (problem["severity"], problem["path"]) == ("warning", "trial.queue")
    message = "must be one that a Celery worker listens to (default, gpu), got 'tpu'"
    assert problem["message"] == message
