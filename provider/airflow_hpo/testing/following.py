"""
Following a job to its end, as tests of runners do it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_hpo.runners import create_runner
from airflow_hpo.runners.base import ENDED, Runner, pages

if TYPE_CHECKING:
    from airflow_hpo.model.job import JobResult, JobState
    from airflow_hpo.model.placement import RunnerSpec

__all__ = ["PATIENCE_S", "Look", "finish", "look", "output", "until"]

PATIENCE_S = 60.0
"""Seconds after which something that has to happen counts as not happening."""


def until(condition: Callable[[], object], *, seconds: float = PATIENCE_S) -> None:
    """
    Wait until *condition* holds; fail if it never does.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.005)


def output(runner: Runner, handle: str) -> list[str]:
    """
    Return all lines that the job has printed.
    """
    return [line for lines, _ in pages(runner, handle, 0) for line in lines]


def finish(runner: Runner, handle: str) -> JobResult:
    """
    Wait for the job's end, and return how it ended.
    """
    until(lambda: runner.wait(handle, 1.0, since=sys.maxsize) in ENDED)
    return runner.result(handle)


@dataclass(frozen=True)
class Look:
    """
    What a process that has nothing but the handle sees of a job.
    """

    state: JobState
    lines: Sequence[str]
    result: JobResult


def look(spec: RunnerSpec, handle: str) -> Look:
    """
    Wait for a job's end and look at it, with a runner made from nothing.
    """
    runner = create_runner(spec)
    result = finish(runner, handle)
    return Look(runner.state(handle), output(runner, handle), result)
