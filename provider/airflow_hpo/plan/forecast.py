"""
PLAN + EARLIER TRIALS -> WALL CLOCK: how long it will probably take.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import asdict, dataclass
from itertools import count, cycle
from typing import TYPE_CHECKING, Any

from airflow_hpo.model.actual import spent_by

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_hpo.model.blueprint import Blueprint
    from airflow_hpo.model.stop import Budget
    from airflow_hpo.model.trial import Trial
    from airflow_hpo.plan.table import Plan

__all__ = ["Forecast", "excess", "forecast"]


@dataclass(frozen=True, slots=True)
class Forecast:
    """
    What a plan probably takes, by the trials there were.

    Args:
        wall_clock_s: Seconds from the first trial's start to the last one's
            end, what Airflow needs for itself left out.

        trial_time_s: Seconds summed over all trials.

        trials: How many earlier trials it is based on.
    """

    wall_clock_s: float
    trial_time_s: float
    trials: int

    def to_dict(self) -> dict[str, Any]:
        """
        Return it as ``hpo plan --format json`` prints it.
        """
        return asdict(self)


def forecast(plan: Plan, blueprint: Blueprint, trials: Sequence[Trial]) -> Forecast | None:
    """
    Return how long *plan* takes where trials take as long as the earlier *trials*.

    The trials are laid on as many slots as the plan has, in its order, and wait
    where it has them wait. What earlier trials took longer or shorter than is
    usual for their resource, coming trials do in turn: so the waiting for the
    slowest of a round is counted.

    Returns:
        The forecast; `None` where no earlier trial says how long one takes.
    """
    measured = _measured(blueprint, trials)
    if not measured:
        return None
    durations = _Durations(measured)
    slots = max(1, plan.peak_parallelism)
    if plan.mode == "ladder":
        wall, spent = _climb(plan, durations, slots)
    elif plan.mode == "async":
        wall, spent = _lay(durations.of(_amounts(plan, blueprint)), slots)
    else:
        full = 1.0 if blueprint.resource is None else blueprint.resource.max
        amounts = deque(_amounts(plan, blueprint)) or deque([full])
        wall = spent = 0.0
        for each in plan.rounds:
            own = [amounts.popleft() if amounts else full for _ in range(each.trials)]
            took, sums = _lay(durations.of(own), slots)
            wall, spent = wall + took, spent + sums
    return Forecast(wall, spent, len(measured))


def excess(found: Forecast | None, budget: Budget) -> tuple[str, ...]:
    """
    Return in words by what a forecast exceeds the budget; empty if it does not.
    """
    if found is None:
        return ()
    limits = (
        ("wall_clock", found.wall_clock_s, budget.wall_clock_s),
        ("trial_time", found.trial_time_s, budget.trial_time_s),
    )
    return tuple(
        f"budget.{name} must be at least {_clock(expected)} for what is planned, "
        f"got {_clock(limit)}"
        for name, expected, limit in limits
        if limit is not None and expected > limit
    )


def _clock(seconds: float) -> str:
    """
    Return a duration for people: ``1 h 05 min``, ``45 s``.
    """
    whole = round(seconds)
    if whole < 60:  # noqa: PLR2004 - a minute
        return f"{seconds:.3g} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def _measured(blueprint: Blueprint, trials: Sequence[Trial]) -> list[tuple[float, float]]:
    """
    Return what each earlier trial spent of the resource, and its seconds.
    """
    full = 1.0 if blueprint.resource is None else blueprint.resource.max
    by_number = {trial.number: trial for trial in trials}
    found = []
    for trial in trials:
        if not trial.is_complete or not trial.duration:
            continue
        found.append((spent_by(trial, by_number, full=full), trial.duration))
    return found


class _Durations:
    """
    How long trials take that spend so much: a straight line, and each one's deviation.

    Args:
        measured: Amount and seconds of each earlier trial.
    """

    def __init__(self, measured: Sequence[tuple[float, float]]) -> None:
        count_ = len(measured)
        mean_x = sum(amount for amount, _ in measured) / count_
        mean_y = sum(seconds for _, seconds in measured) / count_
        spread = sum((amount - mean_x) ** 2 for amount, _ in measured)
        slope = 0.0
        if spread > 0:
            slope = sum((x - mean_x) * (y - mean_y) for x, y in measured) / spread
        elif mean_x > 0:
            slope = mean_y / mean_x
        # A trial on more takes no less, and none takes less than nothing.
        self._slope = min(max(slope, 0.0), mean_y / mean_x if mean_x > 0 else 0.0)
        self._start = mean_y - self._slope * mean_x
        self._ratios = [seconds / self._usual(amount) for amount, seconds in measured]

    def of(self, amounts: Sequence[float]) -> list[float]:
        """
        Return seconds for trials that spend *amounts*, in turn.
        """
        return [
            self._usual(amount) * ratio
            for amount, ratio in zip(amounts, cycle(self._ratios), strict=False)
        ]

    def stream(self) -> Iterator[float]:
        """
        Yield the deviations in turn, for ever.
        """
        return cycle(self._ratios)

    def usual(self, amount: float) -> float:
        """
        Return the seconds that are usual for a trial that spends *amount*.
        """
        return self._usual(amount)

    def _usual(self, amount: float) -> float:
        return max(self._start + self._slope * amount, 1e-9)


def _amounts(plan: Plan, blueprint: Blueprint) -> list[float]:
    """
    Return what each trial spends where they do not wait for a rung.
    """
    if not plan.brackets:
        full = 1.0 if blueprint.resource is None else blueprint.resource.max
        return [full] * plan.trials
    return [
        rung.spent / rung.trials
        for bracket in plan.brackets
        for rung in bracket.rungs
        for _ in range(rung.trials)
    ]


def _lay(durations: Sequence[float], slots: int) -> tuple[float, float]:
    """
    Return when the last ends if each takes the first free slot, and the sum.
    """
    free = [0.0] * min(slots, max(1, len(durations)))
    for seconds in durations:
        heapq.heapreplace(free, free[0] + seconds)
    return max(free), float(sum(durations))


def _climb(plan: Plan, durations: _Durations, slots: int) -> tuple[float, float]:
    """
    Return the same for brackets side by side: a rung begins when that below has ended.
    """
    ratios, order = durations.stream(), count()
    ready: list[tuple[float, int, int, float]] = []  # when, order, bracket, seconds
    rung_of, left, ends = [0] * len(plan.brackets), [0] * len(plan.brackets), 0.0
    total = 0.0

    def begin(index: int, now: float) -> None:
        rung = plan.brackets[index].rungs[rung_of[index]]
        left[index] = rung.trials
        for _ in range(rung.trials):
            seconds = durations.usual(rung.spent / rung.trials) * next(ratios)
            heapq.heappush(ready, (now, next(order), index, seconds))

    for index in range(len(plan.brackets)):
        begin(index, 0.0)
    free, running = slots, list[tuple[float, int, int]]()
    while ready or running:
        while ready and free:
            when, place, index, seconds = heapq.heappop(ready)
            heapq.heappush(running, (max(when, ends) + seconds, place, index))
            free, total = free - 1, total + seconds
        ends, _, index = heapq.heappop(running)
        free, left[index] = free + 1, left[index] - 1
        if left[index] == 0 and rung_of[index] + 1 < len(plan.brackets[index].rungs):
            rung_of[index] += 1
            begin(index, ends)
    return ends, total
