"""
Checks of what trials ask of the place that they run at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_hpo.blueprint.problems import show
from airflow_hpo.runners import RUNNERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_hpo.blueprint.checks.draft import Draft
    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.blueprint.problems import Problems
    from airflow_hpo.model.blueprint import RunnerSpec

__all__ = ["check_gpus"]

# What tells a process its devices: whoever asks for some is told which.
_VISIBLE = "CUDA_VISIBLE_DEVICES"


def check_gpus(draft: Draft, problems: Problems) -> None:
    """
    Note GPUs that no runner could give, and those that are given twice.
    """
    asking = list(_asking(draft))
    for path, gpus, runner in asking:
        if runner is not None and not _gives(runner):
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


def _gives(spec: RunnerSpec) -> bool:
    """
    Return whether a runner gives its jobs GPUs; most do, and need not say so.
    """
    try:
        runner_class = RUNNERS.load(spec.name)
    except (ValueError, ImportError, AttributeError):
        return True  # told elsewhere
    return bool(getattr(runner_class, "takes_gpus", True))
