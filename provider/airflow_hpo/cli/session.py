"""
A study run in this process: rounds of trials in threads, until it ends.
"""

from __future__ import annotations

import signal
from collections import deque
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from secrets import token_hex
from threading import Thread, current_thread, main_thread
from typing import TYPE_CHECKING

from airflow_hpo.cli.leftovers import find_leftovers, latest_key, this_process
from airflow_hpo.cli.turns import Due, Ended, Signal, Work
from airflow_hpo.driver import TrialRun, announce, evaluate_round, suggest_round
from airflow_hpo.errors import HpoError, StudyError, TrialError, TrialInvalidError
from airflow_hpo.model.trial import Failure, Outcome, TrialState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from airflow_hpo.cli.display import Display
    from airflow_hpo.model.stop import Stop
    from airflow_hpo.model.trial import Trial
    from airflow_hpo.study import Study

__all__ = ["Session"]

# How often a study that nothing happens in is looked at, in seconds: its time
# may be up.
_TICK_S = 1.0

# So many further signals end the waiting for trials that are being ended.
_PATIENCE = 2

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Session:
    """
    Runs one study in this process until it ends or somebody interrupts it.

    **How it works.** Goes on with what an earlier session left: follows trials
    whose jobs outlived it, and runs again those that were interrupted. Then it
    asks for rounds as a DAG would, at most as many trials as one DAG run has; on
    a ladder or in the mode async a free slot asks for one trial.
    A signal ends the running trials; what they told stays.

    **What it does not do.** It leaves alone what other living processes and
    DAGs work on, unless told to take it over.

    Args:
        study: The study.

        trials: How many new trials at most.

        artifacts: Folder under which workspaces are made.

        slots: Trials that run at the same time.

        display: Shows what happens.

        take_over: Whether to run again what others left unfinished.
    """

    def __init__(
        self,
        study: Study,
        *,
        trials: int,
        artifacts: Path,
        slots: int,
        display: Display,
        take_over: bool = False,
    ) -> None:
        self.study = study
        self.interrupted: str | None = None
        self.stop: Stop | None = None
        self._owner = f"{this_process()}/{token_hex(4)}"
        self._left = trials
        self._rounds = 0
        self._eager = study.is_ladder or study.blueprint.execution.mode == "async"
        self._idle = False
        self._artifacts = artifacts
        self._slots = slots
        self._display = display
        self._take_over = take_over
        self.elsewhere = 0
        self._due: deque[Due] = deque()
        self._running: dict[int, Work] = {}
        self._events: SimpleQueue[Ended | Signal] = SimpleQueue()

    def run(self) -> None:
        """
        Run until the study ends, there is nothing more to do, or a signal comes.

        `stop`, `elsewhere` and `interrupted` tell afterwards which it was.
        """
        with self._signals():
            try:
                self._resume()
                while self._refill():
                    self._handle(self._next())
            finally:
                # Whatever went wrong: no job goes on without this process.
                self._call_off("interrupted: hpo run ended", TrialState.FAILED)
        if self.stop is None and self.interrupted is None:
            self.stop = self.study.decide()
        announce(self.study)

    def interrupt(self, name: str) -> None:
        """
        End the running trials as a signal called *name* would, from any thread.
        """
        self._events.put(Signal(name))

    @contextmanager
    def _signals(self) -> Iterator[None]:
        if current_thread() is not main_thread():
            yield  # signals are the main thread's; who runs this there can interrupt
            return

        def note(number: int, _frame: object) -> None:
            self.interrupt(signal.Signals(number).name)

        # What is ignored stays so: nohup, or a shell's background job.
        mine = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        old = {number: signal.signal(number, note) for number in mine}
        try:
            yield
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)

    @property
    def _is_timed(self) -> bool:
        """
        Whether the study may end though nothing happens; its budget may change meanwhile.
        """
        blueprint = self.study.blueprint
        has_expression = any(rule.kind == "expression" for rule in blueprint.stop)
        return has_expression or blueprint.budget.wall_clock_s is not None

    def _resume(self) -> None:
        """
        Take up what earlier sessions left behind.
        """
        stop = self.study.decide()
        left = find_leftovers(self.study, stop, take_over=self._take_over)
        self.elsewhere = left.elsewhere
        for trial in left.running:
            # Its job may have outlived its session: with the old key this
            # finds it, whatever the number of slots.
            self._display.note(f"#{trial.number} was left running: following it")
            self._start(Due(trial), key=latest_key(self.study, trial))
        self._due += (Due(trial, taken=True) for trial in (*left.again, *left.waiting))
        if stop is not None and not left.again:
            self._withdraw(f"the study ended: {stop.reason}")

    def _refill(self) -> bool:
        """
        Keep the slots busy; returns whether anything runs.
        """
        while self.interrupted is None and self.stop is None:
            if not self._due and self._may_ask():
                self._due += self._next_round()
            if not self._due or len(self._running) >= self._slots:
                break
            self._begin(self._due.popleft())
        return bool(self._running)

    def _may_ask(self) -> bool:
        """
        Return whether it is time for further trials.

        Rounds begin when the one before has ended. Where nobody waits for a
        round, a free slot asks, but not twice for the same answer.
        """
        if not self._eager or not self._running:
            return not self._running
        return len(self._running) < self._slots and not self._idle

    def _next_round(self) -> list[Due]:
        count = min(self._left, 1 if self._eager else self.study.blueprint.execution.batch_size)
        if count <= 0:
            return []
        key = f"{self._owner}/{self._rounds}"
        trials = suggest_round(self.study, count, key=key)
        self._idle = not trials
        self._left -= len(trials)
        self._rounds += 1
        return [Due(trial) for trial in trials]

    def _begin(self, due: Due) -> None:
        """
        Start a trial, unless another process was faster.
        """
        if due.taken:
            now = self.study.record().trials[due.trial.number]
            if (now.state, now.attempt) != (due.trial.state, due.trial.attempt):
                return
        self._start(due, key=f"{self._owner}/{due.trial.number}/{due.tries}")

    def _start(self, due: Due, *, key: str) -> None:
        number = due.trial.number
        # Here rather than in the thread: whoever decides next sees it running.
        trial = self.study.start(number, key=key)
        run = TrialRun(
            self.study,
            number,
            key=key,
            artifacts=self._artifacts,
            log=lambda line: self._display.line(number, line),
            on_measurement=lambda measurement: self._display.measured(number, measurement),
            insist=due.taken,
        )
        thread = Thread(target=self._work, args=(number, run), daemon=True)
        self._running[number] = Work(due, run, thread)
        self._display.started(trial)
        thread.start()

    def _work(self, number: int, run: TrialRun) -> None:
        error: BaseException | None = None
        try:
            run.run()
        except BaseException as caught:  # noqa: BLE001 - the main thread judges
            error = caught
        self._events.put(Ended(number, error))

    def _next(self) -> Ended | Signal | None:
        try:
            return self._events.get(timeout=_TICK_S)
        except Empty:
            return None

    def _handle(self, event: Ended | Signal | None) -> None:
        if isinstance(event, Signal):
            self.interrupted = event.name
            self._display.note(f"{event.name}: ending {_count(self._running)} ...")
            self._call_off(f"interrupted by {event.name}", TrialState.FAILED)
        elif isinstance(event, Ended):
            self._conclude(event)
        elif self._is_timed:
            self._decide(())

    def _conclude(self, event: Ended) -> None:
        """
        Show how a trial ended, try it again where that may help, and decide.
        """
        work = self._running.pop(event.number)
        work.thread.join()
        self._idle = False
        if not (event.error is None or isinstance(event.error, (TrialError, StudyError))):
            raise event.error
        trial = self.study.record().trials[event.number]
        again = self._is_retried(work.due, trial, event.error)
        if again:
            self._due.appendleft(Due(trial, work.due.tries + 1))
        best = None if again else self._decide({event.number})
        announce(self.study)
        self._display.ended(trial, again=again, best=best)

    def _is_retried(self, due: Due, trial: Trial, error: BaseException | None) -> bool:
        retries = self.study.blueprint.trial.retries
        allowed = {Failure.INFRASTRUCTURE: retries.infrastructure, Failure.CODE: retries.code}
        return (
            trial.state is TrialState.FAILED
            and trial.failure is not None
            and not isinstance(error, TrialInvalidError)
            and self.stop is None
            and self.interrupted is None
            and due.tries < allowed.get(trial.failure, 0)
        )

    def _decide(self, numbers: Iterable[int]) -> Trial | None:
        """
        Evaluate; end what runs if the study ends. Returns the best trial.
        """
        # Nothing is lost here: what does not run was told, or is another's now.
        again = {due.trial.number for due in self._due if due.tries}
        result = evaluate_round(self.study, list(numbers), lost=lambda _: None, pending=again)
        if result.stop is not None and self.stop is None and self.interrupted is None:
            self.stop = result.stop
            reason = f"the study ended: {result.stop.reason}"
            self._withdraw(reason)
            self._call_off(reason, TrialState.PRUNED)
        return result.best

    def _withdraw(self, reason: str) -> None:
        """
        Call off what never began.
        """
        outcome = Outcome(TrialState.PRUNED, reason=reason)
        while self._due:
            trial = self._due.popleft().trial
            if trial.state is TrialState.WAITING:
                with suppress(StudyError):  # another process has begun it
                    self.study.tell(trial.number, outcome, attempt=0)

    def _call_off(self, reason: str, state: TrialState) -> None:
        """
        End all running trials at once, and wait until they have told it.
        """
        threads = [
            Thread(target=self._cancel, args=(work.run, reason, state), daemon=True)
            for work in self._running.values()
        ]
        for thread in threads:
            thread.start()
        asked = 0
        while self._running and asked < _PATIENCE:
            event = self._next()
            if isinstance(event, Ended):
                self._running.pop(event.number).thread.join()
                self._show_called_off(event)
            elif isinstance(event, Signal):
                asked += 1
                self.interrupted = self.interrupted or event.name
                again = "" if asked == _PATIENCE else "; once more leaves them behind"
                self._display.note(f"{event.name}: still ending {_count(self._running)}{again}")
        for number in tuple(self._running):
            self._abandon(number, reason)

    def _abandon(self, number: int, reason: str) -> None:
        """
        Tell a trial's end without waiting for it: somebody insists.

        Its runner was asked to end it and does so, or it cannot be interrupted
        and ends with this process.
        """
        del self._running[number]
        trial = self.study.record().trials[number]
        outcome = Outcome(TrialState.FAILED, reason=reason, failure=Failure.INFRASTRUCTURE)
        with suppress(StudyError):  # it told its own after all
            trial = self.study.tell(number, outcome, attempt=trial.attempt)
        self._display.ended(trial, again=False, best=None)

    def _cancel(self, run: TrialRun, reason: str, state: TrialState) -> None:
        try:
            run.cancel(reason, state=state)
        except HpoError as error:
            self._display.note(f"#{run.number} cannot be ended: {error}")

    def _show_called_off(self, event: Ended) -> None:
        if isinstance(event.error, HpoError) and not isinstance(event.error, TrialError):
            # Such as a journal that cannot be reached: it was not told.
            self._display.note(f"#{event.number}: {event.error}")
            return
        trial = self.study.record().trials[event.number]
        self._display.ended(trial, again=False, best=None)


def _count(running: dict[int, Work]) -> str:
    return f"{len(running)} running {'trial' if len(running) == 1 else 'trials'}"
