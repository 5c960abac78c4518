"""
What the Airflow DAG of a study is like.
"""

from __future__ import annotations

from pydantic import Field

from airflow_hpo.model.base import Document
from airflow_hpo.model.placement import TaskSpec
from airflow_hpo.model.retuning import ChampionSpec, PreviousStart, ScheduleSpec

__all__ = ["DagSpec"]


class DagSpec(Document):
    """
    What the Airflow DAG itself is like.

    Args:
        id: The DAG's id; the blueprint's name by default.

        schedule: A cron expression or preset, or more than that; `None` for
            triggered only.

        start_date: ISO 8601; needed by schedules that look back.

        catchup: Whether missed intervals are made up for.

        tags: Shown in the UI, beside ``hpo``.

        owner: Of every task.

        retries: Of the suggest, evaluate and report tasks.

        max_active_runs: Runs of the DAG at the same time.

        tasks: Where the tasks run that are no trials.

        warm_start: Where to take first trials from.

        champion: The best trial as an asset; `None` publishes nothing.

        approve: Whether a person is asked before that.
    """

    id: str | None = None
    schedule: str | ScheduleSpec | None = None
    start_date: str | None = None
    catchup: bool = False
    tags: tuple[str, ...] = ()
    owner: str | None = None
    retries: int = Field(default=2, ge=0)
    max_active_runs: int | None = Field(default=None, ge=1)
    tasks: TaskSpec = Field(default_factory=TaskSpec)
    warm_start: PreviousStart | None = None
    champion: ChampionSpec | None = None
    approve: bool = False
