"""
The three moves of a study, as plain functions: suggest, trial, evaluate.

The operators call them in Airflow's tasks and the command line calls them in a
terminal, so both do exactly the same. Nothing here knows which of the two it is.
"""

from __future__ import annotations

from airflow_hpo.driver.callbacks import announce
from airflow_hpo.driver.champion import (
    judge_champion,
    portrait,
    promote,
    suggest_champion,
    to_promote,
)
from airflow_hpo.driver.function import FunctionRun, TooLongError, TrialEnded, drain, measure
from airflow_hpo.driver.job import build_job, trial_label
from airflow_hpo.driver.jobs import runner_specs
from airflow_hpo.driver.memory import own_key
from airflow_hpo.driver.once import has_run
from airflow_hpo.driver.rounds import RoundResult, evaluate_round, suggest_round
from airflow_hpo.driver.steps import StepRun, failures_of, open_key
from airflow_hpo.driver.stores import keep, location
from airflow_hpo.driver.strays import Stray, StrayKind, end_jobs, find_strays, mend
from airflow_hpo.driver.trial import TrialRun
from airflow_hpo.driver.workspace import (
    artifacts_at,
    default_artifacts,
    safe_name,
    study_folder,
    trial_folder,
)

__all__ = [
    "FunctionRun",
    "RoundResult",
    "StepRun",
    "Stray",
    "StrayKind",
    "TooLongError",
    "TrialEnded",
    "TrialRun",
    "announce",
    "artifacts_at",
    "build_job",
    "default_artifacts",
    "drain",
    "end_jobs",
    "evaluate_round",
    "failures_of",
    "find_strays",
    "has_run",
    "judge_champion",
    "keep",
    "location",
    "measure",
    "mend",
    "open_key",
    "own_key",
    "portrait",
    "promote",
    "runner_specs",
    "safe_name",
    "study_folder",
    "suggest_champion",
    "suggest_round",
    "to_promote",
    "trial_folder",
    "trial_label",
]
