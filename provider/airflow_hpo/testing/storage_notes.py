"""
The contract of a storage, part six: what is noted once, and other definitions.
"""

from __future__ import annotations

import pytest

from airflow_hpo.storage.base import Storage
from airflow_hpo.testing.storage_study import same
from airflow_hpo.testing.storage_tasks import propose

__all__ = ["NoteContract"]


class NoteContract:
    """
    What a study is told about itself stays as it was told first.
    """

    def test_redefined_study_keeps_its_old_definition(self, storage: Storage) -> None:
        """
        Another definition takes the place of the first, which stays on record.
        """
        storage.create("study", definition={"a": 1}, seed=3, plan={"b": 2})

        for _ in range(2):
            storage.redefine("study", {"a": [2]})
        storage.redefine("study", {"a": 3, "b": None})

        record = storage.load("study")
        assert same({"a": 3, "b": None}, record.definition)
        assert (record.seed, record.plan) == (3, {"b": 2})
        redefined = [event.data for event in storage.events("study") if event.kind == "redefined"]
        assert redefined == [{"definition": {"a": 1}}, {"definition": {"a": [2]}}]
        assert storage.create("study", definition={}, seed=1, plan={}) == record

    def test_noted_once_and_for_all(self, storage: Storage) -> None:
        """
        The first note of a kind stays, is loaded with the study, and made once.
        """
        storage.create("study", definition={}, seed=0, plan={})
        assert storage.load("study").notes == {}

        first = storage.note("study", "warm_started", lambda: {"trials": [1, 1.0, None]})
        second = storage.note("study", "warm_started", lambda: pytest.fail("made twice"))
        storage.note("study", "space_changed", dict)

        assert same({"trials": [1, 1.0, None]}, first)
        assert same(first, second)
        notes = {"warm_started": first, "space_changed": {}}
        assert storage.load("study").notes == notes
        assert (
            storage.append("study", "key", lambda record: propose(dict(record.notes))(record))[
                0
            ].configuration
            == notes
        )
        kinds = [event.kind for event in storage.events("study")]
        assert kinds == ["created", "warm_started", "space_changed", "asked"]

    def test_notes_of_all_studies(self, storage: Storage) -> None:
        """
        What is noted under one kind can be had for all studies at once.
        """
        for name in ("first", "second", "third"):
            storage.create(name, definition={}, seed=0, plan={})
        storage.note("first", "interval", lambda: {"at": 1.5})
        storage.note("third", "interval", lambda: {"at": 2})
        storage.note("third", "space_changed", dict)

        assert same({"first": {"at": 1.5}, "third": {"at": 2}}, storage.noted("interval"))
        assert storage.noted("champion_checked") == {}
        with pytest.raises(ValueError, match=r"must be one of warm_started, .* got 'other'"):
            storage.noted("other")

    def test_promotions(self, storage: Storage) -> None:
        """
        Each promotion is kept once, with its study, in the order in which they came.
        """
        assert storage.promotions() == ()
        for name in ("first", "second"):
            storage.create(name, definition={}, seed=0, plan={})

        storage.promote("second", "run/a", {"value": 0.5})
        storage.promote("first", "run/a", {"value": None})
        storage.promote("second", "run/b", {"value": 1})
        storage.promote("second", "run/a", {"value": 2})

        found = [(each["study"], each["key"], each["value"]) for each in storage.promotions()]
        assert found == [("second", "run/a", 0.5), ("first", "run/a", None), ("second", "run/b", 1)]
        assert [event.kind for event in storage.events("first")] == ["created", "promoted"]
        storage.delete("second")
        assert [each["study"] for each in storage.promotions()] == ["first"]

    def test_what_cannot_be_made_is_not_noted(self, storage: Storage) -> None:
        """
        An error leaves no note behind, and an unknown kind is refused.
        """
        storage.create("study", definition={}, seed=0, plan={})

        with pytest.raises(ZeroDivisionError):
            storage.note("study", "warm_started", lambda: {"x": 1 / 0})
        with pytest.raises(ValueError, match=r"must be one of warm_started, .* got 'other'"):
            storage.note("study", "other", dict)

        assert storage.load("study").notes == {}
        assert storage.note("study", "warm_started", lambda: {"x": 1}) == {"x": 1}
