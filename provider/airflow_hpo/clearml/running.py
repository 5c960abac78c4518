"""
A study that runs in the background of a script, and whoever is told of it.
"""

from __future__ import annotations

import atexit
import io
import logging
import time
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING

from airflow_hpo.clearml.results import (
    best_first,
    iteration_of,
    parameters_of,
    status_of,
    trial_id,
    values_of,
)
from airflow_hpo.cli.display import Silence
from airflow_hpo.cli.session import Session
from airflow_hpo.driver import study_folder
from airflow_hpo.report import report_on

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow_hpo.model.trial import Trial
    from airflow_hpo.study import Study

__all__ = ["Callback", "Running"]

Callback = "Callable[[str, Any, Any, dict[str, Any], str | None], object]"
"""Gets a job's id, its value, at which iteration, its parameters, and the best job's id."""

_log = logging.getLogger("airflow_hpo.clearml")

# How long a script that ends waits for its trials to be ended, in seconds.
_PATIENCE_S = 30.0


class _Watch(Silence):
    """
    Passes on which trials have ended for good.
    """

    def __init__(self, study: Study, artifacts: Path, ended: Callable[[int], None]) -> None:
        super().__init__(study, artifacts=artifacts, file=io.StringIO(), verbose=False)
        self._ended = ended

    def ended(self, trial: Trial, *, again: bool, best: Trial | None) -> None:
        """
        Pass on a trial that is not tried again.
        """
        super().ended(trial, again=again, best=best)
        if not again:
            self._ended(trial.number)

    def _print(self, text: str) -> None:
        _log.info("%s", text)


class Running:
    """
    One study, run in threads of this process.

    **How it works.** One thread runs the study as ``hpo run`` does. Another one
    tells of each trial that has ended, in the order in which they did, and
    writes the report now and then; whatever a callback does or raises, the
    study goes on.

    Args:
        study: The study.

        trials: How many new trials at most.

        artifacts: Folder under which workspaces are made.

        slots: Trials that run at the same time.

        callback: Told of each trial that has ended, once.

        report_period_s: Seconds between two reports while it runs.
    """

    def __init__(
        self,
        study: Study,
        *,
        trials: int,
        artifacts: Path,
        slots: int,
        callback: Callable[..., object] | None,
        report_period_s: float,
    ) -> None:
        self.study = study
        self.report_period_s = report_period_s
        self.error: BaseException | None = None
        self._artifacts = artifacts
        self._callback = callback
        self._news: SimpleQueue[int | None] = SimpleQueue()
        self._told: set[int] = set()
        # In the order in which they ended: whoever is as good as the best is no record.
        self._known = [trial.number for trial in study.record().trials if trial.is_final]
        self._session = Session(
            study,
            trials=trials,
            artifacts=artifacts,
            slots=slots,
            display=_Watch(study, artifacts, self._news.put),
        )
        self._worker = Thread(target=self._work, name="airflow-hpo-study", daemon=True)
        self._reporter = Thread(target=self._report, name="airflow-hpo-report", daemon=True)

    def start(self) -> None:
        """
        Begin.
        """
        atexit.register(self._leave)
        self._worker.start()
        self._reporter.start()

    @property
    def is_alive(self) -> bool:
        """
        Whether trials run or somebody is yet to be told.
        """
        return self._worker.is_alive() or self._reporter.is_alive()

    def wait(self, timeout_s: float | None = None) -> bool:
        """
        Wait until the study has ended and all is told; return whether it has.

        Raises:
            Exception: Whatever ended the study's thread before its time.
        """
        until = None if timeout_s is None else time.monotonic() + timeout_s
        for thread in (self._worker, self._reporter):
            thread.join(None if until is None else max(0.0, until - time.monotonic()))
        if self.is_alive:
            return False
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        return True

    def interrupt(self, why: str) -> None:
        """
        End the running trials; what they told stays.
        """
        if self._worker.is_alive():
            self._session.interrupt(why)

    def _leave(self) -> None:
        """
        Let no job go on without this process.
        """
        self.interrupt("the end of the script")
        self._worker.join(_PATIENCE_S)

    def _work(self) -> None:
        try:
            self._session.run()
        except BaseException as error:  # noqa: BLE001 - whoever waits gets it
            _log.exception("the study ended before its time")
            self.error = error
        finally:
            self._news.put(None)

    def _report(self) -> None:
        """
        Tell of trials as they end; write reports in between, and one at the end.
        """
        written = time.monotonic()
        while True:
            wait_s = max(0.0, written + self.report_period_s - time.monotonic())
            try:
                number = self._news.get(timeout=min(wait_s, 1.0))
            except Empty:
                number = -1
            if number is None:
                break
            if number >= 0:
                self._safely(self._tell, number)
            if time.monotonic() - written >= self.report_period_s:
                self._safely(self._write)
                written = time.monotonic()
        self._safely(self._write)

    def _safely(self, act: Callable[..., None], *arguments: object) -> None:
        try:
            act(*arguments)
        except Exception:  # noqa: BLE001 - users' code may raise anything
            # The study matters more than who looks at it.
            _log.exception("a callback or a report of study %s raised", self.study.name)

    def _tell(self, number: int) -> None:
        """
        Call back about a trial, once.
        """
        if number in self._told:
            return
        self._told.add(number)
        self._known = [*(known for known in self._known if known != number), number]
        if self._callback is None:
            return
        objectives = self.study.blueprint.objectives
        trials = self.study.record(measurements=True).trials
        trial = trials[number]
        best = best_first([trials[known] for known in self._known], objectives)
        values = values_of(trial, objectives)
        iterations = [iteration_of(trial, objective) for objective in objectives]
        several = len(objectives) > 1
        parameters = parameters_of(trial, self.study.blueprint)
        self._callback(
            trial_id(self.study.name, number),
            list(values) if several and values else values[0] if values else None,
            iterations if several else iterations[0],
            {"status": status_of(trial), **parameters},
            trial_id(self.study.name, best[0].number) if best else None,
        )

    def _write(self) -> None:
        folder = study_folder(self._artifacts, self.study.name)
        report_on(self.study, folder)
