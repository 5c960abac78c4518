"""
Runners: job -> somewhere -> result. One file each; they know no siblings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_hpo.model.registry import Table

if TYPE_CHECKING:
    from airflow_hpo.model.placement import RunnerSpec
    from airflow_hpo.runners.base import Runner

__all__ = ["RUNNERS", "create_runner", "is_remote", "shares_folder"]

RUNNERS = Table(
    kind="runner",
    entries={
        "subprocess": "airflow_hpo.runners.subprocess:SubprocessRunner",
        "inline": "airflow_hpo.runners.inline:InlineRunner",
        "docker": "airflow_hpo.runners.docker:DockerRunner",
        "kubernetes": "airflow_hpo.runners.kubernetes:KubernetesRunner",
        "aws_batch": "airflow_hpo.runners.aws_batch:AwsBatchRunner",
    },
    group="airflow_hpo.runners",
)


def is_remote(spec: RunnerSpec) -> bool:
    """
    Return whether the jobs of *spec*'s runner run elsewhere than the task that submits them.

    Such a task need not wait for its job, and whoever comes after it may go on
    with the job. A runner says so by ``is_remote = True`` on its class.
    """
    return bool(getattr(RUNNERS.load(spec.name), "is_remote", False))


def create_runner(spec: RunnerSpec) -> Runner:
    """
    Return the runner that *spec* names, with its options validated.

    Raises:
        ValueError: If the name or an option is not known.
    """
    runner_class = RUNNERS.load(spec.name)
    options = runner_class.options_class.model_validate(spec.options)
    runner: Runner = runner_class(options)
    return runner


def shares_folder(runner: Runner, folder: str) -> bool:
    """
    Return whether the jobs of *runner* see *folder* of this machine.

    A runner of which that is never so has ``shares_folders = False``; one of which it
    depends on the folder has a method ``shares``.
    """
    shares = getattr(runner, "shares", None)
    return bool(getattr(runner, "shares_folders", True) if shares is None else shares(folder))
