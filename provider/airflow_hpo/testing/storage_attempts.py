"""
The contract of a storage, part three: attempts at trials.
"""

from __future__ import annotations

import pytest

from airflow_hpo.errors import StudyError
from airflow_hpo.model.record import Attempt
from airflow_hpo.model.trial import Outcome, Trial, TrialState
from airflow_hpo.storage.base import Storage
from airflow_hpo.testing.storage_outcomes import OUTCOMES, end_first, kinds_of, trial_of
from airflow_hpo.testing.storage_study import ODD_TEXTS
from airflow_hpo.testing.storage_tasks import make_study

__all__ = ["AttemptContract"]


class AttemptContract:
    """
    What holds of `start` and `attempts`, whichever storage it is.
    """

    def test_start_makes_a_trial_run(self, storage: Storage) -> None:
        """
        The first attempt is number 1, and only that trial runs.
        """
        started = make_study(storage, 2).start("study", 0, key="key")

        first, second = storage.load("study").trials

        assert started == first
        assert (first.state, first.attempt, first.finished) == (TrialState.RUNNING, 1, None)
        assert first.started is not None
        assert (second.state, second.attempt, second.started) == (TrialState.WAITING, 0, None)

    def test_an_attempt_may_have_begun_before(self, storage: Storage) -> None:
        """
        What ran elsewhere keeps the time at which it began.
        """
        started = make_study(storage, 1).start("study", 0, key="key", at=12.5)

        assert started == storage.load("study").trials[0]
        assert started.started == 12.5
        assert storage.attempts("study", 0)[0].started == 12.5

    def test_same_key_finds_its_attempt(self, storage: Storage) -> None:
        """
        Starting twice with one key is starting once.
        """
        started = make_study(storage, 1).start("study", 0, key="key")

        assert started == storage.start("study", 0, key="key")
        assert kinds_of(storage) == ["started"]

    def test_same_key_finds_how_its_attemptend_first(self, storage: Storage) -> None:
        """
        A task that comes back after it told its outcome sees that.
        """
        ended = end_first(storage, OUTCOMES[0])

        assert ended == storage.start("study", 0, key="one")

    def test_another_key_is_another_attempt(self, storage: Storage) -> None:
        """
        A lost attempt stays without an outcome; the new one counts.
        """
        make_study(storage, 1).start("study", 0, key="one")

        trial = storage.start("study", 0, key="two")

        assert (trial.state, trial.attempt) == (TrialState.RUNNING, 2)
        assert trial == trial_of(storage)
        one, two = storage.attempts("study", 0)
        assert Attempt(1, "one", one.started) == one
        assert Attempt(2, "two", trial.started) == two

    @pytest.mark.parametrize("outcome", OUTCOMES)
    def test_new_attempt_supersedes_an_outcome(self, storage: Storage, outcome: Outcome) -> None:
        """
        The trial runs again and forgets the outcome; the journal does not.
        """
        old = end_first(storage, outcome)

        trial = storage.start("study", 0, key="two")

        assert trial == trial_of(storage)
        assert trial == Trial(
            number=0,
            configuration=old.configuration,
            state=TrialState.RUNNING,
            sampler=old.sampler,
            key=old.key,
            attempt=2,
            created=old.created,
            started=trial.started,
        )
        assert storage.attempts("study", 0)[0].outcome is not None
        assert kinds_of(storage) == ["started", "finished", "superseded", "started"]

    def test_key_of_an_older_attempt_finds_that_one(self, storage: Storage) -> None:
        """
        A task that was overtaken gets its own attempt, not the newer one.
        """
        ended = end_first(storage, OUTCOMES[3])
        newer = storage.start("study", 0, key="two")
        storage.start("study", 0, key="three")

        assert ended == storage.start("study", 0, key="one")
        assert newer == storage.start("study", 0, key="two")
        assert trial_of(storage).attempt == 3

    def test_key_of_an_attempt_belongs_to_itstrial_of(self, storage: Storage) -> None:
        """
        Two trials may be started with one key.
        """
        make_study(storage, 2)

        attempts = [storage.start("study", number, key="key").attempt for number in (0, 1)]

        assert attempts == [1, 1]

    @pytest.mark.parametrize("key", [*ODD_TEXTS, "long " * 2_000])
    def test_keys_of_attempts_may_be_odd(self, storage: Storage, key: str) -> None:
        """
        A key is any text, of any length.
        """
        started = make_study(storage, 1).start("study", 0, key=key)

        assert started == storage.start("study", 0, key=key)
        assert storage.attempts("study", 0)[0].key == key

    def test_attempt_has_a_memory(self, storage: Storage) -> None:
        """
        What is left for who takes over is kept by key, types included, also past the end.
        """
        make_study(storage, 1).start("study", 0, key="one")
        left = {"job": {"handle": '{"a": 1}', "first": 0}, "odd \u2028": [1.5, None, True]}

        storage.remember("study", 0, {"job": "old", "odd \u2028": left["odd \u2028"]}, attempt=1)
        storage.remember("study", 0, {"job": left["job"]}, attempt=1)
        storage.finish("study", 0, OUTCOMES[0], attempt=1)

        (attempt,) = storage.attempts("study", 0)
        assert attempt.memory == left
        assert attempt.outcome is not None

    def test_each_attempt_has_its_own_memory(self, storage: Storage) -> None:
        """
        A new attempt remembers nothing of the one before; one that never began has no memory.
        """
        make_study(storage, 1).start("study", 0, key="one")
        storage.remember("study", 0, {"of": 1}, attempt=1)
        storage.start("study", 0, key="two")
        storage.remember("study", 0, {"of": 2}, attempt=2)

        assert [each.memory for each in storage.attempts("study", 0)] == [{"of": 1}, {"of": 2}]
        for missing in (0, 3):
            with pytest.raises(StudyError, match=f"trial 0 has no attempt {missing}"):
                storage.remember("study", 0, {}, attempt=missing)

    def test_empty_key_of_an_attempt_is_refused(self, storage: Storage) -> None:
        """
        A key that tells nothing apart is no key.
        """
        with pytest.raises(ValueError, match="a key must not be empty"):
            make_study(storage, 1).start("study", 0, key="")

    @pytest.mark.parametrize("number", [-1, 2, 1_000_000])
    def test_missing_trial_is_named(self, storage: Storage, number: int) -> None:
        """
        The message says which trials there are.
        """
        make_study(storage, 2)
        message = f"study 'study' has no trial {number}; its trials are 0 to 1"

        with pytest.raises(StudyError, match=message):
            storage.start("study", number, key="key")
        with pytest.raises(StudyError, match=message):
            storage.measure("study", number, [], attempt=1, first=0)
        with pytest.raises(StudyError, match=message):
            storage.measurements("study", number)
        with pytest.raises(StudyError, match=message):
            storage.attempts("study", number)
        with pytest.raises(StudyError, match=message):
            storage.finish("study", number, Outcome(TrialState.FAILED), attempt=0)

    def test_study_without_trials_says_so(self, storage: Storage) -> None:
        """
        There is no range to name.
        """
        with pytest.raises(StudyError, match="has no trial 0; it has no trials"):
            make_study(storage).start("study", 0, key="key")
