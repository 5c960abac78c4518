"""
What a strategy is: a pure function from space and history to suggestions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from pydantic import Field

from airflow_hpo.model.base import Document
from airflow_hpo.model.outcomes import Outcomes

if TYPE_CHECKING:
    from airflow_hpo.model.objective import Objective
    from airflow_hpo.model.resource import Resource
    from airflow_hpo.model.space import Space
    from airflow_hpo.model.trial import Suggestion, Trial
    from airflow_hpo.model.values import Configuration

__all__ = ["STARTUP_TRIALS", "Extra", "Options", "Setting", "Strategy", "Support"]

STARTUP_TRIALS = 20
"""So many first trials are random where neither a person nor the strategy decides."""


class Options(Document):
    """
    A strategy's own options; each strategy declares a subclass.

    Unknown names and wrong types are refused when the blueprint is checked.
    """


@dataclass(frozen=True, slots=True)
class Setting:
    """
    What a strategy is made from, besides its options.

    Args:
        objectives: What is optimised; decides which trials are good.

        trials: The study's budget; some strategies plan with it.

        startup_trials: So many first trials, by number, are random.

        startup_given: Whether a person said so.

        together: So many trials are suggested, or run, at the same time.

        outcome_constraints: What outcomes must satisfy; see `Outcomes`.

        resource: Bounds of the resource, for multi-fidelity strategies.

        points: Configurations tried first, for strategies that place them
            themselves; the others never see them.
    """

    objectives: tuple[Objective, ...]
    trials: int
    startup_trials: int = STARTUP_TRIALS
    startup_given: bool = False
    together: int = 1
    resource: Resource | None = None
    points: tuple[Configuration, ...] = ()
    outcome_constraints: tuple[str, ...] = ()

    @property
    def outcomes(self) -> Outcomes:
        """
        Which trials are feasible.
        """
        return Outcomes(self.objectives, self.outcome_constraints)


class Extra(Document):
    """
    A package that only one strategy needs, and that is not always installed.

    Args:
        package: As it is imported.

        name: The extra of our own distribution that brings it.
    """

    package: str
    name: str


class Support(Document):
    """
    What a strategy can do; an unsupported pair is refused by ``hpo check``.

    Args:
        continuous: Floats without a step; without it only countable values.

        outcome_constraints:
            Keeps away from trials whose outcome breaks a constraint, or
            learns from no trial at all.

        history:
            Learns from trials of a warm start, which come before its own and
            have numbers below 0.

        extra: What it needs besides, if anything.

        note: What a person should know of it besides, in one sentence.
    """

    float: bool = True
    continuous: bool = True
    int: bool = True
    categorical: bool = True
    conditional: bool = True
    normal: bool = True
    constraints: bool = True
    batch: bool = True
    asynchronous: bool = True
    multi_objective: bool = False
    multi_fidelity: bool = False
    outcome_constraints: bool = False
    history: bool = False
    extra: Extra | None = None
    startup: bool = Field(default=False, description="The first trials are random.")
    note: str = Field(default="")


@runtime_checkable
class Strategy(Protocol):
    """
    Proposes configurations. Pure: same history and seed, same answer.

    A class: made from an ``Options`` and a `Setting`, it holds no other state.
    """

    options_class: ClassVar[type[Options]]
    support: ClassVar[Support]

    def __init__(self, options: Any, setting: Setting) -> None:  # noqa: ANN401 - its own Options
        """
        Keep *options* and *setting*.
        """

    def limit(self, space: Space) -> int | None:
        """
        Return how many trials it can make at all; `None` for no limit.

        Where the configurations that satisfy the constraints are too many to
        be counted, `None` is right. Called while DAG files are parsed, so it
        must be quick and load nothing heavy.
        """

    def suggest(
        self, space: Space, trials: Sequence[Trial], count: int, *, seed: int
    ) -> Sequence[Suggestion]:
        """
        Return up to *count* configurations to try next.

        Args:
            space: What is allowed.

            trials:
                The whole history, ascending by number, never changed. Failed
                trials and those still waiting or running are in it.

            count: How many are wanted. Fewer come back only where the space
                has no further configuration.

            seed: The study's seed. The *n*-th trial's own stream must derive
                from it and *n*, so that asking one by one and asking for a
                batch draw the same start-up trials.

        Raises:
            SpaceExhaustedError: If no configuration satisfies the constraints.
        """
