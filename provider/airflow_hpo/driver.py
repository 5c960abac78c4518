"""
The three moves of a study, as plain functions: suggest, trial, evaluate.

The operators call them in Airflow's tasks and the command line calls them in a
terminal, so both do exactly the same. Nothing here knows which of the two it is.
"""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.template import Template
from airflow_hpo.errors import TrialError, TrialInvalidError
from airflow_hpo.metrics import create_collector, final_metrics, judge
from airflow_hpo.model.job import Job, JobResult, JobState
from airflow_hpo.model.stop import Stop
from airflow_hpo.model.trial import Failure, Outcome, TrialState
from airflow_hpo.runners import create_runner

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow_hpo.metrics import Collector
    from airflow_hpo.model.blueprint import Blueprint, Step
    from airflow_hpo.model.trial import Measurement, Trial
    from airflow_hpo.model.values import Value
    from airflow_hpo.runners.base import Runner
    from airflow_hpo.study import Study

__all__ = [
    "RoundResult",
    "TrialRun",
    "build_job",
    "default_artifacts",
    "evaluate_round",
    "safe_name",
    "study_folder",
    "suggest_round",
    "trial_label",
]

# How long one wait for news from a runner lasts at most, in seconds: bounds how
# late a cancel or a timeout is noticed.
_WAIT_S = 0.5

# How often measurements are written to the journal at most, in seconds. Code
# that prints a thousand lines a second costs one transaction, not a thousand.
_FLUSH_S = 1.0

# Values in labels are cut to this many characters.
_LABEL_VALUE = 16


def default_artifacts() -> Path:
    """
    Return the folder of workspaces and reports where nobody configured one.
    """
    configured = os.environ.get("HPO_ARTIFACTS")
    if configured:
        return Path(configured).expanduser().absolute()
    home = Path(os.environ.get("AIRFLOW_HOME") or "~/airflow").expanduser()
    return home.absolute() / "hpo" / "studies"


def safe_name(name: str) -> str:
    """
    Return *name* as a folder's name; different names stay different.

    A study's name may hold anything, such as the colons of a run's date.
    """
    plain = re.sub(r"[^\w.-]", "_", name, flags=re.ASCII)[:100]
    if plain == name and plain.strip("."):
        return plain
    return f"{plain.strip('.')}-{sha256(name.encode()).hexdigest()[:8]}"


def study_folder(artifacts: Path, study: str) -> Path:
    """
    Return the folder that holds the trials and the report of *study*.
    """
    return artifacts / safe_name(study)


def trial_label(number: int, configuration: Mapping[str, Value], blueprint: Blueprint) -> str:
    """
    Return a trial in a line: ``#7 lr=0.0013 hidden=64`` (constants left out).
    """
    tunable = [parameter.name for parameter in blueprint.space.tunable]
    shown = [f"{name}={_short(configuration[name])}" for name in tunable if name in configuration]
    return " ".join([f"#{number}", *shown])


def _short(value: Value) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _LABEL_VALUE else text[: _LABEL_VALUE - 1] + "…"


def suggest_round(study: Study, count: int, *, key: str) -> tuple[Trial, ...]:
    """
    Return the trials of one round, asking for them unless *key* already did.

    Where the study still has a budget but its space no further configuration,
    the study ends, with that reason.
    """
    trials = study.ask(count, key=key)
    record = study.record()
    if not trials and record.stop is None and study.remaining(record) > 0 and count > 0:
        tried = len(record.trials)
        study.stop(Stop("exhausted", f"all {tried} configurations of the space have been tried"))
    return trials


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


