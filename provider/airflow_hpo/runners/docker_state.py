"""
What an engine says of a container's state, in our words.
"""

from __future__ import annotations

import re
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_hpo.runners.files import Ending

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LATE", "OVER", "WAITING", "ending_of", "ran_s"]

LATE = 124
"""Exit code of a container that ended itself at its time limit."""

# Seconds by which an engine may be mistaken about when a container started.
_SLACK_S = 5.0

WAITING = frozenset({"created", "configured", "initialized"})
"""Words for containers that have not started."""

OVER = frozenset({"exited", "dead", "removing", "stopped"})
"""Words for containers that have ended."""

_MOMENT = re.compile(r"([^.]+?)(\.[0-9]+)?(Z|[+-][0-9:]+)")


def ending_of(state: Mapping[str, Any], *, timeout_s: float | None) -> Ending:
    """
    Return how a container ended.

    Args:
        state: What the engine says.

        timeout_s: How long it might have taken.
    """
    ran = _moment(state["FinishedAt"]) - _moment(state["StartedAt"])
    # The code's own 124 means something else, unless it comes at that very moment.
    slack = _SLACK_S if state["ExitCode"] == LATE else 0.0
    late = timeout_s is not None and ran >= timeout_s - slack
    return Ending(
        exit_code=state["ExitCode"],
        cause="timeout" if late else None,
        oom=bool(state.get("OOMKilled")),
    )


def ran_s(state: Mapping[str, Any]) -> float:
    """
    Return for how many seconds a container has been running; 0 unless it is.
    """
    return time.time() - _moment(state["StartedAt"]) if state.get("Running") else 0.0


def _moment(text: str) -> float:
    """
    Return seconds since the epoch of a moment that an engine wrote, to the nanosecond.
    """
    match = _MOMENT.fullmatch(text)
    if match is None:
        raise ValueError(f"must be a moment in RFC 3339, got {text!r}")
    zone = "+00:00" if match[3] == "Z" else match[3]
    return datetime.fromisoformat(match[1] + zone).timestamp() + float(f"0{match[2] or '.0'}")
