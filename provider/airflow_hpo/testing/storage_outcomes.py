"""
The contract of a storage, part four: how attempts end.
"""

from __future__ import annotations

from typing import Any

import pytest

from airflow_hpo.errors import StudyError
from airflow_hpo.model.record import Attempt
from airflow_hpo.model.trial import (
    FINAL_STATES,
    TRANSITIONS,
    Failure,
    Outcome,
    Trial,
    TrialState,
)
from airflow_hpo.storage.base import Storage
from airflow_hpo.testing.storage_study import ODD_TEXTS, VALUES, same
from airflow_hpo.testing.storage_tasks import make_study

__all__ = ["OUTCOMES", "OutcomeContract", "end_first", "kinds_of", "trial_of"]

OUTCOMES = (
    Outcome(TrialState.COMPLETE, values=(0.5, 2), metrics={"loss": 0.5, "n": 2}, exit_code=0),
    Outcome(TrialState.PRUNED, metrics={"loss": 3.0}, reason="worse than the median at 3"),
    Outcome(TrialState.INFEASIBLE, reason="metric 'loss' was never printed"),
    Outcome(TrialState.FAILED, reason="exit code 1", failure=Failure.CODE, exit_code=1),
    Outcome(TrialState.FAILED, failure=Failure.INFRASTRUCTURE, exit_code=-9),
    Outcome(TrialState.FAILED, failure=Failure.TIMEOUT, exit_code=3221225477),
)
_FINAL = sorted(FINAL_STATES)
_PAUSED = Outcome(TrialState.PAUSED, metrics={"loss": 1.0}, reason="rung 0", time=50.0)


def _outcome(state: TrialState, **fields: Any) -> Outcome:
    values = (1.0,) if state is TrialState.COMPLETE else None
    return Outcome(state, **{"values": values, **fields})


def end_first(storage: Storage, outcome: Outcome) -> Trial:
    """
    Make a study of one trial whose first attempt ended with *outcome*.
    """
    make_study(storage, 1).start("study", 0, key="one")
    return storage.finish("study", 0, outcome, attempt=1)


def trial_of(storage: Storage) -> Trial:
    """
    Return the first trial of the study.
    """
    return storage.load("study").trials[0]


def kinds_of(storage: Storage) -> list[str]:
    """
    Return what happened after the study and its trial were made.
    """
    return [event.kind for event in storage.events("study")][2:]


