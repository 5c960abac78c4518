"""
Whether the whole study ends now, and why.

Pure: the caller brings the history and the clock. Every decision carries its
reason in words a person understands.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_hpo.model.expression import Expression
from airflow_hpo.model.failure import failure_signature, failure_summary
from airflow_hpo.model.objective import amount_of, top_resource
from airflow_hpo.model.stop import (
    EXECUTION_NAMES,
    Budget,
    ExpressionRule,
    MetricRule,
    PlateauRule,
    Stop,
    StopRule,
    reaches,
    to_number,
)
from airflow_hpo.model.trial import Failure, TrialState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_hpo.model.objective import Objective
    from airflow_hpo.model.trial import Measurement, Trial
    from airflow_hpo.model.values import Value

__all__ = ["decide", "reached"]

# Trials in these states end nothing by what they measured.
_SILENT = frozenset({TrialState.FAILED, TrialState.INFEASIBLE, TrialState.WAITING})

# From how many ended trials on a share of failures says anything.
_SHARE_FROM = 5


def decide(
    budget: Budget,
    rules: Sequence[StopRule],
    objectives: Sequence[Objective],
    trials: Sequence[Trial],
    *,
    now: float,
    earlier_s: float = 0.0,
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

        earlier_s: What attempts took that later ones superseded.
    """
    for rule in rules:
        stop = _rule_stop(rule, objectives, trials, now=now)
        if stop is not None:
            return stop
    return _budget_stop(budget, trials, now=now, earlier_s=earlier_s)


def reached(
    rules: Sequence[StopRule],
    objectives: Sequence[Objective],
    trial: Trial,
    measurements: Sequence[Measurement],
) -> Stop | None:
    """
    Return the first rule that *trial* fired by one of its *measurements*.

    Each of them counts as if it were the last, also where a later one falls
    behind again: whoever reached the goal has reached it.

    Args:
        rules: The user's rules, in their order; those on plateaus are no
            matter of one trial.

        objectives: What is optimised.

        trial: Whose measurements they are; ``metrics`` as before them.

        measurements: First to last.
    """
    own = [rule for rule in rules if not isinstance(rule, PlateauRule)]
    metrics = dict(trial.metrics)
    for measurement in measurements if own else ():
        metrics.update(measurement.metrics)
        then = replace(trial, state=TrialState.RUNNING, metrics=metrics, values=None, finished=None)
        for rule in own:
            stop = _trial_stop(rule, objectives, then, now=measurement.time)
            if stop is not None:
                return stop
    return None


def _rule_stop(
    rule: StopRule, objectives: Sequence[Objective], trials: Sequence[Trial], *, now: float
) -> Stop | None:
    if isinstance(rule, PlateauRule):
        return _plateau_stop(rule, objectives[0], trials)
    for trial in trials:
        if trial.state in _SILENT:
            continue
        stop = _trial_stop(rule, objectives, trial, now=now)
        if stop is not None:
            return stop
    return None


def _trial_stop(
    rule: MetricRule | ExpressionRule, objectives: Sequence[Objective], trial: Trial, *, now: float
) -> Stop | None:
    reason = (
        _expression_reason(rule, trial, now=now)
        if isinstance(rule, ExpressionRule)
        else _metric_reason(rule, objectives, trial)
    )
    if reason is None:
        return None
    return Stop(rule.kind, f"trial {trial.number}: {reason}", trial.number)


def _metric_reason(rule: MetricRule, objectives: Sequence[Objective], trial: Trial) -> str | None:
    names = [objective.metric for objective in objectives]
    if trial.values is not None and rule.metric in names:
        value: Value = trial.values[names.index(rule.metric)]
    else:
        value = trial.metrics.get(rule.metric)
    number = to_number(value)
    return None if number is None else rule.reason(number)


