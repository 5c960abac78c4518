"""
A search that a person starts, with the settings of that person, and whose result is approved.

The trigger form has the settings; in the end Airflow asks whether the best trial becomes the
champion. Whoever says yes starts the DAG ``example_deploy``.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Asset, Param, task

from airflow_hpo import measure, tune

CHAMPION = "hpo://example/champion"

BLUEPRINT = {
    "hpo": 1,
    "name": "example",
    "objective": {"metric": "loss", "direction": "minimize"},
    "space": {
        "rate": {"float": [1e-3, 1.0], "log": True},
        "momentum": {"float": [0.0, 0.95]},
    },
    "budget": {"trials": 6},
    "execution": {"batch_size": 3},
    "dag": {"champion": CHAMPION, "approve": True},
}


def descend(rate: float, momentum: float) -> float:
    """
    Return how far gradient descent comes on a narrow valley in fifty steps.
    """
    x, y, dx, dy = 1.0, 1.0, 0.0, 0.0
    for step in range(50):
        dx, dy = momentum * dx - rate * x * 0.1, momentum * dy - rate * y
        x, y = x + dx, y + dy
        if step % 10 == 0:
            measure(loss=0.05 * x * x + 0.5 * y * y, step=step)
    return 0.05 * x * x + 0.5 * y * y


with DAG(
    "example_triggered",
    schedule=None,
    catchup=False,
    tags=["hpo", "example"],
    doc_md=__doc__,
    params={
        "trials": Param(6, type="integer", minimum=1, maximum=6, title="Trials"),
        "seed": Param(None, type=["null", "integer"], minimum=0, title="Seed"),
    },
):
    tune(
        BLUEPRINT,
        trial=descend,
        settings={"trials": "{{ params.trials }}", "seed": "{{ params.seed }}"},
    )


@task
def deploy(triggering_asset_events: Any) -> dict[str, Any]:  # noqa: ANN401 - Airflow's own
    """
    Return the parameters that go into production.
    """
    events = triggering_asset_events[Asset(CHAMPION)]
    extra: dict[str, Any] = events[-1].extra
    print(f"{extra['study']}: loss {extra['value']:.4g} with {extra['parameters']}")
    return extra["parameters"]


with DAG(
    "example_deploy", schedule=[Asset(CHAMPION)], catchup=False, tags=["example"], doc_md=__doc__
):
    deploy()
