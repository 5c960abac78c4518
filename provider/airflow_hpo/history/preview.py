"""
BLUEPRINT -> STUDY, before there is one: what it would begin or go on with.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_hpo.errors import StudyNotFoundError
from airflow_hpo.history.collect import collect
from airflow_hpo.history.resume import defined, differs, refuse_obstacles
from airflow_hpo.model.record import StudyRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_hpo.model.blueprint import Blueprint
    from airflow_hpo.model.trial import Trial
    from airflow_hpo.storage.base import Storage

__all__ = ["preview"]


def preview(
    blueprint: Blueprint,
    storage: Storage,
    *,
    study: str | None = None,
    trials: Sequence[Trial] = (),
    seed: int = 0,
) -> StudyRecord:
    """
    Return the study as its first ask would find it; nothing is kept.

    Args:
        blueprint: What it optimises.

        storage: Its journal.

        study: Its name, if it may exist.

        trials: Of one that does not exist.

        seed: Likewise.

    Raises:
        StudyError: If a warm start cannot be had, or the study not go on.
    """
    record = StudyRecord(study or blueprint.name, {}, seed, 0.0, tuple(trials))
    if study is not None:
        record = _existing(record, blueprint, storage)
    if blueprint.beginning is None or "warm_started" in record.notes:
        return record
    taken = collect(blueprint.beginning, blueprint, storage=storage, study=study or "")
    return replace(record, notes={**record.notes, "warm_started": taken})


def _existing(record: StudyRecord, blueprint: Blueprint, storage: Storage) -> StudyRecord:
    try:
        found = storage.load(record.name)
    except StudyNotFoundError:
        return record
    old = defined(found)
    refuse_obstacles(found.name, old, blueprint)
    if not differs(old.space, blueprint.space):
        return found
    return replace(found, notes={**found.notes, "space_changed": {}})
