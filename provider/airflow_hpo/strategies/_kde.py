"""
Two kernel densities, of good trials and of the others, and the best ratio of many draws.

The model of BOHB. Imported where it is needed and nowhere else, since it loads
NumPy.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np  # noqa: TID253 - see above

from airflow_hpo.model.distribution import Categorical
from airflow_hpo.model.space import Parameter, Space
from airflow_hpo.model.trial import Trial
from airflow_hpo.model.values import Configuration, Value

__all__ = ["KdeModel", "KdeRules"]

_NORMAL = NormalDist()

# No density is smaller than this: a ratio of two of nothing says nothing.
_FLOOR = 1e-32


@dataclass(frozen=True, slots=True)
class KdeRules:
    """
    How the densities are made.

    Args:
        least: So many trials count as good at least, and as others too.

        share: Of all trials, that counts as good.

        candidates: How many are drawn for each proposal.

        widening: Numbers are drawn with this multiple of the kernels' width.

        narrowest: No kernel is narrower, on the unit interval.
    """

    least: int
    share: float
    candidates: int
    widening: float
    narrowest: float


class KdeModel:
    """
    Proposes what lies where good trials are dense and the others are not.

    Numbers live on the unit interval of their distribution, so a logarithmic
    scale or a normal distribution is what the kernels see; choices have kernels
    that give every other choice the same little weight. Where a parameter is
    inactive in a trial, the values of others stand in.

    Args:
        space: What is searched.

        trials: Those that teach, the best first.

        rules: How the densities are made.

    Source:
        Falkner, Klein, Hutter (2018), "BOHB", ICML, and the constants of its
        reference implementation.
    """

    def __init__(self, space: Space, trials: Sequence[Trial], rules: KdeRules) -> None:
        self._space = space
        self._rules = rules
        self._axes = [_Axis.of(parameter) for parameter in space.tunable]
        points = self._completed(trials)
        good = max(rules.least, int(rules.share * len(trials)))
        self._good = _Density(points[:good], self._axes, rules.narrowest)
        self._others = _Density(points[good:], self._axes, rules.narrowest)

    def propose(self, seed: int) -> Configuration:
        """
        Return the best of the candidates that *seed* draws.
        """
        rng = random.Random(seed)  # noqa: S311 - no secret
        drawn = np.array([self._drawn(rng) for _ in range(self._rules.candidates)])
        ratio = np.maximum(self._good.at(drawn), _FLOOR) / np.maximum(
            self._others.at(drawn), _FLOOR
        )
        best = drawn[int(np.argmax(ratio))]
        found: dict[str, Value] = {
            axis.parameter.name: axis.value(float(place))
            for axis, place in zip(self._axes, best, strict=True)
        }
        return self._space.arrange({**_constants(self._space), **found})

    def settle(self, trial: Trial) -> None:
        """
        Pass over a trial that waits: chance keeps proposals apart.
        """

    def _drawn(self, rng: random.Random) -> list[float]:
        """
        Return a point beside one of the good ones.
        """
        centre = self._good.points[rng.randrange(len(self._good.points))]
        return [
            axis.beside(float(place), width, self._rules.widening, rng)
            for axis, place, width in zip(self._axes, centre, self._good.widths, strict=True)
        ]

    def _completed(self, trials: Sequence[Trial]) -> np.ndarray:
        """
        Return the trials as points, shape ``(n_trials, n_parameters)``.
        """
        rows = [[axis.place(trial.configuration) for axis in self._axes] for trial in trials]
        points = np.array(rows, dtype=float).reshape(len(trials), len(self._axes))
        rng = random.Random(len(trials))  # noqa: S311 - no secret
        for column, axis in enumerate(self._axes):
            missing = np.isnan(points[:, column])
            known = points[~missing, column]
            for row in np.flatnonzero(missing):
                points[row, column] = rng.choice(known) if len(known) else axis.anywhere(rng)
        return points


def _constants(space: Space) -> dict[str, Value]:
    tunable = {parameter.name for parameter in space.tunable}
    return {
        parameter.name: parameter.distribution.from_unit(0.5)
        for parameter in space.parameters
        if parameter.name not in tunable
    }


@dataclass(frozen=True, slots=True)
class _Axis:
    """
    One parameter as numbers: a place in the unit interval, or a choice's position.

    Args:
        parameter: The parameter.

        choices: Those that can be drawn; empty for numbers.
    """

    parameter: Parameter
    choices: tuple[Value, ...]

    @classmethod
    def of(cls, parameter: Parameter) -> _Axis:
        known = parameter.distribution
        return cls(parameter, tuple(known.values()) if isinstance(known, Categorical) else ())

    def place(self, configuration: Configuration) -> float:
        """
        Return where a configuration is; NaN where the parameter is inactive.
        """
        if self.parameter.name not in configuration:
            return math.nan
        value = configuration[self.parameter.name]
        if not self.choices:
            return self.parameter.distribution.to_unit(value)
        return float(next((i for i, each in enumerate(self.choices) if each == value), math.nan))

    def value(self, place: float) -> Value:
        """
        Return the value at *place*.
        """
        if self.choices:
            return self.choices[int(place)]
        return self.parameter.distribution.from_unit(min(max(place, 0.0), 1.0 - 1e-12))

    def anywhere(self, rng: random.Random) -> float:
        """
        Return any place.
        """
        return float(rng.randrange(len(self.choices))) if self.choices else rng.random()

    def beside(self, place: float, width: float, widening: float, rng: random.Random) -> float:
        """
        Return a place near *place*, drawn as the kernel there is.
        """
        if self.choices:
            return place if rng.random() < 1 - width else self.anywhere(rng)
        wide = width * widening
        low, high = _NORMAL.cdf(-place / wide), _NORMAL.cdf((1 - place) / wide)
        share = low + rng.random() * (high - low)
        return place + wide * _NORMAL.inv_cdf(min(max(share, 1e-12), 1 - 1e-12))


class _Density:
    """
    A product of kernels over points, their widths by the normal reference rule.

    Args:
        points: Shape ``(n_points, n_parameters)``.

        axes: The parameters.

        narrowest: No kernel is narrower.
    """

    def __init__(self, points: np.ndarray, axes: Sequence[_Axis], narrowest: float) -> None:
        self.points = points
        count, dimensions = points.shape
        spread = points.std(axis=0) if count else np.zeros(dimensions)
        widths = 1.06 * spread * max(count, 1) ** (-1 / (4 + dimensions))
        self.widths = [float(each) for each in np.maximum(widths, narrowest)]
        self._levels: Mapping[int, int] = {
            column: len(axis.choices) for column, axis in enumerate(axes) if axis.choices
        }

    def at(self, places: np.ndarray) -> np.ndarray:
        """
        Return the density at each of *places*, shape ``(n_places,)``.
        """
        kernels = np.ones((len(places), len(self.points)))
        for column, width in enumerate(self.widths):
            apart = places[:, column, None] - self.points[None, :, column]
            if column in self._levels:
                little = min(width, 1.0)
                others = little / max(1, self._levels[column] - 1)
                kernels *= np.where(apart == 0, 1 - little, others)
            else:
                kernels *= np.exp(-0.5 * (apart / width) ** 2) / (width * math.sqrt(2 * math.pi))
        return np.asarray(kernels.mean(axis=1))
