"""
DAG files that ``hpo generate`` writes: the same DAGs as the factory's.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("airflow")

from airflow_hpo.blueprint import load_blueprint
from airflow_hpo.factory import build_dag
from airflow_hpo.report.dag_file import dag_file

SHAPES = {
    "batch": {},
    "one_round": {"budget": {"trials": 2}},
    "steps": {
        "trial": {
            "steps": [
                {"name": "prepare", "command": "echo once", "once": True},
                {"name": "train", "command": "echo {x}", "pool": "gpu", "queue": "q"},
            ]
        }
    },
    "two_steps": {
        "trial": {
            "steps": [
                {"name": "train", "command": "echo {x}"},
                {"name": "judge", "command": "echo {x}"},
            ]
        }
    },
    "async": {"execution": {"mode": "async", "concurrency": 2}},
    "ladder": {
        "strategy": {"name": "hyperband", "seed": 1},
        "resource": {"name": "epochs", "min": 1, "max": 9},
        "budget": {"trials": 23},
    },
    "staggered": {
        "strategy": {"name": "bohb", "seed": 1},
        "resource": {"name": "epochs", "min": 0.5, "max": 4.5},
        "budget": {"trials": 23},
    },
}

DAGS = {
    "plain": {},
    "all": {
        "id": "the.dag",
        "schedule": {"cron": "0 2 * * *", "timezone": "Europe/Berlin"},
        "start_date": "2026-01-31T06:30:00+00:00",
        "catchup": True,
        "tags": ["ml"],
        "owner": "ada",
        "retries": 1,
        "warm_start": {"from": "previous", "trials": 3},
        "champion": {"tolerance": "1%"},
        "approve": True,
    },
    "daily": {"schedule": "@daily", "max_active_runs": 3, "champion": "s3://models/best"},
}


def structure(data):
    """
    Return a serialised DAG without what differs from file to file.
    """
    plain = json.loads(json.dumps(data["dag"]))
    for name in ("fileloc", "relative_fileloc", "_processor_dags_folder"):
        plain.pop(name, None)
    # Which task was made first means nothing.
    plain["tasks"] = sorted(plain["tasks"], key=lambda task: json.dumps(task, sort_keys=True))
    return plain


@pytest.mark.parametrize("dag", DAGS)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_generated_dag_is_the_factory_s(tmp_path, document, serialise, dag_bag, shape, dag):
    """
    Of any shape, with anything around it: the same tasks with the same options, groups and edges,
    the same form and documentation.
    """
    (tmp_path / "blueprints").mkdir()
    source = tmp_path / "blueprints" / "tiny.yaml"
    source.write_text(document("tiny", dag=DAGS[dag], description="Tunes.", **SHAPES[shape]))
    blueprint = load_blueprint(source)
    target = tmp_path / "dags" / "tiny.py"
    target.parent.mkdir()
    target.write_text(dag_file(blueprint, target=target, version="0"))

    bag = dag_bag(target)

    assert bag.import_errors == {}
    made = bag.dags[blueprint.dag_id]
    assert structure(serialise(made)) == structure(serialise(build_dag(blueprint)))


def test_a_blueprint_that_was_changed_since_is_an_import_error(tmp_path, document, dag_bag):
    """
    The DAG's tasks may be others by now: it says so, and how to mend it.
    """
    source = tmp_path / "tiny.yaml"
    source.write_text(document("tiny"))
    target = Path(tmp_path / "tiny_dag.py")
    target.write_text(dag_file(load_blueprint(source), target=target, version="0"))
    source.write_text(document("tiny", budget={"trials": 7}))

    (error,) = dag_bag(target).import_errors.values()

    assert "tiny.yaml:1:1: must be as it was when this DAG was generated" in error
    assert "run: hpo generate tiny.yaml -o tiny_dag.py" in error