def _expression_reason(rule: ExpressionRule, trial: Trial, *, now: float) -> str | None:
    known = _names(trial, now=now)
    if Expression.parse(rule.expression).holds(known.__getitem__):
        return f"{rule.expression!r} holds"
    return None


def _names(trial: Trial, *, now: float) -> Mapping[str, Any]:
    """
    Return what an expression may name about *trial*.
    """
    known: dict[str, Any] = {
        f"{prefix}.{name}": value
        for prefix in ("parameter", "parameters")
        for name, value in trial.configuration.items()
    }
    known |= {f"metadata.{name}": value for name, value in trial.metrics.items()}
    facts = (_spent(trial, now=now), trial.number + 1, trial.state.value)
    known |= {f"execution.{name}": fact for name, fact in zip(EXECUTION_NAMES, facts, strict=True)}
    return known | dict(trial.metrics)


def _spent(trial: Trial, *, now: float) -> float:
    """
    Return the seconds that the latest attempt at *trial* has taken so far.
    """
    if trial.started is None:
        return 0.0
    ended = trial.finished if trial.finished is not None else now
    return max(0.0, ended - trial.started)


def _plateau_stop(rule: PlateauRule, objective: Objective, trials: Sequence[Trial]) -> Stop | None:
    # Trials on little of a resource say nothing about those on more.
    most = top_resource(trials)
    ended = sorted(
        (
            trial
            for trial in trials
            if trial.is_complete and trial.values and amount_of(trial) == most
        ),
        key=lambda trial: (trial.finished or 0.0, trial.number),
    )
    losses = [objective.loss((trial.values or (math.inf,))[0]) for trial in ended]
    if len(losses) <= rule.trials:
        return None
    before = min(losses[: -rule.trials])
    gained = before - min(losses[-rule.trials :])
    if gained > 0 and reaches(gained, rule.min_delta):
        return None
    return Stop(
        "plateau",
        f"the last {rule.trials} complete trials did not improve {objective.metric} "
        + (f"by {rule.min_delta:g} or more" if rule.min_delta else "at all"),
    )


def _budget_stop(
    budget: Budget, trials: Sequence[Trial], *, now: float, earlier_s: float
) -> Stop | None:
    ended = [trial for trial in trials if trial.is_final]
    if sum(1 for trial in ended if trial.is_counted) >= budget.trials:
        return Stop("trials", f"all {budget.trials} trials of the budget have ended")
    starts = [trial.started for trial in trials if trial.started is not None]
    if budget.wall_clock_s is not None and starts and now - min(starts) >= budget.wall_clock_s:
        return Stop("wall_clock", f"{budget.wall_clock_s:g} s have passed since the first trial")
    if budget.trial_time_s is not None:
        latest = [_spent(trial, now=now) for trial in trials if _takes_time(trial)]
        spent = math.fsum([earlier_s, *latest])
        if spent >= budget.trial_time_s:
            return Stop("trial_time", f"trials have run for {spent:.0f} s in all")
    return _identical_stop(budget, ended) or _failure_stop(budget, ended)


def _takes_time(trial: Trial) -> bool:
    return trial.finished is not None or trial.state is TrialState.RUNNING


def _identical_stop(budget: Budget, ended: Sequence[Trial]) -> Stop | None:
    """
    Return the stop for a bug that one trial after the other runs into.
    """
    if budget.identical_failures is None:
        return None
    alike: dict[str, list[Trial]] = {}
    for trial in ended:
        if trial.failure is Failure.CODE and trial.reason:
            same = alike.setdefault(failure_signature(trial.reason), [])
            same.append(trial)
            if len(same) >= budget.identical_failures:
                return Stop("identical_failures", _identical_reason(same), trial.number)
    return None


def _identical_reason(trials: Sequence[Trial]) -> str:
    numbers = ", ".join(str(trial.number) for trial in trials)
    what = failure_summary(trials[-1].reason or "")
    return f"{len(trials)} trials failed in the same way (trials {numbers}): {what}"


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
