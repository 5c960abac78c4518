"""
One attempt at one trial whose code is a Python function in this very process.

The function gets the parameters as arguments and returns what it measured.
What it measures on the way it tells by `measure`, or by yielding it: that is
where a trial that has to end is ended.
"""

from __future__ import annotations

import inspect
import json
import os
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_hpo.driver.attempt import AttemptRun
from airflow_hpo.driver.job import build_job
from airflow_hpo.driver.workspace import study_folder
from airflow_hpo.errors import TrialError, TrialFailedError, TrialInvalidError
from airflow_hpo.metrics import create_collector, judge
from airflow_hpo.model.job import JobResult
from airflow_hpo.model.trial import Failure
from airflow_hpo.model.trial_spec import MetricsSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_hpo.metrics import Collector
    from airflow_hpo.model.job import Job
    from airflow_hpo.model.trial import Outcome, Trial
    from airflow_hpo.model.values import Value

__all__ = ["FunctionRun", "TooLongError", "TrialEnded", "drain", "measure"]

# So many characters of an exception make the reason; the log has it whole.
_REASON = 2000


class TrialEnded(BaseException):
    """
    Leaves a trial's function where the trial has to end; nobody should catch it.
    """


class TooLongError(TrialError):
    """
    A trial's function took longer than it may.
    """


# Whose fault the errors are that say it themselves.
_FAILURES = {
    TrialFailedError: Failure.INFRASTRUCTURE,
    TrialInvalidError: Failure.CODE,
    TooLongError: Failure.TIMEOUT,
}

# Who is told what this thread's function measures; nobody outside a trial.
_listener: ContextVar[Callable[[Mapping[str, Value]], None] | None] = ContextVar(
    "_listener", default=None
)


def measure(metrics: Mapping[str, Any] | None = None, /, **named: Any) -> None:  # noqa: ANN401
    """
    Tell what the trial has measured so far: ``measure(val_accuracy=0.91, epoch=3)``.

    Outside a trial it prints the same as a line of JSON, which is what a
    trial's command would do.

    Args:
        metrics: By name, where names are no identifiers.

        named: The others.

    Raises:
        TrialEnded: If the trial has to end, by its pruner or with its study.
    """
    told = plain({**(metrics or {}), **named})
    listener = _listener.get()
    if listener is None:
        print(json.dumps(told))  # noqa: T201 - what a command does
    else:
        listener(told)


