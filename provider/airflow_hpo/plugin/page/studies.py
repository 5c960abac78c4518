"""
JOURNAL -> LIST: the studies that a visitor may read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_hpo.model.record import StudySummary
    from airflow_hpo.plugin.page.guard import Visitor
    from airflow_hpo.plugin.page.places import Place
    from airflow_hpo.plugin.page.shelf import Shelf

__all__ = ["listed"]


def listed(
    shelf: Shelf, who: Visitor, *, dag_id: str | None = None, run_id: str | None = None
) -> dict[str, Any]:
    """
    Return the studies that *who* may read, newest first, JSON-compatible.

    Args:
        shelf: Reads the journal.

        who: The visitor.

        dag_id: Only studies with trials of this DAG.

        run_id: Only studies with trials of this run of it.
    """
    found = []
    for summary in shelf.studies():
        places = shelf.places_of(summary)
        if _concerns(places, dag_id, run_id) and who.may_read(_dags(places)):
            found.append(_line(summary, places))
    return {"studies": found}


def _concerns(places: Iterable[Place | None], dag_id: str | None, run_id: str | None) -> bool:
    if dag_id is None:
        return True
    return any(
        place is not None and place.dag == dag_id and run_id in {None, place.run}
        for place in places
    )


def _dags(places: Iterable[Place | None]) -> list[str]:
    return list(dict.fromkeys(place.dag for place in places if place is not None))


def _line(summary: StudySummary, places: Iterable[Place | None]) -> dict[str, Any]:
    runs = dict.fromkeys((place.dag, place.run) for place in places if place is not None)
    stop = summary.stop
    return {
        "name": summary.name,
        "created": summary.created,
        "trials": summary.trials,
        "states": {state: count for state, count in summary.states.items() if count},
        "stop": None if stop is None else {"rule": stop.rule, "reason": stop.reason},
        "runs": [{"dag": dag, "run": run} for dag, run in reversed(runs)][:1],
        "dags": _dags(places),
    }
