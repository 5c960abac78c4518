"""
The mapped task of a round: one task instance a trial.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_hpo.driver import FunctionRun, TrialRun, own_key, runner_specs
from airflow_hpo.errors import TrialFailedError
from airflow_hpo.hooks.compat import (
    AirflowFailException,
    AirflowSkipException,
    TaskDeferralError,
    TaskDeferralTimeout,
    conf,
)
from airflow_hpo.model.trial import Failure, TrialState
from airflow_hpo.operators.base import BlueprintLike, StudyOperator
from airflow_hpo.operators.function import FunctionCall
from airflow_hpo.operators.notify import announce_from
from airflow_hpo.operators.retry import retry_options
from airflow_hpo.runners import is_remote
from airflow_hpo.storage import codec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow.sdk import Context

    from airflow_hpo.driver.attempt import AttemptRun
    from airflow_hpo.model.blueprint import Blueprint
    from airflow_hpo.model.placement import RunnerSpec
    from airflow_hpo.model.record import Attempt
    from airflow_hpo.model.trial import Trial
    from airflow_hpo.model.trial_spec import Retries
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

    **Deferrable.** Where jobs run elsewhere, the task can leave its worker slot
    as soon as the job is handed in: a trigger follows it, and the task comes back
    for the next step, or to return. A worker that is killed comes back to the
    job that runs, and starts no second one.

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

        deferrable:
            Whether the task leaves its slot while a job runs. By default what
            the blueprint's ``trial.deferrable`` says, else Airflow's
            ``[operators] default_deferrable`` where the runner is a remote one.

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
        deferrable: bool | None = None,
        **kwargs: Any,  # noqa: ANN401 - StudyOperator's own
    ) -> None:
        super().__init__(blueprint=blueprint, **{**retry_options(), **kwargs})
        self.trial = trial
        self.python_callable = python_callable
        self.op_kwargs = op_kwargs
        self.inner = inner
        self.deferrable = deferrable
        self._key: str | None = None
        self._stays = False
        self._trial_run: AttemptRun | None = None
        self._function_call: FunctionCall | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """
        Return number, state and objective values of a complete trial.
        """
        with self.opened() as study:
            run = self._trial_run = self._attempt(study, context)
            trial = self._advanced(study, run, context)
            announce_from(context, study)
            return self._passed_on(run) if trial is None else self._told(study, trial)

    def resume(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """
        Go on after a job that was left to the triggerer; the journal tells where.
        """
        event = event or {}
        self._key = event.get("key")
        if event.get("trouble"):
            self.log.warning("The triggerer cannot follow the job: %s", event["trouble"])
            self._stays = True
        return self.execute(context)

    def resume_execution(
        self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context
    ) -> Any:  # noqa: ANN401 - BaseOperator's own
        """
        Go on; end the job first if it took longer than the task may.
        """
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except TaskDeferralTimeout:
            with self.opened() as study:
                self._give_up(study, context)
            raise
        except TaskDeferralError as error:  # such as no provider where the triggerer runs
            return self.resume(context, {"trouble": str(error)})

    def _advanced(self, study: Study, run: AttemptRun, context: Context) -> Trial | None:
        """
        Return the trial as told, or leave its job to the triggerer and do not return.

        `None` where another task goes on with its next step.
        """
        if not isinstance(run, TrialRun):
            return run.run()
        leaves = partial(self._leaves, study.blueprint)
        trial = run.submit(lambda spec: not self._stays and leaves(spec))
        if trial is None and not run.is_passed_on:
            self._defer(study, run, context)
        return trial

    def _passed_on(self, run: AttemptRun) -> dict[str, Any]:
        """
        Return what the task returns whose trial goes on in another one.
        """
        return {"number": run.number, "state": TrialState.RUNNING.value, "values": None}

    def _leaves(self, blueprint: Blueprint, spec: RunnerSpec) -> bool:
        """
        Return whether the task leaves a job of that runner to the triggerer.
        """
        for asked in (self.deferrable, blueprint.trial.deferrable):
            if asked is not None:
                return asked
        return is_remote(spec) and conf.getboolean(
            "operators", "default_deferrable", fallback=False
        )

    def _defer(self, study: Study, run: TrialRun, context: Context) -> NoReturn:
        """
        Leave the job that was handed in to a trigger.
        """
        from airflow_hpo.triggers.job import JobTrigger

        limit = self.execution_timeout
        if limit is not None:
            # Counted from the attempt's start, over all its steps.
            limit = max(timedelta(seconds=1), limit - timedelta(seconds=run.age))
        trigger = JobTrigger(
            study=study.name,
            number=run.number,
            key=run.key,
            blueprint=codec.dump(
                study.blueprint.model_dump(mode="json", exclude={"source": {"text"}})
            ),
            artifacts=str(self.hook.artifacts()),
            log_name=_log_name(context),
            hpo_conn_id=self.hpo_conn_id,
        )
        self._show_job(context, run)
        self.defer(trigger=trigger, method_name="resume", timeout=limit)

    def _show_job(self, context: Context, run: TrialRun) -> None:
        """
        Put the job's handle where people look for it, from Airflow 3.3 on.
        """
        if "task_state_store" not in context:
            return
        try:
            context["task_state_store"].set("hpo_job", run.job)
        except Exception as error:  # noqa: BLE001 - what counts stands in the journal
            self.log.warning("The task's state store does not have the job: %s", error)

    def _give_up(self, study: Study, context: Context) -> None:
        """
        End the job of a task that waited for too long, and tell that.
        """
        run = self._attempt(study, context)
        if isinstance(run, TrialRun):
            run.give_up(f"took longer than the task's execution_timeout {self.execution_timeout}")

    def on_kill(self) -> None:
        """
        End the job: somebody or something ends this task.
        """
        if self._trial_run is not None:
            self._trial_run.cancel("the task was stopped")
        if self._function_call is not None:
            self._function_call.cancel()

    def _attempt(self, study: Study, context: Context) -> AttemptRun:
        """
        Return the attempt that belongs to this try, of a command or of a function.
        """
        number = self._number(study, context)
        options: dict[str, Any] = {
            "artifacts": self.hook.artifacts(),
            "log": lambda line: self.log.info("%s", line),
            "insist": _was_cleared(context, self.retries),
        }
        if self.python_callable is not None:
            call = self._function_call = FunctionCall(
                self.python_callable, self.op_kwargs or {}, self.inner
            )
            run = partial(call.run, context=context)
            return FunctionRun(study, number, key=_attempt_key(context), function=run, **options)
        specs = runner_specs(study.blueprint)
        if not any(is_remote(spec) or self._leaves(study.blueprint, spec) for spec in specs):
            known = self._known_key(study, number)
            return self._run_class(study, number, key=known or _attempt_key(context), **options)
        # A job that outlives its task is gone on with, and never started twice.
        owner = _owner(context)
        key = self._key or own_key(study, number, owner=owner)
        key = key or self._known_key(study, number) or _attempt_key(context)
        name = _log_name(context)
        return self._run_class(study, number, key=key, owner=owner, log_name=name, **options)

    @property
    def _run_class(self) -> Callable[..., TrialRun]:
        """
        What makes the attempt.
        """
        return TrialRun

    def _known_key(self, study: Study, number: int) -> str | None:
        """
        Return the key of an attempt that another task began and left to this one.
        """
        del study, number
        return None

    def _chances(self, study: Study, number: int) -> tuple[Retries, Sequence[Attempt]]:
        """
        Return how often the trial may be tried again, and the attempts that count.
        """
        trial = study.blueprint.trial
        return trial.task.retries or trial.retries, study.storage.attempts(study.name, number)

    def _may_help(self, study: Study, trial: Trial) -> bool:
        """
        Return whether the blueprint allows another attempt after this failure.
        """
        record = study.record()
        if record.stop is not None or not (trial.is_counted or study.remaining(record)):
            return False  # nothing would start
        retries, attempts = self._chances(study, trial.number)
        if trial.failure is Failure.INFRASTRUCTURE:
            return sum(1 for attempt in attempts if _is_lost(attempt)) <= retries.infrastructure
        if trial.failure is Failure.CODE:
            own = [e for e in attempts if e.outcome and e.outcome.failure is Failure.CODE]
            return len(own) <= retries.code
        return False  # a time limit passes again the same way

    def _number(self, study: Study, context: Context) -> int:
        """
        Return which trial it is.
        """
        del study, context
        number: int = self.trial["number"]
        return number

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
        if trial.state is TrialState.FAILED and self._may_help(study, trial):
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


def _owner(context: Context) -> str:
    """
    Return what names all tries of this task instance up to its next clearing.
    """
    ti = context["ti"]
    # Whoever clears a task raises this number, and wants the trial run anew.
    return f"{ti.dag_id}/{ti.run_id}/{ti.task_id}/{ti.map_index}/{ti.max_tries}"


def _log_name(context: Context) -> str:
    """
    Return the name of this try's log, which its triggers write to, too.
    """
    return f"try {context['ti'].try_number}"


def _was_cleared(context: Context, retries: int | None) -> bool:
    """
    Return whether a person had this task instance run again.

    Airflow then allows it as many further tries as it had at first.
    """
    return bool(context["ti"].max_tries > (retries or 0))


def _is_lost(attempt: Attempt) -> bool:
    """
    Return whether an attempt ended by the machine's fault, told or untold.
    """
    return attempt.outcome is None or attempt.outcome.failure is Failure.INFRASTRUCTURE
