"""
Runners: job -> somewhere -> result. One file each; they know no siblings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_hpo.model.registry import Table

if TYPE_CHECKING:
    from airflow_hpo.model.blueprint import RunnerSpec
    from airflow_hpo.runners.base import Runner

__all__ = ["PLANNED", "RUNNERS", "create_runner"]

RUNNERS = Table(
    kind="runner",
    entries={
        "subprocess": "airflow_hpo.runners.subprocess:SubprocessRunner",
        "inline": "airflow_hpo.runners.inline:InlineRunner",
    },
    group="airflow_hpo.runners",
)

# Names of the native dialect whose runners are not built yet.
PLANNED = frozenset({"docker", "kubernetes", "aws_batch"})


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
