"""
Gaussian processes by Optuna, which needs PyTorch for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from airflow_hpo.strategies._extra import missing_extra, require_extra
from airflow_hpo.strategies._lattice import count_configurations
from airflow_hpo.strategies._model import Counts, Startup, suggest_by_model
from airflow_hpo.strategies.base import Extra, Options, Setting, Support

if TYPE_CHECKING:
    from optuna.samplers import GPSampler

    from airflow_hpo.errors import Problem
    from airflow_hpo.model.space import Space
    from airflow_hpo.model.trial import Suggestion, Trial
    from airflow_hpo.strategies._model import Model

__all__ = ["OptunaGpOptions", "OptunaGpStrategy"]

EXTRA = Extra(package="torch", name="torch")


class OptunaGpOptions(Options):
    """
    Options of Optuna's Gaussian processes.

    Args:
        deterministic_objective:
            Whether the same configuration always gives the same value.

        startup_counts:
            Which trials make up the start-up: ``all`` by their number, or
            ``complete`` ones only, so that failed ones are made up for.
    """

    deterministic_objective: bool = False
    startup_counts: Counts = "all"


class OptunaGpStrategy:
    """
    Models the objective itself, with how sure it is, and tries what may improve.

    For few and costly trials: each ask takes longer the more there are, from
    tenths of a second at a hundred to seconds at a thousand. The start-up
    trials are those of random search. Conditional parameters are drawn at
    random; what breaks a constraint or was tried already is sampled again a
    few times, then drawn at random.
    """

    options_class: ClassVar[type[Options]] = OptunaGpOptions
    support: ClassVar[Support] = Support(
        extra=EXTRA,
        multi_objective=True,
        outcome_constraints=True,
        history=True,
        startup=True,
        note="weights and normal distributions guide the start-up trials only; "
        "conditional parameters are drawn at random",
    )

    def __init__(self, options: OptunaGpOptions, setting: Setting) -> None:
        """
        Keep *options* and *setting*.
        """
        self.options = options
        self.setting = setting

    def limit(self, space: Space) -> int | None:
        """
        Return how many configurations there are, where that may matter.
        """
        return count_configurations(space, enough=self.setting.trials)

    def problems(self, space: Space) -> list[Problem]:
        """
        Return that PyTorch is missing, if it is.
        """
        del space
        return missing_extra("optuna_gp", EXTRA)

    def suggest(
        self, space: Space, trials: Sequence[Trial], count: int, *, seed: int
    ) -> Sequence[Suggestion]:
        """
        Return up to *count* configurations to try next.

        Raises:
            ImportError: If PyTorch is not installed.
        """
        require_extra("optuna_gp", EXTRA)
        return suggest_by_model(
            space,
            trials,
            count,
            seed=seed,
            sampler="optuna_gp",
            startup=Startup(self.setting.startup_trials, self.options.startup_counts),
            make_model=lambda history: self._model(space, history),
        )

    def _model(self, space: Space, history: Sequence[Trial]) -> Model | None:
        from airflow_hpo.strategies._optuna import ConstraintNotes, OptunaModel

        model = OptunaModel(
            space,
            self.setting.objectives,
            history,
            outcomes=self.setting.outcomes,
            make_sampler=self._sampler,
            notes=ConstraintNotes(),
        )
        return model if model.teaches else None

    def _sampler(self, seed: int) -> GPSampler:
        from optuna.samplers import GPSampler

        return GPSampler(
            seed=seed,
            n_startup_trials=0,  # ours come before, and count their own way
            deterministic_objective=self.options.deterministic_objective,
            warn_independent_sampling=False,
        )
