"""
When the whole study ends: the rules, the budget, and the decision.

Pure: the caller brings the history and the clock. Every decision carries its
reason in words a person understands.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import Field, field_validator, model_validator

from airflow_hpo.model.base import Document
from airflow_hpo.model.expression import Expression
from airflow_hpo.model.trial import TrialState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_hpo.model.objective import Objective
    from airflow_hpo.model.trial import Trial
    from airflow_hpo.model.values import Value

__all__ = [
    "EXECUTION_NAMES",
    "Budget",
    "ExpressionRule",
    "MetricRule",
    "PlateauRule",
    "Stop",
    "StopRule",
    "decide",
]

EXECUTION_NAMES = ("duration", "counter", "status")
"""What an expression may name behind ``execution.``."""


@dataclass(frozen=True, slots=True)
class Stop:
    """
    Why a study ended.

    Args:
        rule: ``trials``, ``wall_clock``, ``metric``, ``plateau``, ``user`` ...

        reason: In words a person understands.

        trial: Number of the trial that fired it, if one did.
    """

    rule: str
    reason: str
    trial: int | None = None


class Budget(Document):
    """
    What the whole study may spend; each limit ends it.

    Args:
        trials: Number of trials, over all runs of the study.

        wall_clock_s: Seconds since the first trial started.

        trial_time_s: Seconds summed over all trials.

        failures: Number of failed trials that ends the study.

        failure_share:
            Instead of a number: the share of failed trials, in (0, 1], that
            ends it; looked at from the fifth ended trial on, so that one early
            failure is no verdict.
    """

    trials: int = Field(ge=1)
    wall_clock_s: float | None = Field(default=None, gt=0)
    trial_time_s: float | None = Field(default=None, gt=0)
    failures: int | None = Field(default=None, ge=1)
    failure_share: float | None = Field(default=None, gt=0, le=1)

    @model_validator(mode="after")
    def _one_limit(self) -> Budget:
        if self.failures is not None and self.failure_share is not None:
            raise ValueError("at most one of failures and failure_share must be given, got both")
        return self


class MetricRule(Document):
    """
    End when a trial's *metric* reaches a threshold.

    Args:
        metric: Any metric the trials print, the objective's or another.

        at_least: Fires at this value or above.

        at_most: Fires at this value or below.

        target: Fires within *tolerance* of this value.

        tolerance: Distance from *target* that still counts, inclusive.
    """

    kind: Literal["metric"] = "metric"
    metric: str = Field(min_length=1)
    at_least: float | None = None
    at_most: float | None = None
    target: float | None = None
    tolerance: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _one_threshold(self) -> MetricRule:
        given = [
            name for name in ("at_least", "at_most", "target") if getattr(self, name) is not None
        ]
        if len(given) != 1:
            got = " and ".join(given) or "none"
            raise ValueError(f"exactly one of at_least, at_most, target must be given, got {got}")
        return self

    def reason(self, value: float) -> str | None:
        """
        Return why *value* fires the rule; `None` if it does not.
        """
        shown = f"{self.metric} = {value:g}"
        if self.at_least is not None and value >= self.at_least:
            return f"{shown} is at least {self.at_least:g}"
        if self.at_most is not None and value <= self.at_most:
            return f"{shown} is at most {self.at_most:g}"
        if self.target is not None and _reaches(self.tolerance, abs(value - self.target)):
            return f"{shown} is within {self.tolerance:g} of {self.target:g}"
        return None


class PlateauRule(Document):
    """
    End when the last *trials* complete trials improved on the best by too little.

    Args:
        trials: How many complete trials in a row may bring nothing.

        min_delta: An improvement of the objective smaller than this is none.
    """

    kind: Literal["plateau"] = "plateau"
    trials: int = Field(ge=1)
    min_delta: float = Field(default=0.0, ge=0)


class ExpressionRule(Document):
    """
    End when an expression over one trial's metrics and parameters holds.

    Args:
        expression:
            Bare names and ``metadata.X`` are metrics, ``parameter.X`` and
            ``parameters.X`` parameters, ``execution.duration`` seconds,
            ``execution.counter`` the trial's number counted from 1,
            ``execution.status`` its state. A name that is not known (yet)
            makes it false.
    """

    kind: Literal["expression"] = "expression"
    expression: str

    @field_validator("expression")
    @classmethod
    def _parses(cls, text: str) -> str:
        Expression.parse(text)
        return text


StopRule: TypeAlias = Annotated[
    MetricRule | PlateauRule | ExpressionRule, Field(discriminator="kind")
]
"""Any rule that ends the whole study; ``kind`` tells which."""


def _reaches(value: float, threshold: float) -> bool:
    """
    Return whether *value* is *threshold* or more, but for binary noise.

    A loss that falls from 0.5 to 0.4 falls by 0.1, not by 0.09999999999999998.
    """
    return value >= threshold or math.isclose(value, threshold, rel_tol=1e-9)


def decide(
    budget: Budget,
    rules: Sequence[StopRule],
    objectives: Sequence[Objective],
    trials: Sequence[Trial],
    *,
    now: float,
) -> Stop | None:
    """
    Return why the study has to end now; `None` if it goes on.

    The user's rules are asked first, so that a study which reaches its goal
    with its last trial says so.

    Args:
        budget: What it may spend.

        rules: The user's rules, in their order.

        objectives: Needed by the plateau.

        trials: All trials so far, ascending by number; ``metrics`` filled.

        now: Seconds since the epoch.
    """
    for rule in rules:
        stop = _rule_stop(rule, objectives, trials, now=now)
        if stop is not None:
            return stop
    return _budget_stop(budget, trials, now=now)


def _rule_stop(
    rule: StopRule, objectives: Sequence[Objective], trials: Sequence[Trial], *, now: float
) -> Stop | None:
    if isinstance(rule, PlateauRule):
        return _plateau_stop(rule, objectives[0], trials)
    for trial in trials:
        if trial.state in {TrialState.FAILED, TrialState.INFEASIBLE, TrialState.WAITING}:
            continue
        reason = (
            _expression_reason(rule, trial, now=now)
            if isinstance(rule, ExpressionRule)
            else _metric_reason(rule, objectives, trial)
        )
        if reason is not None:
            return Stop(rule.kind, f"trial {trial.number}: {reason}", trial.number)
    return None


def _metric_reason(rule: MetricRule, objectives: Sequence[Objective], trial: Trial) -> str | None:
    names = [objective.metric for objective in objectives]
    if trial.values is not None and rule.metric in names:
        value: Value = trial.values[names.index(rule.metric)]
    else:
        value = trial.metrics.get(rule.metric)
    number = to_number(value)
    return None if number is None else rule.reason(number)


def to_number(value: Value) -> float | None:
    """
    Return *value* as a finite number; numeric text counts, truth values do not.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):  # an integer may be beyond every float
        return None
    return number if math.isfinite(number) else None


