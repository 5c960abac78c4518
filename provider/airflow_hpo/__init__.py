"""
Hyperparameter optimisation for Apache Airflow.

One YAML blueprint becomes a DAG that tunes a model: *blueprint -> search space
and strategy -> study -> DAG -> suggest, trial, evaluate, report -> results*.

Public names are resolved on first use, so that importing the package while a
DAG file is parsed costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_hpo.blueprint import load_blueprint as load_blueprint
    from airflow_hpo.driver.function import measure as measure
    from airflow_hpo.factory import Search as Search
    from airflow_hpo.factory import discover as discover
    from airflow_hpo.factory import tune as tune
    from airflow_hpo.model.blueprint import Blueprint as Blueprint
    from airflow_hpo.operators.function import hpo_trial as hpo_trial
    from airflow_hpo.plan import Plan as Plan
    from airflow_hpo.study import Study as Study

__version__ = "0.1.0"

_LAZY = {
    "Blueprint": "airflow_hpo.model.blueprint",
    "Plan": "airflow_hpo.plan",
    "Search": "airflow_hpo.factory",
    "Study": "airflow_hpo.study",
    "discover": "airflow_hpo.factory",
    "hpo_trial": "airflow_hpo.operators.function",
    "load_blueprint": "airflow_hpo.blueprint",
    "measure": "airflow_hpo.driver.function",
    "tune": "airflow_hpo.factory",
}

__all__ = [
    "Blueprint",
    "Plan",
    "Search",
    "Study",
    "discover",
    "hpo_trial",
    "load_blueprint",
    "measure",
    "tune",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
