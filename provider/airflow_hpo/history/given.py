"""
STUDY -> HISTORY: all that its strategy is shown, and what is to be said of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_hpo.history.fit import MisfitError, Tally, fit_configuration, fit_past, fit_point
from airflow_hpo.model.trial import Trial, TrialState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_hpo.model.blueprint import Blueprint
    from airflow_hpo.model.record import StudyRecord
    from airflow_hpo.model.space import Space
    from airflow_hpo.model.values import Value

__all__ = ["checked_first", "given_points", "given_trials", "history_notes", "history_of"]


def history_of(record: StudyRecord, blueprint: Blueprint) -> tuple[Trial, ...]:
    """
    Return what the strategy is shown: the warm start's trials, then the study's own.

    Own trials keep their numbers, also those that a changed space has no place
    for: these are shown as failed.
    """
    own = record.trials
    if "space_changed" in record.notes:
        own = fit_past(own, blueprint.space)
    return (*given_trials(record, blueprint), *own)


def given_trials(record: StudyRecord, blueprint: Blueprint) -> tuple[Trial, ...]:
    """
    Return the trials of a warm start, numbered up to -1: none of the study's own.
    """
    note = _note(record, blueprint, use="history")
    found = [] if note is None else note["trials"]
    if "space_changed" in record.notes:
        found = [
            {**item, "configuration": configuration}
            for item in found
            if (configuration := _fitted(blueprint.space, item["configuration"])) is not None
        ]
    return tuple(
        Trial(
            number=place - len(found),
            configuration=item["configuration"],
            state=TrialState(item["state"]),
            sampler="history",
            values=None if item["values"] is None else tuple(item["values"]),
            metrics=item["metrics"],
            resource=item["resource"],
        )
        for place, item in enumerate(found)
    )


def given_points(record: StudyRecord, blueprint: Blueprint) -> tuple[dict[str, Value], ...]:
    """
    Return the configurations of a warm start that are to be tried again.
    """
    note = _note(record, blueprint, use="points")
    found = [] if note is None else [item["configuration"] for item in note["trials"]]
    if "space_changed" not in record.notes:
        return tuple(found)
    fitted = (fit_point(blueprint.space, point, Tally()) for point in found)
    return tuple(point for point in fitted if point is not None)


def checked_first(record: StudyRecord, blueprint: Blueprint) -> Blueprint:
    """
    Return *blueprint* with the champion that was tried first as its first point.

    Points are told by the trial's number, and number 0 is the champion's.
    """
    configuration = record.notes.get("champion_checked", {}).get("configuration")
    if configuration is None or _fitted(blueprint.space, configuration) is None:
        return blueprint
    return blueprint.model_copy(update={"points": (configuration, *blueprint.points)})


def _note(record: StudyRecord, blueprint: Blueprint, *, use: str) -> Mapping[str, Value] | None:
    note = record.notes.get("warm_started")
    wanted = blueprint.beginning is not None and note is not None and note["use"] == use
    return note if wanted else None


def _fitted(space: Space, configuration: Mapping[str, Value]) -> dict[str, Value] | None:
    try:
        return fit_configuration(space, configuration)
    except MisfitError:
        return None


def history_notes(record: StudyRecord, blueprint: Blueprint) -> list[str]:
    """
    Return what is to be said of the study's past, a line each.
    """
    return [*_warm_notes(record, blueprint), *_space_notes(record, blueprint)]


def _warm_notes(record: StudyRecord, blueprint: Blueprint) -> list[str]:
    note, wanted = record.notes.get("warm_started"), blueprint.beginning
    if wanted is None or note is None:
        return []
    tally = Tally.of(note["tally"])
    what = "to be tried again" if note["use"] == "points" else "taken as history"
    lines = [f"{len(note['trials'])} of {tally.seen} trials of {note['source']} {what}"]
    lines += tally.words()
    asked = (wanted.source.words, wanted.use)
    if not wanted.source.previous and asked != (note["source"], note["use"]):
        lines.append(f"what was taken first stays, got {asked[0]} as {asked[1]}")
    return [f"warm start: {line}" for line in lines]


def _space_notes(record: StudyRecord, blueprint: Blueprint) -> list[str]:
    if "space_changed" not in record.notes or not record.trials:
        return []
    tally = Tally()
    fit_past(record.trials, blueprint.space, tally)
    lines = [f"{tally.fit} of {tally.seen} trials fit it", *tally.words()]
    return [f"changed space: {line}" for line in lines]
