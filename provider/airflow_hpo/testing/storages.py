"""
The contract of a storage, as tests: subclass it and give it a fixture ``storage``.

.. code-block:: python

    class TestMyStorage(SharedStorageContract):
        @pytest.fixture
        def storage(self, tmp_path):
            return MyStorage(tmp_path)

Every test begins with an empty storage. `StorageContract` is for one that lives
in a process, `SharedStorageContract` for one that several processes share.
"""

from __future__ import annotations

import pickle
from functools import partial
from itertools import chain

from airflow_hpo.model.trial import TrialState
from airflow_hpo.storage.base import Storage
from airflow_hpo.testing import storage_tasks as tasks
from airflow_hpo.testing.processes import let_go, run_together, start_process
from airflow_hpo.testing.storage_asking import AskingContract
from airflow_hpo.testing.storage_attempts import AttemptContract
from airflow_hpo.testing.storage_claims import ClaimContract
from airflow_hpo.testing.storage_looks import LookContract
from airflow_hpo.testing.storage_measures import MeasureContract
from airflow_hpo.testing.storage_notes import NoteContract
from airflow_hpo.testing.storage_outcomes import OutcomeContract
from airflow_hpo.testing.storage_study import StudyContract
from airflow_hpo.testing.storage_tasks import make_study

__all__ = ["SharedStorageContract", "StorageContract"]

_PROCESSES = 8


class StorageContract(
    StudyContract,
    NoteContract,
    AskingContract,
    AttemptContract,
    OutcomeContract,
    MeasureContract,
    ClaimContract,
    LookContract,
):
    """
    What every storage promises; see `airflow_hpo.storage.base`.
    """


class SharedStorageContract(StorageContract):
    """
    What a storage promises besides, if several processes can share it.
    """

    def test_pickled_storage_is_the_same(self, storage: Storage) -> None:
        """
        A storage that was sent elsewhere finds the same studies.
        """
        copy = pickle.loads(pickle.dumps(make_study(storage, 2)))  # noqa: S301 - our own

        assert storage.load("study") == copy.load("study")
        assert copy.append("study", "key", tasks.propose_count(1))[0].number == 2

    def test_processes_that_ask_at_once_get_different_trials(self, storage: Storage) -> None:
        """
        Every process gets its own trials, and each saw all that came before.
        """
        make_study(storage)
        keys = [[f"{process}/{ask}" for ask in range(5)] for process in range(_PROCESSES)]

        asked = run_together(
            [partial(tasks.ask_repeatedly, storage, "study", own, 2) for own in keys]
        )

        count = _PROCESSES * 10
        trials = storage.load("study").trials
        assert sorted(chain.from_iterable(asked)) == list(range(count))
        assert [trial.number for trial in trials] == list(range(count))
        assert all(trial.configuration["seen"] == trial.number // 2 * 2 for trial in trials)

    def test_processes_with_one_key_share_its_trials(self, storage: Storage) -> None:
        """
        A task that runs twice at once still asks once.
        """
        make_study(storage)
        task = partial(tasks.ask_repeatedly, storage, "study", ["key"], 3)

        assert run_together([task] * _PROCESSES) == [[0, 1, 2]] * _PROCESSES
        assert [event.kind for event in storage.events("study")] == ["created", "asked"]

    def test_processes_with_one_attempt_share_it(self, storage: Storage) -> None:
        """
        One key at once in eight processes is one attempt.
        """
        make_study(storage, 1)

        started = run_together(
            [partial(tasks.start_trial, storage, "study", 0, "key")] * _PROCESSES
        )

        assert list(storage.load("study").trials) * _PROCESSES == started
        assert len(storage.attempts("study", 0)) == 1

    def test_attempts_that_begin_at_once_are_all_kept(self, storage: Storage) -> None:
        """
        Eight keys at once are eight attempts, numbered without a gap.
        """
        make_study(storage, 1)
        keys = [f"key {process}" for process in range(_PROCESSES)]

        started = run_together(
            [partial(tasks.start_trial, storage, "study", 0, key) for key in keys]
        )

        attempts = storage.attempts("study", 0)
        assert sorted(trial.attempt for trial in started) == list(range(1, _PROCESSES + 1))
        assert sorted(keys) == sorted(attempt.key for attempt in attempts)
        assert storage.load("study").trials[0].attempt == _PROCESSES

    def test_processes_lose_nothing(self, storage: Storage) -> None:
        """
        Trials that live at once in eight processes all come to their end.
        """
        each = 5
        make_study(storage, _PROCESSES * each)
        shares = [range(first, _PROCESSES * each, _PROCESSES) for first in range(_PROCESSES)]

        run_together([partial(tasks.live_trials, storage, "study", share) for share in shares])

        trials = storage.load("study", measurements=True).trials
        assert {TrialState.COMPLETE} == {trial.state for trial in trials}
        assert {3} == {len(trial.measurements) for trial in trials}
        assert all(trial.values == (float(trial.number),) for trial in trials)

    def test_killed_process_loses_nothing_told(self, storage: Storage) -> None:
        """
        Every call that returned is on record after SIGKILL, and work goes on.
        """
        process = start_process(partial(tasks.tell_for_ever, make_study(storage), "study"))
        assert process.stdout is not None
        with process:
            let_go([process])
            told = [process.stdout.readline() for _ in range(50)]
            process.kill()
            told += process.stdout.readlines()

        trials = storage.load("study", measurements=True).trials
        for what, number in (line.decode().split() for line in told if line.endswith(b"\n")):
            trial = trials[int(number)]
            assert what != "started" or trial.attempt == 1
            assert what != "measured" or trial.measurements[0].metrics == {"loss": trial.number}
            assert what != "finished" or trial.values == (float(trial.number),)
        (new,) = storage.append("study", "after", tasks.propose_count(1))
        assert new.number == len(trials)

    def test_both_sides_of_a_fork_go_on(self, storage: Storage) -> None:
        """
        A forked process and its parent share a storage, but no connection.
        """
        make_study(storage)

        (keys,) = run_together([partial(tasks.ask_after_fork, storage, "study")])

        assert keys == ["after", "before", "child", "parent"]