def evaluate_round(
    study: Study, numbers: Sequence[int], *, lost: Callable[[Trial], str | None]
) -> RoundResult:
    """
    Reconcile the trials of a round with what became of their tasks, and decide.

    Args:
        study: The study.

        numbers: The round's trials.

        lost:
            Asked for each trial that has not ended: why it never will (its
            task died), or `None` to leave it alone.
    """
    wanted = set(numbers)
    for trial in study.record().trials:
        if trial.number in wanted and not trial.is_final:
            reason = lost(trial)
            if reason is not None:
                outcome = Outcome(TrialState.FAILED, reason=reason, failure=Failure.INFRASTRUCTURE)
                study.tell(trial.number, outcome, attempt=trial.attempt)
    states: dict[str, int] = {}
    for trial in study.record().trials:
        if trial.number in wanted:
            states[trial.state.value] = states.get(trial.state.value, 0) + 1
    return RoundResult(states=states, stop=study.decide(), best=study.best())


class TrialRun:
    """
    One attempt at one trial: submit, follow, measure, tell.

    **How it works.** Starts an attempt in the journal, hands the job to the
    runner, follows its output line by line, keeps measurements as they come,
    and tells the outcome. Whatever ends it early (a signal, an exception)
    cancels the job first and tells that too.

    **What it does not do.** It does not retry: run it again with another key.

    **Known limitation.** A process that is killed with SIGKILL tells nothing;
    `evaluate_round` reconciles the trial, and the next attempt ends what the
    old one left running.

    Args:
        study: The study.

        number: The trial's number.

        key: What makes this attempt unique, such as task, run and try.

        artifacts: Folder under which workspaces are made.

        log: Called with every line of the job's output.

        on_measurement: Called after each new measurement, once it is kept.
    """

    def __init__(  # noqa: PLR0913 - each is a separate choice of the caller
        self,
        study: Study,
        number: int,
        *,
        key: str,
        artifacts: Path,
        log: Callable[[str], None],
        on_measurement: Callable[[Measurement], None] = lambda _: None,
    ) -> None:
        self.study = study
        self.number = number
        self._key = key
        self._folder = study_folder(artifacts, study.name) / "trials" / f"{number:05d}"
        self._log = log
        self._on_measurement = on_measurement
        self._runner: Runner | None = None
        self._handle: str | None = None
        self._cancelled = False

    def run(self) -> Trial:
        """
        Run the attempt to its end and return the trial as told.
        """
        trial = self.study.start(self.number, key=self._key)
        if trial.is_final:
            return trial  # this very attempt has already told its outcome
        try:
            outcome = self._outcome(trial)
        except BaseException as error:
            # Also for SystemExit and KeyboardInterrupt: the job must not go on
            # without us, and the study must not wait for it.
            self.cancel()
            self._tell_broken(trial, error)
            raise
        return self.study.tell(trial.number, outcome, attempt=trial.attempt)

    def cancel(self) -> None:
        """
        End the job; returns when it is gone. Safe to call at any time.
        """
        self._cancelled = True
        if self._runner is not None and self._handle is not None:
            self._runner.cancel(self._handle)

    def _tell_broken(self, trial: Trial, error: BaseException) -> None:
        invalid = isinstance(error, TrialInvalidError)
        reason = str(error) if isinstance(error, TrialError) else f"interrupted: {error!r}"
        failure = Failure.CODE if invalid else Failure.INFRASTRUCTURE
        outcome = Outcome(TrialState.FAILED, reason=reason, failure=failure)
        self.study.tell(trial.number, outcome, attempt=trial.attempt)

    def _outcome(self, trial: Trial) -> Outcome:
        blueprint = self.study.blueprint
        step = blueprint.trial.steps[0]
        spec = step.runner or blueprint.trial.runner
        self._folder.mkdir(parents=True, exist_ok=True)
        job = build_job(
            blueprint,
            trial,
            step,
            study=self.study.name,
            workspace=self._folder,
            options=spec.options,
        )
        self._runner = create_runner(spec)
        collector = create_collector(
            blueprint.trial.metrics,
            resource=None if blueprint.resource is None else blueprint.resource.name,
            workspace=str(self._folder),
        )
        self._handle = self._runner.submit(job)
        measurements = self._follow(trial, self._runner, self._handle, collector)
        result = self._runner.result(self._handle)
        return _outcome_of(result, blueprint, measurements)

    def _follow(
        self, trial: Trial, runner: Runner, handle: str, collector: Collector
    ) -> list[Measurement]:
        """
        Read the job's output to its end; keep and return what was measured.
        """
        kept: list[Measurement] = []
        fresh: list[Measurement] = []
        cursor, flushed, done = 0, time.monotonic(), False
        while not done:
            # Asked before the logs are read: output written between the two
            # would be lost the other way round.
            done = runner.wait(handle, _WAIT_S) in {JobState.DONE, JobState.UNKNOWN}
            lines, cursor = runner.logs(handle, cursor)
            for line in lines:
                self._log(line)
            fresh += collector.feed(lines, time.time())
            if done:
                fresh += collector.finish(time.time())
            if fresh and (done or time.monotonic() - flushed >= _FLUSH_S):
                self._keep(trial, fresh, first=len(kept))
                kept, fresh, flushed = kept + fresh, [], time.monotonic()
        return kept

    def _keep(self, trial: Trial, fresh: Sequence[Measurement], *, first: int) -> None:
        self.study.measure(trial.number, fresh, attempt=trial.attempt, first=first)
        for measurement in fresh:
            self._on_measurement(measurement)