class OutcomeContract:
    """
    What holds of `finish`, whichever storage it is.
    """

    @pytest.mark.parametrize("outcome", OUTCOMES)
    def test_outcomes_come_back_whole(self, storage: Storage, outcome: Outcome) -> None:
        """
        Every field of an outcome is in the trial and in the attempt.
        """
        told = end_first(storage, outcome)

        trial, (attempt,) = trial_of(storage), storage.attempts("study", 0)

        assert told == trial
        assert attempt.outcome is not None
        assert attempt.started == trial.started
        for one in (trial, attempt.outcome):
            assert (outcome.state, outcome.reason) == (one.state, one.reason)
            assert (outcome.failure, outcome.exit_code) == (one.failure, one.exit_code)
            assert same(outcome.values, one.values)
            assert same(outcome.metrics, one.metrics)

    def test_end_is_now_unless_it_is_said(self, storage: Storage) -> None:
        """
        An outcome may bring its own time.
        """
        said = end_first(storage, _outcome(TrialState.COMPLETE, time=12.5))
        storage.start("study", 0, key="two")
        now = storage.finish("study", 0, _outcome(TrialState.COMPLETE), attempt=2)

        assert said.finished == 12.5
        assert now.started is not None
        assert now.finished is not None
        assert now.finished >= now.started

    @pytest.mark.parametrize("value", VALUES, ids=repr)
    def test_metrics_keep_their_types(self, storage: Storage, value: Any) -> None:
        """
        A metric comes back with the type it was printed in.
        """
        metrics = {"z": value, "a": [value]}

        told = end_first(storage, _outcome(TrialState.COMPLETE, metrics=metrics))

        assert same(metrics, told.metrics)
        assert same(metrics, trial_of(storage).metrics)

    @pytest.mark.parametrize("reason", [*ODD_TEXTS, "", "NUL \0 and \udcff", "long\n" * 50_000])
    def test_reasons_may_hold_anything(self, storage: Storage, reason: str) -> None:
        """
        A reason may quote whatever a program printed.
        """
        end_first(storage, _outcome(TrialState.FAILED, reason=reason))

        assert trial_of(storage).reason == reason

    def test_same_outcome_twice_is_told_once(self, storage: Storage) -> None:
        """
        Repeating an outcome changes nothing, whenever it is said to have been.
        """
        told = end_first(storage, _outcome(TrialState.COMPLETE, metrics={"a": 1, "b": 2.0}))
        again = _outcome(TrialState.COMPLETE, metrics={"b": 2.0, "a": 1}, time=99.0)

        assert told == storage.finish("study", 0, again, attempt=1)
        assert told == trial_of(storage)
        assert kinds_of(storage) == ["started", "finished"]

    @pytest.mark.parametrize(
        "other",
        [
            _outcome(TrialState.FAILED),
            _outcome(TrialState.COMPLETE, values=(2.0,)),
            _outcome(TrialState.COMPLETE, values=(1,)),
            _outcome(TrialState.COMPLETE, metrics={"a": 1.0}),
            _outcome(TrialState.COMPLETE, metrics={"a": 1}, reason="because"),
            _outcome(TrialState.COMPLETE, metrics={"a": 1}, exit_code=1),
            _outcome(TrialState.PAUSED),
        ],
    )
    def test_second_outcome_is_refused(self, storage: Storage, other: Outcome) -> None:
        """
        An attempt ends once; the message says how it did and what remains.
        """
        told = end_first(storage, _outcome(TrialState.COMPLETE, metrics={"a": 1}))

        with pytest.raises(StudyError, match=r"has ended as complete .*legal moves: running"):
            storage.finish("study", 0, other, attempt=1)

        assert told == trial_of(storage)
        assert kinds_of(storage) == ["started", "finished"]

    @pytest.mark.parametrize("state", [*_FINAL, TrialState.PAUSED])
    def test_waiting_trial_ends_by_the_table(self, storage: Storage, state: TrialState) -> None:
        """
        A trial that never started can fail or be called off, and nothing else.
        """
        make_study(storage, 1)
        outcome = _outcome(state, reason="its task died")

        if state in TRANSITIONS[TrialState.WAITING]:
            told = storage.finish("study", 0, outcome, attempt=0)

            assert told == trial_of(storage)
            assert told == storage.finish("study", 0, outcome, attempt=0)
            assert (state, 0, None) == (told.state, told.attempt, told.started)
            assert [Attempt(0, outcome=_at(outcome, told))] == list(storage.attempts("study", 0))
            assert storage.start("study", 0, key="one").attempt == 1
        else:
            legal = "legal moves: failed, pruned, running"
            with pytest.raises(StudyError, match=f"from waiting to {state.value}; {legal}"):
                storage.finish("study", 0, outcome, attempt=0)

            assert trial_of(storage).state is TrialState.WAITING

    @pytest.mark.parametrize("attempt", [1, 2, -1])
    def test_attempt_that_nobody_started_cannot_end(self, storage: Storage, attempt: int) -> None:
        """
        The message says which attempts there are.
        """
        make_study(storage, 2).start("study", 1, key="one")

        message = f"trial 0 has no attempt {attempt}; none was started"
        with pytest.raises(StudyError, match=message):
            storage.finish("study", 0, _outcome(TrialState.FAILED), attempt=attempt)
        with pytest.raises(StudyError, match="trial 1 has no attempt 2; its latest is 1"):
            storage.finish("study", 1, _outcome(TrialState.FAILED), attempt=2)

    def test_paused_trial_resumes_as_a_new_attempt(self, storage: Storage) -> None:
        """
        A promoted trial runs again; nothing is superseded.
        """
        paused = end_first(storage, _PAUSED)
        resumed = storage.start("study", 0, key="two")

        assert (paused.state, paused.is_final) == (TrialState.PAUSED, False)
        assert (resumed.state, resumed.attempt) == (TrialState.RUNNING, 2)
        assert kinds_of(storage) == ["started", "finished", "started"]
        assert storage.attempts("study", 0)[0].outcome == _PAUSED

    @pytest.mark.parametrize("state", _FINAL)
    def test_paused_attempt_can_end(self, storage: Storage, state: TrialState) -> None:
        """
        The verdict at a rung ends the attempt; the pause stays on record.
        """
        end_first(storage, _PAUSED)

        told = storage.finish("study", 0, _outcome(state), attempt=1)

        assert told == trial_of(storage)
        assert told.state is state
        assert storage.events("study")[-1].data == {
            "attempt": 1,
            "state": state.value,
            "paused": {"values": None, "metrics": {"loss": 1.0}, "reason": "rung 0", "time": 50.0},
        }

    def test_pause_cannot_become_another_pause(self, storage: Storage) -> None:
        """
        The table has no such move; the same pause again is no move.
        """
        paused = end_first(storage, _PAUSED)

        assert paused == storage.finish("study", 0, _PAUSED, attempt=1)
        with pytest.raises(StudyError, match=r"from paused to paused; legal moves: complete"):
            storage.finish("study", 0, _outcome(TrialState.PAUSED), attempt=1)

    @pytest.mark.parametrize("outcome", OUTCOMES)
    def test_late_outcome_changes_only_its_attempt(
        self, storage: Storage, outcome: Outcome
    ) -> None:
        """
        An attempt that was overtaken may still tell; the trial is not its own.
        """
        make_study(storage, 1).start("study", 0, key="one")
        trial = storage.start("study", 0, key="two")

        for _ in range(2):  # as harmless twice as once
            assert trial == storage.finish("study", 0, outcome, attempt=1)

        assert trial == trial_of(storage)
        late, latest = storage.attempts("study", 0)
        assert late.outcome is not None
        assert (outcome.state, None) == (late.outcome.state, latest.outcome)
        assert kinds_of(storage) == ["started", "started", "finished_late"]
        assert storage.events("study")[-1].data["attempt"] == 1

    def test_late_outcome_is_final_too(self, storage: Storage) -> None:
        """
        An overtaken attempt does not end twice either.
        """
        make_study(storage, 1).start("study", 0, key="one")
        storage.start("study", 0, key="two")
        storage.finish("study", 0, _outcome(TrialState.FAILED), attempt=1)

        with pytest.raises(StudyError, match="attempt 1 at trial 0 has ended as failed"):
            storage.finish("study", 0, _outcome(TrialState.COMPLETE), attempt=1)

    def test_trial_called_off_after_it_started_goes_on(self, storage: Storage) -> None:
        """
        Attempt 0 is no longer the latest once a first began.
        """
        trial = make_study(storage, 1).start("study", 0, key="one")

        assert trial == storage.finish("study", 0, _outcome(TrialState.FAILED), attempt=0)
        assert trial == trial_of(storage)
        assert [attempt.attempt for attempt in storage.attempts("study", 0)] == [0, 1]

    def test_latest_outcome_counts(self, storage: Storage) -> None:
        """
        After a second attempt the trial shows the second outcome.
        """
        end_first(storage, _outcome(TrialState.COMPLETE, values=(1.0,), metrics={"a": 1}))
        storage.start("study", 0, key="two")

        storage.finish("study", 0, _outcome(TrialState.PRUNED, reason="slow"), attempt=2)

        trial = trial_of(storage)
        assert (trial.state, trial.values, trial.metrics) == (TrialState.PRUNED, None, {})
        assert (trial.reason, trial.attempt) == ("slow", 2)

    def test_unwritable_metric_records_nothing(self, storage: Storage) -> None:
        """
        What JSON has no form for is named, and the trial still runs.
        """
        with pytest.raises(ValueError, match="JSON-compatible, got set"):
            end_first(storage, _outcome(TrialState.COMPLETE, metrics={"a": {1}}))

        assert trial_of(storage).state is TrialState.RUNNING


def _at(outcome: Outcome, trial: Trial) -> Outcome:
    """
    Return *outcome* with the time at which *trial* ended.
    """
    return Outcome(outcome.state, reason=outcome.reason, time=trial.finished)
