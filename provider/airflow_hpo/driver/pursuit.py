"""
A job's output as it comes: shown, measured, searched for what tells failures apart.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from airflow_hpo.runners.base import ENDED, pages

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_hpo.driver.failures import Signs
    from airflow_hpo.metrics import Collector
    from airflow_hpo.model.trial import Measurement
    from airflow_hpo.runners.base import Runner

__all__ = ["WAIT_S", "Pursuit", "Shown"]

WAIT_S = 0.5
"""
How long one wait for news from a runner lasts at most, in seconds: bounds how late a measurement
that waits for its turn is written.
"""

# How often measurements are written to the journal at most, in seconds. Code
# that prints a thousand lines a second costs one transaction, not a thousand.
_FLUSH_S = 1.0

# The longest pause, in seconds, between two looks at a job that keeps printing;
# the pauses grow by a millisecond, so that a short job is not held up.
_PACE_S = 0.05


class Shown:
    """
    Writes a job's lines to a log, each once, over all processes that follow the job.

    Args:
        log: Called with each line.

        before: How many lines were written to it before.

        note: Called with how many there are by now; `None` for nobody.
    """

    def __init__(
        self,
        log: Callable[[str], None],
        before: int = 0,
        note: Callable[[int], None] | None = None,
    ) -> None:
        self._log = log
        self._before = before
        self._note = note
        self._count = 0

    def show(self, lines: Sequence[str]) -> None:
        """
        Write those of *lines* that were not written before.
        """
        new = lines[max(0, self._before - self._count) :]
        self._count += len(lines)
        for line in new:
            self._log(line)
        if new and self._note is not None:
            self._note(self._count)


class Pursuit:
    """
    Follows one job: reads its output, and has measured what it measures.

    **How it works.** Each `poll` reads what was printed since the one before. A
    process that takes over reads all output again from its start: lines that
    were shown are not shown again, measurements that are kept are kept once.

    **What it does not do.** It decides nothing: whoever made it does, when it
    tells of measurements.

    **Known limitation.** Where a process is killed between showing a line and
    noting that it did, the next one shows that line again.

    Args:
        runner: The job's.

        handle: The job's.

        collector: Reads measurements from lines.

        signs: Reads from them what tells one failure from another.

        shown: Shows the lines that were not shown before.

        measured: Called with what was measured, and whether the job goes on.
    """

    def __init__(
        self,
        runner: Runner,
        handle: str,
        *,
        collector: Collector,
        signs: Signs,
        shown: Shown,
        measured: Callable[[Sequence[Measurement], bool], None],
    ) -> None:
        self.runner = runner
        self.handle = handle
        self._collector = collector
        self._signs = signs
        self._shown = shown
        self._measured = measured
        self._cursor = 0
        self._fresh: list[Measurement] = []
        self._flushed = -math.inf
        self._busy = 0

    def poll(self, seconds: float = WAIT_S) -> bool:
        """
        Wait for news, at most so many *seconds*, and read it; returns whether the job has ended.
        """
        before = self._cursor
        # Asked before the output is read: what is written between the two
        # would be lost the other way round.
        done = self.runner.wait(self.handle, seconds, since=before) in ENDED
        for lines, cursor in pages(self.runner, self.handle, before):
            self._shown.show(lines)
            self._signs.feed(lines)
            self._fresh += self._collector.feed(lines, time.time())
            self._cursor = cursor
        self._busy = self._busy + 1 if self._cursor != before else 0
        if self._fresh and (done or time.monotonic() - self._flushed >= _FLUSH_S):
            fresh, self._fresh, self._flushed = self._fresh, [], time.monotonic()
            self._measured(fresh, not done)
        return done

    def rest(self) -> None:
        """
        Pause between two polls of a job that keeps printing.
        """
        time.sleep(min(_PACE_S, self._busy * 0.001))
