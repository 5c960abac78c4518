"""
Factory: BLUEPRINT -> PLAN -> DAG. Nothing is run or stored here.
"""

from __future__ import annotations

from airflow_hpo.factory.dag import build_dag
from airflow_hpo.factory.discover import discover
from airflow_hpo.factory.group import Search, tune

__all__ = ["Search", "build_dag", "discover", "tune"]
