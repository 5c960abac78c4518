"""
Random search from NumPy's frozen stream: the draws that other tools make of a seed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_hpo.model.distribution import (
    Categorical,
    Constant,
    Distribution,
    Float,
    Int,
    LogNormal,
    Normal,
)
from airflow_hpo.model.scale import stepped
from airflow_hpo.model.trial import Suggestion
from airflow_hpo.strategies._draws import Draws, Tried, next_number
from airflow_hpo.strategies._lattice import count_configurations
from airflow_hpo.strategies.base import Options, Setting, Support

if TYPE_CHECKING:
    from numpy.random import RandomState

    from airflow_hpo.model.space import Space
    from airflow_hpo.model.trial import Trial
    from airflow_hpo.model.values import Value

__all__ = ["NumpyRandomStrategy"]

# Draws in a row that bring nothing new before the stream is given up.
_IDLE = 2_000

_SEEDS = 2**32

# Beyond these, NumPy draws no whole number.
_WIDEST = 2**63


class NumpyRandomStrategy:
    """
    Draws all parameters in their order from one ``numpy.random.RandomState``.

    That stream is the same in every version of NumPy: with a seed below 2**32
    the configurations are those that Polyaxon's random search has run. What
    was drawn already is passed over; where the stream brings nothing new for
    long, what is left of the space is drawn from as ``random`` does.
    """

    options_class: ClassVar[type[Options]] = Options
    support: ClassVar[Support] = Support(multi_objective=True)

    def __init__(self, options: Options, setting: Setting) -> None:
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

        Raises:
            SpaceExhaustedError: If no configuration satisfies the constraints.
        """
        from numpy.random import RandomState

        tried, drawn = Tried(space, trials), Tried(space, ())
        found: list[Suggestion] = []
        idle = 0
        for configuration in _stream(space, RandomState(seed % _SEEDS)):
            if len(found) >= count or idle >= _IDLE:
                break
            idle += 1
            if configuration in drawn or not space.satisfies_constraints(configuration):
                continue
            # What the history holds comes first in the stream, and is no idling.
            drawn.add(configuration)
            idle = 0
            if configuration not in tried:
                found.append(Suggestion(configuration, "numpy_random"))
        return [*found, *_rest(space, trials, found, count, seed=seed)]


def _rest(
    space: Space, trials: Sequence[Trial], found: Sequence[Suggestion], count: int, *, seed: int
) -> list[Suggestion]:
    """
    Return what is left of the space, once the stream brings nothing new.
    """
    if len(found) >= count:
        return []
    draws = Draws(space, trials, seed=seed, stream="numpy_random")
    for suggestion in found:
        draws.take(suggestion.configuration)
    first = next_number(trials) + len(found)
    numbers = range(first, first + count - len(found))
    return draws.suggestions(numbers, sampler="numpy_random")


def _stream(space: Space, rng: RandomState) -> Iterator[dict[str, Value]]:
    while True:
        found: dict[str, Value] = {}
        for parameter in space.sampling_order:
            value = _draw(parameter.distribution, rng)
            if parameter.is_active(found):
                found[parameter.name] = value
        yield {name: found[name] for name in space.by_name if name in found}


def _draw(distribution: Distribution, rng: Any) -> Value:  # noqa: ANN401 - NumPy comes late
    """
    Return one value; a constant costs the stream nothing.
    """
    if isinstance(distribution, Constant):
        return distribution.value
    if isinstance(distribution, Categorical):
        return _choice(distribution, rng)
    if isinstance(distribution, (Normal, LogNormal)):
        value = float(rng.normal(distribution.mean, distribution.deviation))
        value = math.exp(value) if isinstance(distribution, LogNormal) else value
        step = distribution.step
        return value if step is None else stepped(0.0, step, round(value / step))
    if isinstance(distribution, Float) and distribution.anchor == "zero":
        grid = distribution.grid()
        return grid.value(grid.place(_between(distribution, rng)))
    return _uniform(distribution, rng)


def _choice(distribution: Categorical, rng: Any) -> Value:  # noqa: ANN401
    if distribution.weights is None:
        return distribution.choices[int(rng.randint(0, len(distribution.choices)))]
    total = math.fsum(distribution.weights)
    shares = [weight / total for weight in distribution.weights]
    return distribution.choices[int(rng.multinomial(1, shares).argmax())]


def _uniform(distribution: Float | Int, rng: Any) -> float:  # noqa: ANN401
    if isinstance(distribution, Float) and distribution.step is None:
        return _between(distribution, rng)
    if distribution.log or (distribution.size() or 0) >= _WIDEST:
        return distribution.from_unit(float(rng.uniform(0.0, 1.0)))
    place = int(rng.randint(0, distribution.size(), dtype="int64"))
    if isinstance(distribution, Float):
        return distribution.grid().value(place)
    return distribution.low + distribution.step * place


def _between(distribution: Float, rng: Any) -> float:  # noqa: ANN401
    low, high = distribution.low, distribution.high
    if not distribution.log:
        return min(max(float(rng.uniform(low, high)), low), high)
    return min(max(math.exp(float(rng.uniform(math.log(low), math.log(high)))), low), high)
