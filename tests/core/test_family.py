"""
Finding and ending the processes that were started, and no others.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

pytest.importorskip("psutil", reason="comes with Airflow")

from airflow_hpo.testing.family import MARK, Family

# Prints the id of a child that has left its parent's session, then waits with it.
_PARENT = """
import subprocess, sys
child = subprocess.Popen(["sleep", "600"], start_new_session=True)
print(child.pid, flush=True)
child.wait()
"""


@pytest.fixture(name="family")
def _family() -> Iterator[Family]:
    family = Family(f"test-{os.getpid()}-{time.monotonic_ns()}")
    yield family
    family.kill()


def _start(mark: str, before: str = "") -> tuple[subprocess.Popen, str]:
    """
    Start a Python that bears the mark, and return it with its first line once it has begun.
    """
    code = f"{before}\nimport time; print(flush=True); time.sleep(600)"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, MARK: mark},
        stdout=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    return process, process.stdout.readline()


def test_descendants_that_left_are_found(family):
    """
    A child in a session of its own still belongs to the component that started its parent.
    """
    parent, line = _start(family.mark("scheduler"), _PARENT)
    child = int(line)
    deadline = time.monotonic() + 10
    while family.pids("scheduler") != {parent.pid, child} and time.monotonic() < deadline:
        time.sleep(0.01)  # it shows its mark a moment after it has begun

    assert family.pids("scheduler") == {parent.pid, child}
    assert family.pids("api-server") == set()


def test_kill_reaches_all_of_it_and_nothing_else(family):
    """
    Killing ends each marked process, and none that bears a longer or another mark.
    """
    stranger, _ = _start(f"{family.identity}0/scheduler")
    parent, _ = _start(family.mark("scheduler"), _PARENT)
    other, _ = _start(family.mark("scheduler-2"))

    family.kill("scheduler")

    assert parent.wait(10) == -signal.SIGKILL
    assert family.pids("scheduler") == set()
    assert family.pids() == {other.pid}
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def test_end_asks_first(family):
    """
    Ending sends SIGTERM to the group of a leader and returns as soon as the leader has ended.
    """
    leader, _ = _start(family.mark("triggerer"))

    family.end([leader.pid], grace=60)

    assert leader.wait(10) == -signal.SIGTERM


def test_end_gives_up_after_the_grace(family):
    """
    A leader that ignores SIGTERM is left to `kill`.
    """
    ignore = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    leader, _ = _start(family.mark("triggerer"), ignore)

    family.end([leader.pid], grace=0.2)

    assert leader.poll() is None
    family.kill()
    assert leader.wait(10) == -signal.SIGKILL


def test_end_spares_a_reused_process_id(family):
    """
    A process id that was ours once, and is somebody else's now, gets no signal.
    """
    stranger = subprocess.Popen(["sleep", "600"], start_new_session=True)

    family.end([stranger.pid], grace=0.1)

    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()
