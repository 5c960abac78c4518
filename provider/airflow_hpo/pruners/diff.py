"""
Ends a trial that is worse than the best by more than a share of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from airflow_hpo.pruners.base import PrunerOptions, RuledPruner, StepOptions, of_trials

if TYPE_CHECKING:
    from airflow_hpo.pruners.base import Curve

__all__ = ["DiffOptions", "DiffPruner"]


class DiffOptions(StepOptions):
    """
    Options of the diff pruner.

    Args:
        percent: So much of the best value's size a trial may lie behind it.

        startup_trials: So many others must have come as far; below that
            nobody is judged.
    """

    percent: float = Field(default=10.0, gt=0)
    startup_trials: int = Field(default=1, ge=1)


class DiffPruner(RuledPruner):
    """
    Ends a trial whose best value lies too far behind the best of all at the same step.

    Too far is more than *percent* of the size of that best value.
    """

    options_class: ClassVar[type[PrunerOptions]] = DiffOptions

    def reason(self, own: Curve, rivals: Sequence[Curve]) -> str | None:
        """
        Return why the trial with the curve *own* ends at its last step.
        """
        peers = self.peers(own, rivals)
        if len(peers) < self.options.startup_trials:
            return None
        best = min(peer.best for peer in peers)
        allowed = best + abs(best) * self.options.percent / 100
        # What is equal but for binary noise is not worse.
        if own.best <= allowed or math.isclose(own.best, allowed, rel_tol=1e-9):
            return None
        return (
            f"{own.best_value:.4g} {self.worse} the best {self.value_of(best):.4g} "
            f"{of_trials(len(peers))} by more than {self.options.percent:g} %"
        )
