"""
Ends a trial that has stopped getting better.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from airflow_hpo.model.stop import reaches
from airflow_hpo.pruners.base import PrunerOptions, RuledPruner, StepOptions

if TYPE_CHECKING:
    from airflow_hpo.pruners.base import Curve

__all__ = ["PatienceOptions", "PatiencePruner"]


class PatienceOptions(StepOptions):
    """
    Options of the patience pruner.

    Args:
        patience: So many measurements in a row may bring nothing.

        min_delta: An improvement smaller than this is none.
    """

    patience: int = Field(default=5, ge=1)
    min_delta: float = Field(default=0.0, ge=0)


class PatiencePruner(RuledPruner):
    """
    Ends a trial whose last measurements improved on its own best by too little.
    """

    options_class: ClassVar[type[PrunerOptions]] = PatienceOptions

    def reason(self, own: Curve, rivals: Sequence[Curve]) -> str | None:  # noqa: ARG002
        """
        Return why the trial with the curve *own* ends at its last step.
        """
        patience, delta = self.options.patience, self.options.min_delta
        if len(own.losses) <= patience:
            return None
        before, lately = min(own.losses[:-patience]), min(own.losses[-patience:])
        gained = before - lately if math.isfinite(lately) else -math.inf
        if gained > 0 and reaches(gained, delta):
            return None
        enough = f" by {delta:g} or more" if delta else ""
        return (
            f"the last {patience} measurements did not improve on "
            f"{self.value_of(before):.4g}{enough}"
        )
