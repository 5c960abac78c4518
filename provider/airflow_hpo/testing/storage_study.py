"""
The contract of a storage, part one: studies, their end and their story.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from airflow_hpo.errors import StudyError, StudyNotFoundError
from airflow_hpo.model.stop import Stop
from airflow_hpo.model.trial import Measurement, Outcome, TrialState
from airflow_hpo.model.values import Value
from airflow_hpo.storage.base import Storage
from airflow_hpo.testing.storage_tasks import make_study, propose, propose_count

__all__ = ["ODD_TEXTS", "VALUES", "StudyContract", "same"]

VALUES: tuple[Value, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    2**70,
    0.0,
    -0.0,
    1.0,
    0.1,
    1e300,
    5e-324,
    math.inf,
    -math.inf,
    math.nan,
    "",
    "1",
    "null",
    "true",
    "NaN",
    "with 'quotes', \"more\", % and \\",
    "grüße 你好 🎉",
    "NUL \0 and a lone \ud800 surrogate",
    "two\nlines\r\n\t",
    [],
    {},
    [1, 1.0, "1", True, None],
    {"b": {"a": [{}, [], [[0.5]]]}, "a": 1, "": None, "ключ": "値"},
)
"""Whatever a parameter or a metric may be."""

ODD_TEXTS = (
    " ",
    "a b",
    "manual__2026-01-01T00:00:00+00:00",
    "../up",
    "'; DROP TABLE hpo_study; --",
    "100% {sure} :name ?",
    "grüße 你好 🎉",
    "n" * 255,
)
"""Whatever a name or a key may be."""

_STOP = Stop("metric", "trial 3: loss = 0.1 is at most 0.2", 3)


def same(expected: Any, actual: Any) -> bool:
    """
    Return whether two values are the same: in type, order and sign as well.
    """
    return json.dumps(expected) == json.dumps(actual)


_CALLS: dict[str, Callable[[Storage], object]] = {
    "load": lambda storage: storage.load("studio"),
    "append": lambda storage: storage.append("studio", "key", propose_count(1)),
    "start": lambda storage: storage.start("studio", 0, key="key"),
    "measure": lambda storage: storage.measure(
        "studio", 0, [Measurement({}, 0.0)], attempt=1, first=0
    ),
    "measurements": lambda storage: storage.measurements("studio", 0),
    "attempts": lambda storage: storage.attempts("studio", 0),
    "finish": lambda storage: storage.finish("studio", 0, Outcome(TrialState.FAILED), attempt=0),
    "stop": lambda storage: storage.stop("studio", _STOP),
    "redefine": lambda storage: storage.redefine("studio", {}),
    "note": lambda storage: storage.note("studio", "warm_started", dict),
    "events": lambda storage: storage.events("studio"),
    "delete": lambda storage: storage.delete("studio"),
}


class StudyContract:
    """
    What holds of studies, whichever storage keeps them.
    """

    def test_created_study_comes_back(self, storage: Storage) -> None:
        """
        What a study was created with is what is loaded.
        """
        made = storage.create("new", definition={"a": 1}, seed=7, plan={"rounds": 3})

        assert made == storage.load("new")
        assert (made.name, made.seed, made.trials, made.stop) == ("new", 7, (), None)
        assert (made.definition, made.plan) == ({"a": 1}, {"rounds": 3})
        assert made.created > 0

    def test_second_create_changes_nothing(self, storage: Storage) -> None:
        """
        The first definition, seed and plan stay.
        """
        first = storage.create("old", definition={"a": 1}, seed=1, plan={"b": 2})

        assert first == storage.create("old", definition={"a": 9}, seed=9, plan={})
        assert first == storage.load("old")
        assert [event.kind for event in storage.events("old")] == ["created"]

    def test_create_finds_the_trials_of_an_existing_study(self, storage: Storage) -> None:
        """
        Creating a study that goes on returns it as it stands.
        """
        make_study(storage, 3)

        found = storage.create("study", definition={}, seed=0, plan={})

        assert storage.load("study") == found
        assert [trial.number for trial in found.trials] == [0, 1, 2]

    @pytest.mark.parametrize("value", VALUES, ids=repr)
    def test_definition_and_plan_survive_unchanged(self, storage: Storage, value: Any) -> None:
        """
        A definition comes back with the types, the order and the signs it had.
        """
        storage.create("s", definition={"z": value, "a": [value]}, seed=0, plan={"p": value})

        record = storage.load("s")

        assert same({"z": value, "a": [value]}, record.definition)
        assert same({"p": value}, record.plan)

    def test_huge_definition_survives(self, storage: Storage) -> None:
        """
        A definition may be larger than any page, packet or line.
        """
        text = "väluę\n" * 200_000

        storage.create("s", definition={"text": text}, seed=0, plan={})

        assert storage.load("s").definition == {"text": text}

    def test_unwritable_definition_is_refused(self, storage: Storage) -> None:
        """
        What JSON has no form for is named, and no study is left behind.
        """
        with pytest.raises(ValueError, match="JSON-compatible, got complex: 1j"):
            storage.create("s", definition={"a": 1j}, seed=0, plan={})

        assert not storage.studies()

    @pytest.mark.parametrize("name", ODD_TEXTS)
    def test_names_may_be_odd(self, storage: Storage, name: str) -> None:
        """
        A study's name is any text, such as a run's id; nothing else has that name.
        """
        make_study(storage, name="other")
        make_study(storage, 1, name=name)

        assert storage.load(name).name == name
        assert {"other": 0, name: 1} == {one.name: one.trials for one in storage.studies()}

    @pytest.mark.parametrize("name", ["", "a\0b", "a\ud800b", "n" * 256])
    def test_names_that_some_database_cannot_keep_are_refused(
        self, storage: Storage, name: str
    ) -> None:
        """
        The rule and what was got are named.
        """
        with pytest.raises(ValueError, match=r"a study's name must .*, got"):
            storage.create(name, definition={}, seed=0, plan={})

    def test_names_differ_by_case(self, storage: Storage) -> None:
        """
        Two names that differ in case are two studies.
        """
        make_study(storage, name="Study")

        with pytest.raises(StudyNotFoundError):
            storage.load("study")

    @pytest.mark.parametrize("seed", [0, 2**63 - 1])
    def test_seeds_have_63_bits(self, storage: Storage, seed: int) -> None:
        """
        The whole range of seeds can be kept.
        """
        storage.create("s", definition={}, seed=seed, plan={})

        assert storage.load("s").seed == seed

    @pytest.mark.parametrize("seed", [-1, 2**63])
    def test_other_seeds_are_refused(self, storage: Storage, seed: int) -> None:
        """
        A seed outside of it is refused with its value.
        """
        with pytest.raises(ValueError, match=rf"in \[0, 2\*\*63\), got {seed}"):
            storage.create("s", definition={}, seed=seed, plan={})

    @pytest.mark.parametrize("call", _CALLS)
    def test_unknown_study_is_named_with_the_nearest(self, storage: Storage, call: str) -> None:
        """
        Every call says which study is missing, and which one may be meant.
        """
        make_study(make_study(storage), name="other")

        with pytest.raises(StudyNotFoundError, match=r"no study named 'studio'.* 'study'"):
            _CALLS[call](storage)

    def test_no_hint_without_a_near_name(self, storage: Storage) -> None:
        """
        Where no name is near, none is offered.
        """
        with pytest.raises(StudyNotFoundError, match=r"no study named 'x'$"):
            storage.load("x")

    def test_first_reason_to_stop_stays(self, storage: Storage) -> None:
        """
        A study that has ended does not end again for another reason.
        """
        make_study(storage).stop("study", _STOP)
        storage.stop("study", Stop("user", "enough"))

        assert storage.load("study").stop == _STOP
        assert [summary.stop for summary in storage.studies()] == [_STOP]

    def test_reopened_study_can_stop_again(self, storage: Storage) -> None:
        """
        `None` opens a study, and then another reason counts.
        """
        again = Stop("wörds", "NUL \0 and \ud800")
        make_study(storage).stop("study", _STOP)

        storage.stop("study", None)

        assert storage.load("study").stop is None
        storage.stop("study", again)
        assert storage.load("study").stop == again

    def test_stops_are_told_once(self, storage: Storage) -> None:
        """
        Only what changed the study is an event.
        """
        make_study(storage).stop("study", None)
        for stop in (_STOP, _STOP, None, None):
            storage.stop("study", stop)

        _, stopped, reopened = storage.events("study")

        assert (stopped.kind, stopped.trial) == ("stopped", 3)
        assert {"rule": _STOP.rule, "reason": _STOP.reason} == stopped.data
        assert (reopened.kind, reopened.trial) == ("reopened", None)

    def test_events_tell_the_story_in_order(self, storage: Storage) -> None:
        """
        Events are oldest first, with the trial and the attempt they are about.
        """
        make_study(storage, 2)
        storage.start("study", 1, key="one")
        storage.finish("study", 1, Outcome(TrialState.FAILED), attempt=1)
        storage.start("study", 1, key="two")
        storage.finish("study", 1, Outcome(TrialState.PRUNED), attempt=2)

        events = storage.events("study")

        assert [(event.kind, event.trial, event.data) for event in events] == [
            ("created", None, {}),
            ("asked", None, {"key": "made", "first": 0, "count": 2}),
            ("started", 1, {"attempt": 1, "key": "one"}),
            ("finished", 1, {"attempt": 1, "state": "failed"}),
            ("superseded", 1, {"attempt": 1, "state": "failed"}),
            ("started", 1, {"attempt": 2, "key": "two"}),
            ("finished", 1, {"attempt": 2, "state": "pruned"}),
        ]
        assert sorted(event.time for event in events) == [event.time for event in events]

    def test_summaries_are_newest_first(self, storage: Storage) -> None:
        """
        Each study has a line, the newest on top, its trials counted by state.
        """
        make_study(make_study(storage, 3, name="b"), name="a")
        storage.start("b", 1, key="key")
        storage.stop("b", _STOP)

        newest, oldest = storage.studies()

        assert (newest.name, newest.trials, newest.states, newest.stop) == ("a", 0, {}, None)
        assert (oldest.name, oldest.trials, oldest.stop) == ("b", 3, _STOP)
        assert oldest.states == {"running": 1, "waiting": 2}
        assert oldest.created == storage.load("b").created

    def test_no_studies(self, storage: Storage) -> None:
        """
        A new storage is empty, and says so.
        """
        assert not storage.studies()

    def test_deleted_study_is_gone(self, storage: Storage) -> None:
        """
        Nothing of a deleted study is left, and no other study is touched.
        """
        for name in ("study", "other"):
            make_study(storage, 2, name=name).start(name, 0, key="key")
            storage.measure(name, 0, [Measurement({}, 0.0)], attempt=1, first=0)
        other = storage.load("other", measurements=True), storage.events("other")

        storage.delete("study")

        assert [summary.name for summary in storage.studies()] == ["other"]
        assert other == (storage.load("other", measurements=True), storage.events("other"))
        with pytest.raises(StudyNotFoundError):
            storage.load("study")

    def test_deleted_name_begins_anew(self, storage: Storage) -> None:
        """
        A study made under the name of a deleted one inherits nothing.
        """
        make_study(storage, 2).start("study", 0, key="key")
        storage.delete("study")

        make_study(storage)

        assert [event.kind for event in storage.events("study")] == ["created"]
        (trial,) = storage.append("study", "made", propose({"x": 1}))
        assert (trial.number, trial.configuration, trial.attempt) == (0, {"x": 1}, 0)

    def test_closed_storage_opens_again(self, storage: Storage) -> None:
        """
        Closing lets go of connections, not of studies.
        """
        make_study(storage).close()
        storage.close()

        assert storage.load("study").name == "study"

    def test_is_a_storage(self, storage: Storage) -> None:
        """
        It has every method of the protocol.
        """
        assert isinstance(storage, Storage)

    def test_study_errors_are_of_the_study(self, storage: Storage) -> None:
        """
        A missing study is both a study's error and a failed look-up.
        """
        with pytest.raises(LookupError) as caught:
            storage.load("x")

        assert isinstance(caught.value, StudyError)
