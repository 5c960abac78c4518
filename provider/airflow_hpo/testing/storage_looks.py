"""
The contract of a storage, part eight: what those ask who look again and again.
"""

from __future__ import annotations

import pytest

from airflow_hpo.errors import StudyNotFoundError
from airflow_hpo.model.stop import Stop
from airflow_hpo.model.trial import Measurement, Outcome, TrialState
from airflow_hpo.storage.base import Storage
from airflow_hpo.testing.storage_tasks import make_study, propose_count

__all__ = ["LookContract"]


class LookContract:
    """
    Whether anything is new can be told without loading it.
    """

    def test_version_changes_with_the_study_alone(self, storage: Storage) -> None:
        """
        Whatever happens to a study gives another version, and nothing else does.
        """

        def again() -> None:
            storage.delete("study")
            make_study(storage)

        make_study(storage)
        make_study(storage, 1, name="other")
        first, second = Measurement({"y": 1.0}, 1.0), Measurement({"y": 0.5}, 2.0)
        moves = (
            lambda: storage.append("study", "key", propose_count(2)),
            lambda: storage.start("study", 0, key="a"),
            lambda: storage.measure("study", 0, [first], attempt=1, first=0),
            lambda: storage.measure("study", 0, [second], attempt=1, first=1),
            lambda: storage.finish("study", 0, Outcome(TrialState.FAILED), attempt=1),
            lambda: storage.note("study", "space_changed", dict),
            lambda: storage.redefine("study", {"a": 1}),
            lambda: storage.stop("study", Stop("user", "enough")),
            again,
        )
        other, seen = storage.version("other"), [storage.version("study")]
        for move in moves:
            move()
            assert storage.version("study") == storage.version("study")
            seen.append(storage.version("study"))

        assert len(set(seen)) == len(moves) + 1
        assert storage.version("other") == other

    def test_keys_are_those_of_asks_that_got_trials(self, storage: Storage) -> None:
        """
        Each key comes once, in the order of its first trial.
        """
        make_study(storage)
        assert list(storage.keys("study")) == []

        for key, count in (("b", 2), ("nothing", 0), ("a", 1), ("b", 5)):
            storage.append("study", key, propose_count(count))

        assert list(storage.keys("study")) == ["b", "a"]

    def test_there_is_nothing_to_look_at_without_a_study(self, storage: Storage) -> None:
        """
        A name that is unknown is an error, as it is when loading.
        """
        with pytest.raises(StudyNotFoundError, match="'absent'"):
            storage.version("absent")
        with pytest.raises(StudyNotFoundError, match="'absent'"):
            storage.keys("absent")
