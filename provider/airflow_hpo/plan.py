"""
BLUEPRINT -> PLAN: what would run, before anything does.

Pure arithmetic over the blueprint: the factory lays out the DAG from a plan,
``hpo plan`` prints it, and the report sets it beside what really happened.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from airflow_hpo.strategies import strategy_for
from airflow_hpo.strategies.auto import explain, phases_of
from airflow_hpo.strategies.points import distinct_points

if TYPE_CHECKING:
    from airflow_hpo.model.blueprint import Blueprint

__all__ = ["Bracket", "Plan", "Round", "Rung", "make_plan"]


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
class Rung:
    """
    One level of a bracket, at which trials are compared.

    Args:
        rung: 0 for the lowest.

        trials: How many run at this level.

        resource: What each of them is given in all.

        promote: How many go on to the next rung.
    """

    rung: int
    trials: int
    resource: float
    promote: int


@dataclass(frozen=True, slots=True)
class Bracket:
    """
    One successive-halving ladder, numbered as in the paper.
    """

    bracket: int
    rungs: tuple[Rung, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """
    What one DAG run of a blueprint would do at most.

    Args:
        study: The blueprint's name.

        dialect: The one it was written in.

        mode: ``batch``, ``async`` or ``ladder``: the shape of the DAG.

        trials: In all.

        rounds: First to last; empty for a ladder.

        brackets: Empty unless it is a ladder.

        tasks: Task instances of the DAG run, the report included.

        total_resource: Sum over all trials, each at the declared resource's
            maximum; the number of trials where none is declared.

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


def make_plan(blueprint: Blueprint) -> Plan:
    """
    Return the plan of one DAG run.

    A space with fewer configurations than the budget has trials caps it, and
    a note says so.
    """
    trials, notes = _capped_trials(blueprint)
    chosen = explain(blueprint)
    notes = notes if chosen is None else (chosen, *notes)
    samplers = _samplers(blueprint, trials)
    batch = blueprint.execution.batch_size
    rounds = tuple(
        Round(index, len(names), ", ".join(dict.fromkeys(names)))
        for index, names in enumerate(
            samplers[start : start + batch] for start in range(0, trials, batch)
        )
    )
    each = 1.0 if blueprint.resource is None else blueprint.resource.max
    return Plan(
        study=blueprint.name,
        dialect=blueprint.source.dialect,
        mode="batch",
        trials=trials,
        rounds=rounds,
        brackets=(),
        tasks=trials + 2 * len(rounds) + 1,
        total_resource=trials * each,
        full_trials=float(trials),
        peak_parallelism=min(batch, trials, blueprint.execution.concurrency or trials),
        notes=notes,
    )


def _capped_trials(blueprint: Blueprint) -> tuple[int, tuple[str, ...]]:
    wanted = blueprint.budget.trials
    limit = strategy_for(blueprint).limit(blueprint.space)
    if limit is None or limit >= wanted:
        return wanted, ()
    what = "configuration" if limit == 1 else "configurations"
    note = f"budget.trials is capped to {limit}: there are {limit} {what}, not {wanted}"
    return limit, (note,)


def _samplers(blueprint: Blueprint, trials: int) -> list[str]:
    """
    Return what proposes each of the first *trials* trials.
    """
    points = len(distinct_points(blueprint.space, blueprint.points))
    names: list[str] = []
    for phase in phases_of(blueprint):
        names[phase.start :] = [phase.strategy] * (trials - phase.start)
    return ["point"] * min(points, trials) + names[points:]
