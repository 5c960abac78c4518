"""
EVENTS -> TIMELINE: which attempt ran when, side by side, and where it idled.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_hpo.model.trial import TrialState
from airflow_hpo.report.figures.base import COLOURS, Asked, empty

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow_hpo.model.record import Event

__all__ = ["Span", "idle", "spans", "timeline"]

# So many bars at most, the latest ones.
_MOST = 1500

_MS = 1000.0


@dataclass(frozen=True, slots=True)
class Span:
    """
    One attempt at one trial.

    Args:
        number: The trial's.

        attempt: Counts from 1.

        start: Seconds since the epoch.

        end: The same; the present where it runs.

        state: How it ended, or ``running``; `None` where nobody told.

        lane: 0, 1 ...: no two that overlap are in the same.
    """

    number: int
    attempt: int
    start: float
    end: float
    state: TrialState | None
    lane: int = 0


def spans(events: Iterable[Event], *, now: float) -> list[Span]:
    """
    Return every attempt by its start, in as few lanes as it takes.

    One that never told how it ended ends where the trial's next one began.
    """
    begun: dict[tuple[int, int], float] = {}
    ended: dict[tuple[int, int], tuple[float, TrialState]] = {}
    for event in events:
        if event.trial is None:
            continue
        key = (event.trial, int(event.data.get("attempt", 0)))
        if event.kind == "started":
            begun[key] = event.time
        elif event.kind in {"finished", "finished_late"}:
            ended.setdefault(key, (event.time, TrialState(event.data["state"])))
    found = []
    for (number, attempt), start in begun.items():
        lost = begun.get((number, attempt + 1))
        end, state = ended.get((number, attempt), (now if lost is None else lost, None))
        running = state is None and lost is None
        found.append(Span(number, attempt, start, end, TrialState.RUNNING if running else state))
    return _laid_out(sorted(found, key=lambda each: (each.start, each.number)))


def _laid_out(found: Sequence[Span]) -> list[Span]:
    """
    Give each span the lowest lane that is free at its start.
    """
    free: list[int] = []
    busy: list[tuple[float, int]] = []
    laid: list[Span] = []
    for span in found:
        while busy and busy[0][0] <= span.start:
            heapq.heappush(free, heapq.heappop(busy)[1])
        lane = heapq.heappop(free) if free else len(busy)
        heapq.heappush(busy, (max(span.end, span.start), lane))
        laid.append(Span(span.number, span.attempt, span.start, span.end, span.state, lane))
    return laid


def idle(found: Sequence[Span]) -> dict[str, float]:
    """
    Return how well the lanes were used: ``lanes``, ``wall_s``, ``busy_s``, ``idle_share``.

    Between the first start and the last end every lane could have run trials.

    Example:
        >>> one = Span(0, 1, 0.0, 10.0, None, 0)
        >>> idle([one, Span(1, 1, 0.0, 5.0, None, 1)])["idle_share"]
        0.25
    """
    if not found:
        return {"lanes": 0, "wall_s": 0.0, "busy_s": 0.0, "idle_share": 0.0}
    lanes = 1 + max(span.lane for span in found)
    wall = max(span.end for span in found) - min(span.start for span in found)
    busy = sum(max(0.0, span.end - span.start) for span in found)
    share = 1 - busy / (lanes * wall) if wall > 0 else 0.0
    return {"lanes": lanes, "wall_s": wall, "busy_s": busy, "idle_share": max(0.0, share)}


def timeline(asked: Asked) -> dict[str, Any]:
    """
    Return a bar an attempt, in lanes.
    """
    found = spans(asked.events, now=asked.now)
    if not found:
        return empty("no trial has started yet")
    use = idle(found)
    note = (
        f"{use['lanes']:g} at a time at most; the lanes idled {use['idle_share']:.0%} of the time"
    )
    if len(found) > _MOST:
        note += f"; the latest {_MOST} of {len(found)} attempts are drawn"
        found = found[-_MOST:]
    by_state: dict[TrialState | None, list[Span]] = defaultdict(list)
    for span in found:
        by_state[span.state].append(span)
    layout = {
        "barmode": "overlay",
        "xaxis": {"type": "date"},
        "yaxis": {"title": {"text": "lane"}, "autorange": "reversed", "dtick": 1},
        "bargap": 0.25,
    }
    data = [_bars(state, by_state[state]) for state in (*COLOURS, None) if state in by_state]
    return {"data": data, "layout": layout, "note": note}


def _bars(state: TrialState | None, found: Sequence[Span]) -> Mapping[str, Any]:
    return {
        "type": "bar",
        "orientation": "h",
        "name": "unknown" if state is None else state.value,
        "marker": {"color": "#777777" if state is None else COLOURS[state]},
        "base": [span.start * _MS for span in found],
        "x": [max(0.0, span.end - span.start) * _MS for span in found],
        "y": [span.lane for span in found],
        "customdata": [[span.number, span.attempt, span.end - span.start] for span in found],
        "hovertemplate": "trial %{customdata[0]}, attempt %{customdata[1]}<br>"
        "%{customdata[2]:.1f} s<extra></extra>",
    }
