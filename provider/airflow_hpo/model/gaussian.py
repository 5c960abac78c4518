"""
Normal and log-normal distributions.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Literal

from pydantic import Field, model_validator

from airflow_hpo.model.base import Document
from airflow_hpo.model.scale import is_number, stepped
from airflow_hpo.model.values import Value

__all__ = ["LogNormal", "Normal"]

# The outermost quantiles that are ever drawn: about eight deviations, so that
# a unit number of exactly 0 or 1 stays finite.
_TAIL = 1e-15


class _Gaussian(Document):
    """
    What the two share: a normal distribution, and steps around it.
    """

    mean: float
    deviation: float = Field(gt=0)
    step: float | None = Field(default=None, gt=0)

    def size(self) -> None:
        """
        Return `None`: the values cannot be counted.
        """

    def cast(self, value: Value) -> float:
        """
        Return *value* in the type this distribution speaks.
        """
        return float(value)

    def _quantile(self, unit: float) -> float:
        unit = min(max(unit, _TAIL), 1 - _TAIL)
        return NormalDist(self.mean, self.deviation).inv_cdf(unit)

    def _share_below(self, value: float) -> float:
        return NormalDist(self.mean, self.deviation).cdf(value)

    def _round(self, value: float) -> float:
        if self.step is None:
            return value
        return stepped(0.0, self.step, round(value / self.step))

    def _on_grid(self, value: Value) -> bool:
        if not is_number(value):
            return False
        return self.step is None or math.isclose(self._round(value), value, rel_tol=1e-9)

    def _check_tails(self, *values: float) -> None:
        if not all(map(math.isfinite, values)):
            raise OverflowError


class Normal(_Gaussian):
    """
    A normally distributed number.

    Args:
        mean: Of the distribution.

        deviation: Its standard deviation.

        step: Values are rounded to multiples of it; `None` for a continuum.
    """

    kind: Literal["normal"] = "normal"

    @model_validator(mode="after")
    def _finite(self) -> Normal:
        try:
            self._check_tails(self.from_unit(0.0), self.from_unit(1.0))
        except OverflowError:
            raise ValueError(
                "mean and deviation must leave all values finite, "
                f"got mean={self.mean}, deviation={self.deviation}"
            ) from None
        return self

    def values(self) -> tuple[float, ...]:
        """
        Refuse: the values cannot be listed.
        """
        raise ValueError("the values of a normal distribution cannot be listed")

    def from_unit(self, unit: float) -> float:
        """
        Return the quantile at *unit*.
        """
        return self._round(self._quantile(unit))

    def to_unit(self, value: Value) -> float:
        """
        Return the share of the distribution that lies below *value*.
        """
        return self._share_below(value)

    def contains(self, value: Value) -> bool:
        """
        Return whether *value* is a finite number on the grid of steps.
        """
        return self._on_grid(value)


class LogNormal(_Gaussian):
    """
    A positive number whose natural logarithm is normally distributed.

    Args:
        mean: Of the natural logarithm (``exp(mean)`` is the median).

        deviation: Of the natural logarithm.

        step: Values are rounded to multiples of it; `None` for a continuum.
    """

    kind: Literal["lognormal"] = "lognormal"

    @model_validator(mode="after")
    def _finite(self) -> LogNormal:
        try:
            self._check_tails(self.from_unit(1.0))
        except OverflowError:
            raise ValueError(
                "mean and deviation are of the natural logarithm and must leave all values "
                f"finite, got mean={self.mean}, deviation={self.deviation}"
            ) from None
        return self

    def values(self) -> tuple[float, ...]:
        """
        Refuse: the values cannot be listed.
        """
        raise ValueError("the values of a lognormal distribution cannot be listed")

    def from_unit(self, unit: float) -> float:
        """
        Return the quantile at *unit*.
        """
        return self._round(math.exp(self._quantile(unit)))

    def to_unit(self, value: Value) -> float:
        """
        Return the share of the distribution that lies below *value*.
        """
        return self._share_below(math.log(value)) if value > 0 else 0.0

    def contains(self, value: Value) -> bool:
        """
        Return whether *value* is a number this distribution may take.
        """
        return is_number(value) and value >= 0 and self._on_grid(value)
