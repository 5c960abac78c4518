"""
The contract of a storage, part five: what attempts measure.
"""

from __future__ import annotations

from typing import Any

import pytest

from airflow_hpo.errors import StudyError
from airflow_hpo.model.trial import Measurement, Outcome, TrialState
from airflow_hpo.storage.base import Storage
from airflow_hpo.testing.storage_study import VALUES, same
from airflow_hpo.testing.storage_tasks import make_study

__all__ = ["MeasureContract"]


def _curve(*losses: float) -> list[Measurement]:
    """
    Return a measurement for each of *losses*.
    """
    return [Measurement({"loss": loss}, 100.0 + loss) for loss in losses]


def _running(storage: Storage, trials: int = 1) -> Storage:
    """
    Make a study whose trial 0 runs.
    """
    make_study(storage, trials).start("study", 0, key="one")
    return storage


class MeasureContract:
    """
    What holds of `measure` and `measurements`, whichever storage it is.
    """

    def test_measurements_come_back_in_order(self, storage: Storage) -> None:
        """
        They are in the order of their positions, over several calls.
        """
        curve = _curve(*range(20))
        _running(storage)

        for first in range(0, 20, 4):
            storage.measure("study", 0, curve[first : first + 4], attempt=1, first=first)

        assert curve == list(storage.measurements("study", 0))
        assert storage.load("study", measurements=True).trials[0].measurements == tuple(curve)

    def test_load_leaves_them_out_unless_asked(self, storage: Storage) -> None:
        """
        A plain load brings no measurements.
        """
        _running(storage).measure("study", 0, _curve(1), attempt=1, first=0)

        assert storage.load("study").trials[0].measurements == ()

    def test_each_trial_brings_its_own(self, storage: Storage) -> None:
        """
        No trial is shown what another one measured.
        """
        _running(storage, trials=3).start("study", 2, key="one")
        storage.measure("study", 2, _curve(2, 3), attempt=1, first=0)
        storage.measure("study", 0, _curve(1), attempt=1, first=0)

        trials = storage.load("study", measurements=True).trials

        assert [[one.metrics["loss"] for one in trial.measurements] for trial in trials] == [
            [1],
            [],
            [2, 3],
        ]

    def test_same_positions_twice_are_harmless(self, storage: Storage) -> None:
        """
        A call that is repeated keeps what was there, and adds what was not.
        """
        _running(storage).measure("study", 0, _curve(0, 1, 2), attempt=1, first=0)

        storage.measure("study", 0, _curve(0, 1, 2), attempt=1, first=0)
        storage.measure("study", 0, _curve(-1, -2, 3, 4), attempt=1, first=1)

        assert [one.metrics["loss"] for one in storage.measurements("study", 0)] == [0, 1, 2, 3, 4]

    def test_metrics_of_a_running_trial_follow(self, storage: Storage) -> None:
        """
        A running trial shows the last value of every metric, until its outcome says more.
        """
        _running(storage)
        storage.measure("study", 0, [Measurement({"loss": 3, "lr": 0.1}, 1.0)], attempt=1, first=0)
        storage.measure("study", 0, _curve(2, 1), attempt=1, first=1)
        storage.measure("study", 0, _curve(9), attempt=1, first=0)  # known already

        assert storage.load("study").trials[0].metrics == {"loss": 1, "lr": 0.1}

        storage.finish("study", 0, Outcome(TrialState.FAILED, metrics={"loss": 0}), attempt=1)
        storage.measure("study", 0, _curve(7), attempt=1, first=3)
        assert storage.load("study").trials[0].metrics == {"loss": 0}

        storage.start("study", 0, key="two")
        storage.measure("study", 0, _curve(8), attempt=1, first=4)
        assert storage.load("study").trials[0].metrics == {}

    def test_positions_need_no_order(self, storage: Storage) -> None:
        """
        What comes later may be told first, and a gap is no harm.
        """
        _running(storage)

        for first in (7, 0, 3):
            storage.measure("study", 0, _curve(first, first + 1), attempt=1, first=first)

        measured = [one.metrics["loss"] for one in storage.measurements("study", 0)]
        assert measured == [0, 1, 3, 4, 7, 8]

    def test_negative_position_is_refused(self, storage: Storage) -> None:
        """
        Positions count from 0.
        """
        with pytest.raises(ValueError, match="must count from 0, got first=-1"):
            _running(storage).measure("study", 0, _curve(1), attempt=1, first=-1)

    def test_nothing_measured_is_fine(self, storage: Storage) -> None:
        """
        A call without measurements adds none.
        """
        _running(storage).measure("study", 0, [], attempt=1, first=0)

        assert not storage.measurements("study", 0)

    @pytest.mark.parametrize("attempt", [0, -1, 2])
    def test_attempt_that_nobody_started_measures_nothing(
        self, storage: Storage, attempt: int
    ) -> None:
        """
        The message says which attempts there are.
        """
        _running(storage, trials=2)

        message = f"trial 0 has no attempt {attempt}; its latest is 1"
        with pytest.raises(StudyError, match=message):
            storage.measure("study", 0, _curve(1), attempt=attempt, first=0)
        with pytest.raises(StudyError, match="trial 1 has no attempt 1; none was started"):
            storage.measure("study", 1, _curve(1), attempt=1, first=0)

    def test_trial_that_was_called_off_measures_nothing(self, storage: Storage) -> None:
        """
        Attempt 0 never ran, even where it has an outcome.
        """
        make_study(storage, 1).finish("study", 0, Outcome(TrialState.FAILED), attempt=0)

        with pytest.raises(StudyError, match="trial 0 has no attempt 0; none was started"):
            storage.measure("study", 0, _curve(1), attempt=0, first=0)

    def test_waiting_trial_has_no_measurements(self, storage: Storage) -> None:
        """
        Asking for them is no error; asking for those of no attempt is.
        """
        make_study(storage, 1)

        assert not storage.measurements("study", 0)
        with pytest.raises(StudyError, match="trial 0 has no attempt 1; none was started"):
            storage.measurements("study", 0, attempt=1)

    def test_new_attempt_begins_without_measurements(self, storage: Storage) -> None:
        """
        The trial shows what its latest attempt measured; the rest is on record.
        """
        _running(storage).measure("study", 0, _curve(1, 2), attempt=1, first=0)
        storage.start("study", 0, key="two")

        assert storage.load("study", measurements=True).trials[0].measurements == ()
        storage.measure("study", 0, _curve(3), attempt=2, first=0)

        shown = storage.load("study", measurements=True).trials[0].measurements
        assert tuple(_curve(3)) == shown == tuple(storage.measurements("study", 0))
        assert _curve(1, 2) == list(storage.measurements("study", 0, attempt=1))

    def test_what_is_told_late_is_kept(self, storage: Storage) -> None:
        """
        An attempt that has ended, or was overtaken, may still tell.
        """
        _running(storage)
        storage.finish("study", 0, Outcome(TrialState.FAILED), attempt=1)
        storage.measure("study", 0, _curve(1), attempt=1, first=0)
        storage.start("study", 0, key="two")
        storage.measure("study", 0, _curve(2), attempt=1, first=1)

        assert _curve(1, 2) == list(storage.measurements("study", 0, attempt=1))

    @pytest.mark.parametrize("value", VALUES, ids=repr)
    def test_measured_values_keep_their_types(self, storage: Storage, value: Any) -> None:
        """
        A metric comes back with the type it was printed in.
        """
        metrics = {"z": value, "a": [value]}
        measured = [Measurement(metrics, 1.5, 3), Measurement({}, 2, 0.5), Measurement({}, 0.0)]

        _running(storage).measure("study", 0, measured, attempt=1, first=0)

        first, *others = storage.measurements("study", 0)
        assert same(metrics, first.metrics)
        assert [(one.time, repr(one.resource)) for one in (first, *others)] == [
            (1.5, "3"),
            (2.0, "0.5"),
            (0.0, "None"),
        ]

    def test_unwritable_measurement_keeps_none_of_the_call(self, storage: Storage) -> None:
        """
        A call is kept whole or not at all.
        """
        curve = [*_curve(1), Measurement({"loss": b"bytes"}, 0.0)]

        with pytest.raises(ValueError, match="JSON-compatible, got bytes"):
            _running(storage).measure("study", 0, curve, attempt=1, first=0)

        assert not storage.measurements("study", 0)

    def test_callers_keep_their_own_metrics(self, storage: Storage) -> None:
        """
        Changing what was handed over changes nothing that was kept.
        """
        metrics = {"loss": [1.0]}
        _running(storage).measure("study", 0, [Measurement(metrics, 0.0)], attempt=1, first=0)

        metrics["loss"].append(2.0)

        assert storage.measurements("study", 0)[0].metrics == {"loss": [1.0]}

    def test_numbers_of_numeric_libraries_become_plain(self, storage: Storage) -> None:
        """
        A scalar that knows its plain value is kept as that.
        """

        class Scalar:
            ndim = 0

            def item(self) -> float:
                return 0.25

        measured = [Measurement({"loss": Scalar()}, 0.0)]
        _running(storage).measure("study", 0, measured, attempt=1, first=0)

        assert storage.measurements("study", 0)[0].metrics == {"loss": 0.25}

    def test_ten_thousand_measurements(self, storage: Storage) -> None:
        """
        A talkative trial is no trouble.
        """
        curve = _curve(*range(10_000))

        _running(storage).measure("study", 0, curve, attempt=1, first=0)

        assert storage.load("study", measurements=True).trials[0].measurements == tuple(curve)
