"""
NSGA-II and NSGA-III: Optuna's samplers, their generations kept with the trials.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from airflow_hpo.errors import Problem
from airflow_hpo.strategies._lattice import count_configurations
from airflow_hpo.strategies._model import Startup, suggest_by_model
from airflow_hpo.strategies.base import Options, Setting, Support

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.samplers.nsgaii import BaseCrossover, BaseMutation

    from airflow_hpo.model.space import Space
    from airflow_hpo.model.trial import Suggestion, Trial
    from airflow_hpo.strategies._model import Model

__all__ = ["Nsga2Strategy", "Nsga3Options", "Nsga3Strategy", "NsgaOptions"]

Crossover = Literal["uniform", "blxalpha", "sbx", "spx", "undx", "vsbx"]


class NsgaOptions(Options):
    """
    Options of NSGA-II; their names and defaults are Optuna's.

    Args:
        population_size:
            How many complete trials make up a generation; those of the first
            are random.

        mutation_prob:
            How likely each value is replaced; `None` for one value in each
            trial on average.

        mutation:
            What replaces it: `None` for a random value, ``polynomial`` for
            one nearby, where it is a number.

        crossover: How the numbers of parents are mixed; choices always evenly.

        crossover_prob: How likely a trial has several parents.

        swapping_prob: How likely each value comes from the other parent.
    """

    population_size: int = Field(default=50, ge=2)
    mutation_prob: float | None = Field(default=None, ge=0, le=1)
    mutation: Literal["polynomial"] | None = None
    crossover: Crossover = "uniform"
    crossover_prob: float = Field(default=0.9, ge=0, le=1)
    swapping_prob: float = Field(default=0.5, ge=0, le=1)

    @model_validator(mode="after")
    def _enough_parents(self) -> NsgaOptions:
        if self.crossover in {"spx", "undx"} and self.population_size < _THREE:
            raise ValueError(
                f"population_size must be at least 3 for {self.crossover}, which takes three "
                f"parents, got {self.population_size}"
            )
        return self


_THREE = 3


class Nsga3Options(NsgaOptions):
    """
    Options of NSGA-III; their names and defaults are Optuna's.

    Args:
        dividing_parameter:
            Into how many parts each axis is divided by the reference points
            around which trials gather.

        reference_points:
            Those points themselves, each with a number per objective; `None`
            for an even spread.
    """

    dividing_parameter: int = Field(default=3, ge=1)
    reference_points: tuple[tuple[float, ...], ...] | None = Field(default=None, min_length=1)


class _Nsga(ABC):
    name: ClassVar[str]
    engine: ClassVar[str]

    def __init__(self, options: NsgaOptions, setting: Setting) -> None:
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
            sampler=self.name,
            startup=Startup(0, "all"),  # the first generation is random by itself
            make_model=lambda history: self._model(space, history),
        )

    def _model(self, space: Space, history: Sequence[Trial]) -> Model:
        from airflow_hpo.strategies._generations import GenerationNotes
        from airflow_hpo.strategies._optuna import OptunaModel

        return OptunaModel(
            space,
            self.setting.objectives,
            history,
            outcomes=self.setting.outcomes,
            make_sampler=self._sampler,
            notes=GenerationNotes(self.name, engine=self.engine),
        )

    @abstractmethod
    def _sampler(self, seed: int) -> BaseSampler:
        """
        Return Optuna's sampler.
        """


class Nsga2Strategy(_Nsga):
    """
    Crosses and mutates the best trials of generation after generation.

    For two or three objectives and some hundred trials or more: the good ones
    are those that no other beats in every objective, and among these the ones
    with few neighbours. Conditional parameters are not passed on but drawn at
    random; what breaks a constraint or was tried already is sampled again a
    few times, then drawn at random.
    """

    name = "nsga2"
    engine = "NSGAIISampler"
    options_class: ClassVar[type[Options]] = NsgaOptions
    support: ClassVar[Support] = Support(
        multi_objective=True,
        outcome_constraints=True,
        history=True,
        note="weights and normal distributions are not looked at; "
        "conditional parameters are drawn at random",
    )
    options: NsgaOptions

    def _sampler(self, seed: int) -> BaseSampler:
        from optuna.samplers import NSGAIISampler

        return NSGAIISampler(
            seed=seed,
            population_size=self.options.population_size,
            mutation=_mutation(self.options),
            mutation_prob=self.options.mutation_prob,
            crossover=_crossover(self.options),
            crossover_prob=self.options.crossover_prob,
            swapping_prob=self.options.swapping_prob,
        )


class Nsga3Strategy(_Nsga):
    """
    NSGA-II for many objectives, where nearly every trial is beaten by none.

    From four objectives on: the survivors are spread around reference points.
    Otherwise as NSGA-II.
    """

    name = "nsga3"
    engine = "NSGAIIISampler"
    options_class: ClassVar[type[Options]] = Nsga3Options
    support: ClassVar[Support] = Nsga2Strategy.support
    options: Nsga3Options

    def problems(self, space: Space) -> list[Problem]:
        """
        Return which reference points do not fit the objectives.
        """
        del space
        count = len(self.setting.objectives)
        return [
            Problem(
                f"strategy.options.reference_points.{index}",
                f"must have one number for each of {count} objectives, got {len(point)}",
            )
            for index, point in enumerate(self.options.reference_points or ())
            if len(point) != count
        ]

    def _sampler(self, seed: int) -> BaseSampler:
        import numpy as np
        from optuna.samplers import NSGAIIISampler

        points = self.options.reference_points
        return NSGAIIISampler(
            seed=seed,
            population_size=self.options.population_size,
            mutation=_mutation(self.options),
            mutation_prob=self.options.mutation_prob,
            crossover=_crossover(self.options),
            crossover_prob=self.options.crossover_prob,
            swapping_prob=self.options.swapping_prob,
            reference_points=None if points is None else np.array(points),
            dividing_parameter=self.options.dividing_parameter,
        )


def _crossover(options: NsgaOptions) -> BaseCrossover:
    from optuna.samplers import nsgaii

    from airflow_hpo.strategies._optuna_memory import quiet

    if options.crossover == "uniform":
        return nsgaii.UniformCrossover(options.swapping_prob)
    kinds: dict[str, type[BaseCrossover]] = {
        "blxalpha": nsgaii.BLXAlphaCrossover,
        "sbx": nsgaii.SBXCrossover,
        "spx": nsgaii.SPXCrossover,
        "undx": nsgaii.UNDXCrossover,
        "vsbx": nsgaii.VSBXCrossover,
    }
    with quiet():  # some are experimental
        return kinds[options.crossover]()


def _mutation(options: NsgaOptions) -> BaseMutation | None:
    from optuna.samplers import nsgaii

    from airflow_hpo.strategies._optuna_memory import quiet

    if options.mutation is None:
        return None
    with quiet():
        return nsgaii.PolynomialMutation()
