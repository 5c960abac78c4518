"""
The first and the last move of a round: suggest and evaluate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from airflow_hpo.driver.strays import end_jobs
from airflow_hpo.errors import StudyError
from airflow_hpo.metrics import judge
from airflow_hpo.model.objective import best_trial
from airflow_hpo.model.trial import Failure, Outcome, TrialState

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from airflow_hpo.model.ladder import Place
    from airflow_hpo.model.stop import Stop
    from airflow_hpo.model.trial import Trial
    from airflow_hpo.study import Study

__all__ = ["RoundResult", "evaluate_round", "suggest_round"]


def suggest_round(
    study: Study, count: int, *, key: str, only: Place | None = None
) -> tuple[Trial, ...]:
    """
    Return the trials of one round, asking for them unless *key* already did.

    A study that had ended is looked at again first: where its budget was
    raised since, it goes on.

    Args:
        study: The study.

        count: How many at most.

        key: Which ask this is.

        only: The rung of a ladder that the round is.
    """
    study.decide()
    return study.ask(count, key=key, only=only)


@dataclass(frozen=True, slots=True)
class RoundResult:
    """
    What an evaluated round came to.

    Args:
        states: Number of trials of the round by state.

        stop: Why the study ends; `None` if it goes on.

        best: The best trial of the study so far.
    """

    states: Mapping[str, int]
    stop: Stop | None
    best: Trial | None

    def ending(self, stop: Stop | None) -> RoundResult:
        """
        Return the same with another reason to end the study, or none.
        """
        return replace(self, stop=stop)


def evaluate_round(
    study: Study,
    numbers: Sequence[int],
    *,
    lost: Callable[[Trial], str | None],
    passed: Callable[[Trial], bool] = lambda _: False,
    pending: Collection[int] = (),
    artifacts: Path | None = None,
) -> RoundResult:
    """
    Reconcile the trials of a round with what became of their tasks, and decide.

    Args:
        study: The study.

        numbers: The round's trials.

        lost:
            Asked for each trial that has not ended: why it never will (its
            task died), or `None` to leave it alone.

        passed:
            Asked for each trial that its task did not see to its end: whether
            a person decided that it did well. It is judged by what it measured.

        pending: Failed trials that are about to be tried again.

        artifacts:
            Folder under which workspaces are: what still runs of a lost trial
            is ended. `None` leaves it alone.
    """
    wanted = set(numbers)
    for trial in study.record().trials:
        told = trial.number in wanted and _set_right(study, trial, lost=lost, passed=passed)
        if told and artifacts is not None:
            end_jobs(study, trial, artifacts)
    stop = study.decide(pending=pending)
    trials = study.record().trials
    states: dict[str, int] = {}
    for trial in trials:
        if trial.number in wanted:
            states[trial.state.value] = states.get(trial.state.value, 0) + 1
    feasible = study.blueprint.outcomes.feasible(trials)
    return RoundResult(states, stop, best_trial(study.blueprint.objectives, feasible))


def _set_right(
    study: Study,
    trial: Trial,
    *,
    lost: Callable[[Trial], str | None],
    passed: Callable[[Trial], bool],
) -> bool:
    """
    Tell how a trial ended that did not tell itself; returns whether there was need to.
    """
    if _was_cut_short(trial) and passed(trial):
        _tell_passed(study, trial)
        return True
    reason = None if trial.is_final else lost(trial)
    if reason is None:
        return False
    _tell_lost(study, trial, reason)
    return True


def _was_cut_short(trial: Trial) -> bool:
    """
    Return whether the machine ended the latest attempt, or nobody knows how it ended.
    """
    if trial.state is TrialState.RUNNING:
        return True
    return trial.attempt > 0 and trial.failure is Failure.INFRASTRUCTURE


def _tell_passed(study: Study, trial: Trial) -> None:
    """
    Tell a trial as complete with what it measured; as pruned if that is no result.
    """
    measured = study.storage.measurements(study.name, trial.number, attempt=trial.attempt)
    outcome = judge(study.blueprint.objectives, measured)
    if outcome.state is not TrialState.COMPLETE:
        outcome = Outcome(TrialState.PRUNED, metrics=outcome.metrics)
    outcome = replace(outcome, reason="its task was marked as success while it ran")
    if trial.is_final:  # what it told then stays on record, and is superseded
        key = f"{trial.key}/{trial.number}/{trial.attempt}/marked"
        trial = study.start(trial.number, key=key)
        study.measure(trial.number, measured, attempt=trial.attempt, first=0)
    study.tell(trial.number, outcome, attempt=trial.attempt)


def _tell_lost(study: Study, trial: Trial, reason: str) -> None:
    outcome = Outcome(TrialState.FAILED, reason=reason, failure=Failure.INFRASTRUCTURE)
    try:
        study.tell(trial.number, outcome, attempt=trial.attempt)
    except StudyError:
        # It told its own outcome after we looked, which counts for more.
        if not study.record().trials[trial.number].is_final:
            raise
