"""
The mapped task of a round: one task instance a trial.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_hpo.driver import FunctionRun, TrialRun
from airflow_hpo.errors import TrialFailedError
from airflow_hpo.hooks.compat import AirflowFailException, AirflowSkipException
from airflow_hpo.model.trial import Failure, TrialState
from airflow_hpo.operators.base import BlueprintLike, StudyOperator
from airflow_hpo.operators.function import FunctionCall
from airflow_hpo.operators.notify import announce_from
from airflow_hpo.operators.retry import retry_options

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow.sdk import Context

    from airflow_hpo.driver.attempt import AttemptRun
    from airflow_hpo.model.record import Attempt
    from airflow_hpo.model.trial import Trial
    from airflow_hpo.operators.function import InnerTask
    from airflow_hpo.study import Study

__all__ = ["MAP_INDEX_TEMPLATE", "TrialOperator"]

MAP_INDEX_TEMPLATE = "{{ task.trial['label'] }}"
"""Shows a trial as ``#7 lr=0.0013 hidden=64`` in place of its map index."""


class TrialOperator(StudyOperator):
    """
    Run one trial's job and tell the study how it ended.

    **How it works.** Starts an attempt that belongs to this try of this task
    instance, hands the job to the blueprint's runner, and writes its output
    into the task's log. The task's state is what a person wants to see of the
    trial: complete is success, pruned is skipped, infeasible and failed are
    failed. Failures are tried again as often as the blueprint's ``retries``
    say for their kind, as long as the task has a retry left.

    **What it does not do.** It proposes nothing and decides nothing about the
    study: see `SuggestOperator` and `EvaluateOperator`.

    **Known limitation.** A worker that is killed outright tells nothing; the
    next try, or `EvaluateOperator`, sets the trial right.

    Args:
        blueprint: What to run and where, as plain data.

        trial: One element of `SuggestOperator`'s answer.

        python_callable:
            A function that is called in place of the blueprint's command; see
            `FunctionCall`.

        op_kwargs: Arguments that it gets in every trial (templated).

        inner: Runs the function elsewhere than in this process.

        kwargs: See `StudyOperator`.
    """

    template_fields: Sequence[str] = (*StudyOperator.template_fields, "trial", "op_kwargs")
    shallow_copy_attrs: Sequence[str] = ("python_callable", "inner")
    ui_color = "#d6f5e3"

    def __init__(
        self,
        *,
        blueprint: BlueprintLike,
        trial: Mapping[str, Any],
        python_callable: Callable[..., Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        inner: InnerTask | None = None,
        **kwargs: Any,  # noqa: ANN401 - StudyOperator's own
    ) -> None:
        super().__init__(blueprint=blueprint, **{**retry_options(), **kwargs})
        self.trial = trial
        self.python_callable = python_callable
        self.op_kwargs = op_kwargs
        self.inner = inner
        self._trial_run: AttemptRun | None = None
        self._function_call: FunctionCall | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """
        Return number, state and objective values of a complete trial.
        """
        with self.opened() as study:
            self._trial_run = self._attempt(
                study,
                context,
                key=_attempt_key(context),
                artifacts=self.hook.artifacts(),
                log=lambda line: self.log.info("%s", line),
                insist=_was_cleared(context, self.retries),
            )
            trial = self._trial_run.run()
            announce_from(context, study)
            return self._told(study, trial)

    def on_kill(self) -> None:
        """
        End the job: somebody or something ends this task.
        """
        if self._trial_run is not None:
            self._trial_run.cancel("the task was stopped")
        if self._function_call is not None:
            self._function_call.cancel()

    def _attempt(self, study: Study, context: Context, **options: Any) -> AttemptRun:  # noqa: ANN401
        """
        Return the attempt that belongs to this try, of a command or of a function.
        """
        number = self.trial["number"]
        if self.python_callable is None:
            return TrialRun(study, number, **options)
        call = FunctionCall(self.python_callable, self.op_kwargs or {}, self.inner)
        self._function_call = call
        run = partial(call.run, context=context)
        return FunctionRun(study, number, function=run, **options)

    def _told(self, study: Study, trial: Trial) -> dict[str, Any]:
        """
        Return what the task returns, or raise what makes its state.
        """
        reason = f"trial {trial.number} is {trial.state.value}: {trial.reason}"
        if trial.state is TrialState.COMPLETE:
            metrics = [objective.metric for objective in study.blueprint.objectives]
            values = dict(zip(metrics, trial.values or (), strict=True))
            self.log.info("Trial %d is complete: %s", trial.number, values)
            return {"number": trial.number, "state": trial.state.value, "values": values}
        if trial.state is TrialState.PRUNED:
            raise AirflowSkipException(reason)
        if trial.state is TrialState.FAILED and _may_help(study, trial):
            raise TrialFailedError(reason)
        raise AirflowFailException(reason)


def _attempt_key(context: Context) -> str:
    """
    Return what makes this try of this task instance unlike any other.
    """
    ti = context["ti"]
    # The id tells apart the tries of a run that was deleted and made again.
    place = f"{ti.dag_id}/{ti.run_id}/{ti.task_id}/{ti.map_index}"
    return f"{place}/{ti.try_number}/{ti.id}"


def _was_cleared(context: Context, retries: int | None) -> bool:
    """
    Return whether a person had this task instance run again.

    Airflow then allows it as many further tries as it had at first.
    """
    return bool(context["ti"].max_tries > (retries or 0))


def _may_help(study: Study, trial: Trial) -> bool:
    """
    Return whether the blueprint allows another attempt after this failure.
    """
    record = study.record()
    if record.stop is not None or not (trial.is_counted or study.remaining(record)):
        return False  # nothing would start
    retries = study.blueprint.trial.retries
    attempts = study.storage.attempts(study.name, trial.number)
    if trial.failure is Failure.INFRASTRUCTURE:
        return sum(1 for attempt in attempts if _is_lost(attempt)) <= retries.infrastructure
    if trial.failure is Failure.CODE:
        own = sum(1 for each in attempts if each.outcome and each.outcome.failure is Failure.CODE)
        return own <= retries.code
    return False  # a time limit passes again the same way


def _is_lost(attempt: Attempt) -> bool:
    """
    Return whether an attempt ended by the machine's fault, told or untold.
    """
    return attempt.outcome is None or attempt.outcome.failure is Failure.INFRASTRUCTURE
