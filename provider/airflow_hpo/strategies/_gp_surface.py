"""
A Gaussian process over features, fitted so that few observations do not mislead it.

Imported where a model is needed and nowhere else, since it loads scikit-learn.

The fit maximises the posterior, not the likelihood: length scales, amplitude
and noise have log-normal priors and bounds. Without those, thirty points in
six dimensions are often explained best as white noise.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Literal, TypeAlias

import numpy as np  # noqa: TID253 - see above
from scipy.interpolate import CubicSpline  # noqa: TID253 - see above
from scipy.linalg import cho_solve, solve_triangular  # noqa: TID253 - see above
from scipy.optimize import minimize  # noqa: TID253 - see above
from scipy.spatial.distance import cdist, pdist, squareform  # noqa: TID253 - see above
from scipy.special import gammaln, kve  # noqa: TID253 - see above
from sklearn.exceptions import ConvergenceWarning  # noqa: TID253 - see above
from sklearn.gaussian_process import GaussianProcessRegressor  # noqa: TID253 - see above
from sklearn.gaussian_process.kernels import (  # noqa: TID253 - see above
    RBF,
    ConstantKernel,
    Matern,
    WhiteKernel,
)

from airflow_hpo.strategies._gp_cube import Floats

__all__ = ["LENGTH_BOUNDS", "Shape", "Surface", "fit_surface"]

LENGTH_BOUNDS = (0.05, 10.0)
"""The shortest and the longest length scale, in edges of the unit cube."""

_AMPLITUDE_BOUNDS = (0.05, 20.0)
_NOISE_BOUNDS = (1e-7, 0.3)

# Medians of the priors, and deviations of their logarithms. In more dimensions
# points are further apart, so the length scale grows with the diagonal.
_LENGTH, _LENGTH_SPREAD = 0.5, 0.7
_AMPLITUDE_SPREAD = 1.0
_NOISE, _NOISE_SPREAD = 1e-5, 3.0

_JITTER = 1e-9
_STEPS = 50
_TINY = 1e-8

_Profile: TypeAlias = Callable[[Floats], tuple[Floats, Floats]]


@dataclass(frozen=True, slots=True)
class Shape:
    """
    Which kernel.

    Args:
        kernel: The family.

        nu: How smooth a Matern kernel is.

        length_scale: Where the fit begins; `None` for the prior's median.

        n_restarts: How many more beginnings are tried.
    """

    kernel: Literal["matern", "rbf"]
    nu: float
    length_scale: float | None
    n_restarts: int

    def profile(self) -> _Profile:
        """
        Return the kernel by scaled distance *r*, and its slope over *r*.
        """
        if self.kernel == "rbf":
            return _rbf
        return _CLOSED.get(self.nu) or _matern(self.nu)

    def values(self) -> Callable[[Floats], Floats]:
        """
        Return the kernel alone by scaled distance, quick for many of them.
        """
        if self.kernel == "matern" and self.nu not in _CLOSED:
            return partial(_from_table, _table(self.nu))
        profile = self.profile()
        return lambda r: profile(r)[0]


def _rbf(r: Floats) -> tuple[Floats, Floats]:
    k = np.exp(-0.5 * r * r)
    return k, -k


def _matern_half(r: Floats) -> tuple[Floats, Floats]:
    k = np.exp(-r)
    return k, -k / np.maximum(r, _TINY)


def _matern_three_halves(r: Floats) -> tuple[Floats, Floats]:
    s = math.sqrt(3) * r
    e = np.exp(-s)
    return (1 + s) * e, -3 * e


def _matern_five_halves(r: Floats) -> tuple[Floats, Floats]:
    s = math.sqrt(5) * r
    e = np.exp(-s)
    return (1 + s + s * s / 3) * e, -(5 / 3) * (1 + s) * e


def _matern(nu: float) -> _Profile:
    constant = (1 - nu) * math.log(2) - float(gammaln(nu))
    root = math.sqrt(2 * nu)

    def profile(r: Floats) -> tuple[Floats, Floats]:
        s = np.maximum(root * r, _TINY)
        # Scaled Bessel functions: the plain ones vanish before the kernel does.
        front = np.exp(constant + nu * np.log(s) - s)
        k = np.where(root * r <= _TINY, 1.0, front * kve(nu, s))
        return k, -2 * nu * front * kve(nu - 1, s) / s

    return profile


_CLOSED: dict[float, _Profile] = {
    0.5: _matern_half,
    1.5: _matern_three_halves,
    2.5: _matern_five_halves,
}

# A Bessel function takes a microsecond. The kernel is smooth over the root of
# the distance, and nothing is left of it at the table's end.
_TABLE_END, _TABLE_SIZE = 60.0, 2000


@lru_cache(maxsize=8)
def _table(nu: float) -> CubicSpline:
    roots = np.linspace(0.0, math.sqrt(_TABLE_END), _TABLE_SIZE)
    return CubicSpline(roots, _matern(nu)(roots**2)[0])


def _from_table(table: CubicSpline, r: Floats) -> Floats:
    return np.asarray(table(np.sqrt(np.minimum(r, _TABLE_END))))


class _AnyMatern(Matern):  # type: ignore[misc] # scikit-learn has no types
    """
    A Matern kernel whose gradient is exact for every smoothness.

    scikit-learn knows it for three of them and takes differences for others,
    which costs a kernel for each length scale.
    """

    def __call__(self, X: Floats, Y: Floats | None = None, eval_gradient: bool = False) -> Any:  # noqa: ANN401, FBT001, FBT002, N803 - scikit-learn's signature
        profile = Shape("matern", self.nu, None, 0).profile()
        scaled = X / self.length_scale
        if Y is not None:
            return profile(cdist(scaled, Y / self.length_scale))[0]
        # Half of the matrix is enough, and off its diagonal.
        k, slope = map(squareform, profile(pdist(scaled)))
        np.fill_diagonal(k, 1.0)
        if not eval_gradient:
            return k
        squares = (scaled[:, None, :] - scaled[None]) ** 2
        if not self.anisotropic:
            squares = squares.sum(axis=-1, keepdims=True)
        return k, -slope[:, :, None] * squares


class Surface:
    """
    The process, conditioned on observations: what it expects, and how surely.

    Args:
        regressor: A fitted one, with an amplitude, a kernel and noise.

        shape: Its kernel's shape.

        evidence: Logarithm of the posterior density of its hyperparameters.

        known: How many observations are real; those after them are assumed.
    """

    def __init__(
        self, regressor: GaussianProcessRegressor, shape: Shape, *, evidence: float, known: int
    ) -> None:
        kernel = regressor.kernel_
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
        k = self.amplitude * self._values(cdist(features / self.length_scales, self._scaled))
        half = solve_triangular(self._regressor.L_, k.T, lower=True, check_finite=False)
        variance = self.amplitude - np.einsum("ij,ij->j", half, half)
        return k @ self._regressor.alpha_, np.sqrt(np.maximum(variance, 1e-12))

    def slope(self, row: Floats) -> tuple[float, float, Floats, Floats]:
        """
        Return mean, deviation, and how each changes with the features.
        """
        apart = row / self.length_scales - self._scaled
        k, k_slope = self._profile(np.sqrt((apart * apart).sum(axis=1)))
        k = self.amplitude * k
        k_slopes = self.amplitude * k_slope[:, None] * apart / self.length_scales
        solved = cho_solve((self._regressor.L_, True), k, check_finite=False)
        deviation = math.sqrt(max(self.amplitude - float(k @ solved), 1e-12))
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
    count = features.shape[1] if ard else 1
    begin = np.clip(median if shape.length_scale is None else shape.length_scale, *LENGTH_BOUNDS)
    length: Any = np.full(count, begin) if ard else float(begin)
    if shape.kernel == "rbf":
        core = RBF(length, LENGTH_BOUNDS)
    else:
        core = _AnyMatern(length, LENGTH_BOUNDS, nu=shape.nu)
    kernel = ConstantKernel(1.0, _AMPLITUDE_BOUNDS) * core + WhiteKernel(_NOISE, _NOISE_BOUNDS)
    climb = _Climb(
        medians=np.log([1.0, *[median] * count, _NOISE]),
        spreads=np.array([_AMPLITUDE_SPREAD, *[_LENGTH_SPREAD] * count, _NOISE_SPREAD]),
        restarts=shape.n_restarts,
    )
    regressor = GaussianProcessRegressor(kernel, alpha=_JITTER, optimizer=climb)
    with warnings.catch_warnings():
        # A hyperparameter on its bound is what the bound is for.
        warnings.simplefilter("ignore", ConvergenceWarning)
        regressor.fit(features, losses)
    return Surface(regressor, shape, evidence=climb.best, known=len(losses))


class _Climb:
    """
    Finds the most probable hyperparameters; scikit-learn calls it once.

    Args:
        medians: Of the priors, as logarithms: amplitude, lengths, noise.

        spreads: Deviations of those logarithms.

        restarts: How many more beginnings, drawn from the priors.

    Attributes:
        best: The density found.
    """

    def __init__(self, *, medians: Floats, spreads: Floats, restarts: int) -> None:
        self.best = -math.inf
        self._medians = medians
        self._spreads = spreads
        self._restarts = restarts

    def __deepcopy__(self, memo: dict[int, Any]) -> _Climb:
        """
        Return itself: scikit-learn copies its arguments, we want the result.
        """
        return self

    def __call__(
        self, misfit: Callable[[Floats], tuple[float, Floats]], begin: Floats, *, bounds: Floats
    ) -> tuple[Floats, float]:
        """
        Return where *misfit* less the priors' logarithm is least, and its value.
        """

        def improbability(theta: Floats) -> tuple[float, Floats]:
            value, slope = misfit(theta)
            apart = (theta - self._medians) / self._spreads
            return value + 0.5 * float(apart @ apart), slope + apart / self._spreads

        rng = np.random.default_rng(0)
        begins = [begin, *rng.normal(self._medians, self._spreads, (self._restarts, len(begin)))]
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
