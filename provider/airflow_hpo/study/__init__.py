"""
Ask and tell: the one place where a strategy and a storage meet.
"""

from __future__ import annotations

from airflow_hpo.study.study import Study

__all__ = ["Study"]
