"""
The best trial of a study, as it is handed to whoever goes on with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_hpo.driver.workspace import trial_folder
from airflow_hpo.report.files import finite

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_hpo.model.trial import Trial
    from airflow_hpo.study import Study

__all__ = ["portrait"]


def portrait(study: Study, trial: Trial, artifacts: Path) -> dict[str, Any]:
    """
    Return what others want to know of a complete *trial*, JSON-compatible.

    Args:
        study: The trial's.

        trial: Complete.

        artifacts: Folder under which workspaces are.

    Returns:
        ``study``, ``trial`` (its number), ``parameters``, ``value`` (of the first
        objective), ``values`` (of all, by metric), ``metrics``, and ``artifacts``
        (the trial's folder: what its code wrote to ``HPO_OUTPUT_DIR``).
    """
    metrics = [objective.metric for objective in study.blueprint.objectives]
    values = dict(zip(metrics, trial.values or (), strict=True))
    found: dict[str, Any] = finite(
        {
            "study": study.name,
            "trial": trial.number,
            "parameters": dict(trial.configuration),
            "value": values[metrics[0]],
            "values": values,
            "metrics": dict(trial.metrics),
            "artifacts": str(trial_folder(artifacts, study.name, trial)),
        }
    )
    return found