def _expression_reason(rule: ExpressionRule, trial: Trial, *, now: float) -> str | None:
    known = _names(trial, now=now)
    if Expression.parse(rule.expression).holds(known.__getitem__):
        return f"{rule.expression!r} holds"
    return None


def _names(trial: Trial, *, now: float) -> Mapping[str, Any]:
    """
    Return what an expression may name about *trial*.
    """
    ended = trial.finished if trial.finished is not None else now
    duration = 0.0 if trial.started is None else ended - trial.started
    known: dict[str, Any] = {
        f"{prefix}.{name}": value
        for prefix in ("parameter", "parameters")
        for name, value in trial.configuration.items()
    }
    known |= {f"metadata.{name}": value for name, value in trial.metrics.items()}
    facts = (duration, trial.number + 1, trial.state.value)
    known |= {f"execution.{name}": fact for name, fact in zip(EXECUTION_NAMES, facts, strict=True)}
    return known | dict(trial.metrics)


def _plateau_stop(rule: PlateauRule, objective: Objective, trials: Sequence[Trial]) -> Stop | None:
    ended = sorted(
        (trial for trial in trials if trial.is_complete and trial.values),
        key=lambda trial: (trial.finished or 0.0, trial.number),
    )
    losses = [objective.loss((trial.values or (math.inf,))[0]) for trial in ended]
    if len(losses) <= rule.trials:
        return None
    before = min(losses[: -rule.trials])
    gained = before - min(losses[-rule.trials :])
    if gained > 0 and _reaches(gained, rule.min_delta):
        return None
    return Stop(
        "plateau",
        f"the last {rule.trials} complete trials did not improve {objective.metric} "
        + (f"by {rule.min_delta:g} or more" if rule.min_delta else "at all"),
    )


def _budget_stop(budget: Budget, trials: Sequence[Trial], *, now: float) -> Stop | None:
    ended = [trial for trial in trials if trial.is_final]
    if sum(1 for trial in ended if trial.is_counted) >= budget.trials:
        return Stop("trials", f"all {budget.trials} trials of the budget have ended")
    starts = [trial.started for trial in trials if trial.started is not None]
    if budget.wall_clock_s is not None and starts and now - min(starts) >= budget.wall_clock_s:
        return Stop("wall_clock", f"{budget.wall_clock_s:g} s have passed since the first trial")
    if budget.trial_time_s is not None:
        spent = math.fsum(trial.duration or 0.0 for trial in trials)
        if spent >= budget.trial_time_s:
            return Stop("trial_time", f"trials have run for {spent:.0f} s in all")
    return _failure_stop(budget, ended)


def _failure_stop(budget: Budget, ended: Sequence[Trial]) -> Stop | None:
    failed = [trial for trial in ended if trial.state is TrialState.FAILED]
    if budget.failures is not None and len(failed) >= budget.failures:
        return Stop("failures", f"{len(failed)} trials have failed", failed[-1].number)
    enough = len(ended) >= _SHARE_FROM
    if (
        budget.failure_share is not None
        and enough
        and len(failed) >= budget.failure_share * len(ended)
        and failed
    ):
        share = f"{len(failed)} of {len(ended)} trials have failed"
        return Stop("failures", f"{share} (limit {budget.failure_share:.0%})", failed[-1].number)
    return None


# From how many ended trials on a share of failures says anything.
_SHARE_FROM = 5
