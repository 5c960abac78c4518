"""
Known functions that searches are measured on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

__all__ = ["ackley", "branin", "hartmann", "rosenbrock"]

_HARTMANN_A = (
    (10, 3, 17, 3.5, 1.7, 8),
    (0.05, 10, 17, 0.1, 8, 14),
    (3, 3.5, 1.7, 10, 17, 8),
    (17, 8, 0.05, 10, 0.1, 14),
)
_HARTMANN_P = (
    (0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886),
    (0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991),
    (0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650),
    (0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381),
)
_HARTMANN_C = (1.0, 1.2, 3.0, 3.2)


def branin(x: Sequence[float]) -> float:
    """
    Return Branin's function; three minima of 0.397887.
    """
    a, b = x
    bend = b - 5.1 / (4 * math.pi**2) * a * a + 5 / math.pi * a - 6
    return bend**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(a) + 10


def hartmann(x: Sequence[float]) -> float:
    """
    Return Hartmann's function of six; minimum -3.32237, another one -3.2032.
    """
    return -sum(
        c * math.exp(-sum(a * (v - p) ** 2 for a, v, p in zip(row, x, middle, strict=True)))
        for c, row, middle in zip(_HARTMANN_C, _HARTMANN_A, _HARTMANN_P, strict=True)
    )


def rosenbrock(x: Sequence[float]) -> float:
    """
    Return Rosenbrock's valley of any dimension; minimum 0.
    """
    return sum(100 * (after - value**2) ** 2 + (1 - value) ** 2 for value, after in pairwise(x))


def ackley(x: Sequence[float]) -> float:
    """
    Return Ackley's function; minimum 0 among many others.
    """
    root = math.sqrt(sum(v * v for v in x) / len(x))
    waves = sum(math.cos(2 * math.pi * v) for v in x) / len(x)
    return -20 * math.exp(-0.2 * root) - math.exp(waves) + 20 + math.e
