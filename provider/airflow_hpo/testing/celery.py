"""
A distributed Airflow for tests, all on this machine: Celery workers with queues of their own.

::

    workers = {"cpu": CeleryWorker(), "gpu": CeleryWorker(("gpu",), env={"HPO_GPUS": "0,1"})}
    with (
        PostgresServer() as postgres,
        RedisServer() as redis,
        CeleryStack(home, dags, workers=workers, broker=redis.url, database=...) as stack,
    ):
        stack.kill("worker-gpu", descendants=True)
        stack.start_component("worker-gpu")
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_hpo.testing.stack import Stack

__all__ = ["CeleryStack", "CeleryWorker"]

# Seconds after which a task that a dead worker had fetched is queued again.
_QUEUED_S = 15


@dataclass(frozen=True)
class CeleryWorker:
    """
    One worker, as a machine of its own would run it.

    Args:
        queues: What it takes tasks from.

        concurrency: So many tasks at once.

        env: Variables that its machine has and others have not.
    """

    queues: tuple[str, ...] = ("default",)
    concurrency: int = 2
    env: Mapping[str, str] = field(default_factory=dict)

    def command(self, name: str) -> tuple[str, ...]:
        """
        Return the arguments of ``airflow`` that start it, called *name*.
        """
        quiet = ("--skip-serve-logs", "--without-gossip", "--without-mingle")
        limits = ("--queues", ",".join(self.queues), "--concurrency", str(self.concurrency))
        host = f"{name}@{socket.gethostname()}"
        return ("celery", "worker", "--celery-hostname", host, *limits, *quiet)


class CeleryStack(Stack):
    """
    An Airflow with the CeleryExecutor; its workers are components, named like ``worker-gpu``.

    Args:
        home: See `Stack`.

        dags: See `Stack`.

        workers: By name.

        broker: URL of the Redis between scheduler and workers.

        database: Airflow's own, which workers' results go to as well; not SQLite.

        options: See `Stack`.
    """

    def __init__(
        self,
        home: Path,
        dags: Path,
        *,
        workers: Mapping[str, CeleryWorker],
        broker: str,
        database: str,
        **options: Any,
    ) -> None:
        env = {
            "AIRFLOW__CELERY__BROKER_URL": broker,
            "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{database}",
            "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": str(_QUEUED_S),
            "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "5",
            **options.pop("env", {}),
        }
        options = {"executor": "CeleryExecutor", **options}
        super().__init__(home, dags, database=database, env=env, **options)
        self._workers = {f"worker-{name}": worker for name, worker in workers.items()}

    @property
    def commands(self) -> Mapping[str, tuple[str, ...]]:
        """
        What it consists of: all of a `Stack`, then the workers.
        """
        workers = {name: worker.command(name) for name, worker in self._workers.items()}
        return {**super().commands, **workers}

    def _own_env(self, component: str) -> Mapping[str, str]:
        worker = self._workers.get(component)
        return {} if worker is None else worker.env
