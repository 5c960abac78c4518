"""
Constraints on outcomes: what a trial must have measured to be of use.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_hpo.model.expression import Expression

if TYPE_CHECKING:
    from airflow_hpo.model.objective import Objective
    from airflow_hpo.model.trial import Trial

__all__ = ["Outcomes"]


@dataclass(frozen=True, slots=True)
class Outcomes:
    """
    Which trials are feasible, by what they measured in the end.

    Bare names and ``metadata.X`` are metrics, an objective's by the value
    that counts; ``parameter.X`` and ``parameters.X`` are parameters. What
    was not measured satisfies nothing.

    Args:
        objectives: What is optimised.

        constraints: Expressions that must hold.

    Example:
        >>> from airflow_hpo.model.objective import Objective
        >>> from airflow_hpo.model.trial import Trial, TrialState
        >>> outcomes = Outcomes([Objective(metric="loss", direction="minimize")], ["ms <= 20"])
        >>> slow = Trial(0, {}, TrialState.COMPLETE, values=(0.1,), metrics={"ms": 25})
        >>> outcomes.allow(slow), outcomes.violations(slow)
        (False, (5.0,))
    """

    objectives: Sequence[Objective]
    constraints: Sequence[str]

    def allow(self, trial: Trial) -> bool:
        """
        Return whether *trial* satisfies all of them.
        """
        if not self.constraints:
            return True
        known = self._names(trial).__getitem__
        return all(Expression.parse(text).holds(known) for text in self.constraints)

    def feasible(self, trials: Iterable[Trial]) -> list[Trial]:
        """
        Return the trials that satisfy all of them.
        """
        return [trial for trial in trials if self.allow(trial)]

    def violations(self, trial: Trial) -> tuple[float, ...]:
        """
        Return for each how far *trial* is from satisfying it: above 0 if it does not.
        """
        if not self.constraints:
            return ()
        known = self._names(trial).__getitem__
        return tuple(Expression.parse(text).violation(known) for text in self.constraints)

    def _names(self, trial: Trial) -> Mapping[str, Any]:
        metrics = dict(trial.metrics)
        names = [objective.metric for objective in self.objectives]
        metrics |= dict(zip(names, trial.values or (), strict=False))
        return {
            **{f"parameter.{name}": value for name, value in trial.configuration.items()},
            **{f"parameters.{name}": value for name, value in trial.configuration.items()},
            **{f"metadata.{name}": value for name, value in metrics.items()},
            **metrics,
        }
