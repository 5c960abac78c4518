"""
HyperOpt's algorithms: what ``hyperopt.fmin`` would try, trial by trial.

There is no strategy for its adaptive TPE (``atpe``): that needs LightGBM, a
dependency of its own, and most of a second for each suggestion.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, ClassVar

from airflow_hpo.errors import BlueprintError, Problem
from airflow_hpo.model.trial import Suggestion, Trial
from airflow_hpo.model.values import derive_seed
from airflow_hpo.strategies._draws import next_number
from airflow_hpo.strategies._hyperopt_gate import Gate
from airflow_hpo.strategies._hyperopt_layout import Layout, layout_problems
from airflow_hpo.strategies._hyperopt_options import (
    HyperoptAnnealOptions,
    HyperoptMixOptions,
    HyperoptOptions,
    HyperoptTpeOptions,
)
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

_LEARNS = Support(outcome_constraints=True, history=True, note=f"{_NOTE}; {_DRIFT}")


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
        _refuse(self.problems(space))
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
        _refuse(self.problems(space))
        layout = Layout(space, **self.options.model_dump(include={"expressions", "labels"}))
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
            layout,
            self.setting.objectives[0],
            trials,
            outcomes=self.setting.outcomes,
            shows_running=self._shows_running,
        )
        given = sum(trial.number < 0 for trial in trials)
        calls = sum(trial.sampler != "point" for trial in trials) - given
        for number, own in zip(numbers, seeds_of_fmin(seed, calls, len(numbers)), strict=True):
            is_startup = self._is_startup(number + given, replay.finished)
            algorithm = self._algorithm(is_startup=is_startup)
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

    def problems(self, space: Space) -> list[Problem]:
        """
        Return which expressions and labels do not fit *space*.
        """
        given = self.options.model_dump(include={"expressions", "labels"})
        return [
            Problem(f"strategy.options.{at}", what) for at, what in layout_problems(space, **given)
        ]

    @property
    def _shows_running(self) -> bool:
        """
        Whether the algorithm is shown trials without an outcome.
        """
        return True

    def _is_startup(self, number: int, finished: int) -> bool:
        """
        Return whether trial *number*, of all it is shown, is random, so many having *finished*.
        """
        del number, finished
        return False

    @abstractmethod
    def _algorithm(self, *, is_startup: bool) -> Algorithm:
        """
        Return HyperOpt's algorithm with its options.
        """


def _refuse(problems: Sequence[Problem]) -> None:
    if problems:
        raise BlueprintError(problems)


class HyperoptRandomStrategy(_Hyperopt):
    """
    HyperOpt's random search (``rand.suggest``).
    """

    options_class: ClassVar[type[Options]] = HyperoptOptions
    support: ClassVar[Support] = Support(outcome_constraints=True, note=_NOTE)
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
    support: ClassVar[Support] = _LEARNS
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
    support: ClassVar[Support] = _LEARNS
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
    support: ClassVar[Support] = _LEARNS
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