def build_job(  # noqa: PLR0913 - a job has as many sides
    blueprint: Blueprint,
    trial: Trial,
    step: Step,
    *,
    study: str,
    workspace: Path,
    options: Mapping[str, Any],
) -> Job:
    """
    Return the job of one step of *trial*, and write its parameter file.

    Raises:
        TrialInvalidError: If the folder that the command starts in is missing.
    """
    checkpoint = workspace / "checkpoint"
    checkpoint.mkdir(parents=True, exist_ok=True)
    params_file = workspace / "params.json"
    params_file.write_text(json.dumps(dict(trial.configuration), indent=2) + "\n", "utf-8")
    return Job(
        study=study,
        trial=trial.number,
        attempt=trial.attempt,
        step=step.name,
        workspace=str(workspace),
        workdir=_workdir(blueprint),
        command=Template.parse(step.command).render(_template_values(blueprint, trial)),
        configuration=dict(trial.configuration),
        environment={
            "HPO_STUDY": study,
            "HPO_TRIAL": str(trial.number),
            "HPO_ATTEMPT": str(trial.attempt),
            "HPO_PARAMS_FILE": str(params_file),
            "HPO_CHECKPOINT_DIR": str(checkpoint),
            "HPO_OUTPUT_DIR": str(workspace),
            **({} if trial.resource is None else {"HPO_RESOURCE": f"{trial.resource:g}"}),
            **blueprint.trial.environment,
        },
        timeout_s=blueprint.trial.timeout_s,
        grace_s=blueprint.trial.grace_s,
        options=dict(options),
    )


def _template_values(blueprint: Blueprint, trial: Trial) -> dict[str, Value]:
    values = dict(trial.configuration)
    if blueprint.resource is not None and trial.resource is not None:
        values.setdefault(blueprint.resource.name, trial.resource)
    return values


def _workdir(blueprint: Blueprint) -> str | None:
    """
    Return the folder that commands start in: the blueprint's own by default.
    """
    if not blueprint.source.file or blueprint.source.file.startswith("<"):
        return blueprint.trial.workdir
    folder = Path(blueprint.source.file).absolute().parent
    folder = folder / (blueprint.trial.workdir or ".")
    if not folder.is_dir():
        raise TrialInvalidError(f"the folder that the command starts in is missing: {folder}")
    return str(folder)


def _outcome_of(
    result: JobResult, blueprint: Blueprint, measurements: Sequence[Measurement]
) -> Outcome:
    """
    Return what a job's end and its measurements mean for the trial.
    """
    if result.ok:
        return judge(blueprint.objectives, measurements)
    failure = result.failure or Failure.INFRASTRUCTURE
    reason = result.reason or ("cancelled" if result.cancelled else "failed without a reason")
    return Outcome(
        TrialState.FAILED,
        metrics=final_metrics(measurements),
        reason=reason,
        failure=failure,
        exit_code=result.exit_code,
    )
