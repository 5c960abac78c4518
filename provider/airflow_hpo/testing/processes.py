"""
Real processes that begin at the same moment, and one that can be killed.

What a promise about several processes is tested with: threads share too much,
and a forked copy of a test run even more.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

__all__ = ["is_running", "let_go", "run_together", "start_process"]

_ROOT = Path(__file__).parents[2]
_CODE = "from airflow_hpo.testing.processes import _main; _main()"


def start_process(task: Callable[[], object]) -> subprocess.Popen[bytes]:
    """
    Start a process that calls *task* once it is told to, by `let_go`.

    What the task prints comes on its standard output, what it returned last.

    Args:
        task: Must be picklable, as must what it returns.
    """
    path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    process = subprocess.Popen(  # noqa: S603 - ourselves
        [sys.executable, "-c", _CODE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(pickle.dumps(task))
    process.stdin.flush()
    return process


def is_running(pid: int) -> bool:
    """
    Return whether a process lives; one that ended and was not waited for does not.
    """
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in {"Z", "X"}


def let_go(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """
    Let *processes* call their tasks, once all of them are ready to.
    """
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None  # or `communicate` would close it again


def run_together(tasks: Sequence[Callable[[], Any]], *, timeout_s: float = 120) -> list[Any]:
    """
    Call every task in a process of its own, all at once; return what they return.

    Args:
        tasks: Each must be picklable, as must what it returns.

        timeout_s: How long any of them may take.

    Raises:
        AssertionError: If one raises; its traceback is the message.
    """
    processes = [start_process(task) for task in tasks]
    try:
        let_go(processes)
        outputs = [process.communicate(timeout=timeout_s)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return [_result(output) for output in outputs]


def _result(output: bytes) -> Any:
    assert output, "a process died without a word"
    returned, failure = pickle.loads(output)  # noqa: S301 - our own process
    assert failure is None, failure
    return returned


def _main() -> None:
    task = pickle.load(sys.stdin.buffer)  # noqa: S301 - our own parent
    sys.stdout.buffer.write(b"ready\n")
    sys.stdout.flush()
    sys.stdin.buffer.read(1)
    answer: tuple[Any, str | None]
    try:
        answer = (task(), None)
    except BaseException:  # noqa: BLE001 - the parent raises it
        answer = (None, traceback.format_exc())
    sys.stdout.buffer.write(pickle.dumps(answer))
    sys.stdout.flush()
