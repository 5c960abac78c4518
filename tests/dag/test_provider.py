"""
What Airflow finds of the provider.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

pytest.importorskip("airflow")

import airflow
from airflow.plugins_manager import AirflowPlugin

from airflow_hpo.get_provider_info import get_provider_info


def test_what_is_declared_is_there():
    """
    The declaration fits Airflow's schema, and each name in it can be imported.
    """
    import jsonschema

    schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text())
    info = get_provider_info()

    jsonschema.validate(info, schema)
    for kind in ("operators", "hooks"):
        for module in (name for entry in info[kind] for name in entry["python-modules"]):
            assert importlib.import_module(module).__all__
    module, _, name = info["connection-types"][0]["hook-class-name"].rpartition(".")
    hook = getattr(importlib.import_module(module), name)
    assert hook.conn_type == info["connection-types"][0]["connection-type"]


def test_the_plugin_is_an_entry_point():
    """
    Airflow does not load plugins that a provider only declares.
    """
    (entry,) = [entry for entry in entry_points(group="airflow.plugins") if entry.name == "hpo"]

    plugin = entry.load()

    assert issubclass(plugin, AirflowPlugin)
    assert plugin.name == "hpo"


def test_the_plugin_costs_nothing():
    """
    Every process of Airflow imports it: it brings none of our other rooms along.
    """
    code = (
        "import sys; from airflow.plugins_manager import AirflowPlugin; before = set(sys.modules);"
        "import airflow_hpo.plugin; print('RESULT', *sorted(set(sys.modules) - before))"
    )

    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, check=True)

    added = set(done.stdout.rpartition("RESULT")[2].split())
    assert added - {"airflow_hpo"} == {"airflow_hpo.plugin"}
