"""
Whatever is killed, and whenever: the study completes, and nothing that was told is lost.

One Airflow with its journal on PostgreSQL, one study after the other, and a
kill at every moment of a round. A few of them by default; all with
``TEST_KILLS=all``.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from airflow_hpo.errors import StudyNotFoundError
from airflow_hpo.model.trial import TrialState
from airflow_hpo.storage import open_storage
from airflow_hpo.study import Study
from airflow_hpo.testing.family import MARK
from airflow_hpo.testing.stack import Stack

_HERE = Path(__file__).parent
_DAG = "crashes"

_MOMENTS = ("suggest", "trial", "measured", "evaluate")
"""
When a kill comes: while a suggest task runs, before a trial has measured anything, after it has
but before it tells, and while an evaluate task runs.
"""

_EVERYWHERE = ("task", "scheduler", "machine", "triggerer", "api-server", "postgres")

# Each victim at each moment, neighbours unlike each other: 24, and 6 more.
_ALL = (
    *((victim, moment) for moment in _MOMENTS for victim in _EVERYWHERE),
    *((victim, moment) for moment in ("trial", "measured") for victim in ("training", "worker")),
    *(("dag-processor", moment) for moment in ("trial", "evaluate")),
)
_FEW = (
    ("training", "trial"),
    ("task", "suggest"),
    ("postgres", "measured"),
    ("machine", "trial"),
    ("task", "evaluate"),
)
_KILLS = _ALL if os.environ.get("TEST_KILLS") == "all" else _FEW
_TRIALS = 30 if _KILLS is _ALL else 12

# A killed task is noticed by its missing heartbeat: sooner here than by default.
_SETTINGS = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "8",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "8",
}


@dataclass
class _Crashes:
    """
    What the kills left: the runs, and every value that was ever seen as told.
    """

    stack: Stack
    postgres: Any
    runs: list[str] = field(default_factory=list)
    told: dict[tuple[str, int], tuple[float, ...]] = field(default_factory=dict)
    kills: list[tuple[str, str]] = field(default_factory=list)
    states: dict[str, str] = field(default_factory=dict)

    @property
    def study(self) -> Study:
        """
        The study of the run that goes on, or went on last.
        """
        return self.study_of(self.runs[-1])

    def study_of(self, run_id: str) -> Study:
        """
        Return the study of a run.
        """
        return Study.load(open_storage(self.postgres.url), f"{_DAG}-{run_id}")

    def look(self) -> None:
        """
        Remember every value that is told by now.
        """
        try:
            trials = self.study.record().trials
        except StudyNotFoundError:  # the very first task has not come so far
            return
        for trial in trials:
            if trial.state is TrialState.COMPLETE:
                self.told[self.runs[-1], trial.number] = trial.values

    def begin(self) -> None:
        """
        Start the next run.
        """
        self.runs.append(
            self.stack.trigger(_DAG, {"trials": _TRIALS}, run_id=f"run-{len(self.runs)}")
        )

    def running(self) -> bool:
        """
        Return whether the latest run goes on.
        """
        state = self._ask(lambda: self.stack.run(_DAG, self.runs[-1])["state"])
        return state in {"queued", "running"}

    def await_moment(self, moment: str) -> dict[str, Any] | None:
        """
        Return the task instance that is at *moment*; `None` if the run ends before.
        """
        while self.running():
            for instance in self._instances():
                if self._is_at(instance, moment):
                    return instance
            time.sleep(0.03)
        return None

    def _instances(self) -> list[dict[str, Any]]:
        path = f"/dags/{_DAG}/dagRuns/{self.runs[-1]}/taskInstances"
        found = self._ask(lambda: self.stack.get(path, state="running", limit=20))
        return found["task_instances"]

    def _ask(self, question: Callable[[], Any]) -> Any:
        """
        Return what *question* returns once an api-server that was killed answers again.
        """
        return self.stack.until(question, timeout=120, what="the api-server must answer")

    def _is_at(self, instance: dict[str, Any], moment: str) -> bool:
        name = instance["task_id"].rpartition(".")[2]
        if moment in {"suggest", "evaluate"}:
            return name == moment
        trial = self.trial_of(instance) if name == "trial" else None
        if trial is None or trial.state is not TrialState.RUNNING:
            return False
        measured = self.study.storage.measurements(self.study.name, trial.number)
        return bool(measured) == (moment == "measured") and bool(self.training(trial.number))

    def trial_of(self, instance: dict[str, Any]) -> Any:
        """
        Return the trial of a mapped task instance.
        """
        group = instance["task_id"].partition(".")[0]
        key = f"{_DAG}/{self.runs[-1]}/{group}.suggest"
        trials = [trial for trial in self.study.record().trials if trial.key == key]
        index = instance["map_index"]
        return trials[index] if 0 <= index < len(trials) else None

    def training(self, number: int | None = None) -> list[psutil.Process]:
        """
        Return the processes of our Airflow that train: of one trial, or all.
        """
        found = []
        for process in psutil.process_iter():
            try:
                words, env = process.cmdline(), process.environ()
            except (psutil.Error, OSError):
                continue
            ours = env.get(MARK, "").startswith(self.stack._family.identity)
            wanted = number is None or env.get("HPO_TRIAL") == str(number)
            if ours and wanted and "train_slowly.py" in words[1:2]:
                found.append(process)
        return found

    def strike(self, victim: str, instance: dict[str, Any]) -> None:
        """
        Kill *victim*, and a second later start again what does not start by itself.
        """
        if victim == "postgres":
            self.postgres.crash()
            time.sleep(1)
            self.postgres.start()
        elif victim in {"task", "worker", "training"}:
            for pid in self._pids(victim, instance):
                psutil.Process(pid).kill()
        else:
            component = "scheduler" if victim == "machine" else victim
            self.stack.kill(component, descendants=victim == "machine")
            time.sleep(1)
            self.stack.start_component(component)

    def _pids(self, victim: str, instance: dict[str, Any]) -> list[int]:
        if victim == "training":
            return [each.pid for each in self.training(self.trial_of(instance).number)]
        pid = instance["pid"]
        return [pid if victim == "task" else psutil.Process(pid).ppid()]


@pytest.fixture(scope="module", name="crashes")
def _crashes(own_postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Crashes]:
    """
    The kills, one after the other, and the runs that they fell into, all at their end.
    """
    root = tmp_path_factory.mktemp("crashes")
    shutil.copytree(_HERE / "crash_dags", root / "dags")
    with Stack(root / "home", root / "dags", parallelism=3, env=_SETTINGS) as stack:
        url = {"url": own_postgres.url}
        stack.wait_for_dag(_DAG)
        connection = {"connection_id": "hpo_default", "conn_type": "hpo"}
        stack.post("/connections", {**connection, "extra": json.dumps(url)})
        crashes = _Crashes(stack, own_postgres)
        for victim, moment in _KILLS:
            _kill(crashes, victim, moment)
        _finish(crashes)
        yield crashes


def _kill(crashes: _Crashes, victim: str, moment: str) -> None:
    for _ in range(20):
        if not crashes.runs or not crashes.running():
            if crashes.runs:
                _finish(crashes)
            crashes.begin()
            continue
        instance = crashes.await_moment(moment)
        if instance is None:
            continue
        crashes.look()
        try:
            crashes.strike(victim, instance)
        except psutil.NoSuchProcess:  # it was quicker
            continue
        crashes.kills.append((victim, moment))
        return
    pytest.fail(f"no {victim} to kill at {moment}")


def _finish(crashes: _Crashes) -> None:
    run_id = crashes.runs[-1]
    crashes.states[run_id] = crashes.stack.wait(_DAG, run_id, timeout=600, interval=0.5)


def test_every_kill_happened(crashes):
    """
    Every process that the list names was killed at its moment.
    """
    assert crashes.kills == list(_KILLS)


def test_every_run_ended_well(crashes):
    """
    Every run that was hit ends in success, without anybody's help.
    """
    assert set(crashes.states.values()) == {"success"}


def test_every_trial_is_there_once(crashes):
    """
    Each study has exactly the trials of its budget, numbered without a gap, all complete.
    """
    for run_id in crashes.runs:
        record = crashes.study_of(run_id).record()
        assert [trial.number for trial in record.trials] == list(range(len(record.trials)))
        counted = [trial for trial in record.trials if trial.is_counted]
        assert len(counted) == _TRIALS
        assert {trial.state for trial in counted} == {TrialState.COMPLETE}
        configurations = Counter(tuple(trial.configuration.items()) for trial in counted)
        assert set(configurations.values()) == {1}


def test_no_told_value_was_lost(crashes):
    """
    Every value that was told before a kill is still there, and is what the parameters make it.
    """
    assert crashes.told
    for (run_id, number), values in crashes.told.items():
        assert crashes.study_of(run_id).record().trials[number].values == values
    for run_id in crashes.runs:
        for trial in crashes.study_of(run_id).record().trials:
            if trial.state is TrialState.COMPLETE:
                x, y = trial.configuration["x"], trial.configuration["y"]
                assert trial.values == pytest.approx([(x - 1) ** 2 + math.log10(y) ** 2])


def test_nothing_is_left_running(crashes):
    """
    No training process outlives the runs, and no trial or attempt is on record as running.
    """
    deadline = time.monotonic() + 20
    while crashes.training() and time.monotonic() < deadline:
        time.sleep(0.2)

    assert [process.pid for process in crashes.training()] == []
    for run_id in crashes.runs:
        study = crashes.study_of(run_id)
        for trial in study.record().trials:
            assert trial.is_final
            assert study.storage.attempts(study.name, trial.number)[-1].outcome is not None
