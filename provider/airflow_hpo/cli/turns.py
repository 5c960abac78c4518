"""
Whose turn it is in a session, what runs, and what happened meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threading import Thread

    from airflow_hpo.driver import TrialRun
    from airflow_hpo.model.trial import Trial

__all__ = ["Due", "Ended", "Signal", "Work"]


@dataclass(frozen=True, slots=True)
class Due:
    """
    A trial whose turn comes.

    Args:
        trial: As it was when it was put in the queue.

        tries: How often it was tried in this session.

        taken: Whether another process had it before.
    """

    trial: Trial
    tries: int = 0
    taken: bool = False


@dataclass(frozen=True, slots=True)
class Work:
    """
    A trial that runs in a thread.
    """

    due: Due
    run: TrialRun
    thread: Thread


@dataclass(frozen=True, slots=True)
class Ended:
    """
    The news that a thread is through with its trial.
    """

    number: int
    error: BaseException | None


@dataclass(frozen=True, slots=True)
class Signal:
    """
    The news that somebody wants this process to end.
    """

    name: str
