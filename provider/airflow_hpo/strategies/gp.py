"""
GP: Bayesian optimisation over scikit-learn's Gaussian process regression.

Not through the package bayesian-optimization, which was tried (3.4.0). It
models parameters in their own units, asked twice it suggests the same point
twice, and its constant liar breaks on categorical parameters. What is left of
it is what scikit-learn brings. After thirty random and fifteen guided trials
(median of five seeds) it was off by 0.72 on Branin's function and by 0.27 on
Hartmann's of six; with length scales bounded by hand its best settings came to
0.0085 and 0.13. ``benchmarks/gp.py`` prints what this engine comes to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from airflow_hpo.strategies._extra import missing_extra, require_extra
from airflow_hpo.strategies._lattice import count_configurations
from airflow_hpo.strategies._model import Counts, Startup, suggest_by_model
from airflow_hpo.strategies.base import Extra, Options, Setting, Support
from airflow_hpo.strategies.qmc import QmcOptions, QmcStrategy

if TYPE_CHECKING:
    from airflow_hpo.errors import Problem
    from airflow_hpo.model.space import Space
    from airflow_hpo.model.trial import Suggestion, Trial
    from airflow_hpo.strategies._model import Model

__all__ = ["GpOptions", "GpStrategy"]

EXTRA = Extra(package="sklearn", name="gp")


class GpOptions(Options):
    """
    Options of Bayesian optimisation.

    Losses are standardised before anything else: *eps* and *kappa* mean the
    same whatever the objective's unit.

    Args:
        acquisition:
            What is maximised: expected improvement (``ei``), upper confidence
            bound (``ucb``) or probability of improvement (``poi``).

        kappa: How much uncertainty attracts, with ``ucb``.

        eps:
            By how much a trial must be better to count as improvement, with
            ``ei`` and ``poi``; in standard deviations of the losses seen.

        kernel: The family of the process's kernel.

        nu: How smooth a Matern kernel is; not used with ``rbf``.

        length_scale:
            Where the fit of the length scale begins, in edges of the unit
            cube; `None` for what is usual in so many dimensions.

        n_restarts: How many more beginnings the fit of that length scale tries.

        liar:
            What is assumed of trials that still run: the model's own mean
            (``believer``), or the ``min``, ``mean`` or ``max`` of the losses.

        exploit_every:
            Each such trial after the start-up is where little loss is expected,
            whatever the acquisition and the kernel; 0 for never. So is the last
            third of a study's trials, ten at the most, where one runs at a time.
            That is told by a model with the kernel ``rbf`` or a rough Matern
            one, whichever is more probable.

        startup_counts:
            Which trials make up the start-up: ``all`` by their number, or
            ``complete`` ones only, so that failed ones are made up for.

        startup_draws:
            How the start-up is drawn: as random search does, or quasi-randomly
            (``qmc``), without clusters and gaps; see the strategy of that name.
    """

    acquisition: Literal["ei", "ucb", "poi"] = "ei"
    kappa: float = Field(default=1.96, ge=0, allow_inf_nan=False)
    eps: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    kernel: Literal["matern", "rbf"] = "matern"
    nu: float = Field(default=2.5, gt=0, le=20)
    length_scale: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    n_restarts: int = Field(default=0, ge=0)
    liar: Literal["believer", "min", "mean", "max"] = "believer"
    exploit_every: int = Field(default=2, ge=0)
    startup_counts: Counts = "all"
    startup_draws: Literal["random", "qmc"] = "random"


class GpStrategy:
    """
    Models the loss over the whole space and tries what promises most.

    The start-up trials are those of random or of quasi-random search with the
    same seed. Each later trial is searched for with a seed of its own; within a
    batch, the model assumes an outcome for the earlier members, so that they
    differ.

    The losses are modelled as they are, or warped so that low ones, or high
    ones, are told apart better: what is most probable. Parameters first share
    a length scale; each one's own strays from it as far as the trials say.
    Thus parameters' units and the loss's scale do not matter.

    The weights of choices and the shape of normal distributions guide the
    start-up only; a choice of weight zero is never tried. Beyond 500 trials
    the model sees the best and the latest ones.
    """

    options_class: ClassVar[type[Options]] = GpOptions
    support: ClassVar[Support] = Support(
        extra=EXTRA,
        startup=True,
        outcome_constraints=True,
        history=True,
        note="weights and normal distributions guide the start-up trials only",
    )

    def __init__(self, options: GpOptions, setting: Setting) -> None:
        """
        Keep *options* and *setting*.
        """
        self.options = options
        self.setting = setting

    def problems(self, space: Space) -> list[Problem]:
        """
        Return that scikit-learn is missing, if it is.
        """
        del space
        return missing_extra("gp", EXTRA)

    def limit(self, space: Space) -> int | None:
        """
        Return how many configurations there are, where that may matter.
        """
        return count_configurations(space, enough=self.setting.trials)

    def suggest(
        self, space: Space, trials: Sequence[Trial], count: int, *, seed: int
    ) -> Sequence[Suggestion]:
        """
        Return up to *count* configurations to try next.

        Raises:
            ImportError: If scikit-learn is not installed.
        """
        require_extra("gp", EXTRA)
        return suggest_by_model(
            space,
            trials,
            count,
            seed=seed,
            sampler="gp",
            startup=Startup(self.setting.startup_trials, self.options.startup_counts),
            make_model=lambda history: self._model(space, history),
            spread=self._spread(),
        )

    def _spread(self) -> QmcStrategy | None:
        if self.options.startup_draws == "random":
            return None
        return QmcStrategy(QmcOptions(), self.setting)

    def _model(self, space: Space, history: Sequence[Trial]) -> Model | None:
        from airflow_hpo.strategies._gp_model import GpModel

        model = GpModel(space, self.setting, self.options, history)
        return model if model.teaches else None
