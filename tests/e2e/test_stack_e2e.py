"""
The stack itself: it starts, survives what tests do to it, and leaves nothing behind.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from airflow_hpo.testing.family import Family
from airflow_hpo.testing.running import AttachedStack
from airflow_hpo.testing.stack import COMPONENTS, Stack, StackError


def test_mapped_run(stack, run_dag):
    """
    A run ends well on it, and its task instances and XComs can be read.
    """
    run_id = run_dag("plain")

    instances = stack.task_instances("plain", run_id)
    states = {(task["task_id"], task["map_index"]): task["state"] for task in instances}
    assert states == dict.fromkeys(
        [("numbers", -1), ("double", 0), ("double", 1), ("double", 2)], "success"
    )
    assert stack.xcom("plain", run_id, "double", map_index=2) == 4


def test_failed_run_tells_why(stack):
    """
    A failing task makes its run fail, and its log can be read.
    """
    stack.wait_for_dag("doomed")
    run_id = stack.trigger("doomed")

    assert stack.wait("doomed", run_id, timeout=120) == "failed"
    (task,) = stack.task_instances("doomed", run_id)
    assert "ValueError: doomed from the start" in stack.log(task)


def test_scheduler_can_be_killed_and_started_again(stack):
    """
    What is triggered while the scheduler is dead runs once it lives again.
    """
    stack.wait_for_dag("plain")
    stack.kill("scheduler", descendants=True)
    try:
        assert stack.pids("scheduler") == set()
        stack.check()
        run_id = stack.trigger("plain")
    finally:
        stack.start_component("scheduler")

    assert stack.wait("plain", run_id, timeout=120) == "success"


def test_running_component_is_not_started_twice(stack):
    """
    A component that runs is not started a second time.
    """
    with pytest.raises(StackError, match="triggerer must not be started twice, got pid"):
        stack.start_component("triggerer")


def test_one_stack_a_home(stack):
    """
    A home in which an Airflow runs is refused.
    """
    with pytest.raises(StackError, match=r"one Airflow at a time can use .*, got http"):
        Stack(stack.home, stack.home / "dags").start()

    stack.check()


def test_each_component_leads_its_own_session(stack):
    """
    Every component is the leader of a session, and knows its descendants.
    """
    for component in COMPONENTS:
        assert os.getsid(stack.pid(component)) == stack.pid(component)
        assert stack.pid(component) in stack.pids(component)


def test_component_that_dies_at_start_is_told(tmp_path):
    """
    If a component does not come up, the error quotes its log and nothing keeps running.
    """
    stack = Stack(tmp_path / "home", tmp_path / "dags", executor="no.such.Executor")

    with pytest.raises(StackError, match=r"(?s)airflow scheduler must keep running.*no\.such"):
        stack.start()

    assert all(not stack.pids(component) for component in COMPONENTS)
    assert AttachedStack.find(tmp_path / "home") is None


def test_stack_on_postgresql(postgres_url, tmp_path):
    """
    Airflow's own database may be a PostgreSQL.
    """
    (tmp_path / "dags").mkdir()
    shutil.copy(Path(__file__).parent / "dags" / "plain.py", tmp_path / "dags")
    database = postgres_url.replace("postgresql://", "postgresql+psycopg://")

    with Stack(tmp_path / "home", tmp_path / "dags", database=database, parallelism=1) as stack:
        stack.wait_for_dag("plain")
        state = stack.wait("plain", stack.trigger("plain"), timeout=120)

    assert state == "success"
    assert not (tmp_path / "home" / "airflow.db").exists()


def _demo(home: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "airflow_hpo.testing.demo", "--home", home, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_up_and_down(tmp_path):
    """
    `up` leaves an Airflow running and prints its address and login; `down` ends all of it.
    """
    home = tmp_path / "home"
    up = _demo(home, "up", "--port", "0")
    said, _ = up.communicate(timeout=300)
    running = AttachedStack.find(home)
    try:
        assert up.returncode == 0, said
        assert running is not None
        assert f"Airflow runs at {running.url}" in said
        assert f"user admin, password {running.password}" in said
        assert running.get("/dags")["total_entries"] >= 0
    finally:
        down = _demo(home, "down")
        said, _ = down.communicate(timeout=120)

    assert "Stopped." in said
    assert AttachedStack.find(home) is None
    assert "No Airflow runs" in _demo(home, "down").communicate(timeout=60)[0]


def test_demo_tells_why_a_run_failed(stack):
    """
    A run that fails makes the demo fail, with the end of the task's log; an Airflow that ran
    before goes on running.
    """
    demo = _demo(stack.home, "run", "--dag", "doomed")
    said, _ = demo.communicate(timeout=120)

    assert demo.returncode == 1
    assert "fail failed; its log ends:" in said
    assert "ValueError: doomed from the start" in said
    stack.check()
    assert set(stack.healthy().values()) == {"healthy"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_killed_demo_leaves_nothing_running(tmp_path, number):
    """
    Ctrl-C and SIGTERM end all that the demo started.
    """
    home = tmp_path / "home"
    demo = _demo(home, "run", "--dag", "no-such-dag")
    deadline = time.monotonic() + 120
    while not (home / "stack.json").exists() and time.monotonic() < deadline:
        assert demo.poll() is None, demo.communicate()[0]
        time.sleep(0.1)
    family = Family(json.loads((home / "stack.json").read_text())["identity"])
    started = family.pids()
    demo.send_signal(number)
    said, _ = demo.communicate(timeout=120)

    assert started
    assert family.pids() == set()
    assert demo.returncode == 130
    assert "nothing is left running" in said
