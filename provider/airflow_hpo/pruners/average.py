"""
Ends a trial whose best value is worse than the others' average.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from airflow_hpo.pruners.base import PrunerOptions, RuledPruner, StepOptions, of_trials

if TYPE_CHECKING:
    from airflow_hpo.pruners.base import Curve

__all__ = ["AverageOptions", "AveragePruner"]


class AverageOptions(StepOptions):
    """
    Options of the average pruner.

    Args:
        startup_trials: So many others must have come as far; below that
            nobody is judged.
    """

    startup_trials: int = Field(default=5, ge=1)


class AveragePruner(RuledPruner):
    """
    Ends a trial whose best value so far is worse than the mean of the others' averages.

    Each of the others counts with the mean of its values up to the same step.
    One that diverged is left out: it would spoil the mean of all.
    """

    options_class: ClassVar[type[PrunerOptions]] = AverageOptions

    def reason(self, own: Curve, rivals: Sequence[Curve]) -> str | None:
        """
        Return why the trial with the curve *own* ends at its last step.
        """
        means = [self.mean(peer.losses) for peer in self.peers(own, rivals)]
        means = [mean for mean in means if math.isfinite(mean)]
        if len(means) < self.options.startup_trials:
            return None
        bound = self.mean(means)
        if own.best <= bound:
            return None
        limit = self.value_of(bound)
        return f"{own.best_value:.4g} {self.worse} the average {limit:.4g} {of_trials(len(means))}"
