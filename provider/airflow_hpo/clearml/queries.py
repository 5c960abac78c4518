"""
What can be asked of a study while it runs and after it has ended.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.dialects.clearml import objectives_of
from airflow_hpo.clearml.results import (
    Experiment,
    best_first,
    details,
    parameters_of,
    trial_id,
    values_of,
)
from airflow_hpo.driver import default_artifacts
from airflow_hpo.errors import StudyNotFoundError
from airflow_hpo.storage import open_storage
from airflow_hpo.study import Study

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from airflow_hpo.model.blueprint import Blueprint
    from airflow_hpo.model.trial import Trial
    from airflow_hpo.model.values import Value
    from airflow_hpo.storage.base import Storage

__all__ = ["Jobs", "Results"]


class Results:
    """
    A study's experiments, the best of them, and how they did.

    Args:
        storage: The journal.

        name: The study's name.

        blueprint: What it optimises.

        artifacts: Folder of studies' files.
    """

    def __init__(
        self, storage: Storage, name: str, blueprint: Blueprint, *, artifacts: Path
    ) -> None:
        self._artifacts = artifacts
        self._storage = storage
        self._name = name
        self._blueprint = blueprint

    def _trials(self) -> list[Trial]:
        """
        Return all trials with their measurements; none before there is a study.
        """
        try:
            return list(self._storage.load(self._name, measurements=True).trials)
        except StudyNotFoundError:
            return []

    def _experiment(self, trial: Trial) -> Experiment:
        return Experiment(trial, self._name, self._blueprint, self._artifacts)

    def get_active_experiments(self) -> list[Experiment]:
        """
        Return the trials that run now.
        """
        found = map(self._experiment, self._trials())
        return [experiment for experiment in found if experiment.status == "in_progress"]

    def get_num_active_experiments(self) -> int:
        """
        Return how many trials run now.
        """
        return len(self.get_active_experiments())

    def get_top_experiments(self, top_k: int) -> list[Experiment]:
        """
        Return the *top_k* best trials, best first; those that have a value.
        """
        found = best_first(self._trials(), self._blueprint.objectives)
        return [self._experiment(trial) for trial in found[:top_k]]

    def get_top_experiments_details(
        self,
        top_k: int,
        all_metrics: bool = False,  # noqa: FBT001, FBT002 - ClearML's signature
        all_hyper_parameters: bool = False,  # noqa: FBT001, FBT002 - as above
        only_completed: bool = False,  # noqa: FBT001, FBT002 - as above
    ) -> list[dict[str, Any]]:
        """
        Return the *top_k* best trials as mappings, best first.

        Args:
            top_k: How many.

            all_metrics: Whether metrics are told that are not optimised.

            all_hyper_parameters: Whether parameters are told that have one value.

            only_completed: Whether trials that were stopped or run are left out.
        """
        objectives = self._blueprint.objectives
        found = best_first(self._trials(), objectives, only_completed=only_completed)
        return [
            details(
                self._experiment(trial),
                all_metrics=all_metrics,
                all_hyper_parameters=all_hyper_parameters,
            )
            for trial in found[:top_k]
        ]

    @classmethod
    def get_optimizer_top_experiments(
        cls,
        objective_metric_title: str | Sequence[str],
        objective_metric_series: str | Sequence[str],
        objective_metric_sign: str | Sequence[str],
        optimizer_task_id: str,
        top_k: int,
        *,
        storage: str | None = None,
    ) -> list[Experiment]:
        """
        Return the best trials of a study that is in the journal.

        Args:
            objective_metric_title: Title of the metric; a list for several.

            objective_metric_series: Likewise.

            objective_metric_sign: ``min``, ``max``, ``min_global`` ...; likewise.

            optimizer_task_id: Name of the study.

            top_k: How many.

            storage: URL of the journal.

        Raises:
            StudyNotFoundError: If there is none of that name.

            ValueError: If the metric's parts are not as many, or a sign is none.
        """
        objectives = objectives_of(
            objective_metric_title, objective_metric_series, objective_metric_sign
        )
        journal = open_storage(storage)
        blueprint = Study.load(journal, optimizer_task_id).blueprint
        found = Results(journal, optimizer_task_id, blueprint, artifacts=default_artifacts())
        trials = found._trials()
        if objectives != blueprint.objectives:
            # Another metric, or another of its values: looked up in what was measured.
            trials = [replace(trial, values=None) for trial in trials]
            trials = [replace(trial, values=values_of(trial, objectives)) for trial in trials]
        best = best_first(trials, objectives)
        return [found._experiment(trial) for trial in best[:top_k]]


class Jobs(Results):
    """
    The same by the names that ClearML's optimizer classes have for it.
    """

    def get_running_jobs(self) -> list[Experiment]:
        """
        Return the trials that run now.
        """
        return self.get_active_experiments()

    def get_created_jobs_ids(self) -> dict[str, dict[str, Value]]:
        """
        Return the parameters of every trial, by its id.
        """
        return {
            trial_id(self._name, trial.number): parameters_of(trial, self._blueprint)
            for trial in self._trials()
        }

    def get_created_jobs_tasks(self) -> dict[str, Experiment]:
        """
        Return every trial, by its id.
        """
        found = map(self._experiment, self._trials())
        return {experiment.id: experiment for experiment in found}

    def get_top_experiments_id_metrics_pair(
        self,
        top_k: int,
        all_metrics: bool = False,  # noqa: FBT001, FBT002 - ClearML's signature
        only_completed: bool = False,  # noqa: FBT001, FBT002 - as above
    ) -> list[tuple[str, dict[str, Any]]]:
        """
        Return id and metrics of the *top_k* best trials; arguments as above.
        """
        found = self.get_top_experiments_details(
            top_k, all_metrics=all_metrics, only_completed=only_completed
        )
        return [(item["task_id"], item["metrics"]) for item in found]
