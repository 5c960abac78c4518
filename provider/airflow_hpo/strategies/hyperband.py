"""
Hyperband: brackets of successive halving that begin on more and more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from airflow_hpo.model.ladder import Bracket, hyperband
from airflow_hpo.strategies._ladder import Ladder, LadderOptions

if TYPE_CHECKING:
    from airflow_hpo.model.space import Space
    from airflow_hpo.strategies.base import Options

__all__ = ["HyperbandOptions", "HyperbandStrategy"]


class HyperbandOptions(LadderOptions):
    """
    Options of Hyperband.

    Args:
        iterations: How often all brackets are run.
    """

    iterations: int = Field(default=1, ge=1, le=1000)


class HyperbandStrategy(Ladder):
    """
    Runs every trade-off between many trials and much resource for each.

    Bracket *s* begins with the most trials on ``max / eta**s``; the last one
    begins on the maximum, as random search does. Configurations are random,
    those of each bracket from a stream of its own.
    """

    name: ClassVar[str] = "hyperband"
    options_class: ClassVar[type[Options]] = HyperbandOptions
    options: HyperbandOptions

    def brackets(self, space: Space) -> tuple[Bracket, ...]:
        """
        Return the brackets of all iterations.
        """
        return hyperband(
            self.scale(),
            iterations=self.options.iterations,
            configurations=self.configurations(space),
        )
