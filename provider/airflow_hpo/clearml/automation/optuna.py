"""
The name of ``clearml.automation.optuna``.
"""

from __future__ import annotations

from airflow_hpo.clearml.optimizers import OptimizerOptuna

__all__ = ["OptimizerOptuna"]
