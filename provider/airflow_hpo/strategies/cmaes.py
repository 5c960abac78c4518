"""
CMA-ES: Optuna's sampler, its model recomputed at each ask.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, model_validator

from airflow_hpo.errors import Problem
from airflow_hpo.model.distribution import Categorical, Constant
from airflow_hpo.strategies._extra import missing_extra, require_extra
from airflow_hpo.strategies._lattice import count_configurations
from airflow_hpo.strategies._model import Startup, suggest_by_model
from airflow_hpo.strategies.base import Extra, Options, Setting, Support

if TYPE_CHECKING:
    from airflow_hpo.model.space import Parameter, Space
    from airflow_hpo.model.trial import Suggestion, Trial
    from airflow_hpo.strategies._model import Model

__all__ = ["CmaesOptions", "CmaesStrategy"]

EXTRA = Extra(package="cmaes", name="cmaes")


class CmaesOptions(Options):
    """
    Options of CMA-ES; their names and defaults are Optuna's.

    Args:
        popsize:
            How many trials make up a generation; `None` for
            ``4 + floor(3 * ln(d))``, with *d* numbers to search.

        use_separable_cma:
            Whether numbers are taken to be independent of each other, which
            needs fewer trials where there are many of them.

        with_margin:
            Whether whole numbers and steps are kept from settling on one value
            too soon.

        lr_adapt:
            Whether the learning rate adapts itself, for noisy objectives and
            those with many local optima.

        consider_pruned_trials: Whether trials that were ended early teach.
    """

    popsize: int | None = Field(default=None, ge=2)
    use_separable_cma: bool = False
    with_margin: bool = False
    lr_adapt: bool = False
    consider_pruned_trials: bool = False

    @model_validator(mode="after")
    def _one_kind(self) -> CmaesOptions:
        kinds = ("use_separable_cma", "with_margin", "lr_adapt")
        given = [name for name in kinds if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(f"at most one of {', '.join(kinds)} must be true, got {given}")
        return self

    @property
    def prefix(self) -> str:
        """
        What Optuna's notes begin with.
        """
        if self.use_separable_cma:
            return "sepcma:"
        return "cmawm:" if self.with_margin else "cma:"


class CmaesStrategy:
    """
    Moves and shapes a normal distribution towards where the good trials lie.

    Best for numbers, a few hundred trials or more, and batches of about one
    generation. The first trial is drawn at random, and so are choices and
    conditional parameters in every trial; what breaks a constraint or was
    tried already is sampled again a few times, then drawn at random.

    Each trial keeps its generation as a label, and the first trials of a
    generation what the model was told: so the model is the same in every task,
    and nothing but plain numbers is stored.
    """

    options_class: ClassVar[type[Options]] = CmaesOptions
    support: ClassVar[Support] = Support(
        extra=EXTRA,
        outcome_constraints=True,
        note="choices and conditional parameters are drawn at random, without their weights",
    )

    def __init__(self, options: CmaesOptions, setting: Setting) -> None:
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
        Return why *space* cannot be searched here.
        """
        missing = missing_extra("cmaes", EXTRA)
        if any(_is_number(parameter) for parameter in space.parameters):
            return missing
        message = "strategy cmaes must have a number to search that is always active, got none"
        return [*missing, Problem("strategy.name", message)]

    def suggest(
        self, space: Space, trials: Sequence[Trial], count: int, *, seed: int
    ) -> Sequence[Suggestion]:
        """
        Return up to *count* configurations to try next.

        Raises:
            ImportError: If the package ``cmaes`` is not installed.
        """
        require_extra("cmaes", EXTRA)
        return suggest_by_model(
            space,
            trials,
            count,
            seed=seed,
            sampler="cmaes",
            startup=Startup(0, "all"),  # random trials would teach the model nothing
            make_model=lambda history: self._model(space, history),
        )

    def _model(self, space: Space, history: Sequence[Trial]) -> Model:
        from airflow_hpo.strategies._cmaes_notes import CmaesNotes, FixedSampler
        from airflow_hpo.strategies._optuna import OptunaModel

        def make_sampler(seed: int) -> FixedSampler:
            return FixedSampler(space, seed=seed, **self.options.model_dump())

        notes = CmaesNotes(
            space,
            history,
            prefix=self.options.prefix,
            pruned=self.options.consider_pruned_trials,
            make_sampler=make_sampler,
        )
        return OptunaModel(
            space,
            self.setting.objectives,
            history,
            outcomes=self.setting.outcomes,
            make_sampler=make_sampler,
            notes=notes,
        )


def _is_number(parameter: Parameter) -> bool:
    return not parameter.when and not isinstance(parameter.distribution, (Categorical, Constant))
