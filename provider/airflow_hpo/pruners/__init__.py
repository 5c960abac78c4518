"""
Pruners: (a running trial, the others) -> why it ends now. Pure, one file each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_hpo.model.registry import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_hpo.model.objective import Objective
    from airflow_hpo.model.strategy import PrunerSpec
    from airflow_hpo.pruners.base import Pruner

__all__ = ["PRUNERS", "create_pruner"]

PRUNERS = Table(
    kind="pruner",
    entries={
        "median": "airflow_hpo.pruners.percentile:MedianPruner",
        "percentile": "airflow_hpo.pruners.percentile:PercentilePruner",
        "average": "airflow_hpo.pruners.average:AveragePruner",
        "halving_stop": "airflow_hpo.pruners.halving_stop:HalvingStopPruner",
        "threshold": "airflow_hpo.pruners.threshold:ThresholdPruner",
        "patience": "airflow_hpo.pruners.patience:PatiencePruner",
        "truncation": "airflow_hpo.pruners.truncation:TruncationPruner",
        "diff": "airflow_hpo.pruners.diff:DiffPruner",
        "bandit": "airflow_hpo.pruners.bandit:BanditPruner",
    },
    group="airflow_hpo.pruners",
)


def create_pruner(
    spec: PrunerSpec, objectives: Sequence[Objective], *, step_name: str = "step"
) -> Pruner:
    """
    Return the pruner that *spec* names, with its options validated.

    Args:
        spec: Its name and options.

        objectives: What is optimised; the first one is judged by.

        step_name: What a step is called in reasons: ``epoch``.

    Raises:
        ValueError: If the name or an option is not known.
    """
    pruner_class = PRUNERS.load(spec.name)
    options = pruner_class.options_class.model_validate(spec.options)
    pruner: Pruner = pruner_class(options, objectives[0], step_name=step_name)
    return pruner
