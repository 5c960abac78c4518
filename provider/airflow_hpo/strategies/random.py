"""
Random search: every parameter drawn from its distribution, none twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from airflow_hpo.strategies._draws import Draws
from airflow_hpo.strategies._lattice import count_configurations
from airflow_hpo.strategies.base import Options, Setting, Support

if TYPE_CHECKING:
    from airflow_hpo.model.space import Space
    from airflow_hpo.model.trial import Suggestion, Trial

__all__ = ["RandomStrategy"]


class RandomStrategy:
    """
    Draws configurations independently of what the trials found.

    Constraints are satisfied by drawing again. A configuration that was tried,
    is running or waits is not proposed a second time; where redrawing finds
    nothing new in a countable space, what is left of it is drawn from.
    """

    options_class: ClassVar[type[Options]] = Options
    support: ClassVar[Support] = Support(multi_objective=True, outcome_constraints=True)

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
        """
        return Draws(space, trials, seed=seed).next_suggestions(count, sampler="random")
