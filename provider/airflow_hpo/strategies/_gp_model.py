"""
Bayesian optimisation: a Gaussian process that has seen the history proposes.

Imported where a model is needed and nowhere else, since it loads scikit-learn.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np  # noqa: TID253 - see above

from airflow_hpo.model.trial import Trial
from airflow_hpo.model.values import Configuration
from airflow_hpo.strategies._draws import Tried, next_number
from airflow_hpo.strategies._gp_cube import Cube, Floats
from airflow_hpo.strategies._gp_kernels import Shape
from airflow_hpo.strategies._gp_losses import Scaled, scalings
from airflow_hpo.strategies._gp_search import Acquisition, ranked_points
from airflow_hpo.strategies._gp_surface import Surface, fit_surface
from airflow_hpo.strategies._lessons import lesson_of

if TYPE_CHECKING:
    from airflow_hpo.model.space import Space
    from airflow_hpo.strategies.base import Setting
    from airflow_hpo.strategies.gp import GpOptions

__all__ = ["GpModel"]

# Observations that are kept: the time of a fit grows with their third power.
_BEST = 250
_LATEST = 250

# Observations that hyperparameters are fitted to, evenly from those kept.
_FITTED = 150

# Points closer than this to a known one, in every feature, teach nothing new.
_NEAR = 2e-4

# How many good points are looked at closely.
_GOOD = 5

# How many points are looked at before a proposal is given up.
_LOOKS = 400

# What exploiting trials are told by, whatever the kernel: near the optimum a
# loss is smooth, or it has an edge there. The more probable one decides.
_EXPLOITING = (Shape("rbf", 2.5, None, 0), Shape("matern", 1.5, None, 0))

# How much uncertainty attracts them. Without any they creep along what is known.
_CURIOSITY = 0.5

# One in so many guided trials, and how many at the most, are a study's last ones
# and exploit without curiosity: few are left that could use what is found out.
# Members of a batch do not see what the others find: there it does no good.
_LAST_SHARE, _LAST = 3, 10


@dataclass(frozen=True, slots=True)
class _Plan:
    """
    What to look for.

    Args:
        surface: By which model.

        gain: What is wanted.

        looks: How many points are looked at, best first, until one is new.
    """

    surface: Surface
    gain: Acquisition
    looks: int


class GpModel:
    """
    A Gaussian process that has seen a history.

    Args:
        space: What is searched.

        setting: What is optimised.

        options: The strategy's.

        trials: The history.
    """

    def __init__(
        self, space: Space, setting: Setting, options: GpOptions, trials: Sequence[Trial]
    ) -> None:
        self._space = space
        self._setting = setting
        self._options = options
        self._cube = Cube(space)
        self._tried = Tried(space, trials)
        self._number = next_number(trials)
        self._points, self._losses, self._pending = self._learned(trials)
        self.teaches = bool(self._cube.columns) and len(self._losses) > 0
        # What was fitted so far; a model that no trial asks for costs nothing.
        self._surfaces: dict[tuple[Shape, ...], Surface] = {}
        if self.teaches:
            self._good = self._points[np.argsort(self._losses, kind="stable")[:_GOOD]]
            self._few = np.unique(np.linspace(0, len(self._losses) - 1, _FITTED).astype(int))

    @property
    def surface(self) -> Surface:
        """
        The process with the kernel of the options.
        """
        options = self._options
        shape = Shape(options.kernel, options.nu, options.length_scale, options.n_restarts)
        return self._surface(shape)

    def propose(self, seed: int) -> Configuration:
        """
        Return what promises most and is neither tried nor waiting.
        """
        rng = np.random.default_rng(seed)
        for plan in self._plans():
            ranked = ranked_points(self._cube, plan.surface, plan.gain, good=self._good, rng=rng)
            for point in ranked[: plan.looks]:
                configuration = self._cube.read(point)
                if self._is_new(configuration):
                    self._tried.add(configuration)
                    return configuration
        return self._cube.read(self._cube.scattered(rng, 1)[0])

    def settle(self, trial: Trial) -> None:
        """
        Show *trial*, which waits.
        """
        self._number = trial.number + 1
        self._tried.add(trial.configuration)
        point = self._cube.show(trial.configuration)
        if point is None:
            return
        self._pending = np.vstack([self._pending, point[None]])
        for shapes, surface in self._surfaces.items():
            self._surfaces[shapes] = self._with_pending(surface, point[None])

    def _plans(self) -> Iterator[_Plan]:
        """
        Yield where to look for what; each is tried where the one before fails.
        """
        options = self._options
        curiosity = self._curiosity()
        if curiosity is not None:
            sharp = self._surface(*_EXPLOITING)
            yield _Plan(sharp, Acquisition("ucb", weight=curiosity), looks=1)
        surface = self.surface
        gain = Acquisition(
            options.acquisition,
            weight=options.kappa,
            margin=options.eps,
            best=float(np.min(surface.predict(surface.features)[0])),
        )
        yield _Plan(surface, gain, looks=_LOOKS)

    def _curiosity(self) -> float | None:
        """
        Return how much uncertainty attracts the next trial if it exploits; else `None`.
        """
        every, startup = self._options.exploit_every, self._setting.startup_trials
        if not every:
            return None
        turn, guided = self._number - startup, self._setting.trials - startup
        last = min(guided // _LAST_SHARE, _LAST)
        if self._setting.together == 1 and turn in range(guided - last, guided):
            return 0.0
        return _CURIOSITY if turn % every == every - 1 else None

    def _is_new(self, configuration: Configuration) -> bool:
        if configuration in self._tried or any(self._space.problems(configuration)):
            return False
        point = self._cube.show(configuration)
        if point is None:
            return False
        known = self._cube.features(np.vstack([self._points, self._pending]))
        apart = np.abs(known - self._cube.features(point[None]))
        return bool(np.min(np.max(apart, axis=1)) > _NEAR)

    def _learned(self, trials: Sequence[Trial]) -> tuple[Floats, Floats, Floats]:
        """
        Return the points with a loss, their losses, and the points that run.

        An infeasible point is as bad as the worst. What a pruned one had
        reached counts, but as no better than the median: it might have got
        worse.
        """
        known: list[tuple[Floats, str, float]] = []
        pending: list[Floats] = []
        for trial in trials:
            lesson = lesson_of(trial, self._setting.objectives, self._setting.outcomes)
            point = None if lesson is None else self._cube.show(trial.configuration)
            if lesson is None or point is None:
                continue
            if lesson.kind == "pending":
                pending.append(point)
                continue
            lesson = lesson.strict
            known.append((point, lesson.kind, lesson.losses[0] if lesson.losses else math.nan))
        complete = [loss for _, kind, loss in known if kind == "complete"]
        measured = complete or [loss for _, kind, loss in known if kind == "pruned"]
        measured = [loss for loss in measured if math.isfinite(loss)]
        if not measured:
            known = []
        worst, median = (max(measured), float(np.median(measured))) if measured else (0.0, 0.0)
        losses = [_shown(kind, loss, worst, median) for _, kind, loss in known]
        return (*self._kept([point for point, _, _ in known], losses), self._rows(pending))

    def _rows(self, points: Sequence[Floats]) -> Floats:
        return np.array(points, dtype=float).reshape(len(points), len(self._cube.columns))

    def _kept(self, points: Sequence[Floats], losses: Sequence[float]) -> tuple[Floats, Floats]:
        values = np.array(losses, dtype=float)
        if len(values) <= _BEST + _LATEST:
            return self._rows(points), values
        best = np.argsort(values, kind="stable")[:_BEST]
        latest = np.setdiff1d(np.arange(len(values)), best)[-_LATEST:]
        keep = np.sort(np.concatenate([best, latest]))
        return self._rows(points)[keep], values[keep]

    def _surface(self, *shapes: Shape) -> Surface:
        """
        Return the most probable model with one of *shapes*, shown what waits.
        """
        if shapes not in self._surfaces:
            self._surfaces[shapes] = self._with_pending(self._fitted(shapes), self._pending)
        return self._surfaces[shapes]

    def _fitted(self, shapes: Sequence[Shape]) -> Surface:
        """
        Return the most probable model of all points.

        The first of *shapes* tells which scaling of the losses suits them.
        """
        share = len(self._few) / len(self._losses)
        found: list[tuple[float, Surface, Scaled]] = []
        for scaled in scalings(self._losses):
            surface = self._climbed(scaled.losses, shapes[0])
            found.append((surface.evidence + share * scaled.log_density, surface, scaled))
        _, first, scaled = max(found, key=lambda item: item[0])
        others = [self._climbed(scaled.losses, shape) for shape in shapes[1:]]
        best = max([first, *others], key=lambda surface: surface.evidence)
        if len(self._few) == len(self._losses):
            return best
        return best.moved(self._cube.features(self._points), scaled.losses)

    def _climbed(self, losses: Floats, shape: Shape) -> Surface:
        features = self._cube.features(self._points[self._few])
        columns = len(self._cube.columns)
        return fit_surface(features, losses[self._few], shape=shape, ard=True, columns=columns)

    def _with_pending(self, surface: Surface, points: Floats) -> Surface:
        """
        Return *surface* as if *points* had been measured already.
        """
        if not len(points):
            return surface
        features = self._cube.features(points)
        if self._options.liar == "believer":
            return surface.conditioned(features, surface.predict(features)[0])
        known = surface.losses[: surface.known]
        lies = {"min": np.min(known), "mean": np.mean(known), "max": np.max(known)}
        return surface.conditioned(features, np.full(len(points), lies[self._options.liar]))


def _shown(kind: str, loss: float, worst: float, median: float) -> float:
    if kind == "infeasible" or not math.isfinite(loss):
        return worst
    return max(loss, median) if kind == "pruned" else loss
