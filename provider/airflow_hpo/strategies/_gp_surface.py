"""
A Gaussian process over features, fitted so that few observations do not mislead it.

Imported where a model is needed and nowhere else, since it loads scikit-learn.

The fit maximises the posterior, not the likelihood: length scales, amplitude
and noise have log-normal priors and bounds. Without those, thirty points in
six dimensions are often explained best as white noise. Features first share
one length scale; each one's own then stays close to that one, as far as the
observations do not say otherwise.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from typing import Any

import numpy as np  # noqa: TID253 - see above
from scipy.linalg import LinAlgError, cho_solve, cholesky, solve_triangular  # noqa: TID253 - see above
from scipy.optimize import minimize  # noqa: TID253 - see above
from scipy.spatial.distance import cdist  # noqa: TID253 - see above
from sklearn.exceptions import ConvergenceWarning  # noqa: TID253 - see above
from sklearn.gaussian_process import GaussianProcessRegressor  # noqa: TID253 - see above
from sklearn.gaussian_process.kernels import ConstantKernel, WhiteKernel  # noqa: TID253 - see above

from airflow_hpo.strategies._gp_cube import Floats
from airflow_hpo.strategies._gp_kernels import Shape

__all__ = ["LENGTH_BOUNDS", "Surface", "fit_surface"]

LENGTH_BOUNDS = (0.05, 10.0)
"""The shortest and the longest length scale, in edges of the unit cube."""

_AMPLITUDE_BOUNDS = (0.05, 20.0)
_NOISE_BOUNDS = (1e-7, 0.3)

# Medians of the priors, and deviations of their logarithms. In more dimensions
# points are further apart, so the length scale grows with the diagonal.
_LENGTH, _LENGTH_SPREAD = 0.5, 0.7
_AMPLITUDE_SPREAD = 1.0
_NOISE, _NOISE_SPREAD = 1e-5, 3.0

# How far a feature's own length scale strays from the common one.
_OWN_SPREAD = 0.3

# Variance of the process's level. Good points drag the mean of losses down;
# with a level fixed there the process would expect too much of what is far.
_LEVEL = 4.0

_JITTER = 1e-9
_STEPS = 50


class Surface:
    """
    The process, conditioned on observations: what it expects, and how surely.

    Args:
        regressor: A fitted one: amplitude times kernel, noise, level.

        shape: Its kernel's shape.

        evidence: Logarithm of the posterior density of its hyperparameters.

        known: How many observations are real; those after them are assumed.
    """

    def __init__(
        self, regressor: GaussianProcessRegressor, shape: Shape, *, evidence: float, known: int
    ) -> None:
        kernel = regressor.kernel_.k1
        self.evidence = evidence
        self.known = known
        self.amplitude = float(kernel.k1.k1.constant_value)
        self.length_scales: Floats = np.broadcast_to(
            np.asarray(kernel.k1.k2.length_scale, float), (regressor.X_train_.shape[1],)
        )
        self.noise = float(kernel.k2.noise_level)
        self.features: Floats = regressor.X_train_
        self.losses: Floats = regressor.y_train_
        self._regressor = regressor
        self._shape = shape
        self._profile = shape.profile()
        self._values = shape.values()
        self._scaled = self.features / self.length_scales

    def conditioned(self, features: Floats, losses: Floats) -> Surface:
        """
        Return the process with assumed observations besides, hyperparameters kept.
        """
        features = np.vstack([self.features, features])
        return self._over(features, np.concatenate([self.losses, losses]), known=self.known)

    def moved(self, features: Floats, losses: Floats) -> Surface:
        """
        Return the process with other observations, hyperparameters kept.
        """
        return self._over(features, losses, known=len(losses))

    def _over(self, features: Floats, losses: Floats, *, known: int) -> Surface:
        regressor = GaussianProcessRegressor(
            self._regressor.kernel_, alpha=_JITTER, optimizer=None
        ).fit(features, losses)
        return Surface(regressor, self._shape, evidence=self.evidence, known=known)

    def predict(self, features: Floats) -> tuple[Floats, Floats]:
        """
        Return mean and deviation for each row, without the noise.
        """
        apart = cdist(features / self.length_scales, self._scaled)
        k = self.amplitude * self._values(apart) + _LEVEL
        half = solve_triangular(self._regressor.L_, k.T, lower=True, check_finite=False)
        variance = self.amplitude + _LEVEL - np.einsum("ij,ij->j", half, half)
        return k @ self._regressor.alpha_, np.sqrt(np.maximum(variance, 1e-12))

    def slope(self, row: Floats) -> tuple[float, float, Floats, Floats]:
        """
        Return mean, deviation, and how each changes with the features.
        """
        apart = row / self.length_scales - self._scaled
        k, k_slope = self._profile(np.sqrt((apart * apart).sum(axis=1)))
        k = self.amplitude * k + _LEVEL
        k_slopes = self.amplitude * k_slope[:, None] * apart / self.length_scales
        solved = cho_solve((self._regressor.L_, True), k, check_finite=False)
        deviation = math.sqrt(max(self.amplitude + _LEVEL - float(k @ solved), 1e-12))
        alpha = self._regressor.alpha_
        return float(k @ alpha), deviation, alpha @ k_slopes, -(solved @ k_slopes) / deviation


def fit_surface(
    features: Floats, losses: Floats, *, shape: Shape, ard: bool, columns: int
) -> Surface:
    """
    Return the process with the most probable hyperparameters.

    Args:
        features: Where it was measured, shape ``(n_trials, n_features)``.

        losses: What was measured there, standardised.

        shape: Which kernel.

        ard: Whether each feature has a length scale of its own.

        columns: How many parameters are searched.
    """
    median = _LENGTH * math.sqrt(max(columns, 1))
    length = float(np.clip(shape.length_scale or median, *LENGTH_BOUNDS))
    kernel = (
        ConstantKernel(1.0, _AMPLITUDE_BOUNDS) * shape.kernel_over(length, LENGTH_BOUNDS)
        + WhiteKernel(_NOISE, _NOISE_BOUNDS)
        + ConstantKernel(_LEVEL, "fixed")
    )
    climb = _Climb(features, losses, shape=shape, length=median, spread=_LENGTH_SPREAD)
    surface = _climbed(features, losses, shape=shape, kernel=kernel, climb=climb)
    if not ard or features.shape[1] == 1:
        return surface
    common = float(surface.length_scales[0])
    kernel = (
        ConstantKernel(surface.amplitude, _AMPLITUDE_BOUNDS)
        * shape.kernel_over(np.full(features.shape[1], common), LENGTH_BOUNDS)
        + WhiteKernel(surface.noise, _NOISE_BOUNDS)
        + ConstantKernel(_LEVEL, "fixed")
    )
    once = replace(shape, n_restarts=0)
    climb = _Climb(features, losses, shape=once, length=common, spread=_OWN_SPREAD)
    return _climbed(features, losses, shape=shape, kernel=kernel, climb=climb)


def _climbed(
    features: Floats,
    losses: Floats,
    *,
    shape: Shape,
    kernel: Any,  # noqa: ANN401 - scikit-learn has no types
    climb: _Climb,
) -> Surface:
    regressor = GaussianProcessRegressor(kernel, alpha=_JITTER, optimizer=climb)
    with warnings.catch_warnings():
        # A hyperparameter on its bound is what the bound is for.
        warnings.simplefilter("ignore", ConvergenceWarning)
        regressor.fit(features, losses)
    return Surface(regressor, shape, evidence=climb.best, known=len(losses))


class _Climb:
    """
    Finds the most probable hyperparameters; scikit-learn calls it once.

    It climbs the likelihood that scikit-learn means, but computes it itself:
    one matrix for each hyperparameter makes scikit-learn's several times slower.

    Args:
        features: What the process is fitted to.

        losses: What was measured there.

        shape: The kernel's.

        length: Median of the length scales' prior.

        spread: Deviation of their logarithms.

    Attributes:
        best: The logarithm of the density found.
    """

    def __init__(
        self, features: Floats, losses: Floats, *, shape: Shape, length: float, spread: float
    ) -> None:
        self.best = -math.inf
        self._losses = losses
        self._profile = shape.profile()
        self._restarts = shape.n_restarts
        self._length = length
        self._spread = spread
        # Half of each symmetric matrix is enough, and off its diagonal.
        self._rows, self._columns = np.triu_indices(len(features), k=1)
        self._squares: Floats = (features[self._rows] - features[self._columns]) ** 2
        self._sums: Floats = self._squares.sum(axis=1, keepdims=True)

    def __deepcopy__(self, memo: dict[int, Any]) -> _Climb:
        """
        Return itself: scikit-learn copies its arguments, we want the result.
        """
        return self

    def __call__(self, _misfit: object, begin: Floats, *, bounds: Floats) -> tuple[Floats, float]:
        """
        Return the most probable logarithms of the hyperparameters, and the misfit there.
        """
        lengths = len(begin) - 2
        medians = np.log([1.0, *[self._length] * lengths, _NOISE])
        spreads = np.array([_AMPLITUDE_SPREAD, *[self._spread] * lengths, _NOISE_SPREAD])

        def improbability(theta: Floats) -> tuple[float, Floats]:
            value, slope = self.likelihood(theta)
            apart = (theta - medians) / spreads
            return 0.5 * float(apart @ apart) - value, apart / spreads - slope

        rng = np.random.default_rng(0)
        begins = [begin, *rng.normal(medians, spreads, (self._restarts, len(begin)))]
        found = [
            minimize(
                improbability,
                np.clip(each, bounds[:, 0], bounds[:, 1]),
                jac=True,
                bounds=bounds,
                method="L-BFGS-B",
                options={"maxiter": _STEPS},
            )
            for each in begins
        ]
        least = min(found, key=lambda item: float(item.fun))
        self.best = -float(least.fun)
        return least.x, float(least.fun)

    def likelihood(self, theta: Floats) -> tuple[float, Floats]:
        """
        Return the likelihood's logarithm, and its slope.

        Args:
            theta: Logarithms of amplitude, length scales and noise.
        """
        amplitude, noise = math.exp(theta[0]), math.exp(theta[-1])
        squares = self._sums if len(theta) == 3 else self._squares  # noqa: PLR2004 - one length
        squares = squares / np.exp(2 * theta[1:-1])
        k, k_slope = self._profile(np.sqrt(squares.sum(axis=1)))
        size = len(self._losses)
        matrix = np.empty((size, size))
        matrix[self._rows, self._columns] = matrix[self._columns, self._rows] = (
            amplitude * k + _LEVEL
        )
        np.fill_diagonal(matrix, amplitude + _LEVEL + noise + _JITTER)
        try:
            root = cholesky(matrix, lower=True, check_finite=False)
        except LinAlgError:
            return -math.inf, np.zeros_like(theta)
        inverse = cho_solve((root, True), np.eye(size), check_finite=False)
        alpha = inverse @ self._losses
        weights = np.outer(alpha, alpha) - inverse
        above = amplitude * weights[self._rows, self._columns]
        trace = float(np.trace(weights))
        value = -0.5 * float(self._losses @ alpha) - float(np.log(np.diag(root)).sum())
        slope = [above @ k + 0.5 * amplitude * trace, *-((above * k_slope) @ squares)]
        return value - 0.5 * size * math.log(2 * math.pi), np.array([*slope, 0.5 * noise * trace])
