"""
What every strategy must do with histories that are odd, foreign or long.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Mapping, Sequence
from dataclasses import replace

from airflow_hpo.model.space import Space
from airflow_hpo.model.trial import Suggestion, Trial, TrialState
from airflow_hpo.model.values import Value, canonical
from airflow_hpo.strategies.base import Strategy
from airflow_hpo.testing.spaces import SPACES, make_history
from airflow_hpo.testing.strategy_setting import StrategyPart

__all__ = ["HistoryContract", "is_plain"]

# A long history, and how many times as long the longer one is.
_LONG = 250
_TIMES = 4

# What a strategy may take besides, whatever the history: tables of its own.
_BESIDES = 2**21


def is_plain(value: Value) -> bool:
    """
    Return whether *value* is made of Python's own types, subclasses excluded.

    The numbers of numeric libraries pass for floats and cannot be stored.
    """
    if type(value) in {list, tuple}:
        return all(map(is_plain, value))
    if isinstance(value, Mapping):
        return all(type(key) is str and is_plain(item) for key, item in value.items())
    return type(value) in {str, int, float, bool, type(None)}


class HistoryContract(StrategyPart):
    """
    A part of `StrategyContract`, which makes the strategies.
    """

    def test_a_history_that_repeats_itself(self, name: str, roomy: Space) -> None:
        """
        However often one configuration was tried, another one is suggested.
        """
        (first, *_) = make_history(roomy, 1, states=[TrialState.COMPLETE])
        trials = [replace(first, number=number) for number in range(60)]

        found = self.make(name, roomy).suggest(roomy, trials, 3, seed=16)

        labels = {canonical(suggestion.configuration) for suggestion in found}
        assert len(labels) == 3
        assert canonical(first.configuration) not in labels

    def test_trials_of_another_space(self, name: str, roomy: Space) -> None:
        """
        Failed trials that have no place in the space keep their numbers, and do no harm.
        """
        other = make_history(SPACES["choices"], 8, states=[TrialState.FAILED])
        own = [replace(trial, number=trial.number + 8) for trial in make_history(roomy, 16)]

        found = self.make(name, roomy).suggest(roomy, [*other, *own], 4, seed=17)

        assert len(found) == 4
        for suggestion in found:
            assert list(roomy.problems(suggestion.configuration)) == []

    def test_trials_of_a_warm_start(self, name: str, roomy: Space) -> None:
        """
        Whoever learns from them takes numbers below 0 for others' trials, again and again.
        """
        strategy = self.make(name, roomy)
        if not strategy.support.history:
            return
        complete = make_history(roomy, 12, states=[TrialState.COMPLETE])
        given = [replace(trial, number=trial.number - 12, sampler="history") for trial in complete]

        found = [strategy.suggest(roomy, given, 3, seed=seed) for seed in (18, 18, 19)]

        first, second, other = map(_labels, found)
        assert first == second != other
        assert len(set(first)) == 3
        assert not set(first) & {canonical(trial.configuration) for trial in given}
        waiting = [
            Trial(number, suggestion.configuration, labels=suggestion.labels)
            for number, suggestion in enumerate(found[0])
        ]
        assert len(strategy.suggest(roomy, [*given, *waiting], 2, seed=18)) == 2

    def test_memory_is_linear(self, name: str, lone: Space) -> None:
        """
        A history four times as long takes about four times the memory, not sixteen.
        """
        strategy = self.make(name, lone)
        trials = make_history(lone, _LONG * _TIMES)
        strategy.suggest(lone, trials[:40], 1, seed=20)  # loads what is loaded once

        short, long = (_peak(strategy, lone, trials[:count]) for count in (_LONG, _LONG * _TIMES))

        assert long <= 1.5 * _TIMES * short + _BESIDES


def _labels(suggestions: Sequence[Suggestion]) -> list[str]:
    return [canonical(suggestion.configuration) for suggestion in suggestions]


def _peak(strategy: Strategy, space: Space, trials: Sequence[Trial]) -> int:
    """
    Return how much memory one ask takes at most, in bytes.
    """
    tracemalloc.start()
    try:
        strategy.suggest(space, trials, 1, seed=20)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
