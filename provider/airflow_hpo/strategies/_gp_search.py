"""
Which point promises most: acquisition functions, and the search for their top.

Imported where a model is needed and nowhere else, since it loads scipy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np  # noqa: TID253 - see above
from scipy.optimize import minimize  # noqa: TID253 - see above
from scipy.special import erfcx, log_ndtr, ndtr  # noqa: TID253 - see above

from airflow_hpo.strategies._gp_cube import Cube, Floats
from airflow_hpo.strategies._gp_surface import Surface

__all__ = ["Acquisition", "ranked_points"]

# Points looked at: anywhere, and around each of a few good ones.
_ANYWHERE = 1000
_AROUND = 40
_REACHES = (0.02, 0.1, math.inf)

# From how many of them the slope is followed, and how far.
_CLIMBS = 6
_CLIMBS_FROM_GOOD = 3
_STEPS = 50

# Among how many points chance decides, mostly for the first.
_FEW = 5
_SHAKE = 0.3

# Rounds of single changes of choices and steps.
_ROUNDS = 5

_LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)
_FAR = -5.0


@dataclass(frozen=True, slots=True)
class Acquisition:
    """
    How much is gained by trying a point; losses are minimised.

    Args:
        kind:
            Expected improvement (as logarithm), upper confidence bound (of
            the negative loss), or logarithm of the probability of improvement.

        weight: The deviation's weight in a confidence bound.

        margin: By how much a loss must be better to count as improvement.

        best: What is to be improved.
    """

    kind: Literal["ei", "ucb", "poi"]
    weight: float = 0.0
    margin: float = 0.0
    best: float = 0.0

    def __call__(self, mean: Floats, deviation: Floats) -> Floats:
        """
        Return the gain of each point.
        """
        if self.kind == "ucb":
            return self.weight * deviation - mean
        z = (self.best - self.margin - mean) / deviation
        if self.kind == "poi":
            return np.asarray(log_ndtr(z))
        return _log_improvement(z) + np.log(deviation)

    def slopes(self, mean: float, deviation: float) -> tuple[float, float]:
        """
        Return how the gain changes with the mean and with the deviation.
        """
        if self.kind == "ucb":
            return -1.0, self.weight
        z = (self.best - self.margin - mean) / deviation
        if self.kind == "poi":
            slope = math.exp(-0.5 * z * z - _LOG_SQRT_2PI - float(log_ndtr(z)))
            return -slope / deviation, -slope * z / deviation
        # With h the improvement in deviations: h' is the normal share below z.
        log_h = float(_log_improvement(np.array([z]))[0])
        slope = math.exp(min(float(log_ndtr(z)) - log_h, 700.0))
        return -slope / deviation, (1 - slope * z) / deviation


def _log_improvement(z: Floats) -> Floats:
    """
    Return the logarithm of the expected improvement in deviations, at any *z*.
    """
    near = np.maximum(z, _FAR)
    h = np.exp(-0.5 * near * near - _LOG_SQRT_2PI) + near * ndtr(near)
    far = np.minimum(z, _FAR)
    # There 1 + z * ndtr(z) / density(z) cancels; its series begins with 1/z^2.
    mills = math.sqrt(math.pi / 2) * erfcx(-far / math.sqrt(2))
    rest = np.where(far > -1e3, np.maximum(1 + far * mills, 1e-300), 1 / far**2)  # noqa: PLR2004
    tail = -0.5 * far * far - _LOG_SQRT_2PI + np.log(rest)
    return np.where(z > _FAR, np.log(np.maximum(h, 1e-300)), tail)


def ranked_points(
    cube: Cube,
    surface: Surface,
    gain: Acquisition,
    *,
    good: Floats,
    rng: np.random.Generator,
) -> Floats:
    """
    Return points, the most promising first.

    Args:
        cube: Where to look.

        surface: What is known.

        gain: What is wanted.

        good: Points around which to look closely, best first.

        rng: What candidates are drawn with.
    """
    pool = [cube.scattered(rng, _ANYWHERE)]
    pool += [
        cube.near(rng, point, reach=reach, count=_AROUND) for point in good for reach in _REACHES
    ]
    points = np.vstack(pool)
    values = _gains(cube, surface, gain, points)
    begins = [points[k] for k in np.argsort(-values, kind="stable")[:_CLIMBS]]
    begins += [cube.near(rng, point, reach=1e-4, count=1)[0] for point in good[:_CLIMBS_FROM_GOOD]]
    if cube.slopes:
        begins = [_climbed(cube, surface, gain, point) for point in begins]
    begins.append(_walked(cube, surface, gain, begins))
    points = np.vstack([*begins, points])
    values = _gains(cube, surface, gain, points)
    order = np.argsort(-values, kind="stable")
    if cube.is_countable:
        order = order[cube.distinct(points[order])]
        order = order[np.argsort(-_shaken(values[order], rng), kind="stable")]
    return np.asarray(points[order])


def _shaken(values: Floats, rng: np.random.Generator) -> Floats:
    """
    Return *values*, descending, such that chance decides among the best few.

    Where points can be counted, studies that differ in nothing but their seed
    would all try the same.
    """
    gap = values[0] - values[min(_FEW, len(values) - 1)]
    return np.asarray(values + _SHAKE * gap * rng.gumbel(size=len(values)))


def _gains(cube: Cube, surface: Surface, gain: Acquisition, points: Floats) -> Floats:
    return gain(*surface.predict(cube.features(points)))


def _climbed(cube: Cube, surface: Surface, gain: Acquisition, point: Floats) -> Floats:
    """
    Return where following the slope from *point* leads, choices kept.
    """
    moving = [(j, feature) for j, feature in cube.slopes if not math.isnan(point[j])]
    if not moving:
        return point
    places, features = map(list, zip(*moving, strict=True))
    row = cube.features(point[None])[0]

    def loss(x: Floats) -> tuple[float, Floats]:
        row[features] = x
        mean, deviation, mean_slopes, deviation_slopes = surface.slope(row)
        by_mean, by_deviation = gain.slopes(mean, deviation)
        value = float(gain(np.array([mean]), np.array([deviation]))[0])
        slopes = by_mean * mean_slopes + by_deviation * deviation_slopes
        return -value, -slopes[features]

    found = minimize(
        loss,
        point[places],
        jac=True,
        bounds=[(0.0, 1.0)] * len(places),
        method="L-BFGS-B",
        options={"maxiter": _STEPS},
    )
    top = point.copy()
    top[places] = found.x
    return np.asarray(cube.settled(top[None])[0])


def _walked(cube: Cube, surface: Surface, gain: Acquisition, points: list[Floats]) -> Floats:
    """
    Return where single changes of choices and steps lead from the best point.
    """
    values = _gains(cube, surface, gain, np.array(points))
    here, value = points[int(np.argmax(values))], float(np.max(values))
    for _ in range(_ROUNDS):
        around = cube.neighbours(here)
        if not len(around):
            break
        values = _gains(cube, surface, gain, around)
        if float(np.max(values)) <= value:
            break
        here, value = around[int(np.argmax(values))], float(np.max(values))
    return _climbed(cube, surface, gain, here) if cube.slopes else here
