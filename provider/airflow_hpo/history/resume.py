"""
STUDY + BLUEPRINT -> STUDY: going on with a study whose blueprint was changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_hpo.errors import StudyError
from airflow_hpo.model.values import canonical

if TYPE_CHECKING:
    from airflow_hpo.model.blueprint import Blueprint
    from airflow_hpo.model.record import StudyRecord
    from airflow_hpo.storage.base import Storage

__all__ = ["adopt", "obstacles"]


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
    reasons = obstacles(old, new)
    if reasons:
        raise StudyError(
            f"study {record.name!r} exists with other objectives: {'; '.join(reasons)}; "
            "give this blueprint another study name to begin a new one"
        )
    definition = new.model_dump(mode="json")
    # Both through the model, so that a key which a later version added with
    # its default is no difference.
    if canonical(old.model_dump(mode="json")) == canonical(definition):
        return record
    if canonical(old.space.model_dump(mode="json")) != canonical(definition["space"]):
        storage.note(record.name, "space_changed", lambda: {"trials": len(record.trials)})
    storage.redefine(record.name, definition)
    return storage.load(record.name)


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
