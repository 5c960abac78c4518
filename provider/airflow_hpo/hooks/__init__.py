"""
Hooks: an Airflow connection -> the study journal.
"""

from __future__ import annotations

from airflow_hpo.hooks.study import StudyHook

__all__ = ["StudyHook"]
