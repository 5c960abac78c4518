"""
Ends the worst part of the trials at each look.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from airflow_hpo.model.trial import TrialState
from airflow_hpo.pruners.base import PrunerOptions, RuledPruner, StepOptions

if TYPE_CHECKING:
    from airflow_hpo.pruners.base import Curve

__all__ = ["TruncationOptions", "TruncationPruner"]


class TruncationOptions(StepOptions):
    """
    Options of the truncation pruner.

    Args:
        percent: So much of the running trials end, the worst first.

        include_complete: Whether trials that are through count in the ranking.
    """

    percent: float = Field(default=20.0, gt=0, lt=100)
    include_complete: bool = False


class TruncationPruner(RuledPruner):
    """
    Ends a trial that is among the worst *percent* of those that run.

    They are ranked by the best value that each had at the same step; the
    number of those that end is rounded down. Of equals, the earlier goes on.
    """

    options_class: ClassVar[type[PrunerOptions]] = TruncationOptions

    def reason(self, own: Curve, rivals: Sequence[Curve]) -> str | None:
        """
        Return why the trial with the curve *own* ends at its last step.
        """
        states = {TrialState.RUNNING}
        if self.options.include_complete:
            states.add(TrialState.COMPLETE)
        peers = [peer for peer in self.peers(own, rivals) if peer.state in states]
        better = sum(1 for peer in peers if (peer.best, peer.number) < (own.best, own.number))
        count = len(peers) + 1
        ending = math.floor(self.options.percent / 100 * count + 1e-9)
        if better < count - ending:
            return None
        return (
            f"{own.best_value:.4g} is number {better + 1} of {count}, "
            f"the worst {self.options.percent:g} % end"
        )
