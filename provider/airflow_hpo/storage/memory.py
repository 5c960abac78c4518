"""
A study journal in memory: for tests, and for a study nobody needs tomorrow.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from airflow_hpo.model.record import Attempt, Event, StudyRecord, StudySummary
from airflow_hpo.model.trial import TrialState
from airflow_hpo.storage import codec, rules

if TYPE_CHECKING:
    from airflow_hpo.model.stop import Stop
    from airflow_hpo.model.trial import Measurement, Outcome, Trial
    from airflow_hpo.model.values import Value
    from airflow_hpo.storage.base import Propose

__all__ = ["MemoryStorage", "shared_memory_storage"]


@dataclass(slots=True)
class _Study:
    """
    All about one study; attempts by trial, measurements by trial and attempt.
    """

    record: StudyRecord
    trials: list[Trial] = field(default_factory=list)
    attempts: dict[int, dict[int, Attempt]] = field(default_factory=dict)
    measured: dict[tuple[int, int], dict[int, Measurement]] = field(default_factory=dict)
    asked: dict[str, range] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)

    def measurements(self, number: int, attempt: int) -> tuple[Measurement, ...]:
        found = self.measured.get((number, attempt), {})
        return tuple(found[position] for position in sorted(found))

    def trial(self, number: int) -> Trial:
        if not 0 <= number < len(self.trials):
            raise rules.missing_trial(self.record.name, number, count=len(self.trials))
        return self.trials[number]

    def attempt(self, number: int, attempt: int) -> Attempt:
        trial = self.trial(number)
        known = self.attempts.get(number, {}).get(attempt)
        if known is None and attempt != 0:
            raise rules.missing_attempt(number, attempt, latest=trial.attempt)
        return known or Attempt(0)


class MemoryStorage:
    """
    Keeps studies for as long as the process lives; see `Storage`.

    All of its calls wait for each other, so *propose* sees a study at rest.
    What it returns is shared between callers: values, not to be changed.
    """

    def __init__(self) -> None:
        """
        Begin without studies.
        """
        self._studies: dict[str, _Study] = {}
        # Reentrant, so that *propose* may read the storage that called it.
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        """
        Return how many studies it holds.
        """
        return f"{type(self).__name__}(<{len(self._studies)} studies>)"

    def _find(self, study: str) -> _Study:
        found = self._studies.get(study)
        if found is None:
            raise rules.missing_study(study, where="memory", names=self._studies)
        return found

    def create(
        self,
        study: str,
        *,
        definition: Mapping[str, Value],
        seed: int,
        plan: Mapping[str, Value],
    ) -> StudyRecord:
        """
        See `Storage.create`.
        """
        rules.check_study(study, seed)
        with self._lock:
            if study not in self._studies:
                now = time.time()
                record = StudyRecord(
                    study, codec.copy(definition), int(seed), now, plan=codec.copy(plan)
                )
                self._studies[study] = _Study(record, events=[Event("created", now)])
            return self.load(study)

    def load(self, study: str, *, measurements: bool = False) -> StudyRecord:
        """
        See `Storage.load`.
        """
        with self._lock:
            found = self._find(study)
            trials = found.trials
            if measurements:
                trials = [
                    replace(trial, measurements=found.measurements(trial.number, trial.attempt))
                    for trial in trials
                ]
            return replace(found.record, trials=tuple(trials))

    def redefine(self, study: str, definition: Mapping[str, Value]) -> None:
        """
        See `Storage.redefine`.
        """
        new = codec.copy(definition)
        with self._lock:
            found = self._find(study)
            old = found.record.definition
            if codec.dump(old, sort_keys=True) != codec.dump(new, sort_keys=True):
                found.record = replace(found.record, definition=new)
                found.events.append(rules.redefined(old, now=time.time()))

    def note(
        self, study: str, kind: str, make: Callable[[], Mapping[str, Value]]
    ) -> Mapping[str, Value]:
        """
        See `Storage.note`.
        """
        rules.check_note(kind)
        with self._lock:
            found = self._find(study)
            if kind not in found.record.notes:
                event = Event(kind, time.time(), data=codec.copy(make()))
                found.record = replace(found.record, notes={**found.record.notes, kind: event.data})
                found.events.append(event)
            return found.record.notes[kind]

    def noted(self, kind: str) -> Mapping[str, Mapping[str, Value]]:
        """
        See `Storage.noted`.
        """
        rules.check_note(kind)
        with self._lock:
            return {
                name: found.record.notes[kind]
                for name, found in self._studies.items()
                if kind in found.record.notes
            }

    def promote(self, study: str, key: str, data: Mapping[str, Value]) -> None:
        """
        See `Storage.promote`.
        """
        rules.check_key(key)
        event = rules.promoted(study, key, data, now=time.time())
        with self._lock:
            found = self._find(study)
            if all(each.data.get("key") != key for each in found.events if each.kind == event.kind):
                found.events.append(event)

    def promotions(self) -> Sequence[Mapping[str, Value]]:
        """
        See `Storage.promotions`.
        """
        with self._lock:
            events = [
                event
                for found in self._studies.values()
                for event in found.events
                if event.kind == "promoted"
            ]
        return tuple(event.data for event in sorted(events, key=lambda event: event.time))

    def claim(self, study: str, key: str) -> bool:
        """
        See `Storage.claim`.
        """
        rules.check_key(key)
        with self._lock:
            found = self._find(study)
            event = rules.announced(key, now=time.time())
            known = any(
                each.kind == event.kind and each.data == event.data for each in found.events
            )
            if not known:
                found.events.append(event)
            return not known

    def studies(self) -> Sequence[StudySummary]:
        """
        See `Storage.studies`.
        """
        with self._lock:
            return tuple(_summary(found) for found in reversed(self._studies.values()))

    def version(self, study: str) -> str:
        """
        See `Storage.version`.
        """
        with self._lock:
            found = self._find(study)
            measured = sum(map(len, found.measured.values()))
            return f"{found.record.created!r}/{len(found.events)}/{measured}"

    def keys(self, study: str) -> Sequence[str]:
        """
        See `Storage.keys`.
        """
        with self._lock:
            return tuple(dict.fromkeys(trial.key for trial in self._find(study).trials))

    def append(
        self, study: str, key: str, propose: Propose, *, measurements: bool = False
    ) -> tuple[Trial, ...]:
        """
        See `Storage.append`.
        """
        rules.check_key(key)
        with self._lock:
            found = self._find(study)
            if key not in found.asked:
                suggestions = propose(self.load(study, measurements=measurements))
                now, first = time.time(), len(found.trials)
                trials = rules.new_trials(suggestions, first=first, key=key, now=now)
                found.trials += trials
                found.asked[key] = range(first, first + len(trials))
                found.events.append(rules.asked(key, first=first, count=len(trials), now=now))
            return tuple(found.trials[number] for number in found.asked[key])

    def start(self, study: str, number: int, *, key: str, at: float | None = None) -> Trial:
        """
        See `Storage.start`.
        """
        rules.check_key(key)
        with self._lock:
            found = self._find(study)
            old = found.trial(number)
            attempts = found.attempts.setdefault(number, {})
            for attempt in attempts.values():
                if attempt.key == key:
                    return rules.of_attempt(old, attempt)
            now = time.time() if at is None else at
            trial = rules.begin(old, now=now)
            found.trials[number] = trial
            attempts[trial.attempt] = Attempt(trial.attempt, key, now)
            found.events += rules.begin_events(old, key=key, now=now)
            return trial

    def measure(
        self,
        study: str,
        number: int,
        measurements: Sequence[Measurement],
        *,
        attempt: int,
        first: int,
    ) -> None:
        """
        See `Storage.measure`.
        """
        rules.check_measure(number, measurements, first=first)
        with self._lock:
            found = self._find(study)
            trial = found.trial(number)
            rules.check_attempt(trial, attempt)
            # All are copied before any is kept: a call is kept whole or not.
            copies = [_copied(measurement) for measurement in measurements]
            kept = found.measured.setdefault((number, attempt), {})
            if attempt == trial.attempt and trial.state is TrialState.RUNNING:
                last = max(kept, default=-1)
                metrics = rules.live_metrics(trial.metrics, copies, first=first, last=last)
                found.trials[number] = replace(trial, metrics=metrics)
            for position, measurement in enumerate(copies, first):
                kept.setdefault(position, measurement)

    def measurements(
        self, study: str, number: int, *, attempt: int | None = None
    ) -> Sequence[Measurement]:
        """
        See `Storage.measurements`.
        """
        with self._lock:
            found = self._find(study)
            trial = found.trial(number)
            wanted = trial.attempt if attempt is None else attempt
            if not 0 <= wanted <= trial.attempt:
                raise rules.missing_attempt(number, wanted, latest=trial.attempt)
            return found.measurements(number, wanted)

    def attempts(self, study: str, number: int) -> Sequence[Attempt]:
        """
        See `Storage.attempts`.
        """
        with self._lock:
            found = self._find(study)
            found.trial(number)
            return tuple(attempt for _, attempt in sorted(found.attempts.get(number, {}).items()))

    def remember(self, study: str, number: int, data: Mapping[str, Value], *, attempt: int) -> None:
        """
        See `Storage.remember`.
        """
        copied = codec.copy(data)
        with self._lock:
            found = self._find(study)
            rules.check_attempt(found.trial(number), attempt)
            known = found.attempt(number, attempt)
            found.attempts[number][attempt] = replace(known, memory={**known.memory, **copied})

    def finish(self, study: str, number: int, outcome: Outcome, *, attempt: int) -> Trial:
        """
        See `Storage.finish`.
        """
        with self._lock:
            found = self._find(study)
            trial = found.trial(number)
            known = found.attempt(number, attempt)
            now = time.time()
            kept = rules.settle(number, outcome, attempt=known, now=now)
            if kept is None:
                return trial
            found.attempts.setdefault(number, {})[attempt] = replace(known, outcome=kept)
            found.events.append(rules.end_event(trial, kept, attempt=known, now=now))
            if attempt == trial.attempt:
                trial = found.trials[number] = rules.end(trial, kept)
            return trial

    def stop(self, study: str, stop: Stop | None) -> None:
        """
        See `Storage.stop`.
        """
        with self._lock:
            found = self._find(study)
            if (found.record.stop is None) != (stop is None):
                found.record = replace(found.record, stop=stop)
                found.events.append(rules.stop_event(stop, now=time.time()))

    def events(self, study: str) -> Sequence[Event]:
        """
        See `Storage.events`.
        """
        with self._lock:
            return tuple(self._find(study).events)

    def delete(self, study: str) -> None:
        """
        See `Storage.delete`.
        """
        with self._lock:
            self._find(study)
            del self._studies[study]

    def close(self) -> None:
        """
        See `Storage.close`: there is nothing to let go of.
        """


def _summary(found: _Study) -> StudySummary:
    states = Counter(trial.state.value for trial in found.trials)
    record = found.record
    return StudySummary(record.name, record.created, len(found.trials), dict(states), record.stop)


def _copied(measurement: Measurement) -> Measurement:
    return replace(
        measurement,
        metrics=codec.copy(measurement.metrics),
        time=float(measurement.time),
        resource=codec.copy(measurement.resource),
    )


_SHARED: dict[str, MemoryStorage] = {}
_SHARED_LOCK = threading.Lock()


def shared_memory_storage(name: str) -> MemoryStorage:
    """
    Return the storage called *name* of this process; the same one every time.
    """
    with _SHARED_LOCK:
        return _SHARED.setdefault(name, MemoryStorage())
