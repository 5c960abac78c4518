"""
Ends a trial that falls out of the slack behind the best.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, model_validator

from airflow_hpo.pruners.base import PrunerOptions, RuledPruner, StepOptions, of_trials

if TYPE_CHECKING:
    from airflow_hpo.pruners.base import Curve

__all__ = ["BanditOptions", "BanditPruner"]


class BanditOptions(StepOptions):
    """
    Options of the bandit pruner; exactly one of the slacks.

    Args:
        slack_factor: As a ratio: where values are maximised, 0.2 ends a trial
            below the best value divided by 1.2; where they are minimised,
            above the best value times 1.2.

        slack_amount: As a distance from the best value.
    """

    slack_factor: float | None = Field(default=None, ge=0)
    slack_amount: float | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _one_slack(self) -> BanditOptions:
        if (self.slack_factor is None) == (self.slack_amount is None):
            got = "neither" if self.slack_factor is None else "both"
            raise ValueError(
                f"exactly one of slack_factor and slack_amount must be given, got {got}"
            )
        return self


class BanditPruner(RuledPruner):
    """
    Ends a trial whose best value lies outside the slack behind the best of all.

    Compared at the same step. A ratio says nothing of values that change their
    sign: there give *slack_amount*.

    Source:
        The bandit policy of Azure Machine Learning's sweeps, by its documentation.
    """

    options_class: ClassVar[type[PrunerOptions]] = BanditOptions

    def reason(self, own: Curve, rivals: Sequence[Curve]) -> str | None:
        """
        Return why the trial with the curve *own* ends at its last step.
        """
        peers = self.peers(own, rivals)
        best = min((peer.best for peer in peers), default=math.inf)
        if not math.isfinite(best):
            return None
        allowed = self._allowed(best)
        if own.best <= allowed or math.isclose(own.best, allowed, rel_tol=1e-9):
            return None
        return (
            f"{own.best_value:.4g} {self.worse} {self.value_of(allowed):.4g}, which is the best "
            f"{self.value_of(best):.4g} {of_trials(len(peers))} and the slack"
        )

    def _allowed(self, best: float) -> float:
        """
        Return the greatest loss that goes on, where *best* is the smallest.
        """
        if self.options.slack_amount is not None:
            return best + float(self.options.slack_amount)
        factor = 1 + float(self.options.slack_factor)
        # A negative loss is nearer to zero, and so greater, when divided.
        return best * factor if best > 0 else best / factor
