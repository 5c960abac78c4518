"""
What a chart is asked for, and what all of them share.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_hpo.model.blueprint import Blueprint
from airflow_hpo.model.record import Event, StudyRecord
from airflow_hpo.model.trial import Measurement, TrialState

if TYPE_CHECKING:
    from airflow_hpo.model.values import Value

__all__ = ["COLOURS", "Asked", "Chart", "empty", "plain"]

# One colour a state, to be told apart by anybody on light and on dark.
COLOURS: Mapping[TrialState, str] = {
    TrialState.COMPLETE: "#2f9e62",
    TrialState.RUNNING: "#3b82f6",
    TrialState.PAUSED: "#8b7cf6",
    TrialState.WAITING: "#9aa3b2",
    TrialState.PRUNED: "#e0a100",
    TrialState.INFEASIBLE: "#d9622b",
    TrialState.FAILED: "#d64545",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """
    What a chart is drawn of.

    Args:
        record: The study; its trials need no measurements.

        blueprint: What it optimises.

        objective: Which of several objectives, from 0.

        params: The parameters that are wanted; empty for the chart's own choice.

        measured: By trial number, for the learning curves.

        events: What happened, for the timeline.

        now: Seconds since the epoch.
    """

    record: StudyRecord
    blueprint: Blueprint
    objective: int = 0
    params: Sequence[str] = ()
    measured: Mapping[int, Sequence[Measurement]] = field(default_factory=dict)
    events: Sequence[Event] = ()
    now: float = 0.0


@dataclass(frozen=True, slots=True)
class Chart:
    """
    One kind of chart.

    Args:
        name: In addresses.

        title: For people.

        where: ``module:function`` that draws it; loaded when it is wanted.

        fits: Whether it means something for a study.
    """

    name: str
    title: str
    where: str
    fits: Callable[[StudyRecord, Blueprint], bool]

    def draw(self, asked: Asked) -> dict[str, Any]:
        """
        Return the chart as Plotly's JSON.
        """
        module, _, name = self.where.partition(":")
        figure: dict[str, Any] = getattr(importlib.import_module(module), name)(asked)
        return figure


def empty(note: str) -> dict[str, Any]:
    """
    Return a chart of nothing, with the reason.
    """
    return {"data": [], "layout": {}, "note": note}


def plain(value: Value) -> Value:
    """
    Return *value* with its text as text: Plotly takes some of HTML for markup.

    Line breaks and the marks of Plotly's own templates stay.
    """
    if isinstance(value, str):
        text = value.replace("<", "&lt;")
        for mark in ("<br>", "<extra>", "</extra>"):
            text = text.replace(mark.replace("<", "&lt;"), mark)
        return text
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value
