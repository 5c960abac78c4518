"""
A trial as somebody else tells it, in terms that need not be ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_hpo.model.values import Configuration, Value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_hpo.model.objective import Objective
    from airflow_hpo.model.trial import Trial, TrialState

__all__ = ["Entry", "Told", "told_by"]


@dataclass(frozen=True, slots=True)
class Told:
    """
    One trial of somebody else's.

    Args:
        configuration: Values by the names that they had there.

        state: How it ended; `None` where that is not said.

        values: Of objectives, by metric.

        metrics: All that was measured in the end.

        resource: How much of the resource was spent; `None` if not said.

        sampler: What proposed it.
    """

    configuration: Configuration
    state: TrialState | None = None
    values: Mapping[str, float] = field(default_factory=dict)
    metrics: Mapping[str, Value] = field(default_factory=dict)
    resource: float | None = None
    sampler: str = "history"


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One trial of a file, with where it stands.

    Args:
        line: On which it begins, from 1.

        told: The trial; `None` where there are problems.

        problems: What keeps it from being read.
    """

    line: int
    told: Told | None
    problems: tuple[str, ...] = ()


def told_by(trial: Trial, objectives: Sequence[Objective]) -> Told:
    """
    Return a *trial* of a study with these *objectives*.
    """
    metrics = [objective.metric for objective in objectives]
    return Told(
        trial.configuration,
        trial.state,
        dict(zip(metrics, trial.values or (), strict=False)),
        trial.metrics,
        trial.resource,
        trial.sampler,
    )
