"""
Finding again the processes that were started, their descendants, and nothing else.

A process id alone proves nothing (ids are reused) and process groups are left by
those who make their own; what a process inherits is its environment.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable

__all__ = ["MARK", "Family"]

MARK = "AIRFLOW_HPO_STACK"
"""The environment variable that holds the mark."""


class Family:
    """
    All processes that carry one mark: those that were started, and their descendants.

    Args:
        identity: What makes the mark unlike any other.
    """

    def __init__(self, identity: str) -> None:
        self.identity = identity

    def mark(self, component: str) -> str:
        """
        Return the mark of one component.
        """
        return f"{self.identity}/{component}"

    def pids(self, component: str = "") -> set[int]:
        """
        Return the living ones, or those of one component.
        """
        import psutil

        wanted, found = self.mark(component), set[int]()
        for process in psutil.process_iter():
            try:
                mark = process.environ().get(MARK, "")
            except (psutil.Error, OSError):  # ended meanwhile, or somebody else's
                continue
            if mark == wanted or (not component and mark.startswith(wanted)):
                found.add(process.pid)
        return found

    def signal(self, number: signal.Signals, component: str = "") -> None:
        """
        Send *number* to each of them.
        """
        for pid in self.pids(component):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self, component: str = "") -> None:
        """
        Kill all of them, those too that are born meanwhile.
        """
        deadline, quiet = time.monotonic() + 10, 0
        # Twice, as a process that is just starting a program shows no mark for a moment.
        while quiet < 2 and time.monotonic() < deadline:
            quiet = 0 if self.pids(component) else quiet + 1
            self.signal(signal.SIGKILL, component)
            time.sleep(0.05)

    def end(self, groups: Iterable[int], *, grace: float) -> None:
        """
        Ask the process *groups* of components to end; returns when they have or *grace* is over.
        """
        leaders = set(groups) & self.pids()
        for leader in leaders:
            # With the group go the executor's workers, which would wait for their tasks.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(leader, signal.SIGTERM)
        deadline = time.monotonic() + grace
        while leaders & self.pids() and time.monotonic() < deadline:
            time.sleep(0.1)
