"""
JOURNAL -> SNAPSHOTS: studies as the page reads them, loaded once for each change.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from airflow_hpo.history.resume import defined
from airflow_hpo.hooks.study import StudyHook
from airflow_hpo.model.blueprint import Blueprint
from airflow_hpo.model.record import Event, StudyRecord, StudySummary
from airflow_hpo.model.trial import Measurement
from airflow_hpo.plugin.page.places import Place, asked_by, task_instances
from airflow_hpo.report import summarise, trial_columns, trial_rows
from airflow_hpo.report.figures.curves import followed
from airflow_hpo.storage.base import Storage

__all__ = ["Shelf", "Snapshot"]

# So many studies are kept in memory, and so long is a connection trusted, in seconds.
_STUDIES, _TRUST_S = 8, 30.0


class Snapshot:
    """
    One study at one moment; what is derived of it is made once.

    Args:
        storage: The journal.

        record: The study.

        version: What the journal called this state.
    """

    def __init__(self, storage: Storage, record: StudyRecord, version: str) -> None:
        self._storage = storage
        self.record = record
        self.version = version
        self.drawn: dict[str, Any] = {}

    @cached_property
    def blueprint(self) -> Blueprint:
        """
        What the study optimises, as its latest run was set.
        """
        return defined(self.record)

    @cached_property
    def events(self) -> Sequence[Event]:
        """
        What happened.
        """
        return self._storage.events(self.record.name)

    @cached_property
    def places(self) -> Mapping[int, Place]:
        """
        Where each trial ran.
        """
        return task_instances(self.events)

    @cached_property
    def summary(self) -> dict[str, Any]:
        """
        What `report.summarise` says.
        """
        return summarise(self.record, self.blueprint)

    @cached_property
    def columns(self) -> list[str]:
        """
        The keys of `rows`.
        """
        return trial_columns(self.record, self.blueprint)

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """
        One flat mapping a trial.
        """
        return list(trial_rows(self.record, self.blueprint))

    @cached_property
    def measured(self) -> dict[int, Sequence[Measurement]]:
        """
        The measurements of the trials that are of interest.
        """
        name, wanted = self.record.name, followed(self.record, self.blueprint)
        return {number: self._storage.measurements(name, number) for number in wanted}


@dataclass(slots=True)
class _Opened:
    storage: Storage
    until: float


class Shelf:
    """
    Reads studies for all visitors of this process; safe from any thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._opened: _Opened | None = None
        self._snapshots: OrderedDict[str, Snapshot] = OrderedDict()
        self._places: dict[tuple[str, float], tuple[int, tuple[Place | None, ...]]] = {}

    @property
    def storage(self) -> Storage:
        """
        The journal; the connection to it is looked up again now and then.
        """
        with self._lock:
            now = time.monotonic()
            if self._opened is None or self._opened.until < now:
                self._opened = _Opened(StudyHook().storage(), now + _TRUST_S)
            return self._opened.storage

    def studies(self) -> Sequence[StudySummary]:
        """
        Return a line about every study, newest first.
        """
        found = self.storage.studies()
        kept = {(summary.name, summary.created) for summary in found}
        self._places = {key: known for key, known in list(self._places.items()) if key in kept}
        return found

    def places_of(self, summary: StudySummary) -> tuple[Place | None, ...]:
        """
        Return which tasks asked for a study's trials; `None` stands for a terminal.
        """
        key = (summary.name, summary.created)
        known = self._places.get(key)
        if known is None or known[0] != summary.trials:
            keys = self.storage.keys(summary.name)
            known = (summary.trials, tuple(map(asked_by, keys)))
            self._places[key] = known
        return known[1]

    def owners(self, study: str) -> list[str]:
        """
        Return the DAGs that asked for trials of a study.

        Raises:
            StudyNotFoundError: If there is none.
        """
        places = map(asked_by, self.storage.keys(study))
        return list(dict.fromkeys(place.dag for place in places if place is not None))

    def version(self, study: str) -> str:
        """
        Return what changes with a study.

        Raises:
            StudyNotFoundError: If there is none.
        """
        return self.storage.version(study)

    def open(self, study: str) -> Snapshot:
        """
        Return a study as it stands.

        Raises:
            StudyNotFoundError: If there is none.

            StudyError: If this version cannot read its blueprint.
        """
        storage = self.storage
        version = storage.version(study)
        with self._lock:
            found = self._snapshots.get(study)
            if found is not None and found.version == version:
                self._snapshots.move_to_end(study)
                return found
        # Read after the version: what comes in between is read twice, never missed.
        found = Snapshot(storage, storage.load(study), version)
        with self._lock:
            self._snapshots[study] = found
            self._snapshots.move_to_end(study)
            while len(self._snapshots) > _STUDIES:
                self._snapshots.popitem(last=False)
        return found