class FunctionRun(AttemptRun):
    """
    One attempt at one trial, by calling a function.

    **How it works.** Does what `TrialRun` does, but the job is a call in this
    process: ``HPO_*`` variables are set for as long as it lasts. A mapping that
    the function returns is its last measurement, a number the value of the only
    objective; each mapping that a generator yields is a measurement.

    **What it does not do.** It interrupts no function: one that has to end is
    left at its next `measure` or ``yield``.

    **Known limitation.** What the function prints is not searched for metrics.

    Args:
        function: Called with the configuration, the resource among it.

        arguments: As in `AttemptRun`.
    """

    def __init__(
        self,
        *arguments: Any,  # noqa: ANN401 - AttemptRun's own
        function: Callable[[Mapping[str, Value]], object],
        **options: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(*arguments, **options)
        self._function = function

    def _outcome(self, trial: Trial) -> Outcome:
        folder = self._workspace(trial)
        blueprint = self.study.blueprint
        collector = create_collector(
            MetricsSpec(),
            resource=None if blueprint.resource is None else blueprint.resource.name,
            workspace=str(folder),
            since=trial.started,
        )
        job = self._job(trial, folder)
        try:
            with _environment(job.environment), self._listening(trial, collector):
                self._finish(self._function(job.configuration))
        except TrialEnded:
            if self._called_off is None:  # it raised that by itself
                return judge(blueprint.objectives, self._kept, notes=collector.notes)
            return self._ended_early(self._called_off)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever user code raises
            return self._failed(error)
        if self._signs.infeasible is not None:
            return self._signs.outcome(JobResult(exit_code=0), self._kept)
        return judge(blueprint.objectives, self._kept, notes=collector.notes)

    def _job(self, trial: Trial, folder: Path) -> Job:
        return build_job(
            self.study.blueprint,
            trial,
            self.study.blueprint.trial.steps[0],
            study=self.study.name,
            workspace=folder,
            shared=study_folder(self._artifacts, self.study.name),
            parent=self._parent_checkpoint(trial),
        )

    @contextmanager
    def _listening(self, trial: Trial, collector: Collector) -> Iterator[None]:
        """
        Keep what is measured meanwhile, and end the function where it is time.
        """

        def listen(told: Mapping[str, Value]) -> None:
            line = json.dumps(told)
            self._log(line)
            self._signs.feed([line])
            fresh = collector.feed([line], time.time())
            self._keep(trial, fresh)
            if self._watch is not None:
                self._end_if(self._watch.measured(fresh))
                self._end_if(self._watch.look())
            if self._called_off is not None:
                raise TrialEnded(self._called_off.reason)

        token = _listener.set(listen)
        try:
            yield
        finally:
            _listener.reset(token)

    def _finish(self, returned: object) -> None:
        """
        Keep what the function returned, as the last of its measurements.
        """
        metrics = [objective.metric for objective in self.study.blueprint.objectives]
        told = named(drain(returned), metrics)
        if told is None:
            return
        try:
            measure(told)
        except TrialEnded:
            # Its code has ended by itself: it is judged by all that it measured.
            self._called_off = None

    def _failed(self, error: BaseException) -> Outcome:
        lines = "".join(traceback.format_exception(error)).splitlines()
        for line in lines:
            self._log(line)
        self._signs.feed(lines)
        failure = next((kind for of, kind in _FAILURES.items() if isinstance(error, of)), None)
        reason = str(error) if failure is not None else _last_line(error)
        if isinstance(error, SystemExit) and error.code in {None, 0}:
            return judge(self.study.blueprint.objectives, self._kept)
        result = JobResult(
            exit_code=_exit_code(error), failure=failure or Failure.CODE, reason=reason
        )
        return self._signs.outcome(result, self._kept)


def drain(returned: object) -> object:
    """
    Return what a function returned; one that yields is run to its end first.

    Each thing that it yields is told to `measure`.
    """
    if not inspect.isgenerator(returned):
        return returned
    while True:
        try:
            told = next(returned)
        except StopIteration as end:
            return end.value
        if not isinstance(told, Mapping):
            kind = type(told).__name__
            raise TypeError(f"a trial's function must yield mappings of metrics, got {kind}")
        try:
            measure(told)
        except TrialEnded:
            returned.close()  # its own clean-up runs now, not some time later
            raise


def named(returned: object, metrics: list[str]) -> dict[str, Any] | None:
    """
    Return what a function returned as metrics by name; `None` for nothing.

    Args:
        returned: A mapping, a number for one objective, a sequence for several.

        metrics: Of the objectives.

    Raises:
        TypeError: If it is anything else.
    """
    value = plain(returned)
    if value is None or isinstance(value, dict):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = [value]
    if isinstance(value, list) and len(value) == len(metrics):
        return dict(zip(metrics, value, strict=True))
    wanted = "a number" if len(metrics) == 1 else f"{len(metrics)} numbers"
    kind = type(returned).__name__
    raise TypeError(f"a trial's function must return a mapping of metrics or {wanted}, got {kind}")


def plain(value: Any) -> Any:  # noqa: ANN401 - whatever was measured
    """
    Return *value* JSON-compatible: arrays and their scalars as plain numbers.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    return plain(value.tolist()) if hasattr(value, "tolist") else str(value)


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """
    Set *variables* of this process, and put back what there was.
    """
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _last_line(error: BaseException) -> str:
    return "".join(traceback.format_exception_only(type(error), error)).strip()[:_REASON]


def _exit_code(error: BaseException) -> int:
    code = getattr(error, "code", 1) if isinstance(error, SystemExit) else 1
    return code if isinstance(code, int) else 1
