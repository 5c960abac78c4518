"""
ClearML's ``HyperParameterOptimizer``: the same arguments and methods, without a server.
"""

from __future__ import annotations

import sys
import time
import warnings
from datetime import datetime, timezone
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint import dump
from airflow_hpo.clearml.arguments import make_blueprint
from airflow_hpo.clearml.optimizers import RandomSearch
from airflow_hpo.clearml.queries import Jobs, Results
from airflow_hpo.clearml.running import Running
from airflow_hpo.driver import default_artifacts
from airflow_hpo.plan import make_plan
from airflow_hpo.report import write_text
from airflow_hpo.storage import open_storage
from airflow_hpo.study import Study

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

    from airflow_hpo.clearml.tasks import Task
    from airflow_hpo.model.blueprint import Blueprint
    from airflow_hpo.model.objective import Objective

__all__ = ["HyperParameterOptimizer"]

_MINUTE_S = 60.0


class HyperParameterOptimizer(Results):
    """
    Optimises a base task's hyper-parameters, as a script of ClearML's asks for it.

    **How it works.** The arguments become a `blueprint`. `start` runs it in
    threads of this process, trials as processes of their own, and keeps it in
    the journal of studies like any other; `write` makes a file of it that
    becomes a DAG.

    **What it does not do.** There is no server, no queue and no agent: trials
    run here, or on Airflow's workers where the file is a DAG.

    Args:
        base_task_id: A task's id, a script, or a command with ``{name}`` in it.

        hyper_parameters: ``UniformParameterRange(...)`` and the like.

        objective_metric_title: Title of the metric; a list for several.

        objective_metric_series: Series of the metric; a list for several.

        objective_metric_sign:
            ``min``, ``max``, ``min_global`` or ``max_global``; a list for
            several.

        optimizer_class: One of ClearML's, or the class of a strategy.

        max_number_of_concurrent_tasks: Trials at the same time.

        execution_queue: Airflow queue, where it is a DAG.

        optimization_time_limit: Minutes from `start` on.

        compute_time_limit: Minutes that all trials together may take.

        auto_connect_task: Of no effect.

        always_create_task: Of no effect.

        spawn_project: Of no effect.

        save_top_k_tasks_only: Of no effect: every trial is kept.

        airflow_hpo:
            What the section of that name has in a file: ``name``, ``command``,
            ``metric``, ``seed``, ``environment`` ...

        storage: URL of the journal; by default `airflow_hpo.storage.default_url`.

        artifacts: Folder of trials' files; by default beside the journal.

        **optimizer_kwargs: ``total_max_jobs``, ``time_limit_per_job`` ...

    Raises:
        BlueprintError: With everything that is wrong, by argument.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - ClearML's signature
        self,
        base_task_id: str | os.PathLike[str] | Task,
        hyper_parameters: Sequence[Any],
        objective_metric_title: str | Sequence[str],
        objective_metric_series: str | Sequence[str],
        objective_metric_sign: str | Sequence[str] = "min",
        optimizer_class: type | str = RandomSearch,
        max_number_of_concurrent_tasks: int = 10,
        execution_queue: str = "default",
        optimization_time_limit: float | None = None,
        compute_time_limit: float | None = None,
        auto_connect_task: Any = True,  # noqa: ANN401, FBT002 - ClearML's signature
        always_create_task: bool = False,  # noqa: FBT001, FBT002 - as above
        spawn_project: str | None = None,
        save_top_k_tasks_only: int | None = None,
        *,
        airflow_hpo: Mapping[str, Any] | None = None,
        storage: str | None = None,
        artifacts: str | os.PathLike[str] | None = None,
        **optimizer_kwargs: Any,  # noqa: ANN401 - ClearML's signature
    ) -> None:
        arguments = {
            "base_task_id": base_task_id,
            "hyper_parameters": hyper_parameters,
            "objective_metric_title": objective_metric_title,
            "objective_metric_series": objective_metric_series,
            "objective_metric_sign": objective_metric_sign,
            "optimizer_class": optimizer_class,
            "max_number_of_concurrent_tasks": max_number_of_concurrent_tasks,
            "execution_queue": execution_queue,
            "optimization_time_limit": optimization_time_limit,
            "compute_time_limit": compute_time_limit,
            "auto_connect_task": auto_connect_task,
            "always_create_task": always_create_task,
            "spawn_project": spawn_project,
            "save_top_k_tasks_only": save_top_k_tasks_only,
        }
        blueprint, noted = make_blueprint(
            arguments, optimizer_kwargs, airflow_hpo or {}, place=_caller()
        )
        for problem in noted:
            # The warning itself says where the call is.
            hint = f"; {problem.hint}" if problem.hint else ""
            warnings.warn(f"{problem.path}: {problem.message}{hint}", stacklevel=2)
        super().__init__(
            open_storage(storage),
            _study_name(blueprint),
            blueprint,
            artifacts=default_artifacts() if artifacts is None else Path(artifacts).absolute(),
        )
        self._limit_min = optimization_time_limit
        self._ends_at: float | None = None
        self._report_period_min = 5.0
        self._running: Running | None = None
        self._started: float | None = None

    @property
    def blueprint(self) -> Blueprint:
        """
        What the arguments come to.
        """
        return self._blueprint

    @property
    def study(self) -> str:
        """
        Name of the study in the journal: for ``hpo status`` and the like.
        """
        return self._name

    @property
    def id(self) -> str:
        """
        What `get_optimizer_top_experiments` takes as ``optimizer_task_id``.
        """
        return self._name

    @property
    def objective_metric(self) -> Objective | tuple[Objective, ...]:
        """
        What is optimised; several where there are.
        """
        objectives = self._blueprint.objectives
        return objectives[0] if len(objectives) == 1 else objectives

    def to_yaml(self) -> str:
        """
        Return the blueprint in the native dialect.
        """
        return dump(self._blueprint)

    def write(self, path: str | os.PathLike[str]) -> Path:
        """
        Write the blueprint to *path*, in a folder of blueprints a DAG by that alone.
        """
        target = Path(path)
        write_text(target, self.to_yaml())
        return target

    def start(self, job_complete_callback: Callable[..., object] | None = None) -> bool:
        """
        Start to optimise and return at once; a second time nothing happens.

        Args:
            job_complete_callback:
                Called once for each trial that has ended, with its id, its
                value (`None` if it has none), the iteration that the value is
                of, its parameters, and the id of the best trial so far.
        """
        if self._running is not None:
            return True
        plan = make_plan(self._blueprint)
        study = Study.open(self._storage, self._name, self._blueprint, plan=plan.to_dict())
        execution = self._blueprint.execution
        self._running = Running(
            study,
            trials=plan.trials,
            artifacts=self._artifacts,
            slots=execution.concurrency or execution.batch_size,
            callback=job_complete_callback,
            report_period_s=self._report_period_min * _MINUTE_S,
        )
        self._started = time.time()
        if self._ends_at is None and self._limit_min is not None:
            self._ends_at = self._started + self._limit_min * _MINUTE_S
        self._apply_limit()
        self._running.start()
        return True

    def start_locally(self, job_complete_callback: Callable[..., object] | None = None) -> bool:
        """
        Do the same: trials run here in any case.
        """
        return self.start(job_complete_callback)

    def wait(self, timeout_min: float | None = None) -> bool:
        """
        Wait until it has ended and all callbacks are through; return whether it has.

        It ends by itself at its time limit, so without *timeout_min* no later
        than that.

        Raises:
            Exception: Whatever ended the study's thread before its time.
        """
        if self._running is None:
            return True
        return self._running.wait(None if timeout_min is None else timeout_min * _MINUTE_S)

    def stop(
        self,
        timeout_min: float | None = None,
        wait_for_reporter: bool = True,  # noqa: FBT001, FBT002 - ClearML's signature
    ) -> None:
        """
        End the running trials, and wait until they are gone; what they told stays.

        Args:
            timeout_min: How long to wait; `None` for as long as it takes.

            wait_for_reporter: Whether to wait at all.
        """
        if self._running is None:
            return
        self._running.interrupt("stop()")
        if wait_for_reporter:
            self.wait(timeout_min)

    def is_active(self) -> bool:
        """
        Return whether it runs, or has not been started yet.
        """
        return self._running is None or self._running.is_alive

    def is_running(self) -> bool:
        """
        Return whether it runs.
        """
        return self._running is not None and self._running.is_alive

    def elapsed(self) -> float:
        """
        Return the minutes since `start`; -1 before it.
        """
        return -1.0 if self._started is None else (time.time() - self._started) / _MINUTE_S

    def set_time_limit(
        self, in_minutes: float | None = None, specific_time: datetime | None = None
    ) -> None:
        """
        Let it end by itself at a time; nothing given takes the limit away.

        Args:
            in_minutes: From now on.

            specific_time: Instead: when; local time unless it says its own zone.

        Raises:
            ValueError: If both are given, or *in_minutes* is not above 0.
        """
        if in_minutes is not None and specific_time is not None:
            raise ValueError("at most one of in_minutes and specific_time must be given")
        if in_minutes is not None and not in_minutes > 0:
            raise ValueError(f"in_minutes must be above 0, got {in_minutes}")
        self._limit_min = None
        self._ends_at = specific_time.timestamp() if specific_time is not None else None
        if in_minutes is not None:
            self._ends_at = time.time() + in_minutes * _MINUTE_S
        self._apply_limit()

    def get_time_limit(self) -> datetime | None:
        """
        Return when it ends by itself, in UTC; `None` without a limit.
        """
        ends_at = self._ends_at
        if ends_at is None and self._limit_min is not None:
            ends_at = time.time() + self._limit_min * _MINUTE_S  # counted from the start
        return None if ends_at is None else datetime.fromtimestamp(ends_at, tz=timezone.utc)

    def reached_time_limit(self) -> bool:
        """
        Return whether its time is up; never without a limit.
        """
        return self._ends_at is not None and time.time() >= self._ends_at

    def _apply_limit(self) -> None:
        """
        Let the study's budget of time end when it has to.

        The budget counts from the study's first trial on.
        """
        if self._running is None:
            return
        study = self._running.study
        began = [trial.started for trial in study.record().trials if trial.started is not None]
        seconds = None
        if self._ends_at is not None:
            seconds = max(self._ends_at - min(began, default=time.time()), 1e-3)
        budget = study.blueprint.budget.model_copy(update={"wall_clock_s": seconds})
        study.blueprint = study.blueprint.model_copy(update={"budget": budget})

    def set_report_period(self, report_period_minutes: float) -> None:
        """
        Write the report each so many minutes; callbacks come when trials end.

        Raises:
            ValueError: If it is not above 0.
        """
        if not report_period_minutes > 0:
            raise ValueError(f"report_period_minutes must be above 0, got {report_period_minutes}")
        self._report_period_min = report_period_minutes
        if self._running is not None:
            self._running.report_period_s = report_period_minutes * _MINUTE_S

    def get_optimizer(self) -> Jobs:
        """
        Return what is known of the jobs, as ClearML's optimizer classes tell it.
        """
        return Jobs(self._storage, self._name, self._blueprint, artifacts=self._artifacts)


def _caller() -> tuple[str, int]:
    """
    Return file and line of the script's call.
    """
    frame = sys._getframe(2)  # noqa: SLF001 - what inspect does, without reading files
    return frame.f_code.co_filename, frame.f_lineno


def _study_name(blueprint: Blueprint) -> str:
    """
    Return the name that the blueprint fixes, or else a new one.
    """
    if blueprint.study is not None and "{" not in blueprint.study:
        return blueprint.study
    return f"{blueprint.name}-{time.strftime('%Y%m%d-%H%M%S')}-{token_hex(2)}"
