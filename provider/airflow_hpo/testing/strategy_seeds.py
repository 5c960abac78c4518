"""
What decides a strategy's suggestions: the seed and the history, and nothing besides.

Run as a program it prints what strategies suggest, for comparing processes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace

import pytest

from airflow_hpo.model.space import Space
from airflow_hpo.model.trial import Trial
from airflow_hpo.testing.spaces import SPACES, make_history
from airflow_hpo.testing.strategy_setting import (
    StrategyPart,
    configurations,
    follow,
    make_strategy,
    supports,
)

__all__ = ["SeedContract"]


class SeedContract(StrategyPart):
    """
    A part of `StrategyContract`, which makes the strategies.
    """

    def test_same_seed_same_suggestions(self, name: str, space: Space) -> None:
        """
        A new object with the same seed suggests the same from the same history.
        """
        trials = make_history(space, 24)

        first = self.make(name, space).suggest(space, trials, 4, seed=4)
        second = self.make(name, space).suggest(space, tuple(trials), 4, seed=4)

        assert configurations(first) == configurations(second)
        assert [item.sampler for item in first] == [item.sampler for item in second]

    def test_another_seed_other_suggestions(self, name: str, space: Space) -> None:
        """
        The seed decides, for start-up trials and for later ones.
        """
        for count in (0, 24):
            trials = make_history(space, count)
            first = self.make(name, space).suggest(space, trials, 4, seed=5)
            second = self.make(name, space).suggest(space, trials, 4, seed=6)
            same = configurations(first) == configurations(second)
            assert same == (name in self.unseeded)

    def test_order_within_mappings_does_not_matter(self, name: str, space: Space) -> None:
        """
        A history whose mappings were filled in another order says the same.
        """
        trials = make_history(space, 24)
        reordered = [
            replace(
                trial,
                configuration=dict(reversed(list(trial.configuration.items()))),
                metrics=dict(reversed(list(trial.metrics.items()))),
            )
            for trial in trials
        ]

        first = self.make(name, space).suggest(space, trials, 2, seed=8)
        second = self.make(name, space).suggest(space, reordered, 2, seed=8)

        assert configurations(first) == configurations(second)

    def test_one_by_one_draws_the_same_start(self, name: str, space: Space) -> None:
        """
        Start-up trials do not depend on how many were asked for together.
        """
        together = self.make(name, space).suggest(space, [], 4, seed=9)
        trials: list[Trial] = []
        for _ in range(4):
            trials = follow(trials, self.make(name, space).suggest(space, trials, 1, seed=9))

        assert configurations(together) == [json.dumps(trial.configuration) for trial in trials]

    @pytest.mark.parametrize("hash_seed", ["0", "4242"])
    def test_same_in_another_process(self, hash_seed: str) -> None:
        """
        Neither the process nor the hash seed has any influence.
        """
        jobs = tuple(
            (name, title, json.dumps(self.options_for(name, space)))
            for name in self.names
            for title, space in SPACES.items()
            if supports(name, space)
        )

        assert _elsewhere(jobs, hash_seed) == [_digest(*job) for job in jobs]


def _digest(name: str, title: str, options: str) -> str:
    """
    Return what strategy *name* suggests for a history of every state.
    """
    space = SPACES[title]
    strategy = make_strategy(name, json.loads(options))
    return json.dumps(
        [
            configurations(strategy.suggest(space, make_history(space, count), 3, seed=15))
            for count in (0, 24)
        ]
    )


def _elsewhere(jobs: Sequence[tuple[str, str, str]], hash_seed: str) -> list[str]:
    """
    Return the digests of *jobs* as another process computes them.
    """
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-m", __name__],
        input=json.dumps(jobs),
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    digests: list[str] = json.loads(done.stdout)
    return digests


if __name__ == "__main__":
    json.dump([_digest(*job) for job in json.load(sys.stdin)], sys.stdout)
