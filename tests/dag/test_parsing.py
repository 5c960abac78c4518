"""
What parsing costs, and that it gives the same each time, in processes of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("airflow")

HEAVY = {"numpy", "scipy", "optuna", "hyperopt", "sklearn", "boto3", "kubernetes", "docker"}

_PARSE = """
import json, sys
try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:
    from airflow.models.dagbag import DagBag
bag = DagBag(sys.argv[1])
modules = sorted(sys.modules)
from airflow.serialization import serialized_objects
serialiser = getattr(serialized_objects, "DagSerialization", serialized_objects.SerializedDAG)
dags = {name: serialiser.to_dict(dag) for name, dag in sorted(bag.dags.items())}
print("RESULT" + json.dumps([modules, bag.import_errors, dags], sort_keys=True))
"""


@pytest.fixture(scope="module", name="parsed")
def _parsed(tmp_path_factory, make_folder, document):
    """
    What two processes with other hash seeds made of one folder of blueprints.
    """
    folder = make_folder(tmp_path_factory.mktemp("parsed"))
    choices = {"x": {"choice": [1, "b", 0.5]}}
    texts = {
        "one": document("one", strategy={"name": "tpe"}, dag={"tags": ["b", "a", "c"]}),
        "two": document("two", strategy={"name": "grid"}, space=choices),
        "three": document("three", stop=[{"metric": "y", "at_least": 1}, {"plateau": 3}]),
    }
    for name, text in texts.items():
        (folder / "blueprints" / f"{name}.yaml").write_text(text)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _PARSE, str(folder / "hpo.py")],
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for seed in ("1", "2")
    ]
    return [json.loads(each.communicate()[0].rpartition("RESULT")[2]) for each in processes]


def test_parsing_loads_nothing_heavy(parsed):
    """
    A fresh process that parses blueprints of every strategy loads no engine.
    """
    modules, errors, dags = parsed[0]

    assert errors == {}
    assert set(dags) == {"one", "two", "three"}
    assert HEAVY & set(modules) == set()


def test_parsing_twice_gives_equal_bytes(parsed):
    """
    Other hash seeds serialise a DAG to what Airflow takes for the same version.
    """
    first, second = ([json.dumps(dag) for dag in dags.values()] for _, _, dags in parsed)

    assert first == second
