"""
What ``hpo run`` shows while it runs: lines, or a progress bar on a terminal.
"""

from __future__ import annotations

import time
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING

from airflow_hpo.cli.output import shown_duration, shown_value
from airflow_hpo.driver import trial_folder, trial_label
from airflow_hpo.model.job import Job
from airflow_hpo.model.objective import best_trial
from airflow_hpo.model.trial import TrialState
from airflow_hpo.runners.files import JobFiles

if TYPE_CHECKING:
    from pathlib import Path
    from typing import TextIO

    from rich.progress import TaskID

    from airflow_hpo.model.trial import Measurement, Trial
    from airflow_hpo.study import Study

__all__ = ["Bars", "Display", "Silence"]

# Metrics in the line of a running trial are at most so many.
_METRICS = 4

_BAD = {TrialState.FAILED, TrialState.INFEASIBLE}


class Display:
    """
    Prints a line for whatever happens; safe to call from any thread.

    Args:
        study: The study.

        artifacts: Folder of its files, to show where a trial's log lies.

        file: Where to print.

        verbose: Whether the trials' own output is shown too.
    """

    def __init__(self, study: Study, *, artifacts: Path, file: TextIO, verbose: bool) -> None:
        self._study = study
        self._artifacts = artifacts
        self._file = file
        self._verbose = verbose
        self._lock = Lock()
        self._running: dict[int, Trial] = {}
        self._best: int | None = None

    def open(self) -> None:
        """
        Begin.
        """

    def close(self) -> None:
        """
        Leave the terminal as it was.
        """

    def note(self, text: str) -> None:
        """
        Show something that is not about one trial's course.
        """
        self._print(text)

    def line(self, number: int, text: str) -> None:
        """
        Show a line of a trial's own output, if that is wanted.
        """
        if self._verbose:
            self._print(f"[#{number}] {text}")

    def started(self, trial: Trial) -> None:
        """
        Show that an attempt at *trial* begins.
        """
        self._running[trial.number] = trial
        blueprint, resource = self._study.blueprint, trial.resource
        label = trial_label(trial.number, trial.configuration, blueprint, resource=resource)
        again = "" if trial.attempt <= 1 else f" (attempt {trial.attempt})"
        self._show_start(trial, f"{label}{again}")

    def measured(self, number: int, measurement: Measurement) -> None:
        """
        Show what a running trial measured.
        """

    def ended(self, trial: Trial, *, again: bool, best: Trial | None) -> None:
        """
        Show how an attempt ended, and whether it is the best so far.
        """
        self._running.pop(trial.number, None)
        took = "" if trial.duration is None else f" in {shown_duration(trial.duration)}"
        results = ", ".join(self._results(trial))
        text = f"#{trial.number} {trial.state.value}{took}{': ' if results else ''}{results}"
        if best is not None and best.number == trial.number != self._best:
            self._best = trial.number
            text += "  <- best so far"
        if again:
            text += "; trying again"
        if trial.state in _BAD:
            text += f"\n    log: {self._log(trial)}"
        self._show_end(trial, text)

    def _results(self, trial: Trial) -> list[str]:
        if trial.values is None:
            return [trial.reason] if trial.reason else []
        metrics = [objective.metric for objective in self._study.blueprint.objectives]
        return [
            f"{metric} = {shown_value(value)}"
            for metric, value in zip(metrics, trial.values, strict=True)
        ]

    def _log(self, trial: Trial) -> Path:
        folder = trial_folder(self._artifacts, self._study.name, trial)
        job = Job(
            study=self._study.name,
            trial=trial.number,
            attempt=trial.attempt,
            workspace=str(folder),
            step=self._study.blueprint.trial.steps[0].name,
        )
        return JobFiles.of(job).log

    def _show_start(self, trial: Trial, label: str) -> None:  # noqa: ARG002 - bars need it
        self._print(f"{label}: started")

    def _show_end(self, trial: Trial, text: str) -> None:  # noqa: ARG002 - bars need it
        self._print(text)

    def _print(self, text: str) -> None:
        # Nobody reads any more, or the terminal is gone: the study goes on.
        with self._lock, suppress(OSError):
            self._file.write(f"{text}\n")
            self._file.flush()


class Silence(Display):
    """
    Shows nothing.
    """

    def _print(self, text: str) -> None:
        pass


class Bars(Display):
    """
    Shows a progress bar, what runs, and above them what is worth a line.
    """

    def __init__(self, study: Study, *, artifacts: Path, file: TextIO, verbose: bool) -> None:
        super().__init__(study, artifacts=artifacts, file=file, verbose=verbose)
        from rich.console import Console, Group
        from rich.live import Live
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        news = TextColumn("{task.fields[news]}", markup=False)
        self._bar = Progress(TextColumn("{task.completed}/{task.total}"), BarColumn(20), news)
        label = TextColumn("  {task.description}", markup=False)
        self._trials = Progress(label, TimeElapsedColumn(), news)
        self._live = Live(
            Group(self._bar, self._trials),
            console=Console(file=file, highlight=False),
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._rows: dict[int, TaskID] = {}
        self._began = time.monotonic()
        self._before: int | None = None
        self._whole = self._bar.add_task("", news="")
        self._update()

    def open(self) -> None:
        """
        Begin to draw.
        """
        self._live.start()

    def close(self) -> None:
        """
        Leave the terminal as it was.
        """
        self._update()
        self._live.stop()

    def measured(self, number: int, measurement: Measurement) -> None:
        """
        Show a running trial's latest metrics beside it.
        """
        row = self._rows.get(number)
        if row is not None:
            shown = list(measurement.metrics.items())[:_METRICS]
            news = " ".join(f"{name}={shown_value(value)}" for name, value in shown)
            self._trials.update(row, news=news)

    def _show_start(self, trial: Trial, label: str) -> None:
        self._rows[trial.number] = self._trials.add_task(label, total=None, news="")
        self._update()

    def _show_end(self, trial: Trial, text: str) -> None:
        row = self._rows.pop(trial.number, None)
        if row is not None:
            self._trials.remove_task(row)
        self._update()
        if trial.state is not TrialState.COMPLETE or text.endswith("so far"):
            self._print(text)

    def _print(self, text: str) -> None:
        with suppress(OSError):
            self._live.console.print(text, markup=False, soft_wrap=True)

    def _update(self) -> None:
        trials = self._study.record().trials
        counted = [trial for trial in trials if trial.is_final and trial.is_counted]
        total = self._study.blueprint.budget.trials
        news = [f"{len(self._running)} running"]
        for state in (TrialState.FAILED, TrialState.INFEASIBLE):
            count = sum(1 for trial in counted if trial.state is state)
            news += [f"{count} {state.value}"] if count else []
        blueprint = self._study.blueprint
        best = best_trial(blueprint.objectives, blueprint.outcomes.feasible(trials))
        if best is not None:
            news.append(f"best {', '.join(self._results(best))} (#{best.number})")
        left = self._time_left(len(counted), total)
        news += [] if left is None else [f"about {shown_duration(left)} left"]
        self._bar.update(self._whole, completed=len(counted), total=total, news="  ".join(news))

    def _time_left(self, ended: int, total: int) -> float | None:
        """
        Return an estimate from the pace of this session; `None` without one.
        """
        if self._before is None:
            self._before = ended
        done = ended - self._before
        if done <= 0 or ended >= total:
            return None
        return (time.monotonic() - self._began) / done * (total - ended)
