"""
Successive halving: one bracket, from many trials on little to one on all.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from airflow_hpo.model.ladder import Bracket, halving, largest_start
from airflow_hpo.strategies._ladder import Ladder, LadderOptions

if TYPE_CHECKING:
    from airflow_hpo.model.space import Space
    from airflow_hpo.strategies.base import Options

__all__ = ["HalvingOptions", "HalvingStrategy"]


class HalvingOptions(LadderOptions):
    """
    Options of successive halving.

    Args:
        start: Trials of the first rung; by default as many as the budget has
            room for, promoted ones counted.

        iterations: How often the bracket is run, with other configurations.
    """

    start: int | None = Field(default=None, ge=1)
    iterations: int = Field(default=1, ge=1, le=1000)


class HalvingStrategy(Ladder):
    """
    Runs many trials on the least resource, and the best of each rung on more.

    Rung *k* spends ``min * eta**k``, the last the maximum. One trial in *eta*
    moves up once its whole rung has ended; at least one reaches the top.
    """

    name: ClassVar[str] = "halving"
    options_class: ClassVar[type[Options]] = HalvingOptions
    options: HalvingOptions

    def brackets(self, space: Space) -> tuple[Bracket, ...]:
        """
        Return the one bracket, as often as it is run.
        """
        scale, left = self.scale(), self.configurations(space)
        each = self.setting.trials // self.options.iterations
        wanted = self.options.start or largest_start(each, scale)
        found = []
        for iteration in range(self.options.iterations):
            start = wanted if left is None else min(wanted, left)
            if start > 0:
                found.append(replace(halving(start, scale), iteration=iteration))
            left = None if left is None else left - start
        return tuple(found)

    def needed(self, space: Space) -> int:
        """
        Return how many trials it takes to reach the top, or the start that is asked for.
        """
        if self.options.start:
            return super().needed(space)
        return len(self.scale().upwards()) * self.options.iterations
