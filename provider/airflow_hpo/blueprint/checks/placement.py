"""
Checks of what trials ask of the place that they run at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.checks.pods import check_pod
from airflow_hpo.blueprint.problems import show
from airflow_hpo.runners import RUNNERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_hpo.blueprint.checks.draft import Draft
    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.blueprint.problems import Problems
    from airflow_hpo.model.placement import RunnerSpec

__all__ = ["check_executor_configs", "check_gpus", "gives_gpus"]

# What tells a process its devices: whoever asks for some is told which.
_VISIBLE = "CUDA_VISIBLE_DEVICES"

# What Airflow calls the container of a task.
_BASE = "base"


def check_gpus(draft: Draft, problems: Problems) -> None:
    """
    Note GPUs that no runner could give, and those that are given twice.
    """
    asking = list(_asking(draft))
    for path, gpus, runner in asking:
        if runner is not None and not gives_gpus(runner):
            problems.error(
                (*path, "gpus"),
                f"must be 0 with the runner {runner.name}, which starts no process of its own, "
                f"got {gpus:g}",
                hint="write runner: subprocess",
            )
    chosen = None if draft.trial is None else draft.trial.environment.get(_VISIBLE)
    if asking and chosen is not None:
        problems.error(
            ("trial", "environment", _VISIBLE),
            f"must not be set where gpus are asked for, got {show(chosen)}",
            hint="a trial is given devices that are free; HPO_GPUS of the worker says which it has",
        )


def check_executor_configs(draft: Draft, problems: Problems) -> None:
    """
    Note what is wrong with the pods that executors are told of.
    """
    for path, config in _configs(draft):
        pod = config.get("pod_override")
        if pod is None:
            continue
        here = (*path, "executor_config", "pod_override")
        check_pod(pod, here, problems)
        if not problems.touches(here):
            _check_base(pod, here, problems)


def _check_base(pod: Mapping[str, Any], path: Path, problems: Problems) -> None:
    containers = (pod.get("spec") or {}).get("containers")
    names = [each.get("name") for each in containers or () if isinstance(each, dict)]
    if names and _BASE not in names:
        message = f"must name the task's container {_BASE}, got {', '.join(map(str, names))}"
        problems.error((*path, "spec", "containers"), message)


def _configs(draft: Draft) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """
    Yield each executor_config: the place of what has it, and the mapping.
    """
    for index, step in enumerate(draft.trial.steps if draft.trial else ()):
        if step.executor_config:
            yield ("trial", "steps", index), step.executor_config
    for index, rung in enumerate(draft.resource.rungs if draft.resource else ()):
        if rung.executor_config:
            yield ("resource", "rungs", index), rung.executor_config
    if draft.dag is not None and draft.dag.tasks.executor_config:
        yield ("dag", "tasks"), draft.dag.tasks.executor_config


def _asking(draft: Draft) -> Iterator[tuple[Path, float, RunnerSpec | None]]:
    """
    Yield who asks for GPUs: its place in the file, how many, and the runner.
    """
    trial = draft.trial
    if trial is None:
        return
    for index, step in enumerate(trial.steps):
        if step.gpus:
            yield ("trial", "steps", index), step.gpus, step.runner or trial.runner
    for index, rung in enumerate(draft.resource.rungs if draft.resource else ()):
        if rung.gpus:
            yield ("resource", "rungs", index), rung.gpus, rung.runner or trial.runner


def gives_gpus(spec: RunnerSpec) -> bool:
    """
    Return whether a runner gives its jobs GPUs; most do, and need not say so.
    """
    try:
        runner_class = RUNNERS.load(spec.name)
    except (ValueError, ImportError, AttributeError):
        return True  # told elsewhere
    return bool(getattr(runner_class, "takes_gpus", True))
