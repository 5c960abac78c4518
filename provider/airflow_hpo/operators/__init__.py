"""
Operators: the three moves of a study as Airflow tasks, and the report.
"""

from __future__ import annotations

from airflow_hpo.operators.evaluate import EvaluateOperator
from airflow_hpo.operators.report import ReportOperator
from airflow_hpo.operators.slots import OpenOperator, SettleOperator, SlotOperator
from airflow_hpo.operators.suggest import SuggestOperator
from airflow_hpo.operators.trial import TrialOperator

__all__ = [
    "EvaluateOperator",
    "OpenOperator",
    "ReportOperator",
    "SettleOperator",
    "SlotOperator",
    "SuggestOperator",
    "TrialOperator",
]
