"""
Any of our studies, to Optuna's own tools: a storage of Optuna's that reads ours.

Imported where Optuna's tools are wanted and nowhere else, since it loads Optuna.
"""

from __future__ import annotations

import copy
import hashlib
import threading
import time
from collections.abc import Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import optuna  # noqa: TID253 - see above
from optuna.study import StudyDirection  # noqa: TID253 - see above
from optuna.study._frozen import FrozenStudy  # noqa: TID253 - see above
from optuna.trial import FrozenTrial, TrialState  # noqa: TID253 - see above
from pydantic import ValidationError

from airflow_hpo.errors import StudyError, StudyNotFoundError
from airflow_hpo.model.blueprint import Blueprint
from airflow_hpo.model.record import StudyRecord, StudySummary
from airflow_hpo.storage.base import Storage
from airflow_hpo.storage.optuna_read_only import ReadOnlyStorage
from airflow_hpo.storage.optuna_trials import directions_of, metric_names, optuna_trials

__all__ = ["OptunaView", "RecordView", "optuna_study"]

# Numbers of trials take the lower bits of a trial's id, the study's id the
# others: both together fit into what a browser takes for a whole number.
_NUMBER_BITS = 20
_STUDY_BITS = 32


@dataclass(frozen=True, slots=True)
class _Known:
    """
    What never changes about a study.
    """

    study_id: int
    name: str
    created: float
    blueprint: Blueprint
    seed: int


class OptunaView(ReadOnlyStorage):
    """
    Shows studies to Optuna's tools, and lets them change nothing.

    **How it works.** Each study of the journal is one of Optuna's, its trials
    are made anew from the journal as it stands; see `optuna_trials` for what
    becomes of each state.

    **What it does not do.** Every method that writes raises `StorageError`: a
    study is changed by asking and telling alone.

    Args:
        storage: The journal, or its URL; `default_url` by default.

        max_age_s:
            For so many seconds a study's trials are not read again, since one
            plot asks for them many times.

    Example:
        >>> from airflow_hpo.storage.optuna_view import OptunaView
        >>> OptunaView("memory://nothing-here").get_all_studies()
        []
    """

    def __init__(self, storage: Storage | str | None = None, *, max_age_s: float = 1.0) -> None:
        if storage is None or isinstance(storage, str):
            from airflow_hpo.storage import open_storage

            storage = open_storage(storage)
        self._journal = storage
        self._max_age_s = max_age_s
        self._known: dict[str, _Known] = {}
        self._trials: dict[int, tuple[float, list[FrozenTrial]]] = {}
        self._lock = threading.RLock()

    def __getstate__(self) -> dict[str, Any]:
        """
        Return what another process needs: the journal, and nothing that was read.
        """
        return {"journal": self._journal, "max_age_s": self._max_age_s}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """
        Begin anew with the journal.
        """
        OptunaView.__init__(self, state["journal"], max_age_s=state["max_age_s"])

    # What is read of the journal.

    def _summaries(self) -> Sequence[StudySummary]:
        return self._journal.studies()

    def _record(self, name: str, *, measurements: bool) -> StudyRecord:
        return self._journal.load(name, measurements=measurements)

    def _studies(self) -> list[tuple[_Known, StudySummary]]:
        """
        Return all studies, oldest first.
        """
        with self._lock:
            summaries = sorted(self._summaries(), key=lambda each: (each.created, each.name))
            before = self._known
            self._known = {}
            taken: set[int] = set()
            for summary in summaries:
                study_id = _study_id(summary.name, taken)
                taken.add(study_id)
                old = before.get(summary.name)
                if old and (old.study_id, old.created) == (study_id, summary.created):
                    self._known[summary.name] = old
                else:
                    self._learn(summary, study_id)
            return [
                (self._known[each.name], each) for each in summaries if each.name in self._known
            ]

    def _learn(self, summary: StudySummary, study_id: int) -> None:
        try:
            record = self._record(summary.name, measurements=False)
            blueprint = _blueprint(record)
        except StudyError:  # deleted since, or made by a version that is newer than this
            return
        self._known[summary.name] = _Known(
            study_id, summary.name, summary.created, blueprint, record.seed
        )
        self._trials.pop(study_id, None)

    def _find(self, study_id: int) -> _Known:
        with self._lock:
            for look in (self._known.values, self._looked):
                found = next((each for each in look() if each.study_id == study_id), None)
                if found is not None:
                    return found
        raise KeyError(f"no study has the id {study_id}")

    def _looked(self) -> list[_Known]:
        return [known for known, _ in self._studies()]

    def _frozen(self, study_id: int) -> list[FrozenTrial]:
        """
        Return the trials of a study, read a moment ago at most.
        """
        with self._lock:
            read, trials = self._trials.get(study_id, (-self._max_age_s, []))
            if read + self._max_age_s > time.monotonic():
                return trials
            known = self._find(study_id)
            try:
                record = self._record(known.name, measurements=True)
            except StudyNotFoundError:
                raise KeyError(f"study {known.name!r} is gone") from None
            trials = optuna_trials(
                record, _blueprint(record), trial_id=lambda number: _trial_id(study_id, number)
            )
            self._trials[study_id] = (time.monotonic(), trials)
            return trials

    # What Optuna reads.

    def get_all_studies(self) -> list[FrozenStudy]:
        """
        Return all studies, oldest first.
        """
        return [_frozen_study(known, summary) for known, summary in self._studies()]

    def get_study_id_from_name(self, study_name: str) -> int:
        """
        Return the id of a study.

        Raises:
            KeyError: If there is none of that name.

            StudyError: If this version cannot read its blueprint.
        """
        found = next((each for each in self._looked() if each.name == study_name), None)
        if found is not None:
            return found.study_id
        with suppress(StudyNotFoundError):
            _blueprint(self._record(study_name, measurements=False))
        raise KeyError(f"there is no study {study_name!r}")

    def get_study_name_from_id(self, study_id: int) -> str:
        """
        Return the name of a study.
        """
        return self._find(study_id).name

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """
        Return where each objective is to go.
        """
        return directions_of(self._find(study_id).blueprint.objectives)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """
        Return the blueprint's name, the strategy, why the study ended ...
        """
        return self._study(study_id).user_attrs

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """
        Return what the objectives are called.
        """
        return _system_attrs(self._find(study_id))

    def _study(self, study_id: int) -> FrozenStudy:
        found = next((each for each in self.get_all_studies() if each._study_id == study_id), None)  # noqa: SLF001 - Optuna has no other name for it
        if found is None:
            raise KeyError(f"no study has the id {study_id}")
        return found

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """
        Return one trial.
        """
        study_id, number = trial_id >> _NUMBER_BITS, trial_id % (1 << _NUMBER_BITS)
        trials = self._frozen(study_id)
        if number >= len(trials):
            raise KeyError(f"no trial has the id {trial_id}")
        return _copied(trials[number])

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,  # noqa: FBT001, FBT002 - Optuna's signature
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """
        Return the trials of a study by number.
        """
        trials = self._frozen(study_id)
        if states is not None:
            trials = [trial for trial in trials if trial.state in states]
        return [_copied(trial) for trial in trials] if deepcopy else list(trials)


