"""
KEYS -> PLACES: which task of which DAG run asked for a trial, or ran it.

The operators ask and start under keys that name their task instance; other
fronts, such as the command line, use keys of other shapes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_hpo.model.record import Event

__all__ = ["Place", "asked_by", "ran_at", "task_instances"]

# DAG ids and task ids have no slash; a run's id may have anything.
_ASKED = re.compile(r"(?P<dag>[^/]+)/(?P<run>.+)/(?P<task>[^/]*[^/\d][^/]*)")
_SLOT = re.compile(
    r"(?P<dag>[^/]+)/(?P<run>.+)/(?P<task>(?:[^/]*\.)?trial(?:_\d+)?)/(?P<index>\d+)"
)
_RAN = re.compile(
    r"(?P<dag>[^/]+)/(?P<run>.+)/(?P<task>[^/]+)/(?P<index>-?\d+)/(?P<tries>\d+)/(?P<id>[^/]+)"
)

# What keys of terminals begin with: no DAG's.
_TERMINAL = re.compile(r"hpo-run/[^/]+/\d+-\d+/")


class Place(NamedTuple):
    """
    A task instance; *map_index* is -1 where the task is not mapped, *tries* 0 if unknown.
    """

    dag: str
    run: str
    task: str
    map_index: int = -1
    tries: int = 0


def asked_by(key: str) -> Place | None:
    """
    Return the task that an ask's *key* stands for; `None` if it was none of Airflow's.

    Example:
        >>> asked_by("digits/manual__1/round_00.suggest")
        Place(dag='digits', run='manual__1', task='round_00.suggest', map_index=-1, tries=0)
        >>> asked_by("digits/manual__1/trial/3").map_index
        3
        >>> asked_by("hpo-run/host/12-34/abcd/0") is None
        True
    """
    if _TERMINAL.match(key):
        return None
    found = _SLOT.fullmatch(key) or _ASKED.fullmatch(key)
    if found is None:
        return None
    index = int(found["index"]) if "index" in found.groupdict() else -1
    return Place(found["dag"], found["run"], found["task"], index)


def ran_at(key: str) -> Place | None:
    """
    Return the task instance that an attempt's *key* stands for.

    Example:
        >>> ran_at("digits/manual__1/round_00.trial/2/1/0193-ab")
        Place(dag='digits', run='manual__1', task='round_00.trial', map_index=2, tries=1)
    """
    found = None if _TERMINAL.match(key) else _RAN.fullmatch(key)
    if found is None:
        return None
    return Place(
        found["dag"], found["run"], found["task"], int(found["index"]), int(found["tries"])
    )


def task_instances(events: Iterable[Event]) -> dict[int, Place]:
    """
    Return where each trial's latest attempt ran, by the trial's number.
    """
    found: dict[int, Place] = {}
    for event in events:
        if event.kind == "started" and event.trial is not None:
            place = ran_at(str(event.data.get("key", "")))
            if place is not None:
                found[event.trial] = place
    return found
