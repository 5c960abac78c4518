"""
Ends a trial whose value is out of bounds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import model_validator

from airflow_hpo.pruners.base import PrunerOptions, RuledPruner, StepOptions

if TYPE_CHECKING:
    from airflow_hpo.pruners.base import Curve

__all__ = ["ThresholdOptions", "ThresholdPruner"]


class ThresholdOptions(StepOptions):
    """
    Options of the threshold pruner; *lower*, *upper* or both.

    Args:
        lower: A value below this ends the trial.

        upper: A value above this ends the trial.
    """

    lower: float | None = None
    upper: float | None = None

    @model_validator(mode="after")
    def _some(self) -> ThresholdOptions:
        if self.lower is None and self.upper is None:
            raise ValueError("lower or upper must be given, got neither")
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            raise ValueError(
                f"lower must not exceed upper, got lower={self.lower:g}, upper={self.upper:g}"
            )
        return self


class ThresholdPruner(RuledPruner):
    """
    Ends a trial whose last value lies out of bounds, or is no number at all.
    """

    options_class: ClassVar[type[PrunerOptions]] = ThresholdOptions

    def reason(self, own: Curve, rivals: Sequence[Curve]) -> str | None:  # noqa: ARG002
        """
        Return why the trial with the curve *own* ends at its last step.
        """
        value, lower, upper = own.values[-1], self.options.lower, self.options.upper
        if not math.isfinite(value):
            return f"{self.objective.metric} is no finite number"
        if lower is not None and value < lower:
            return f"{value:.4g} below the lower bound {lower:g}"
        if upper is not None and value > upper:
            return f"{value:.4g} above the upper bound {upper:g}"
        return None
