"""
Ends a trial whose best value lies beyond a percentile of what the others had.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from airflow_hpo.pruners.base import PrunerOptions, RuledPruner, StepOptions, of_trials

if TYPE_CHECKING:
    from airflow_hpo.pruners.base import Curve

__all__ = ["MedianOptions", "MedianPruner", "PercentileOptions", "PercentilePruner", "quantile"]


class MedianOptions(StepOptions):
    """
    Options of the median pruner.

    Args:
        startup_trials: So many others must have come as far; below that
            nobody is judged.

        averages: Whether the others count with the mean of their values up to
            the step, instead of the value at it.
    """

    startup_trials: int = Field(default=5, ge=1)
    averages: bool = False


class PercentileOptions(MedianOptions):
    """
    Options of the percentile pruner.

    Args:
        percentile: So much of the trials may go on, the best first: 25 keeps
            the best quarter.
    """

    percentile: float = Field(default=50.0, gt=0, lt=100)


class PercentilePruner(RuledPruner):
    """
    Ends a trial whose best value so far is worse than a percentile of the others.

    The others count with their value at the same step, or the mean of their
    values up to it.

    Source:
        The value at the step as in Optuna's ``PercentilePruner``; the running
        mean as in Golovin et al. (2017), "Google Vizier", section 3.2.1.
    """

    options_class: ClassVar[type[PrunerOptions]] = PercentileOptions

    @property
    def percentile(self) -> float:
        """
        The share of trials that may go on, in percent.
        """
        return float(self.options.percentile)

    def reason(self, own: Curve, rivals: Sequence[Curve]) -> str | None:
        """
        Return why the trial with the curve *own* ends at its last step.
        """
        peers = self.peers(own, rivals)
        if len(peers) < self.options.startup_trials:
            return None
        losses = [
            self.mean(peer.losses) if self.options.averages else peer.losses[-1] for peer in peers
        ]
        bound = quantile(losses, self.percentile / 100)
        if own.best <= bound:
            return None
        shown, limit = own.best_value, self.value_of(bound)
        return f"{shown:.4g} {self.worse} the {self._name} {limit:.4g} {of_trials(len(peers))}"

    @property
    def _name(self) -> str:
        averages = " of averages" if self.options.averages else ""
        if self.percentile == 50:  # noqa: PLR2004 - as everybody calls it
            return f"median{averages}"
        return f"best {self.percentile:g} %{averages}"


class MedianPruner(PercentilePruner):
    """
    Ends a trial whose best value so far is worse than the median of the others.
    """

    options_class: ClassVar[type[PrunerOptions]] = MedianOptions

    @property
    def percentile(self) -> float:
        """
        Half of the trials may go on.
        """
        return 50.0


def quantile(values: Sequence[Any], share: float) -> float:
    """
    Return the value below which *share* of *values* lies, between two of them in proportion.

    Example:
        >>> quantile([1, 2, 3, 4], 0.5)
        2.5
    """
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low, part = math.floor(place), place - math.floor(place)
    if part == 0 or ordered[low] == ordered[low + 1]:
        return float(ordered[low])
    return float(ordered[low] + (ordered[low + 1] - ordered[low]) * part)
