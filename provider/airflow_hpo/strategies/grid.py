"""
Grid search: every combination of a countable space, in a defined order.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, ClassVar, Literal

from airflow_hpo.errors import SpaceExhaustedError
from airflow_hpo.model.distribution import Categorical, Distribution, Float, Int
from airflow_hpo.model.space import Space
from airflow_hpo.model.trial import Suggestion
from airflow_hpo.model.values import Value, derive_seed
from airflow_hpo.strategies._draws import Draws, Tried
from airflow_hpo.strategies._lattice import (
    Lattice,
    OutOfStepsError,
    axis_of,
    count_configurations,
)
from airflow_hpo.strategies.base import Options, Setting, Support

if TYPE_CHECKING:
    from airflow_hpo.model.trial import Trial

__all__ = ["GridOptions", "GridStrategy"]

# Values looked at in one ask: what constraints exclude has to be passed by.
_STEPS = 500_000

# A grid of up to so many configurations is shuffled in memory.
_SHUFFLED = 20_000


class GridOptions(Options):
    """
    Options of the grid.

    Args:
        order:
            ``sequential`` changes the last parameter fastest, ``shuffled``
            goes through the same configurations in an order drawn by the seed.
    """

    order: Literal["sequential", "shuffled"] = "sequential"


class GridStrategy:
    """
    Tries all combinations, the first parameter slowest, as they are written.

    Conditional parameters take part where they are active; what breaks a
    constraint or was tried already is passed over. It continues behind what
    the history holds, and nothing is listed beyond what is asked for.
    """

    options_class: ClassVar[type[Options]] = GridOptions
    support: ClassVar[Support] = Support(
        continuous=False,
        normal=False,
        multi_objective=True,
        outcome_constraints=True,
        note="floats need a step, or their values listed as choices",
    )

    def __init__(self, options: GridOptions, setting: Setting) -> None:
        """
        Keep *options* and *setting*.
        """
        self.options = options
        self.setting = setting

    def limit(self, space: Space) -> int | None:
        """
        Return how many combinations there are, where that may matter.
        """
        return count_configurations(space, enough=self.setting.trials)

    def suggest(
        self, space: Space, trials: Sequence[Trial], count: int, *, seed: int
    ) -> Sequence[Suggestion]:
        """
        Return up to *count* configurations to try next.

        Raises:
            ValueError: If a parameter's values cannot be counted.

            SpaceExhaustedError: If no configuration satisfies the constraints.
        """
        lattice = Lattice(space)
        if not lattice.countable:
            raise ValueError(f"a grid must be countable, got {_uncountable_names(space)}")
        if count < 1:
            return []
        if self.options.order == "shuffled":
            return _shuffled(space, lattice, trials, count, seed=seed)
        return _sequential(space, lattice, trials, count)


def _sequential(
    space: Space, lattice: Lattice, trials: Sequence[Trial], count: int
) -> list[Suggestion]:
    tried = Tried(space, trials)
    found: list[Suggestion] = []
    any_allowed = False
    try:
        for configuration in _from_last(space, lattice, trials):
            any_allowed = True
            if configuration not in tried:
                tried.add(configuration)
                found.append(Suggestion(configuration, "grid"))
            if len(found) >= count:
                break
    except OutOfStepsError:
        if not found:
            raise SpaceExhaustedError(
                f"among {_STEPS} values looked at there is no new combination that satisfies "
                f"the constraints, got {'; '.join(space.constraints)}"
            ) from None
    return _some(space, found, any_allowed=any_allowed)


def _from_last(
    space: Space, lattice: Lattice, trials: Sequence[Trial]
) -> Iterator[dict[str, Value]]:
    """
    Walk from behind the last grid trial to the end, then all from the start.

    The second round finds what an edited history has left out; usually there
    is nothing before the last grid trial, and finding that out for each ask
    would cost the whole way.
    """
    last = next((trial for trial in reversed(trials) if trial.sampler == "grid"), None)
    if last is not None and not any(space.problems(last.configuration)):
        # A choice may have got weight zero since.
        with suppress(ValueError):
            yield from lattice.walk(after=last.configuration, steps=_STEPS)
    yield from lattice.walk(steps=_STEPS)


def _shuffled(
    space: Space, lattice: Lattice, trials: Sequence[Trial], count: int, *, seed: int
) -> list[Suggestion]:
    """
    Go through a small grid in a shuffled order; draw from one too big for it.
    """
    try:
        listing = list(islice(lattice.walk(), _SHUFFLED + 1))
    except OutOfStepsError:
        listing = [{}] * (_SHUFFLED + 1)
    if len(listing) > _SHUFFLED:
        draws = Draws(_even(space), trials, seed=seed, stream="grid")
        return draws.next_suggestions(count, sampler="grid")
    random.Random(derive_seed(seed, "grid")).shuffle(listing)  # noqa: S311 - no secret
    tried = Tried(space, trials)
    new = (configuration for configuration in listing if configuration not in tried)
    found = [Suggestion(configuration, "grid") for configuration in islice(new, count)]
    return _some(space, found, any_allowed=bool(listing))


def _some(space: Space, found: list[Suggestion], *, any_allowed: bool) -> list[Suggestion]:
    if not any_allowed:
        raise SpaceExhaustedError(
            f"no combination satisfies the constraints, got {'; '.join(space.constraints)}"
        )
    return found


def _even(space: Space) -> Space:
    """
    Return *space* with all values of a parameter equally likely.
    """
    return Space(
        parameters=tuple(
            parameter.model_copy(update={"distribution": _even_one(parameter.distribution)})
            for parameter in space.parameters
        ),
        constraints=space.constraints,
    )


def _even_one(distribution: Distribution) -> Distribution:
    if isinstance(distribution, (Float, Int)):
        return distribution.model_copy(update={"log": False})
    if isinstance(distribution, Categorical) and distribution.weights is not None:
        weights = tuple(float(weight > 0) for weight in distribution.weights)
        return distribution.model_copy(update={"weights": weights})
    return distribution


def _uncountable_names(space: Space) -> str:
    return ", ".join(
        parameter.name for parameter in space.parameters if axis_of(parameter.distribution) is None
    )
