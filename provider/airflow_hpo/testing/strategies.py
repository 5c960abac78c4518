"""
What every strategy must do, as a test class to subclass.

::

    class TestMine(StrategyContract):
        names = ("my_package.strategies:MyStrategy",)
"""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, ClassVar

import pytest

from airflow_hpo.errors import SpaceExhaustedError
from airflow_hpo.model.distribution import Categorical, Constant, Distribution, Int
from airflow_hpo.model.space import Space
from airflow_hpo.model.trial import TrialState
from airflow_hpo.model.values import Value, canonical
from airflow_hpo.strategies._lattice import Lattice
from airflow_hpo.strategies.base import Options, Strategy, Support
from airflow_hpo.testing.spaces import IMPOSSIBLE, SPACES, TINY, make_history, sample
from airflow_hpo.testing.strategy_histories import HistoryContract, is_plain
from airflow_hpo.testing.strategy_seeds import SeedContract
from airflow_hpo.testing.strategy_setting import follow, make_strategy, supports

__all__ = ["StrategyContract"]


class StrategyContract(SeedContract, HistoryContract):
    """
    Subclass it and name the strategies; pytest does the rest.

    Attributes:
        names: As in a blueprint: names of the table, or ``module:Class``.

        unseeded: Those that suggest the same whatever the seed.

        listed: Those that try what their options list and nothing else.

        populated: Those that begin with as many trials as their option *population* says.
    """

    names: ClassVar[Sequence[str]] = ()
    unseeded: ClassVar[Sequence[str]] = ("grid", "manual")
    listed: ClassVar[Sequence[str]] = ("manual",)
    populated: ClassVar[Sequence[str]] = ("pbt",)

    def options_for(self, name: str, space: Space) -> Mapping[str, Any]:
        """
        Return the options with which *name* searches *space*.
        """
        if name in self.populated:
            return {"population": 64}  # more than the suite asks for at once
        if name not in self.listed:
            return {}
        lattice = Lattice(space)
        if lattice.countable and len(listing := list(islice(lattice.walk(), 101))) <= 100:
            return {"configurations": listing}
        rng = random.Random(0)  # noqa: S311 - no secret
        draws = [sample(space, rng) for _ in range(300)]
        return {"configurations": list({canonical(draw): draw for draw in draws}.values())[:100]}

    def make(self, name: str, space: Space) -> Strategy:
        """
        Return the strategy under test.
        """
        return make_strategy(name, self.options_for(name, space))

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """
        Pair every strategy with every space of the kind that it supports.
        """
        tables: Mapping[str, Mapping[str, Any]] = {
            "space": SPACES,
            "tiny": TINY,
            "impossible": IMPOSSIBLE,
            "lone": {"ints": SPACES["ints"]},
            "roomy": {title: SPACES[title] for title in ("floats", "ints", "conditional")},
        }
        kind = next((kind for kind in tables if kind in metafunc.fixturenames), None)
        if "name" not in metafunc.fixturenames:
            return
        if kind is None:
            metafunc.parametrize("name", self.names)
            return
        pairs = [
            pytest.param(name, item, id=f"{name}-{title}")
            for name in self.names
            for title, item in tables[kind].items()
            if supports(name, item) and not (kind == "impossible" and name in self.listed)
        ]
        metafunc.parametrize(("name", kind), pairs)

    def test_what_it_can_do_is_declared(self, name: str) -> None:
        """
        Its options are a model and its abilities are declared on the class.
        """
        strategy = self.make(name, SPACES["ints"])

        assert isinstance(strategy, Strategy)
        assert isinstance(strategy.support, Support)
        assert issubclass(strategy.options_class, Options)

    def test_unknown_options_are_refused(self, name: str) -> None:
        """
        An option that does not exist is named, not ignored.
        """
        options = {**self.options_for(name, SPACES["ints"]), "no_such_option": 1}

        with pytest.raises(ValueError, match="no_such_option"):
            make_strategy(name, options)

    def test_suggestions_are_allowed(self, name: str, space: Space) -> None:
        """
        Each has a value for each active parameter, in order, and breaks nothing.
        """
        for trials in (make_history(space, 0), make_history(space, 24)):
            for suggestion in self.make(name, space).suggest(space, trials, 6, seed=1):
                configuration = suggestion.configuration
                assert list(space.problems(configuration)) == []
                assert list(configuration) == [key for key in space.by_name if key in configuration]

    def test_values_are_plain_and_of_their_type(self, name: str, space: Space) -> None:
        """
        Values are what the distribution speaks, and survive JSON as they are.
        """
        trials = make_history(space, 24)

        for suggestion in self.make(name, space).suggest(space, trials, 6, seed=2):
            assert suggestion.sampler
            assert is_plain(suggestion.configuration)
            assert is_plain(suggestion.labels)
            assert is_plain((suggestion.resource, suggestion.parent))
            text = json.dumps(suggestion.configuration)
            assert json.dumps(json.loads(text)) == text
            for key, value in suggestion.configuration.items():
                _check_type(space.by_name[key].distribution, value)

    def test_no_configuration_twice(self, name: str, space: Space) -> None:
        """
        Neither within a batch nor beside the history, whatever became of it.
        """
        trials = make_history(space, 24)
        known = {canonical(trial.configuration) for trial in trials}

        found = self.make(name, space).suggest(space, trials, 8, seed=3)

        labels = [canonical(suggestion.configuration) for suggestion in found]
        assert len(set(labels)) == len(labels) == 8
        assert not known & set(labels)

    def test_history_is_left_alone(self, name: str, space: Space) -> None:
        """
        Neither the trials nor the space are changed.
        """
        trials = make_history(space, 24)
        before, dumped = copy.deepcopy(trials), space.model_dump_json()

        self.make(name, space).suggest(space, trials, 2, seed=7)

        assert trials == before
        assert space.model_dump_json() == dumped

    def test_any_history_will_do(self, name: str, space: Space) -> None:
        """
        A history of one state only, whichever, gives a full batch.
        """
        for state in TrialState:
            trials = make_history(space, 12, states=[state])
            assert len(self.make(name, space).suggest(space, trials, 2, seed=10)) == 2

    def test_wide_batch(self, name: str, roomy: Space) -> None:
        """
        A batch of 64 is full and has no configuration twice.
        """
        trials = make_history(roomy, 7)

        found = self.make(name, roomy).suggest(roomy, trials, 64, seed=11)

        assert len({canonical(suggestion.configuration) for suggestion in found}) == 64

    def test_nothing_asked_nothing_given(self, name: str, space: Space) -> None:
        """
        A count of zero is answered with no suggestion.
        """
        assert list(self.make(name, space).suggest(space, [], 0, seed=12)) == []

    @pytest.mark.parametrize("count", [0, 9])
    def test_tiny_space_is_used_up_and_then_empty(
        self, name: str, tiny: tuple[Space, int], count: int
    ) -> None:
        """
        Fewer come back only when each configuration has been suggested once.
        """
        space, size = tiny
        trials = make_history(space, count)
        tried = {canonical(trial.configuration) for trial in trials}
        strategy = self.make(name, space)

        found = strategy.suggest(space, trials, size + 9, seed=13)

        labels = {canonical(suggestion.configuration) for suggestion in found}
        assert len(labels) == len(found)
        assert not labels & tried
        assert len(labels | tried) == size
        assert list(strategy.suggest(space, follow(trials, found), 3, seed=13)) == []

    def test_limit_is_never_too_low(self, name: str, tiny: tuple[Space, int]) -> None:
        """
        The limit is the number of configurations, where it is known; ladders promote besides.
        """
        space, size = tiny
        strategy = self.make(name, space)
        limit = strategy.limit(space)

        if strategy.support.multi_fidelity:
            assert limit is None or limit >= size
        else:
            assert limit in {size, None}

    def test_impossible_constraints_are_told(self, name: str, impossible: Space) -> None:
        """
        Where nothing satisfies the constraints, that is an error with them in it.
        """
        strategy = self.make(name, impossible)

        with pytest.raises(SpaceExhaustedError, match=re.escape(impossible.constraints[0])):
            strategy.suggest(impossible, [], 2, seed=14)


def _check_type(distribution: Distribution, value: Value) -> None:
    if isinstance(distribution, Categorical):
        assert canonical(value) in map(canonical, distribution.choices)
    elif isinstance(distribution, Constant):
        assert canonical(value) == canonical(distribution.value)
    else:
        assert type(value) is (int if isinstance(distribution, Int) else float)
