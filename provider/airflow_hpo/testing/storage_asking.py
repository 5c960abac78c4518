"""
The contract of a storage, part two: how suggestions become trials.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from threading import Barrier
from typing import Any

import pytest

from airflow_hpo.model.record import StudyRecord
from airflow_hpo.model.trial import Measurement, Outcome, Suggestion, Trial, TrialState
from airflow_hpo.storage.base import Storage
from airflow_hpo.testing.storage_study import ODD_TEXTS, VALUES, same
from airflow_hpo.testing.storage_tasks import (
    ask_repeatedly,
    make_study,
    propose,
    propose_count,
)

__all__ = ["AskingContract"]

_THREADS = 8


def _in_threads(task: Callable[[int], Any]) -> list[Any]:
    """
    Call *task* in eight threads at once.
    """
    barrier = Barrier(_THREADS)

    def run(index: int) -> Any:
        barrier.wait()
        return task(index)

    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(run, range(_THREADS)))


def _never(_: StudyRecord) -> Sequence[Suggestion]:
    raise AssertionError("propose was called")


class AskingContract:
    """
    What holds of `append`, whichever storage it is.
    """

    def test_suggestions_become_trials(self, storage: Storage) -> None:
        """
        Whatever was suggested is in the trial, and the trial is waiting.
        """
        suggestion = Suggestion({"lr": 0.1}, "tpe", 27, 3, {"bracket": 2, "rung": 0})
        made = make_study(storage).append("study", "key", lambda _: [suggestion])

        (trial,) = storage.load("study").trials

        assert (trial,) == made
        assert trial.created is not None
        assert trial == Trial(
            number=0,
            configuration={"lr": 0.1},
            state=TrialState.WAITING,
            sampler="tpe",
            key="key",
            resource=27,
            parent=3,
            labels={"bracket": 2, "rung": 0},
            created=trial.created,
        )

    def test_numbers_have_no_gap(self, storage: Storage) -> None:
        """
        Trials are numbered 0, 1, 2 ... in the order in which they were asked for.
        """
        make_study(storage)

        counts = [2, 0, 1, 3]
        asked = [
            [
                trial.number
                for trial in storage.append("study", f"ask {index}", propose_count(count))
            ]
            for index, count in enumerate(counts)
        ]

        assert asked == [[0, 1], [], [2], [3, 4, 5]]
        trials = storage.load("study").trials
        assert [trial.number for trial in trials] == [0, 1, 2, 3, 4, 5]
        assert [trial.key for trial in trials] == ["ask 0"] * 2 + ["ask 2"] + ["ask 3"] * 3

    def test_same_key_gets_the_same_trials(self, storage: Storage) -> None:
        """
        A key that was used gets its trials again, and *propose* is not asked.
        """
        make_study(storage, 2)
        first = storage.append("study", "key", propose({"x": 1}, {"x": 2}))
        storage.append("study", "later", propose_count(1))

        assert first == storage.append("study", "key", _never)
        assert len(storage.load("study").trials) == 5
        assert sum(event.kind == "asked" for event in storage.events("study")) == 3

    def test_same_key_gets_its_trials_as_they_stand(self, storage: Storage) -> None:
        """
        What happened to the trials since is seen.
        """
        make_study(storage, 1).start("study", 0, key="a")
        storage.finish("study", 0, Outcome(TrialState.COMPLETE, values=(1.0,)), attempt=1)

        (trial,) = storage.append("study", "made", _never)

        assert trial == storage.load("study").trials[0]
        assert trial.is_complete

    def test_keys_belong_to_a_study(self, storage: Storage) -> None:
        """
        Two studies may use the same key.
        """
        make_study(make_study(storage, name="a"), name="b")

        for name, value in (("a", 1), ("b", 2)):
            (trial,) = storage.append(name, "key", propose({"x": value}))

            assert (0, {"x": value}) == (trial.number, trial.configuration)

    @pytest.mark.parametrize("key", [*ODD_TEXTS, "long " * 2_000])
    def test_keys_may_be_odd(self, storage: Storage, key: str) -> None:
        """
        A key is any text, of any length.
        """
        make_study(storage)
        made = storage.append("study", key, propose_count(1))

        assert made == storage.append("study", key, _never)
        assert key == made[0].key
        assert storage.append("study", key + "!", propose_count(1))[0].number == 1

    def test_empty_key_is_refused(self, storage: Storage) -> None:
        """
        A key that tells nothing apart is no key.
        """
        with pytest.raises(ValueError, match="a key must not be empty"):
            make_study(storage).append("study", "", propose_count(1))

    def test_empty_answer_is_recorded(self, storage: Storage) -> None:
        """
        A key that got nothing gets nothing again, also once there is more.
        """
        make_study(storage)

        assert storage.append("study", "key", propose()) == ()
        assert storage.append("study", "key", _never) == ()
        assert storage.events("study")[-1].data == {"key": "key", "first": 0, "count": 0}

    def test_propose_sees_the_study_as_it_stands(self, storage: Storage) -> None:
        """
        The record holds all trials, as they are; measurements where wanted.
        """
        make_study(storage, 1).start("study", 0, key="a")
        measured = Measurement({"loss": 1.0}, 5.0)
        storage.measure("study", 0, [measured], attempt=1, first=0)
        seen: list[StudyRecord] = []

        def look(record: StudyRecord) -> Sequence[Suggestion]:
            seen.append(record)
            return ()

        storage.append("study", "without", look)
        storage.append("study", "with", look, measurements=True)

        plain, whole = seen
        assert plain == storage.load("study")
        assert whole == storage.load("study", measurements=True)
        assert whole.trials[0].measurements == (measured,)

    def test_propose_may_read_the_storage(self, storage: Storage) -> None:
        """
        *propose* can look things up in the storage that called it.
        """
        make_study(storage, 3)

        def look(record: StudyRecord) -> Sequence[Suggestion]:
            assert record == storage.load("study")
            return [Suggestion({"events": len(storage.events("study"))}, "test")]

        assert storage.append("study", "key", look)[0].configuration == {"events": 2}

    def test_failed_propose_records_nothing(self, storage: Storage) -> None:
        """
        Its exception comes out as it is, and the key is as good as new.
        """

        def fail(_: StudyRecord) -> Sequence[Suggestion]:
            raise ZeroDivisionError("no idea")

        before = make_study(storage, 2).load("study"), storage.events("study")

        with pytest.raises(ZeroDivisionError, match="no idea"):
            storage.append("study", "key", fail)

        assert before == (storage.load("study"), storage.events("study"))
        assert storage.append("study", "key", propose_count(1))[0].number == 2

    def test_unwritable_suggestion_records_nothing(self, storage: Storage) -> None:
        """
        One value that JSON has no form for refuses the whole answer.
        """
        before = make_study(storage).load("study"), storage.events("study")

        with pytest.raises(ValueError, match="JSON-compatible, got object"):
            storage.append("study", "key", propose({"x": 1}, {"x": object()}))

        assert before == (storage.load("study"), storage.events("study"))

    @pytest.mark.parametrize("sampler", ["", "a\0b", "\ud800"])
    def test_sampler_that_some_database_cannot_keep_is_refused(
        self, storage: Storage, sampler: str
    ) -> None:
        """
        The rule and what was got are named, and nothing is recorded.
        """
        make_study(storage)

        with pytest.raises(ValueError, match=r"a sampler's name must .*, got"):
            storage.append("study", "key", lambda _: [Suggestion({}, sampler)])

        assert not storage.load("study").trials

    @pytest.mark.parametrize("value", VALUES, ids=repr)
    def test_configurations_keep_their_types(self, storage: Storage, value: Any) -> None:
        """
        Parameters, labels and the resource come back as they were.
        """
        suggestion = Suggestion({"z": value, "a": 1}, "test", labels={"note": value})
        (made,) = make_study(storage).append("study", "key", lambda _: [suggestion])

        (trial,) = storage.load("study").trials

        for one in (made, trial):
            assert same({"z": value, "a": 1}, one.configuration)
            assert same({"note": value}, one.labels)

    @pytest.mark.parametrize("resource", [None, 1, 1.0, 0.5, 27])
    def test_resources_keep_their_type(self, storage: Storage, resource: float | None) -> None:
        """
        Whole epochs stay whole: a command line shows the difference.
        """
        make_study(storage).append("study", "k", lambda _: [Suggestion({}, "test", resource)])

        assert repr(resource) == repr(storage.load("study").trials[0].resource)

    def test_huge_configuration_survives(self, storage: Storage) -> None:
        """
        A thousand parameters and a megabyte of text are no trouble.
        """
        configuration = {f"p{index}": index / 7 for index in range(1_000)} | {"t": "ü" * 2**20}

        make_study(storage).append("study", "key", propose(configuration))

        assert storage.load("study").trials[0].configuration == configuration

    def test_callers_keep_their_own(self, storage: Storage) -> None:
        """
        Changing what was handed over changes nothing that was kept.
        """
        configuration = {"layers": [1, 2]}
        definition = {"a": [1]}
        storage.create("study", definition=definition, seed=0, plan={})
        storage.append("study", "key", propose(configuration))

        configuration["layers"].append(3)
        definition["a"].append(2)

        record = storage.load("study")
        assert record.trials[0].configuration == {"layers": [1, 2]}
        assert record.definition == {"a": [1]}

    def test_five_thousand_trials(self, storage: Storage) -> None:
        """
        A long study loads whole, in order.
        """
        make_study(storage, 5_000)

        trials = storage.load("study").trials

        assert list(range(5_000)) == [trial.number for trial in trials]
        assert all(trial.configuration["x"] == trial.number for trial in trials)

    def test_threads_that_ask_at_once_get_different_trials(self, storage: Storage) -> None:
        """
        Every thread gets its own trials, and each saw all that came before.
        """
        make_study(storage)
        keys = [[f"{thread}/{ask}" for ask in range(3)] for thread in range(_THREADS)]

        asked = _in_threads(lambda index: ask_repeatedly(storage, "study", keys[index], 2))

        trials = storage.load("study").trials
        assert sorted(chain.from_iterable(asked)) == list(range(_THREADS * 6))
        assert [trial.number for trial in trials] == list(range(_THREADS * 6))
        assert all(trial.configuration["seen"] == trial.number // 2 * 2 for trial in trials)

    def test_threads_with_one_key_get_the_same_trials(self, storage: Storage) -> None:
        """
        However many use a key at once, *propose* answers once.
        """
        make_study(storage)
        calls = []

        def suggest(record: StudyRecord) -> Sequence[Suggestion]:
            calls.append(record)
            return propose_count(2)(record)

        first, *others = _in_threads(lambda _: storage.append("study", "key", suggest))

        assert len(calls) == 1
        assert [first] * (_THREADS - 1) == others
        assert len(storage.load("study").trials) == 2

    def test_threads_that_begin_at_once_share_a_study(self, storage: Storage) -> None:
        """
        Of eight that create one study at once, one does and all get it.
        """
        create = partial(storage.create, "study", definition={}, plan={})

        first, *others = _in_threads(lambda index: create(seed=index))

        assert [first] * (_THREADS - 1) == others
        assert [event.kind for event in storage.events("study")] == ["created"]
