"""
TPE: Optuna's tree-structured Parzen estimator, replayed at each ask.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, model_validator

from airflow_hpo.strategies._lattice import count_configurations
from airflow_hpo.strategies._model import Counts, Startup, suggest_by_model
from airflow_hpo.strategies.base import Options, Setting, Support

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import TPESampler

    from airflow_hpo.model.space import Space
    from airflow_hpo.model.trial import Suggestion, Trial
    from airflow_hpo.strategies._model import Model

__all__ = ["TpeOptions", "TpeStrategy"]


class TpeOptions(Options):
    """
    Options of TPE; what is not said here is as Optuna has it.

    Args:
        multivariate:
            Whether parameters are modelled together; `None` for Optuna's
            default, which is to do so where there is one objective.

        group:
            Whether that is done for each group of parameters that are active
            together; `None` to do so where the space has conditions.

        constant_liar:
            Whether trials that still run push new ones away.

        n_ei_candidates: How many candidates are drawn for each suggestion.

        startup_counts:
            Which trials make up the start-up: ``all`` by their number, or
            ``complete`` ones only, so that failed ones are made up for.
    """

    multivariate: bool | None = None
    group: bool | None = None
    constant_liar: bool = True
    n_ei_candidates: int = Field(default=24, ge=1)
    startup_counts: Counts = "all"

    @model_validator(mode="after")
    def _group_is_multivariate(self) -> TpeOptions:
        if self.group and self.multivariate is False:
            raise ValueError("group must not be true where multivariate is false")
        return self


class TpeStrategy:
    """
    Models where good trials lie and where the others do, and tries the ratio.

    The start-up trials are those of random search with the same seed. Each
    later trial is sampled from a seed of its own, so it does not depend on
    which task asks; within a batch, earlier members are shown as running.

    The weights of choices and the shape of normal distributions guide the
    start-up only; a choice of weight zero is never tried. What breaks a
    constraint or was tried already is sampled again a few times, then drawn
    at random.
    """

    options_class: ClassVar[type[Options]] = TpeOptions
    support: ClassVar[Support] = Support(
        multi_objective=True,
        outcome_constraints=True,
        history=True,
        startup=True,
        note="weights and normal distributions guide the start-up trials only",
    )

    def __init__(self, options: TpeOptions, setting: Setting) -> None:
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

    def suggest(
        self, space: Space, trials: Sequence[Trial], count: int, *, seed: int
    ) -> Sequence[Suggestion]:
        """
        Return up to *count* configurations to try next.
        """
        return suggest_by_model(
            space,
            trials,
            count,
            seed=seed,
            sampler="tpe",
            startup=Startup(self.setting.startup_trials, self.options.startup_counts),
            make_model=lambda history: self._model(space, history),
        )

    def _model(self, space: Space, history: Sequence[Trial]) -> Model | None:
        from airflow_hpo.strategies._optuna import OptunaModel

        conditional = any(parameter.when for parameter in space.parameters)
        common: dict[str, BaseDistribution] = {}
        model = OptunaModel(
            space,
            self.setting.objectives,
            history,
            outcomes=self.setting.outcomes,
            make_sampler=lambda seed: self._sampler(seed, common, conditional=conditional),
        )
        common.update(model.common)
        return model if model.teaches else None

    def _sampler(
        self, seed: int, common: dict[str, BaseDistribution], *, conditional: bool
    ) -> TPESampler:
        from airflow_hpo.strategies._optuna_tpe import BatchTpeSampler

        multivariate = self.options.multivariate
        if multivariate is None:
            multivariate = len(self.setting.objectives) == 1
        group = self.options.group
        if group is None:
            group = conditional and multivariate
        return BatchTpeSampler(
            common,
            seed=seed,
            n_startup_trials=0,  # ours come before, and count their own way
            multivariate=multivariate or group,
            group=group,
            constant_liar=self.options.constant_liar,
            n_ei_candidates=self.options.n_ei_candidates,
        )
