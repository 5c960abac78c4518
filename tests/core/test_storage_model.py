"""
Two storages that are told the same, right or wrong, know the same.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import asdict, is_dataclass
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from airflow_hpo.errors import HpoError
from airflow_hpo.model.stop import Stop
from airflow_hpo.model.trial import Failure, Measurement, Outcome, Suggestion, TrialState
from airflow_hpo.storage import open_storage
from airflow_hpo.storage.memory import MemoryStorage

_TIMES = {"created", "started", "finished", "time"}

# The clock of a test stands in the past, that of a storage does not.
_LONG_AGO = 1e9

_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.characters(categories=["Cs", "Cc"])
)
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
_mappings = st.dictionaries(st.text(max_size=3), _values, max_size=3)
_studies = st.sampled_from(["a", "b"])
_numbers = st.integers(0, 3)
_attempts = st.integers(0, 3)
_times = st.floats(0, _LONG_AGO)
_measurements = st.lists(
    st.builds(Measurement, _mappings, _times, st.none() | st.integers(1, 9)), max_size=3
)


@st.composite
def _outcomes(draw):
    state = draw(st.sampled_from(sorted(set(TrialState) - {"waiting", "running"})))
    numbers = st.lists(st.floats(allow_nan=False) | st.integers(-9, 9), min_size=1, max_size=2)
    return Outcome(
        state,
        values=tuple(draw(numbers)) if state is TrialState.COMPLETE else None,
        # Few, so that the same outcome is told twice now and then.
        metrics=draw(st.just({}) | st.just({"a": 1}) | _mappings),
        reason=draw(st.none() | st.text(max_size=5)),
        failure=draw(st.sampled_from([None, *Failure])),
        exit_code=draw(st.none() | st.integers(-9, 255)),
        time=draw(st.none() | _times),
    )


def _plain(value):
    """
    Return *value* with the storage's own times left out, as text that shows types.
    """
    if is_dataclass(value):
        return _plain(asdict(value))
    if isinstance(value, dict):
        return {
            key: "now" if key in _TIMES and _is_now(inner) else _plain(inner)
            for key, inner in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return repr(value)


def _is_now(value):
    return isinstance(value, float) and value > _LONG_AGO


class StorageModel(RuleBasedStateMachine):
    """
    Does everything to a file and to memory, and compares.
    """

    folder = Path()

    def __init__(self):
        super().__init__()
        self.storages = (MemoryStorage(), open_storage(f"sqlite:///{self.folder}/studies.db"))
        for summary in self.storages[1].studies():
            self.storages[1].delete(summary.name)

    def both(self, call):
        """
        Do *call* to both storages: they answer, or refuse, in the same words.
        """
        memory, file = (self.answer(call, storage) for storage in self.storages)

        assert memory == file

    def answer(self, call, storage):
        """
        Return what *storage* answers.
        """
        try:
            return _plain(call(storage))
        except (HpoError, ValueError, ZeroDivisionError) as error:
            where = str(getattr(storage, "_database", "memory"))
            return f"{type(error).__name__}: {error}".replace(where, "memory")

    @rule(study=_studies, definition=_mappings, seed=st.integers(-1, 2**63))
    def create(self, study, definition, seed):
        """
        Once or again, with seeds that are out of range as well.
        """
        self.both(
            lambda storage: storage.create(study, definition=definition, seed=seed, plan=definition)
        )

    @rule(
        study=_studies,
        key=st.sampled_from(["k", "l", "m", ""]),
        configurations=st.lists(_mappings, max_size=2),
        resource=st.none() | st.integers(1, 9) | st.floats(1, 9),
        fail=st.booleans(),
        measurements=st.booleans(),
    )
    def append(self, study, key, configurations, resource, fail, measurements):
        """
        With suggestions, without any, or with a strategy that fails.
        """

        def propose(record):
            if fail:
                raise ZeroDivisionError(_plain(record))
            return [
                Suggestion(configuration, "test", resource, None, {"seen": len(record.trials)})
                for configuration in configurations
            ]

        self.both(lambda storage: storage.append(study, key, propose, measurements=measurements))

    @rule(study=_studies, number=_numbers, key=st.sampled_from(["x", "y", "z"]))
    def start(self, study, number, key):
        """
        A first attempt, a known one, or one more.
        """
        self.both(lambda storage: storage.start(study, number, key=key))

    @rule(
        study=_studies,
        number=_numbers,
        measurements=_measurements,
        attempt=_attempts,
        first=st.integers(-1, 4),
    )
    def measure(self, study, number, measurements, attempt, first):
        """
        At positions that are new, known or impossible.
        """
        self.both(
            lambda storage: storage.measure(
                study, number, measurements, attempt=attempt, first=first
            )
        )

    @rule(
        study=_studies, number=_numbers, outcome=_outcomes(), attempt=_attempts, twice=st.booleans()
    )
    def finish(self, study, number, outcome, attempt, twice):
        """
        Legal, illegal, late, or the same again.
        """
        for _ in range(1 + twice):
            self.both(lambda storage: storage.finish(study, number, outcome, attempt=attempt))

    @rule(
        study=_studies,
        stop=st.none() | st.builds(Stop, st.text(min_size=1), st.text(), st.none() | _numbers),
    )
    def stop(self, study, stop):
        """
        For a first reason, another one, or not at all.
        """
        self.both(lambda storage: storage.stop(study, stop))

    @rule(study=_studies, number=_numbers, attempt=st.none() | _attempts)
    def look(self, study, number, attempt):
        """
        At one trial.
        """
        self.both(lambda storage: storage.measurements(study, number, attempt=attempt))
        self.both(lambda storage: storage.attempts(study, number))

    @rule(study=_studies, certain=st.integers(0, 9))
    def delete(self, study, certain):
        """
        Now and then.
        """
        if certain == 0:
            self.both(lambda storage: storage.delete(study))

    @invariant()
    def know_the_same(self):
        """
        All that can be read is the same.
        """
        self.both(lambda storage: storage.studies())
        for study in ("a", "b"):
            self.both(lambda storage, study=study: storage.load(study, measurements=True))
            self.both(lambda storage, study=study: storage.events(study))

    def teardown(self):
        """
        Every trial was told the same story.
        """
        for study in ("a", "b"):
            for number in range(4):
                self.both(lambda storage, at=(study, number): storage.attempts(*at))


class TestStorageModel(StorageModel.TestCase):
    """
    Runs it on a file that all examples share.
    """

    settings = settings(
        max_examples=30,
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )

    @classmethod
    def setUpClass(cls):
        """
        Make the file's folder.
        """
        StorageModel.folder = Path(tempfile.mkdtemp())

    @classmethod
    def tearDownClass(cls):
        """
        Remove it.
        """
        open_storage(f"sqlite:///{StorageModel.folder}/studies.db").close()
        shutil.rmtree(StorageModel.folder)
