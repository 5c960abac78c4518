"""
Kernels of Gaussian processes: how much losses have in common, by distance.

Imported where a model is needed and nowhere else, since it loads scikit-learn.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Literal, TypeAlias

import numpy as np  # noqa: TID253 - see above
from scipy.interpolate import CubicSpline  # noqa: TID253 - see above
from scipy.spatial.distance import cdist, pdist, squareform  # noqa: TID253 - see above
from scipy.special import gammaln, kve  # noqa: TID253 - see above
from sklearn.gaussian_process.kernels import RBF, Matern  # noqa: TID253 - see above

from airflow_hpo.strategies._gp_cube import Floats

__all__ = ["AnyMatern", "Shape"]

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

    def kernel_over(self, length_scale: float | Floats, bounds: tuple[float, float]) -> Any:  # noqa: ANN401 - scikit-learn has no types
        """
        Return scikit-learn's kernel, its length scales free within *bounds*.
        """
        if self.kernel == "rbf":
            return RBF(length_scale, bounds)
        return AnyMatern(length_scale, bounds, nu=self.nu)

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


class AnyMatern(Matern):  # type: ignore[misc] # scikit-learn has no types
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
