"""
Ladders: how many trials each rung of a bracket has, and what it spends on them.

Pure arithmetic in exact fractions: no logarithm, no rounding but the last one.
The strategies promote by these tables and the plan prints them.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from airflow_hpo.model.values import Value

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_hpo.model.trial import Trial

__all__ = [
    "Bracket",
    "Place",
    "Rung",
    "Scale",
    "asynchronous",
    "halving",
    "hyperband",
    "largest_start",
    "place_of",
    "total_spent",
    "total_trials",
]


class Place(NamedTuple):
    """
    Where a trial stands: iteration, bracket and rung, as in the plan's table.
    """

    iteration: int
    bracket: int
    rung: int

    def above(self) -> Place:
        """
        Return the rung to which trials are promoted from here.
        """
        return self._replace(rung=self.rung + 1)

    def labels(self, origin: int | None = None) -> dict[str, Value]:
        """
        Return the labels of a trial that stands here, promoted from *origin*.
        """
        found: dict[str, Value] = dict(self._asdict())
        return found if origin is None else found | {"from": origin}


def place_of(trial: Trial) -> Place | None:
    """
    Return where *trial* stands; `None` if no ladder strategy suggested it.
    """
    found = [trial.labels.get(name) for name in Place._fields]
    numbers = [value for value in found if isinstance(value, int)]
    return Place(*numbers) if len(numbers) == len(found) else None


@dataclass(frozen=True, slots=True)
class Rung:
    """
    One level of a bracket, at which trials are compared.

    Args:
        rung: 0 for the lowest.

        trials: How many run at this level.

        resource: What each of them is given in all.

        promote: How many go on to the next rung.

        spent: What the trials of this rung spend together; where they resume,
            only what comes on top of the rung before.
    """

    rung: int
    trials: int
    resource: float
    promote: int
    spent: float = 0.0


@dataclass(frozen=True, slots=True)
class Bracket:
    """
    One successive-halving ladder, numbered as in the paper (*s*).

    Args:
        bracket: How many rungs lie above its first.

        rungs: The lowest first.

        iteration: Which round of all brackets it belongs to.
    """

    bracket: int
    rungs: tuple[Rung, ...]
    iteration: int = 0

    @property
    def name(self) -> str:
        """
        What tells it apart within a study: ``bracket_3``, ``iteration_1_bracket_3``.
        """
        own = f"bracket_{self.bracket}"
        return own if self.iteration == 0 else f"iteration_{self.iteration}_{own}"


@dataclass(frozen=True, slots=True)
class Scale:
    """
    What resources a ladder may give, and by which factor they grow.

    Args:
        low: Least resource of a trial (*r* in the papers); above 0.

        high: Most (*R*), in the same unit.

        eta: One trial in this many moves up; at least 2, also the factor by
            which resources grow.

        whole: Whether resources are whole numbers.

        resume: Whether a promoted trial goes on where its parent ended.

    Raises:
        ValueError: If the bounds are out of order or *eta* is below 2.
    """

    low: float
    high: float
    eta: float = 3
    whole: bool = True
    resume: bool = True

    def __post_init__(self) -> None:
        """
        Refuse what makes no ladder.
        """
        if not self.eta >= _LEAST_ETA:
            raise ValueError(f"eta must be at least {_LEAST_ETA}, got {self.eta:g}")
        if not 0 < self.low <= self.high:
            raise ValueError(f"0 < min <= max must hold, got min={self.low:g}, max={self.high:g}")

    @property
    def steps(self) -> int:
        """
        The largest *s* with ``low * eta ** s <= high``, found without a logarithm.
        """
        low, high, eta = _exact(self.low), _exact(self.high), _exact(self.eta)
        found = 0
        while low * eta ** (found + 1) <= high:
            found += 1
        return found

    def downwards(self, steps: int) -> tuple[float, ...]:
        """
        Return *steps* + 1 resources that end at the maximum: ``R / eta ** s`` ...
        """
        high, eta = _exact(self.high), _exact(self.eta)
        return tuple(self._given(high / eta**step) for step in range(steps, -1, -1))

    def upwards(self) -> tuple[float, ...]:
        """
        Return the resources from the minimum to the maximum: ``r * eta ** k`` ...

        The last is the maximum itself. It takes the place of the last power
        where it is nearer to that one than to the power after it, so that no
        two rungs are almost the same.

        Example:
            >>> Scale(1, 100).upwards()
            (1, 3, 9, 27, 100)
            >>> Scale(1, 52).upwards()
            (1, 3, 9, 27, 52)
        """
        low, high, eta = _exact(self.low), _exact(self.high), _exact(self.eta)
        found = [low * eta**step for step in range(self.steps + 1)]
        # Nearer on the scale of the powers: high / last < sqrt(eta).
        if len(found) > 1 and high**2 < found[-1] ** 2 * eta:
            del found[-1]
        if found[-1] != high:
            found.append(high)
        return tuple(map(self._given, found))

    def _given(self, amount: Fraction) -> float:
        """
        Return an exact amount as a trial is given it.
        """
        if not self.whole:
            return float(amount)
        # Half up, so that amounts that grow by a factor of 2 never coincide.
        rounded = (2 * amount.numerator + amount.denominator) // (2 * amount.denominator)
        return min(max(rounded, 1), int(self.high))


_LEAST_ETA = 2


def _exact(value: float) -> Fraction:
    """
    Return the number that a person wrote: 0.1 is one tenth.
    """
    return Fraction(str(value))


def hyperband(
    scale: Scale, *, iterations: int = 1, configurations: int | None = None
) -> tuple[Bracket, ...]:
    """
    Return all brackets of Hyperband, the one with the most trials first.

    Bracket *s* draws ``ceil((s_max + 1) * eta**s / (s + 1))`` configurations,
    starts them at ``R / eta**s``, and keeps ``floor(n / eta**(k + 1))`` of them
    after rung *k*.

    Args:
        scale: The resource.

        iterations: How often all brackets are run.

        configurations:
            How many the space has, if that is known: none is tried twice, so
            later brackets get what the earlier ones leave, or are left out.

    Example:
        >>> [bracket.rungs[0].trials for bracket in hyperband(Scale(1, 81))]
        [81, 34, 15, 8, 5]

    Source:
        Li et al. (2018), "Hyperband", JMLR 18(185), algorithm 1.
    """
    top, eta = scale.steps, _exact(scale.eta)
    found: list[Bracket] = []
    left = configurations
    for iteration in range(iterations):
        for steps in range(top, -1, -1):
            wanted = _ceil((top + 1) * eta**steps / (steps + 1))
            start = wanted if left is None else min(wanted, left)
            if start > 0:
                rungs = _rungs(start, scale.downwards(steps), scale)
                found.append(Bracket(steps, rungs, iteration))
            left = None if left is None else left - start
    return tuple(found)


def halving(start: int, scale: Scale) -> Bracket:
    """
    Return the one bracket that begins with *start* trials at the minimum.

    Example:
        >>> [(rung.trials, rung.resource) for rung in halving(9, Scale(1, 9)).rungs]
        [(9, 1), (3, 3), (1, 9)]
    """
    resources = scale.upwards()
    return Bracket(len(resources) - 1, _rungs(start, resources, scale))


def largest_start(trials: int, scale: Scale) -> int:
    """
    Return how many trials one bracket may begin with to have at most *trials* in all.

    0 where *trials* is too few for any bracket.
    """
    low, high = 0, trials
    while low < high:
        middle = (low + high + 1) // 2
        if total_trials([halving(middle, scale)]) <= trials:
            low = middle
        else:
            high = middle - 1
    return low


def asynchronous(trials: int, scale: Scale, *, configurations: int | None = None) -> Bracket:
    """
    Return the rungs of asynchronous halving after *trials* trials, at the most.

    Promotions come as early as can be here: one at a time, each trial measured
    before the next is chosen. Whatever runs side by side is promoted later, so
    no order in which trials end spends more.

    Args:
        trials: The budget, promotions counted.

        scale: The resource.

        configurations: How many the space has, if that is known.

    Source:
        Li et al. (2020), "A System for Massively Parallel Hyperparameter
        Tuning", MLSys; the hard limit of 1/eta per rung is ours.
    """
    resources = scale.upwards()
    low, high = 0, trials
    while low < high:  # the fewest new trials whose promotions make up the rest
        middle = (low + high) // 2
        if sum(_chain(middle, scale, len(resources))) >= trials:
            high = middle
        else:
            low = middle + 1
    counts, before = (_chain(start, scale, len(resources)) for start in (low, max(low - 1, 0)))
    if configurations is not None and configurations < low:
        counts = _chain(configurations, scale, len(resources))
    excess = sum(counts) - trials
    # The last new trial may set off promotions up to the top; they are cut
    # short from the top.
    for rung in range(len(counts) - 1, -1, -1):
        if excess > 0 and counts[rung] > before[rung]:
            counts[rung], excess = counts[rung] - 1, excess - 1
    return Bracket(len(resources) - 1, tuple(_table(counts, resources, scale)))


def _chain(start: int, scale: Scale, rungs: int) -> list[int]:
    eta, counts = _exact(scale.eta), [start]
    while len(counts) < rungs:
        counts.append(int(counts[-1] // eta))
    return counts


def _rungs(start: int, resources: Sequence[float], scale: Scale) -> tuple[Rung, ...]:
    """
    Return the rungs of a bracket; at least one trial reaches the last.
    """
    eta = _exact(scale.eta)
    counts = [max(1, int(start / eta**rung)) if rung else start for rung in range(len(resources))]
    return tuple(_table(counts, resources, scale))


def _table(counts: Sequence[int], resources: Sequence[float], scale: Scale) -> Iterator[Rung]:
    for rung, (trials, resource) in enumerate(zip(counts, resources, strict=True)):
        before = resources[rung - 1] if rung and scale.resume else 0
        promote = counts[rung + 1] if rung + 1 < len(counts) else 0
        yield Rung(rung, trials, resource, promote, float(trials * (resource - before)))


def _ceil(value: Fraction) -> int:
    return -(-value.numerator // value.denominator)


def total_trials(brackets: Sequence[Bracket]) -> int:
    """
    Return how many trials the brackets have, promoted ones counted anew.
    """
    return sum(rung.trials for bracket in brackets for rung in bracket.rungs)


def total_spent(brackets: Sequence[Bracket]) -> float:
    """
    Return how much of the resource the brackets spend.
    """
    return float(sum(rung.spent for bracket in brackets for rung in bracket.rungs))
