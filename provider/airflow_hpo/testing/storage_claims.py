"""
The contract of a storage, part seven: what happens once.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_hpo.errors import StudyNotFoundError
from airflow_hpo.storage.base import Storage
from airflow_hpo.testing.storage_tasks import make_study

__all__ = ["ClaimContract"]


class ClaimContract:
    """
    What holds of `claim`, whichever storage it is.
    """

    def test_first_claim_wins(self, storage: Storage) -> None:
        """
        A key is claimed once; another key, or another study, is another matter.
        """
        make_study(make_study(storage), name="other")

        claims = [storage.claim("study", key) for key in ("a", "a", "b", "a")]
        assert claims == [True, False, True, False]
        assert storage.claim("other", "a")

    def test_one_of_many_at_once_wins(self, storage: Storage) -> None:
        """
        Of threads that claim the same key at the same time exactly one gets it.
        """
        make_study(storage)
        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(lambda _: storage.claim("study", "key"), range(16)))

        assert won.count(True) == 1

    def test_claims_are_events(self, storage: Storage) -> None:
        """
        What was claimed stays on record.
        """
        make_study(storage).claim("study", "end/1")

        (event,) = (each for each in storage.events("study") if each.kind == "announced")
        assert event.data["key"] == "end/1"

    def test_claims_belong_to_a_study(self, storage: Storage) -> None:
        """
        A study that does not exist has none, and an empty key is refused.
        """
        with pytest.raises(StudyNotFoundError):
            storage.claim("study", "a")
        with pytest.raises(ValueError, match="must not be empty"):
            make_study(storage).claim("study", "")
