"""
What a plan says: rounds, brackets and totals.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from airflow_hpo.model.ladder import Bracket

__all__ = ["Plan", "Round"]


@dataclass(frozen=True, slots=True)
class Round:
    """
    One batch of trials that are suggested together.

    Args:
        round: 0, 1, 2 ...

        trials: How many at most.

        sampler: What proposes them, in order: ``random``, ``random, tpe`` ...
    """

    round: int
    trials: int
    sampler: str


@dataclass(frozen=True, slots=True)
class Plan:
    """
    What one DAG run of a blueprint would do at most.

    Args:
        study: The blueprint's name.

        dialect: The one it was written in.

        mode: ``batch``, ``async`` or ``ladder``: the shape of the DAG.

        trials: In all.

        rounds: First to last; empty unless the mode is ``batch``.

        brackets: Where trials are promoted: in which numbers, and on what.

        tasks: Task instances of the DAG run, the report included.

        total_resource: What all trials spend together. One that is promoted
            and resumes spends what comes on top; where no resource is
            declared, every trial counts as one.

        full_trials: The same in trials at full fidelity.

        peak_parallelism: Trials that can run at the same time.

        notes: What a person should know, such as a capped budget.
    """

    study: str
    dialect: str
    mode: Literal["batch", "async", "ladder"]
    trials: int
    rounds: tuple[Round, ...]
    brackets: tuple[Bracket, ...]
    tasks: int
    total_resource: float
    full_trials: float
    peak_parallelism: int
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """
        Return the plan as ``hpo plan --format json`` prints it.
        """
        return asdict(self)
