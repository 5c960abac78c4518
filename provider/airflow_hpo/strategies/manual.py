"""
Manual search: the configurations that a person listed, in their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from airflow_hpo.errors import BlueprintError, Problem
from airflow_hpo.model.trial import Suggestion
from airflow_hpo.model.values import Value
from airflow_hpo.strategies._draws import Tried
from airflow_hpo.strategies.base import Options, Setting, Support
from airflow_hpo.strategies.points import configuration_problems

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_hpo.model.space import Space
    from airflow_hpo.model.trial import Trial

__all__ = ["ManualOptions", "ManualStrategy"]


class ManualOptions(Options):
    """
    Options of the manual search.

    Args:
        configurations:
            Each with a value for every active parameter; constants may be
            left out. Tried in this order, one that repeats only once.

        repeat:
            How often each is tried: as the executions of a group that work
            together, or to see how much results vary.
    """

    configurations: tuple[dict[str, Value], ...] = Field(min_length=1)
    repeat: int = Field(default=1, ge=1, le=1000)


class ManualStrategy:
    """
    Tries the listed configurations and nothing else.
    """

    options_class: ClassVar[type[Options]] = ManualOptions
    support: ClassVar[Support] = Support(multi_objective=True, outcome_constraints=True)

    def __init__(self, options: ManualOptions, setting: Setting) -> None:
        """
        Keep *options* and *setting*.
        """
        self.options = options
        self.setting = setting

    def limit(self, space: Space) -> int | None:
        """
        Return how many different configurations are listed, repeated ones as often.
        """
        return sum(1 for _ in self._new(space, ()))

    def problems(self, space: Space) -> Iterator[Problem]:
        """
        Yield what is wrong with the listed configurations.
        """
        for index, values in enumerate(self.options.configurations):
            for message in configuration_problems(space, values):
                yield Problem(f"strategy.options.configurations.{index}", message)

    def suggest(
        self,
        space: Space,
        trials: Sequence[Trial],
        count: int,
        *,
        seed: int,  # noqa: ARG002 - nothing is drawn
    ) -> Sequence[Suggestion]:
        """
        Return up to *count* configurations to try next.

        Raises:
            BlueprintError: If one of them is not in the space.
        """
        problems = list(self.problems(space))
        if problems:
            raise BlueprintError(problems)
        new = self._new(space, trials)
        return [Suggestion(values, "manual") for values in islice(new, count)]

    def _new(self, space: Space, trials: Sequence[Trial]) -> Iterator[dict[str, Value]]:
        repeat, tried = self.options.repeat, Tried(space, trials)
        seen = Tried(space, ())
        for values in self.options.configurations:
            configuration = space.arrange(values)
            if configuration in seen:
                continue
            seen.add(configuration)
            for _ in range(repeat - tried.count(configuration)):
                yield configuration
