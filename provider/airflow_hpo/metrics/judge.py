"""
What a trial's measurements come to: its objective values, or why there are none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_hpo.model.registry import did_you_mean
from airflow_hpo.model.stop import to_number
from airflow_hpo.model.trial import Outcome, TrialState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_hpo.model.objective import Objective
    from airflow_hpo.model.trial import Measurement
    from airflow_hpo.model.values import Value

__all__ = ["final_metrics", "judge"]

# So many names of metrics, and characters of a value, are shown in a reason.
_NAMES = 20
_SHOWN = 40

# So many names are compared with the one that is missing.
_COMPARED = 500


def judge(
    objectives: Sequence[Objective],
    measurements: Sequence[Measurement],
    *,
    notes: Sequence[str] = (),
) -> Outcome:
    """
    Return how a trial ended whose code ended well.

    It is complete with a value for each objective, or else infeasible, with a
    reason that tells what was seen instead.

    Args:
        objectives: What is optimised.

        measurements: Of this attempt, first to last.

        notes: What the collector passed over; part of the reason.

    Example:
        >>> from airflow_hpo.model.objective import Objective
        >>> from airflow_hpo.model.trial import Measurement
        >>> accuracy = Objective(metric="accuracy", direction="maximize")
        >>> judge([accuracy], [Measurement({"acuracy": 0.9}, time=0.0)]).reason
        "metric missing: accuracy was not among the metrics seen: acuracy; did you mean 'acuracy'?"
    """
    metrics = final_metrics(measurements)
    values = [_value(objective, measurements) for objective in objectives]
    usable = tuple(value for value in values if value is not None)
    if len(usable) == len(values):
        return Outcome(TrialState.COMPLETE, values=usable, metrics=metrics)
    reasons = [
        _reason(objective.metric, metrics)
        for objective, value in zip(objectives, values, strict=True)
        if value is None
    ]
    return Outcome(TrialState.INFEASIBLE, metrics=metrics, reason="; ".join([*reasons, *notes]))


def final_metrics(measurements: Sequence[Measurement]) -> dict[str, Value]:
    """
    Return the last value of every metric, in the order of their first values.
    """
    metrics: dict[str, Value] = {}
    for measurement in measurements:
        metrics |= measurement.metrics
    return metrics


def _value(objective: Objective, measurements: Sequence[Measurement]) -> float | None:
    numbers = (to_number(found.metrics.get(objective.metric)) for found in measurements)
    return objective.pick([number for number in numbers if number is not None])


def _reason(metric: str, metrics: Mapping[str, Value]) -> str:
    if metric in metrics:
        last = metrics[metric]
        text = repr(last) if isinstance(last, (str, list, dict)) else str(last)
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
        return f"{metric} was never a finite number (last: {shown})"
    if not metrics:
        return f"metric missing: {metric} was not seen, and no other metric either"
    more = ", ..." if len(metrics) > _NAMES else ""
    seen = ", ".join(list(metrics)[:_NAMES]) + more
    hint = did_you_mean(metric, list(metrics)[:_COMPARED])
    missing = f"metric missing: {metric} was not among the metrics seen: {seen}"
    return missing if hint is None else f"{missing}; {hint}"
