"""
Random configurations, each trial's from a stream of its own, none twice.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from airflow_hpo.errors import SpaceExhaustedError
from airflow_hpo.model.distribution import Float, Int, LogNormal, Normal
from airflow_hpo.model.trial import Suggestion
from airflow_hpo.model.values import Configuration, Value, canonical, derive_seed
from airflow_hpo.strategies._lattice import Lattice, OutOfStepsError

if TYPE_CHECKING:
    from airflow_hpo.model.space import Space
    from airflow_hpo.model.trial import Trial

__all__ = ["Draws", "Tried", "next_number"]

# Redraws before what is left of a countable space is listed instead.
_FEW = 200

# Redraws before a space is given up: a constraint that one draw in 2 000
# satisfies is then missed once in 20 000 times.
_MANY = 20_000

_ABSENT: Any = object()
_NUMBERS = frozenset({int, float})

# Values looked at while what is left is listed.
_LISTED = 100_000


def next_number(trials: Sequence[Trial]) -> int:
    """
    Return the number that the next trial will get.
    """
    return trials[-1].number + 1 if trials else 0


class Tried:
    """
    Which configurations were tried, whatever became of them.
    """

    def __init__(self, space: Space, trials: Iterable[Trial]) -> None:
        self._is_number = {
            parameter.name: isinstance(parameter.distribution, (Float, Int, Normal, LogNormal))
            for parameter in space.parameters
        }
        self._labels = Counter(self._label(trial.configuration) for trial in trials)

    def __contains__(self, configuration: Configuration) -> bool:
        """
        Return whether *configuration* was tried.
        """
        return self._label(configuration) in self._labels

    def count(self, configuration: Configuration) -> int:
        """
        Return how often *configuration* was tried.
        """
        return self._labels[self._label(configuration)]

    def add(self, configuration: Configuration) -> None:
        """
        Remember that *configuration* is taken.
        """
        self._labels[self._label(configuration)] += 1

    def _label(self, configuration: Configuration) -> object:
        if not configuration.keys() <= self._is_number.keys():
            return canonical(configuration)  # of another space
        # Comparing values is many times quicker than writing them as text. A
        # history that went through another program may hold 1 for 1.0.
        label: list[object] = []
        for name, is_number in self._is_number.items():
            value = configuration.get(name, _ABSENT)
            kind = type(value)
            quick = kind is str or value is _ABSENT or (is_number and kind in _NUMBERS)
            label.append(value if quick else (canonical(value),))
        return tuple(label)


class Draws:
    """
    Draws configurations at random that nobody tried yet.

    The *n*-th trial draws from a stream of its own, and every parameter takes
    its number from it whether it is active or not: so asking one by one and
    asking for a batch give the same, and one parameter's condition does not
    shift the values of the others.

    Args:
        space: What is allowed.

        trials: The history; its configurations are not drawn again.

        seed: The study's seed.

        stream: Keeps the streams of different purposes apart.
    """

    def __init__(
        self, space: Space, trials: Sequence[Trial], *, seed: int, stream: str = "random"
    ) -> None:
        self.tried = Tried(space, trials)
        self.next_number = next_number(trials)
        self._space = space
        self._seed = seed
        self._stream = stream
        self._listing: _Listing | None = None
        self._any_allowed = False

    def suggestions(self, numbers: Iterable[int], *, sampler: str) -> list[Suggestion]:
        """
        Return one suggestion for each number; fewer at the end of the space.

        Raises:
            SpaceExhaustedError: If no configuration satisfies the constraints.
        """
        found: list[Suggestion] = []
        for number in numbers:
            configuration = self.draw(number)
            if configuration is None:
                break
            self.take(configuration)
            found.append(Suggestion(configuration, sampler))
        return found

    def next_suggestions(self, count: int, *, sampler: str) -> list[Suggestion]:
        """
        Return *count* suggestions for the trials that follow the history.
        """
        numbers = range(self.next_number, self.next_number + count)
        return self.suggestions(numbers, sampler=sampler)

    def take(self, configuration: Configuration) -> None:
        """
        Do not draw *configuration* any more.
        """
        self.tried.add(configuration)
        self._any_allowed = True

    def accept(self, configuration: Configuration) -> bool:
        """
        Take *configuration* if it is allowed and new; return whether it was.
        """
        if configuration in self.tried or any(self._space.problems(configuration)):
            return False
        self.take(configuration)
        return True

    def draw(self, number: int, *, given: Configuration | None = None) -> dict[str, Value] | None:
        """
        Return a configuration for trial *number*; `None` if all were tried.

        Args:
            number: Of the trial; tells its stream.

            given: Values that are not drawn.

        Raises:
            SpaceExhaustedError: If no configuration satisfies the constraints.
        """
        rng = random.Random(derive_seed(self._seed, self._stream, number))  # noqa: S311 - no secret
        given = given or {}
        lattice = Lattice(self._space, fixed=given)
        found = self._redraw(rng, given, _FEW)
        if found is None:
            left = self._left(lattice, cached=not given)
            # A listing that broke off holds the space's beginning only: what
            # it found must not crowd out the rest.
            if not left.whole:
                found = self._redraw(rng, given, _MANY)
            remaining = [item for item in left.configurations if item not in self.tried]
            if found is None and remaining:
                found = dict(rng.choice(remaining))
        if found is None and not self._any_allowed:
            raise SpaceExhaustedError(
                "no configuration satisfies the constraints, got "
                + "; ".join(self._space.constraints)
            )
        return found

    def _redraw(
        self, rng: random.Random, given: Configuration, tries: int
    ) -> dict[str, Value] | None:
        for _ in range(tries):
            configuration = self._drawn(rng, given)
            if self._space.satisfies_constraints(configuration):
                self._any_allowed = True
                if configuration not in self.tried:
                    return configuration
        return None

    def _drawn(self, rng: random.Random, given: Configuration) -> dict[str, Value]:
        found: dict[str, Value] = {}
        for parameter in self._space.sampling_order:
            value = parameter.distribution.from_unit(rng.random())
            if parameter.is_active(found):
                found[parameter.name] = given.get(parameter.name, value)
        return {name: found[name] for name in self._space.by_name if name in found}

    def _left(self, lattice: Lattice, *, cached: bool) -> _Listing:
        if cached and self._listing is not None:
            return self._listing
        listing = _Listing(lattice, self.tried)
        self._any_allowed = self._any_allowed or listing.any_allowed
        if cached:
            self._listing = listing
        return listing


class _Listing:
    """
    What is left of a space, as far as it can be listed.

    Args:
        lattice: The space.

        tried: What is left out.
    """

    def __init__(self, lattice: Lattice, tried: Tried) -> None:
        self.configurations: list[dict[str, Value]] = []
        self.any_allowed = False
        self.whole = lattice.countable
        if lattice.countable:
            self._list(lattice, tried)

    def _list(self, lattice: Lattice, tried: Tried) -> None:
        try:
            for configuration in lattice.walk(steps=_LISTED):
                self.any_allowed = True
                if configuration not in tried:
                    self.configurations.append(configuration)
        except OutOfStepsError:
            self.whole = False
