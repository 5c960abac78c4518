"""
The name of ``clearml.automation.hpbandster``.
"""

from __future__ import annotations

from airflow_hpo.clearml.optimizers import OptimizerBOHB

__all__ = ["OptimizerBOHB"]
