"""
STUDY + BLUEPRINT -> STUDY: going on with a study whose blueprint was changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from airflow_hpo.errors import StudyError
from airflow_hpo.model.blueprint import Blueprint
from airflow_hpo.model.values import canonical

if TYPE_CHECKING:
    from airflow_hpo.model.base import Document
    from airflow_hpo.model.record import StudyRecord
    from airflow_hpo.storage.base import Storage

__all__ = ["adopt", "defined", "differs", "obstacles", "refuse_obstacles"]


def adopt(storage: Storage, record: StudyRecord, old: Blueprint, new: Blueprint) -> StudyRecord:
    """
    Let the study in *record* go on with the blueprint *new*; returns it as it is then.

    Args:
        storage: Its journal.

        record: As it stands.

        old: The blueprint that it had.

        new: The one that it gets.

    Raises:
        StudyError: If its trials mean nothing for *new*; it says why.
    """
    refuse_obstacles(record.name, old, new)
    if not differs(old, new):
        return record
    if differs(old.space, new.space):
        storage.note(record.name, "space_changed", lambda: {"trials": len(record.trials)})
    storage.redefine(record.name, new.model_dump(mode="json"))
    return storage.load(record.name)


def defined(record: StudyRecord) -> Blueprint:
    """
    Return the blueprint that a study was made from, or got since.

    Raises:
        StudyError: If this version cannot read it.
    """
    try:
        return Blueprint.model_validate(record.definition)
    except ValidationError as error:
        raise StudyError(
            f"the blueprint that study {record.name!r} was made from cannot be read: {error}"
        ) from error


def differs(old: Document, new: Document) -> bool:
    """
    Return whether two documents of one kind say different things.

    Both come through the model, so that a key which a later version added
    with its default is no difference.
    """
    return canonical(old.model_dump(mode="json")) != canonical(new.model_dump(mode="json"))


def refuse_obstacles(study: str, old: Blueprint, new: Blueprint) -> None:
    """
    Refuse to let *study* go on with *new* where its trials mean nothing for it.

    Raises:
        StudyError: With all the reasons.
    """
    reasons = obstacles(old, new)
    if reasons:
        raise StudyError(
            f"study {study!r} exists with other objectives: {'; '.join(reasons)}; "
            "give this blueprint another study name to begin a new one"
        )


def obstacles(old: Blueprint, new: Blueprint) -> list[str]:
    """
    Return why trials of *old* mean nothing for *new*; empty if they do.
    """
    found: list[str] = []
    if len(old.objectives) != len(new.objectives):
        counts = f"{len(old.objectives)}, got {len(new.objectives)}"
        found.append(f"the number of objectives must stay {counts}")
    else:
        for before, after in zip(old.objectives, new.objectives, strict=True):
            if before.aim != after.aim:
                found.append(f"it is to {before.aim}, got {after.aim}")
            elif before.value != after.value:
                counts = f"{before.value}, got {after.value}"
                found.append(f"what counts of {before.metric} is its {counts}")
    resources = old.resource, new.resource
    if resources[0] and resources[1] and resources[0].name != resources[1].name:
        names = f"{resources[0].name}, got {resources[1].name}"
        found.append(f"its trials spend {names}")
    return found
