"""
A model that is tuned again every night, inside the DAG that also makes its data.

Each night begins with the champion: where it is still good enough on the new data, nothing else
is tried. Otherwise the best trials of the night before are tried first.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from airflow.sdk import DAG, task

from airflow_hpo import tune

if TYPE_CHECKING:
    from airflow.sdk.types import DagRunProtocol

BLUEPRINT = {
    "hpo": 1,
    "name": "nightly",
    "objective": {"metric": "error", "direction": "minimize"},
    "space": {"level": {"float": [0.0, 10.0]}, "slope": {"float": [-1.0, 1.0]}},
    "strategy": {"name": "gp", "startup_trials": 2, "seed": 3},
    "budget": {"trials": 4},
    "execution": {"batch_size": 2},
    "dag": {
        "warm_start": {"from": "previous", "trials": 2, "max_age": "7d"},
        "champion": {"asset": "hpo://nightly/champion", "tolerance": "10%"},
    },
}


@task
def measurements(dag_run: DagRunProtocol) -> list[float]:
    """
    Return the day's data: a line that is a little different every day.
    """
    day = dag_run.run_after.day
    return [5.0 + day / 50 + 0.3 * hour / 24 for hour in range(24)]


def fit(level: float, slope: float, data: list[float]) -> dict[str, float]:
    """
    Return the mean distance between the day's data and a line.
    """
    wrong = [abs(level + slope * hour / 24 - value) for hour, value in enumerate(data)]
    return {"error": sum(wrong) / len(wrong), "worst": max(wrong)}


with DAG(
    "example_scheduled",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,  # each night builds on the one before
    tags=["hpo", "example"],
    doc_md=__doc__,
):
    tune(BLUEPRINT, trial=task(fit).partial(data=measurements()))
