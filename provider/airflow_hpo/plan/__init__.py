"""
BLUEPRINT -> PLAN: what would run, before anything does.

Pure arithmetic over the blueprint: the factory lays out the DAG from a plan,
``hpo plan`` prints it, and the report sets it beside what really happened.
"""

from __future__ import annotations

from airflow_hpo.model.ladder import Bracket, Rung
from airflow_hpo.plan.forecast import Forecast, excess, forecast
from airflow_hpo.plan.make import make_plan
from airflow_hpo.plan.table import Plan, Round

__all__ = [
    "Bracket",
    "Forecast",
    "Plan",
    "Round",
    "Rung",
    "excess",
    "forecast",
    "make_plan",
]
