"""
Losses as a Gaussian process likes them: without outliers, on a common scale.

Imported where a model is needed and nowhere else, since it loads numpy.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np  # noqa: TID253 - see above

from airflow_hpo.strategies._gp_cube import Floats

__all__ = ["Scaled", "scalings"]

# Further than so many quartile distances from the median, only the logarithm
# of the distance counts.
_OUTLIER = 20.0

# The warp's exponents; with 1 nothing would change. 0 tells low losses apart
# better, as in a valley between steep walls; 2 high ones, as in a hole in a
# plain. Which one suits, the model must tell: the exponent that makes the losses
# most like a normal distribution was worse than none on Rosenbrock's and
# Branin's function.
_EXPONENTS = (0.0, 2.0)


@dataclass(frozen=True, slots=True)
class Scaled:
    """
    Losses with mean 0 and deviation 1, in the same order as before.

    Args:
        losses: Shape ``(n_trials,)``.

        log_density:
            Logarithm of how much the scaling stretches, over all losses: what
            makes likelihoods of differently scaled losses comparable.
    """

    losses: Floats
    log_density: float


def scalings(losses: Floats) -> Iterator[Scaled]:
    """
    Yield *losses* as they are and warped (Yeo and Johnson 2000), standardised.
    """
    plain = _standardised(_tamed(losses))
    yield Scaled(plain.losses, 0.0)
    if np.ptp(plain.losses) > 0:
        for exponent in _EXPONENTS:
            warped = _standardised(_warped(plain.losses, exponent))
            yield Scaled(warped.losses, warped.log_density + _log_slope(plain.losses, exponent))


def _tamed(losses: Floats) -> Floats:
    """
    Return *losses* around their median, in quartile distances, outliers pulled in.
    """
    # Halved first: neither a distance nor a mean of finite numbers overflows.
    halved = losses / 2
    low, middle, high = np.quantile(halved, [0.25, 0.5, 0.75])
    spread = float(high - low) or float(np.max(np.abs(halved - middle))) or 1.0
    with np.errstate(over="ignore"):
        apart = (halved - middle) / spread
    apart = np.nan_to_num(apart, posinf=np.finfo(float).max, neginf=-np.finfo(float).max)
    beyond = np.log1p(np.maximum(np.abs(apart) - _OUTLIER, 0.0))
    return np.asarray(np.sign(apart) * (np.minimum(np.abs(apart), _OUTLIER) + beyond))


def _standardised(losses: Floats) -> Scaled:
    deviation = float(np.std(losses))
    if deviation <= 0:
        return Scaled(np.zeros_like(losses), 0.0)
    return Scaled((losses - np.mean(losses)) / deviation, -len(losses) * math.log(deviation))


def _warped(losses: Floats, exponent: float) -> Floats:
    """
    Return Yeo and Johnson's power transformation, which keeps the order.
    """
    size = np.log1p(np.abs(losses))
    power = np.where(losses >= 0, exponent, 2 - exponent)
    small = np.abs(power) < 1e-9  # noqa: PLR2004 - there it is the logarithm
    grown = np.where(small, size, np.expm1(power * size) / np.where(small, 1.0, power))
    return np.asarray(np.where(losses >= 0, grown, -grown))


def _log_slope(losses: Floats, exponent: float) -> float:
    return float((exponent - 1) * np.sum(np.sign(losses) * np.log1p(np.abs(losses))))
