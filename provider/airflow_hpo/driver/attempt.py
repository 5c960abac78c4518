"""
One attempt at one trial: what is the same whatever its code is and wherever it runs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING

from airflow_hpo.driver.failures import Signs
from airflow_hpo.driver.memory import CallOff, Memory
from airflow_hpo.driver.stores import store_of
from airflow_hpo.driver.watch import Watch, called_off, has_result, may_start
from airflow_hpo.driver.workspace import (
    OWNER,
    Follower,
    claim_folder,
    trial_folder,
    usual_folder,
)
from airflow_hpo.errors import StorageError, TrialError, TrialFailedError, TrialInvalidError
from airflow_hpo.model.trial import Failure, Outcome, TrialState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from airflow_hpo.driver.watch import Verdict
    from airflow_hpo.model.trial import Measurement, Trial
    from airflow_hpo.runners.base import Runner
    from airflow_hpo.study import Study

__all__ = ["AttemptRun"]


class AttemptRun(ABC):
    """
    One attempt at one trial, from its start to its outcome.

    **How it works.** Starts an attempt in the journal, lets its code run, keeps
    measurements as they come, and tells the outcome. At each measurement and
    every few seconds it asks whether to go on: a study that ends takes its
    running trials along. Whatever ends it early (a signal, an exception)
    cancels the job first and tells that too.

    **What it does not do.** It does not retry: run it again with another key.

    **Known limitation.** A process that is killed with SIGKILL tells nothing:
    `evaluate_round` reconciles the trial.

    Args:
        study: The study.

        number: The trial's number.

        key: What makes this attempt unique, such as task, run and try.

        artifacts: Folder under which workspaces are made.

        log: Called with every line of the job's output.

        on_measurement: Called after each new measurement, once it is kept.

        insist:
            Whether to run it even though the study has ended, as where a
            person asked for that; otherwise nothing starts then.

        owner:
            Whoever comes back under this name may go on with the attempt; see
            `own_key`. `None` for nobody.
    """

    def __init__(
        self,
        study: Study,
        number: int,
        *,
        key: str,
        artifacts: Path,
        log: Callable[[str], None],
        on_measurement: Callable[[Measurement], None] = lambda _: None,
        insist: bool = False,
        owner: str | None = None,
    ) -> None:
        self.study = study
        self.number = number
        self._key = key
        self._artifacts = artifacts
        self._log = log
        self._on_measurement = on_measurement
        self._insist = insist
        self._owner = owner
        self._watch: Watch | None = None
        self._memory: Memory | None = None
        self._trial: Trial | None = None
        self._is_taken_over = False
        self._running: tuple[Runner, str] | None = None
        self._called_off: CallOff | None = None
        self._kept: list[Measurement] = []
        self._signs = Signs(study.blueprint.trial.failures)

    @property
    def key(self) -> str:
        """
        What makes this attempt unique.
        """
        return self._key

    def run(self) -> Trial:
        """
        Run the attempt to its end and return the trial as told.

        Where the study has ended nothing is started, and the trial comes back
        as it stays.

        Raises:
            TrialError: If the job cannot be started or was lost; told as well.
        """
        trial = self._advance()
        if trial is None:
            raise RuntimeError(f"trial {self.number} was left to somebody else")
        return trial

    def _advance(self) -> Trial | None:
        """
        Run the attempt as far as it goes here; `None` where somebody else goes on with it.
        """
        trial, runs = self._begin()
        if not runs:
            return trial
        try:
            outcome = self._outcome(trial)
        except BaseException as error:
            # Also for SystemExit and KeyboardInterrupt: the job must not go on
            # without us, and the study must not wait for it.
            try:
                self.cancel()
            finally:
                self._tell_broken(trial, error)
            raise
        return None if outcome is None else self._tell(trial, outcome)

    @abstractmethod
    def _outcome(self, trial: Trial) -> Outcome | None:
        """
        Let the code run and return how it ended; `None` where somebody else goes on.
        """

    def _begin(self) -> tuple[Trial, bool]:
        """
        Return the trial, and whether this attempt at it runs now.
        """
        record = self.study.record()
        if not 0 <= self.number < len(record.trials):
            # It raises what is wrong with the number.
            return self.study.start(self.number, key=self._key), False
        before = record.trials[self.number]
        # What has ended well is not tried again by itself: somebody wants that.
        insist = self._insist or has_result(before)
        if not insist and not may_start(self.study, record, before):
            return called_off(self.study, before, record.stop), False
        trial = self.study.start(self.number, key=self._key)
        if trial.is_final:
            return trial, False  # this very attempt has already told its outcome
        self._trial = trial
        self._is_taken_over = before.state is TrialState.RUNNING and before.attempt == trial.attempt
        self._memory = Memory(self.study, trial)
        if insist and record.stop is not None and self._memory.is_empty:
            self._memory.known_stop = record.stop
        if self._owner is not None:
            self._memory.own(self._owner)
        self._take_over(trial, self._memory)
        return trial, True

    def _take_over(self, trial: Trial, memory: Memory) -> None:
        """
        Find what an older process left of this attempt, and look after the trial.
        """
        self._called_off = self._called_off or memory.called_off
        storage, name = self.study.storage, self.study.name
        # Measurements that somebody judged before come again, and are not judged again.
        seen = len(storage.measurements(name, trial.number, attempt=trial.attempt))
        self._watch = Watch(self.study, trial, known=memory.known_stop, seen=seen)

    def _workspace(self, trial: Trial) -> Path:
        """
        Return the trial's folder, made, claimed, and with what older attempts left.
        """
        usual = usual_folder(self._artifacts, self.study.name, trial)
        store = store_of(usual)
        if store is not None:
            self._fetch(usual, only=OWNER)  # it says whose the folder is
        folder = trial_folder(self._artifacts, self.study.name, trial)
        if store is not None and (trial.attempt > 1 or self._is_taken_over):
            self._fetch(folder)
        claim_folder(folder, self.study.name, trial)
        Follower.note(folder, self._key)
        return folder

    def _fetch(self, folder: Path, *, only: str | None = None) -> None:
        """
        Fetch what is kept of *folder* elsewhere; nothing where it just lies there.
        """
        store = store_of(folder)
        try:
            if store is not None:
                store.fetch(folder, only=only)
        except StorageError as error:
            raise TrialFailedError(str(error)) from error

    def _store_files(self, trial: Trial) -> None:
        """
        Keep the trial's files where files are kept; that it fails ends no trial.
        """
        folder = trial_folder(self._artifacts, self.study.name, trial)
        store = store_of(folder)
        if store is None or not folder.is_dir():
            return
        try:
            store.send(folder)
        except StorageError as error:
            self._log(f"the trial's files are on this machine alone, in {folder}: {error}")

    def _tell(self, trial: Trial, outcome: Outcome) -> Trial:
        self._store_files(trial)  # first: who goes on with this trial needs them
        told = self.study.tell(trial.number, outcome, attempt=trial.attempt)
        with suppress(StorageError):
            self.study.look()  # its end may be the study's: running trials wait to hear it
        return told

    def cancel(self, reason: str = "cancelled", *, state: TrialState = TrialState.FAILED) -> None:
        """
        End the job; returns when it is gone. Safe to call at any time.

        Args:
            reason: Told as the trial's, unless the job ended by itself before.
                The first call decides.

            state: Told likewise. A failure counts as the machine's; a complete
                trial is judged by what it has measured until then, and pruned
                where that is not enough.
        """
        if self._called_off is None:
            self._called_off = CallOff.of(reason, state)
        # Read after the line above, as `_guard` does it the other way round:
        # whatever the order of the two threads, one of them ends the job.
        running = self._running
        if running is not None:
            runner, handle = running
            runner.cancel(handle)

    def _guard(self, runner: Runner, handle: str) -> None:
        """
        Have `cancel` end this job from now on.
        """
        self._running = (runner, handle)
        if self._called_off is not None:
            runner.cancel(handle)

    def _tell_broken(self, trial: Trial, error: BaseException) -> None:
        invalid = isinstance(error, TrialInvalidError)
        reason = str(error) if isinstance(error, TrialError) else f"interrupted: {error!r}"
        failure = Failure.CODE if invalid else Failure.INFRASTRUCTURE
        outcome = Outcome(TrialState.FAILED, reason=reason, failure=failure)
        self._store_files(trial)
        self.study.tell(trial.number, outcome, attempt=trial.attempt)

    def _ended_early(self, called: CallOff) -> Outcome:
        return called.outcome(self.study.blueprint.objectives, self._kept)

    def _parent_checkpoint(self, trial: Trial) -> Path | None:
        """
        Return where the trial that this one resumes left its checkpoint.
        """
        if trial.parent is None:
            return None
        parent = self.study.record().trials[trial.parent]
        folder = trial_folder(self._artifacts, self.study.name, parent) / "checkpoint"
        self._fetch(folder)
        if not folder.is_dir():
            self._log(f"the checkpoint of trial {trial.parent} is not on this machine: {folder}")
        return folder

    def _is_over(self) -> bool:
        """
        Look whether there is a reason to end the trial; return whether it is called off.
        """
        self._end_if(self._watch.look() if self._watch else None)
        return self._called_off is not None

    def _end_if(self, verdict: Verdict | None) -> None:
        """
        End the job where there is a reason to; what it still prints is read afterwards.
        """
        if verdict is None or self._called_off is not None:
            return
        self._log(f"ending the trial: {verdict.reason}")
        state = TrialState.COMPLETE if verdict.reached else TrialState.PRUNED
        if self._memory is not None:
            # First: whoever finds the job ended must know that we did it, and why.
            self._memory.called_off = CallOff.of(verdict.reason, state)
        self.cancel(verdict.reason, state=state)

    def _keep(self, trial: Trial, fresh: Sequence[Measurement]) -> None:
        if not fresh:
            return
        self.study.measure(trial.number, fresh, attempt=trial.attempt, first=len(self._kept))
        self._kept += fresh
        for measurement in fresh:
            self._on_measurement(measurement)
