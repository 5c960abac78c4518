"""
HyperOpt's algorithms: what ``hyperopt.fmin`` would try, trial by trial.

There is no strategy for its adaptive TPE (``atpe``): that needs LightGBM, a
dependency of its own, and most of a second for each suggestion.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

from pydantic import Field, field_validator

from airflow_hpo.errors import BlueprintError, Problem
from airflow_hpo.model.trial import Suggestion, Trial
from airflow_hpo.model.values import derive_seed
from airflow_hpo.strategies._draws import next_number
from airflow_hpo.strategies._hyperopt_expressions import ExpressionName
from airflow_hpo.strategies._hyperopt_gate import Gate
from airflow_hpo.strategies._hyperopt_layout import Layout, layout_problems
from airflow_hpo.strategies._lattice import count_configurations
from airflow_hpo.strategies.base import Options, Setting, Support

if TYPE_CHECKING:
    from airflow_hpo.model.space import Space
    from airflow_hpo.strategies._hyperopt_replay import Algorithm

__all__ = [
    "HyperoptAnnealOptions",
    "HyperoptAnnealStrategy",
    "HyperoptMixOptions",
    "HyperoptMixStrategy",
    "HyperoptOptions",
    "HyperoptRandomStrategy",
    "HyperoptTpeOptions",
    "HyperoptTpeStrategy",
]

# How often an algorithm is asked again for one trial before chance decides.
_AGAIN = range(1, 12)

_NOTE = "tries what hyperopt.fmin tries with the same seed"

_DRIFT = "normal parameters may drift far from their mean: see max_deviations"

_PROBABILITY_NOISE = 1e-5

_Part: TypeAlias = tuple[float, Literal["random", "anneal", "tpe"]]


class HyperoptOptions(Options):
    """
    What all of HyperOpt's algorithms have in common.

    Args:
        expressions:
            Which of HyperOpt's expressions stands for a parameter, by the
            parameter's name: such as ``randint`` for a whole number whose
            neighbours have nothing in common. Others go by distribution: a
            float is ``uniform`` or ``loguniform``, an int ``uniformint`` (its
            ends are half as likely) or ``qloguniform``, a choice ``choice`` or
            with weights ``pchoice``, and normals are what they are called, with
            steps ``q...``. Floats whose steps count from zero are ``quniform``
            or ``qloguniform`` as they stand; where steps count from the lower
            bound, HyperOpt searches their places, so that bounds are kept.

        labels:
            What HyperOpt calls a parameter, where that is not its name. It
            draws parameters in the order of their labels.

        repeats:
            Whether a configuration may be tried again, as in ``fmin``.

        max_deviations:
            A normal parameter further from its mean than so many deviations is
            drawn again; `None` for no limit, as in ``fmin``. At least 8, which
            is beyond what is ever drawn by chance alone.
    """

    expressions: dict[str, ExpressionName] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)
    repeats: bool = False
    max_deviations: float | None = Field(default=None, ge=8)


class HyperoptTpeOptions(HyperoptOptions):
    """
    Options of HyperOpt's TPE; names, defaults and meaning are HyperOpt's own.

    Args:
        gamma:
            How many trials count as good: this times the square root of how
            many there are, rounded up, 25 at most.

        n_EI_candidates: How many candidates are drawn for each suggestion.

        prior_weight: How much the distribution weighs against one trial.

        linear_forgetting: So many latest trials weigh fully, older ones less.

        running:
            Trials that wait or run count among the bad ones (``native``), so
            that others keep away from them, or not at all (``ignore``).

        startup:
            Trials are random until ``startup_trials`` have ``finished``, so
            that a wide first batch is random as a whole; or as long as their
            ``number`` is below it, whatever became of the others. Where one
            trial runs at a time and none fails, these are the same.
    """

    gamma: float = Field(default=0.25, gt=0)
    n_EI_candidates: int = Field(default=24, ge=1)  # noqa: N815 - HyperOpt's name
    prior_weight: float = Field(default=1.0, gt=0)
    linear_forgetting: int = Field(default=25, ge=1)
    running: Literal["native", "ignore"] = "native"
    startup: Literal["finished", "number"] = "finished"


class HyperoptAnnealOptions(HyperoptOptions):
    """
    Options of HyperOpt's annealing; names, defaults and meaning are HyperOpt's own.

    Args:
        avg_best_idx:
            Mean of the rank, from 1, of the good trial near which the next one is
            drawn.

        shrink_coef: How fast what counts as near shrinks with every trial.

        running: As for TPE.
    """

    avg_best_idx: float = Field(default=2.0, ge=1)
    shrink_coef: float = Field(default=0.1, ge=0)
    running: Literal["native", "ignore"] = "native"


class HyperoptMixOptions(HyperoptTpeOptions, HyperoptAnnealOptions):
    """
    Options of HyperOpt's mixture, and of what is mixed.

    Args:
        p_suggest: Pairs of a probability and the algorithm that is then taken.
    """

    p_suggest: tuple[_Part, ...] = (
        (0.1, "random"),
        (0.2, "anneal"),
        (0.7, "tpe"),
    )

    @field_validator("p_suggest")
    @classmethod
    def _probabilities(cls, pairs: tuple[_Part, ...]) -> tuple[_Part, ...]:
        shares = [share for share, _ in pairs]
        total = math.fsum(shares)
        if not shares or min(shares) < 0 or abs(total - 1) > _PROBABILITY_NOISE:
            raise ValueError(f"probabilities must be positive and sum to 1, got {shares}")
        return pairs


class _Hyperopt(ABC):
    """
    Asks one of HyperOpt's algorithms, which is shown the history.

    The *n*-th trial that is not a given point gets the *n*-th seed that
    ``fmin`` draws. So where trials run one at a time, ``fmin`` with the same
    seed and the same losses would have tried the same, each value to the last
    digit, failed trials and given points included.

    What ``fmin`` does not do: several trials may be asked for at once, each
    with a seed of its own and with the earlier ones shown as running. What
    breaks a constraint, or was tried already (see ``repeats``), is proposed
    again a few times, with seeds of ours; then chance decides, so that no ask
    can hang.
    """

    options_class: ClassVar[type[Options]]
    support: ClassVar[Support]
    name: ClassVar[str]

    def __init__(self, options: HyperoptOptions, setting: Setting) -> None:
        """
        Keep *options* and *setting*.
        """
        self.options = options
        self.setting = setting

    def limit(self, space: Space) -> int | None:
        """
        Return how many configurations there are, where that may matter.

        Raises:
            BlueprintError: If an option does not fit the space.
        """
        self._check(space)
        if self.options.repeats:
            return None
        return count_configurations(space, enough=self.setting.trials)

    def suggest(
        self, space: Space, trials: Sequence[Trial], count: int, *, seed: int
    ) -> Sequence[Suggestion]:
        """
        Return up to *count* configurations to try next.

        Raises:
            BlueprintError: If an option does not fit the space.
        """
        self._check(space)
        layout = Layout(space, expressions=self.options.expressions, labels=self.options.labels)
        limits = self.options.model_dump(include={"repeats", "max_deviations"})
        gate = Gate(layout, trials, seed=seed, **limits)
        first = next_number(trials)
        numbers = range(first, first + count)
        asked: Iterable[Suggestion | None] = map(gate.by_chance, numbers)
        if layout.expressions:
            asked = self._ask(layout, gate, trials, numbers, seed=seed)
        found: list[Suggestion] = []
        for suggestion in asked:
            if suggestion is None:
                break
            found.append(suggestion)
        return found

    def _ask(
        self, layout: Layout, gate: Gate, trials: Sequence[Trial], numbers: range, *, seed: int
    ) -> Iterator[Suggestion | None]:
        """
        Yield a suggestion for each number; `None` once all were tried.
        """
        from airflow_hpo.strategies._hyperopt_replay import Replay, seeds_of_fmin

        replay = Replay(
            layout, self.setting.objectives[0], trials, shows_running=self._shows_running
        )
        calls = sum(trial.sampler != "point" for trial in trials)
        for number, own in zip(numbers, seeds_of_fmin(seed, calls, len(numbers)), strict=True):
            algorithm = self._algorithm(is_startup=self._is_startup(number, replay.finished))
            others = (derive_seed(seed, self.name, number, again) for again in _AGAIN)
            proposals = (
                replay.propose(algorithm, number=number, seed=each) for each in chain([own], others)
            )
            accepted = next(filter(gate.accepts, proposals), None)
            if accepted is not None:
                found: Suggestion | None = Suggestion(accepted, self.name)
            else:
                found = gate.by_chance(number)
            yield found
            if found is not None:
                replay.settle(Trial(number, found.configuration))

    def _check(self, space: Space) -> None:
        found = layout_problems(
            space, expressions=self.options.expressions, labels=self.options.labels
        )
        problems = [Problem(f"strategy.options.{place}", message) for place, message in found]
        if problems:
            raise BlueprintError(problems)

    @property
    def _shows_running(self) -> bool:
        """
        Whether the algorithm is shown trials without an outcome.
        """
        return True

    def _is_startup(self, number: int, finished: int) -> bool:
        """
        Return whether trial *number* is random, so many having *finished*.
        """
        del number, finished
        return False

    @abstractmethod
    def _algorithm(self, *, is_startup: bool) -> Algorithm:
        """
        Return HyperOpt's algorithm with its options.
        """


class HyperoptRandomStrategy(_Hyperopt):
    """
    HyperOpt's random search (``rand.suggest``).
    """

    options_class: ClassVar[type[Options]] = HyperoptOptions
    support: ClassVar[Support] = Support(note=_NOTE)
    name: ClassVar[str] = "hyperopt_random"

    def _algorithm(self, *, is_startup: bool) -> Algorithm:
        del is_startup
        from airflow_hpo.strategies._hyperopt_replay import prior

        return prior


class HyperoptTpeStrategy(_Hyperopt):
    """
    HyperOpt's tree-structured Parzen estimator (``tpe.suggest``).

    The study's ``startup_trials`` is what HyperOpt calls ``n_startup_jobs``;
    they are drawn by HyperOpt too.
    """

    options_class: ClassVar[type[Options]] = HyperoptTpeOptions
    support: ClassVar[Support] = Support(note=f"{_NOTE}; {_DRIFT}")
    name: ClassVar[str] = "hyperopt_tpe"
    options: HyperoptTpeOptions

    @property
    def _shows_running(self) -> bool:
        return self.options.running == "native"

    def _is_startup(self, number: int, finished: int) -> bool:
        return _is_startup(self.options, self.setting, number, finished)

    def _algorithm(self, *, is_startup: bool) -> Algorithm:
        return _parzen(self.options, is_startup=is_startup)


class HyperoptAnnealStrategy(_Hyperopt):
    """
    HyperOpt's annealing (``anneal.suggest``): near good trials, ever nearer.

    It has no start-up: as long as it has seen nothing, it draws at random.
    """

    options_class: ClassVar[type[Options]] = HyperoptAnnealOptions
    support: ClassVar[Support] = Support(note=f"{_NOTE}; {_DRIFT}")
    name: ClassVar[str] = "hyperopt_anneal"
    options: HyperoptAnnealOptions

    @property
    def _shows_running(self) -> bool:
        return self.options.running == "native"

    def _algorithm(self, *, is_startup: bool) -> Algorithm:
        del is_startup
        return _annealing(self.options)


class HyperoptMixStrategy(_Hyperopt):
    """
    One of HyperOpt's algorithms each time, by probability (``mix.suggest``).

    The study's ``startup_trials`` are those of TPE, where TPE is chosen.
    """

    options_class: ClassVar[type[Options]] = HyperoptMixOptions
    support: ClassVar[Support] = Support(note=f"{_NOTE}; {_DRIFT}")
    name: ClassVar[str] = "hyperopt_mix"
    options: HyperoptMixOptions

    @property
    def _shows_running(self) -> bool:
        return self.options.running == "native"

    def _is_startup(self, number: int, finished: int) -> bool:
        return _is_startup(self.options, self.setting, number, finished)

    def _algorithm(self, *, is_startup: bool) -> Algorithm:
        from airflow_hpo.strategies._hyperopt_replay import mixture, prior

        algorithms = {
            "random": prior,
            "anneal": _annealing(self.options),
            "tpe": _parzen(self.options, is_startup=is_startup),
        }
        return mixture([(share, algorithms[name]) for share, name in self.options.p_suggest])


def _is_startup(options: HyperoptTpeOptions, setting: Setting, number: int, finished: int) -> bool:
    done = finished if options.startup == "finished" else number
    return done < setting.startup_trials


def _parzen(options: HyperoptTpeOptions, *, is_startup: bool) -> Algorithm:
    from airflow_hpo.strategies._hyperopt_replay import parzen, prior

    if is_startup:
        return prior
    return parzen(
        gamma=options.gamma,
        candidates=options.n_EI_candidates,
        prior_weight=options.prior_weight,
        linear_forgetting=options.linear_forgetting,
    )


def _annealing(options: HyperoptAnnealOptions) -> Algorithm:
    from airflow_hpo.strategies._hyperopt_replay import annealing

    return annealing(avg_best_idx=options.avg_best_idx, shrink_coef=options.shrink_coef)
