"""
The strategy's part in a study: what it suggests next, and whether it has anything left.

What it is told is the record alone, so that whoever asks gets the same answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_hpo.history import checked_first, given_points, history_of
from airflow_hpo.model.stop import Stop
from airflow_hpo.strategies import STRATEGIES, strategy_for
from airflow_hpo.strategies.auto import with_choice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_hpo.model.blueprint import Blueprint
    from airflow_hpo.model.ladder import Place
    from airflow_hpo.model.record import StudyRecord
    from airflow_hpo.model.trial import Suggestion

__all__ = ["exhausted", "is_ladder", "suggest", "waits"]


def is_ladder(blueprint: Blueprint) -> bool:
    """
    Return whether trials are promoted to more of the resource.
    """
    return bool(STRATEGIES.load(blueprint.strategy.name).support.multi_fidelity)


def suggest(
    record: StudyRecord, blueprint: Blueprint, count: int, *, only: Place | None = None
) -> Sequence[Suggestion]:
    """
    Return up to *count* suggestions for the study in *record*.

    Args:
        record: The study as it stands.

        blueprint: What it optimises, and how.

        count: How many are wanted.

        only: The rung of a ladder that they have to belong to.

    Raises:
        SpaceExhaustedError: If no configuration satisfies the constraints.
    """
    chosen = with_choice(blueprint, record.notes.get("strategy_chosen"))
    if not is_ladder(blueprint):  # whose trials are told by their rungs
        chosen = checked_first(record, chosen)
    strategy = strategy_for(chosen, points=given_points(record, chosen))
    # Only ladders know rungs.
    more: dict[str, Any] = {} if only is None else {"only": only}
    history = history_of(record, blueprint)
    return strategy.suggest(blueprint.space, history, count, seed=record.seed, **more)


def waits(record: StudyRecord, blueprint: Blueprint) -> bool:
    """
    Return whether trials that still run may give the strategy something to try.
    """
    return is_ladder(blueprint) and not all(trial.is_final for trial in record.trials)


def exhausted(record: StudyRecord, blueprint: Blueprint) -> Stop:
    """
    Return why a study ends whose strategy has nothing further to try.
    """
    if is_ladder(blueprint):
        return Stop("exhausted", "every rung has been run to its end")
    tried = len(record.trials)
    if "warm_started" in record.notes:
        return Stop("exhausted", "all configurations have been tried, here or in the warm start")
    what = "the only configuration has" if tried == 1 else f"all {tried} configurations have"
    return Stop("exhausted", f"{what} been tried")
