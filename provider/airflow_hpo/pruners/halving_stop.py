"""
Successive halving that ends trials in flight: nobody is paused or resumed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from airflow_hpo.pruners.base import PrunerOptions, RuledPruner

if TYPE_CHECKING:
    from airflow_hpo.pruners.base import Curve

__all__ = ["HalvingStopOptions", "HalvingStopPruner"]


class HalvingStopOptions(PrunerOptions):
    """
    Options of the halving pruner.

    Args:
        min_resource: The first rung: the step at which trials are first compared.

        reduction_factor: One in this many passes a rung; the next one is so
            many times as far.

        startup_trials: So many others must have come to a rung before
            anybody is ended there.
    """

    min_resource: float = Field(default=1, gt=0)
    reduction_factor: int = Field(default=3, ge=2)
    startup_trials: int = Field(default=0, ge=0)


class HalvingStopPruner(RuledPruner):
    """
    Ends a trial that comes to a rung and is not among the best there so far.

    Rungs lie at *min_resource* and at powers of *reduction_factor* times that.
    Of those that came to a rung, one in *reduction_factor* passes, and at
    least the best; the first to come always does. Trials count with the best
    value that they had by then.

    Source:
        Li et al. (2020), "A System for Massively Parallel Hyperparameter
        Tuning" (ASHA), in the form that stops instead of promoting.
    """

    options_class: ClassVar[type[PrunerOptions]] = HalvingStopOptions

    def reason(self, own: Curve, rivals: Sequence[Curve]) -> str | None:
        """
        Return why the trial with the curve *own* ends at its last step.
        """
        rung = self._rung(own)
        if rung is None:
            return None
        step = self.options.min_resource * self.options.reduction_factor**rung
        losses = [curve.until(step).best for curve in rivals if curve.reaches(step)]
        if len(losses) < self.options.startup_trials:
            return None
        better = sum(1 for loss in losses if loss < own.best)
        passing = max(1, (len(losses) + 1) // self.options.reduction_factor)
        if better < passing:
            return None
        return (
            f"{own.best_value:.4g} is number {better + 1} of {len(losses) + 1} at rung {rung}, "
            f"where {passing} pass"
        )

    def _is_due(self, own: Curve) -> bool:  # noqa: ARG002 - rungs say when
        return True

    def _rung(self, own: Curve) -> int | None:
        """
        Return the rung that the last step came to; `None` if it came to none.
        """
        rungs = [self._passed(step) for step in own.steps[-2:]]
        if rungs[-1] is None or (len(rungs) > 1 and rungs[0] == rungs[-1]):
            return None
        return rungs[-1]

    def _passed(self, step: float) -> int | None:
        # Multiplied rather than a logarithm, which is off by one now and then.
        rung, at = -1, self.options.min_resource
        while at <= step and math.isfinite(at):
            rung, at = rung + 1, at * self.options.reduction_factor
        return rung if rung >= 0 else None
