"""
Where jobs and tasks run: runners by name, and what Airflow is asked for.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from airflow_hpo.model.base import Document

__all__ = ["TASK_OPTIONS", "Placement", "RunnerSpec", "TaskSpec"]


class RunnerSpec(Document):
    """
    Where jobs run, by name, with the runner's own options.
    """

    name: str = "subprocess"
    options: dict[str, Any] = Field(default_factory=dict)


TASK_OPTIONS = ("pool", "pool_slots", "queue", "executor", "executor_config", "priority_weight")
"""What is said of a task to Airflow alone, by the names that Airflow has for it."""


class TaskSpec(Document):
    """
    Where small tasks run: those that suggest, evaluate and report.

    Args:
        pool: Airflow pool they take slots of.

        pool_slots: How many each.

        queue: Airflow queue that routes them.

        executor: Airflow executor that runs them.

        executor_config:
            What that executor is told of them, such as a ``pod_override``.

        priority_weight: Airflow priority of theirs.
    """

    pool: str | None = None
    pool_slots: int | None = Field(default=None, ge=1)
    queue: str | None = None
    executor: str | None = None
    executor_config: dict[str, Any] | None = None
    priority_weight: int | None = Field(default=None, ge=1)


class Placement(Document):
    """
    Where the trials of the upper rungs run; what it leaves out is the step's own.

    Args:
        at_least: It holds for trials that are given so much of the resource, up
            to where another one begins.

        runner: Overrides the step's runner.

        gpus: Devices each trial needs; fractions share one.

        pool: Airflow pool their tasks take slots of.

        pool_slots: How many.

        queue: Airflow queue that routes their tasks.

        executor: Airflow executor that runs their tasks.

        executor_config:
            What that executor is told of them, such as a ``pod_override``.

        priority_weight: Airflow priority of their tasks.
    """

    at_least: float = Field(gt=0)
    runner: RunnerSpec | None = None
    gpus: float | None = Field(default=None, ge=0)
    pool: str | None = None
    pool_slots: int | None = Field(default=None, ge=1)
    queue: str | None = None
    executor: str | None = None
    executor_config: dict[str, Any] | None = None
    priority_weight: int | None = Field(default=None, ge=1)