class RecordView(OptunaView):
    """
    Shows one study as it was read, to Optuna's tools.

    Args:
        record: With the measurements, or there are no intermediate values.
    """

    def __init__(self, record: StudyRecord) -> None:
        from airflow_hpo.storage.memory import MemoryStorage

        super().__init__(MemoryStorage(), max_age_s=float("inf"))
        self._only = record

    def __getstate__(self) -> dict[str, Any]:
        """
        Return the record.
        """
        return {"record": self._only}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """
        Begin anew with the record.
        """
        RecordView.__init__(self, state["record"])

    def _summaries(self) -> Sequence[StudySummary]:
        only = self._only
        return [StudySummary(only.name, only.created, len(only.trials), {}, only.stop)]

    def _record(self, name: str, *, measurements: bool) -> StudyRecord:
        del name, measurements
        return self._only


def optuna_study(record: StudyRecord) -> optuna.Study:
    """
    Return one study, as it was read, as a study of Optuna's: for its plots and the like.

    Args:
        record: With the measurements, or there are no intermediate values.
    """
    return optuna.load_study(study_name=record.name, storage=RecordView(record))


def _blueprint(record: StudyRecord) -> Blueprint:
    try:
        return Blueprint.model_validate(record.definition)
    except ValidationError as error:
        raise StudyError(
            f"the blueprint that study {record.name!r} was made from cannot be read: {error}"
        ) from error


def _study_id(name: str, taken: Container[int]) -> int:
    """
    Return an id that stays the same whatever becomes of other studies.
    """
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    found = int.from_bytes(digest, "big") % (1 << _STUDY_BITS)
    while found in taken:
        found = (found + 1) % (1 << _STUDY_BITS)
    return found


def _trial_id(study_id: int, number: int) -> int:
    return (study_id << _NUMBER_BITS) + number


def _copied(trial: FrozenTrial) -> FrozenTrial:
    """
    Return a copy that its owner may change.

    What nobody changes is shared: distributions, and values within attributes.
    """
    found = copy.copy(trial)
    found.params = dict(trial.params)
    found.distributions = dict(trial.distributions)
    found.user_attrs = dict(trial.user_attrs)
    found.system_attrs = dict(trial.system_attrs)
    found.intermediate_values = dict(trial.intermediate_values)
    return found


def _system_attrs(known: _Known) -> dict[str, Any]:
    return {"study:metric_names": metric_names(known.blueprint.objectives)}


def _frozen_study(known: _Known, summary: StudySummary) -> FrozenStudy:
    blueprint = known.blueprint
    attributes = {
        "blueprint": blueprint.name,
        "description": blueprint.description or None,
        "strategy": blueprint.strategy.name,
        "seed": known.seed,
        "stop": summary.stop and summary.stop.reason,
    }
    return FrozenStudy(
        study_name=known.name,
        direction=None,
        directions=directions_of(blueprint.objectives),
        user_attrs={name: value for name, value in attributes.items() if value is not None},
        system_attrs=_system_attrs(known),
        study_id=known.study_id,
    )
