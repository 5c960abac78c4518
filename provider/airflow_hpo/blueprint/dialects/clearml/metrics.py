"""
ClearML's metrics: title, series and sign of each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_hpo.model.objective import Objective

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["SIGNS", "metric_name", "objective", "objectives_of"]

SIGNS = {
    "min": ("minimize", "last"),
    "max": ("maximize", "last"),
    "min_global": ("minimize", "min"),
    "max_global": ("maximize", "max"),
}
"""By the sign: the direction, and which measurement counts."""


def metric_name(title: str, series: str) -> str:
    """
    Return the metric that a scalar is kept as: one name where both are the same.

    Example:
        >>> metric_name("val_acc", "val_acc"), metric_name("accuracy", "total")
        ('val_acc', 'accuracy/total')
    """
    return title if title == series else f"{title}/{series}"


def objective(metric: str, sign: str) -> Objective:
    """
    Return the objective that *sign* makes of *metric*.
    """
    direction, value = SIGNS[sign]
    return Objective.model_validate({"metric": metric, "direction": direction, "value": value})


def objectives_of(
    title: str | Sequence[str], series: str | Sequence[str], sign: str | Sequence[str]
) -> tuple[Objective, ...]:
    """
    Return the objectives of one metric, or of several.

    Raises:
        ValueError: If title, series and sign are not as many, or a sign is none.
    """
    parts = {"title": title, "series": series, "sign": sign}
    many = {name: [it] if isinstance(it, str) else list(it) for name, it in parts.items()}
    if len({len(items) for items in many.values()}) != 1:
        got = ", ".join(f"{len(items)} of {name}" for name, items in many.items())
        raise ValueError(f"title, series and sign must be as many, got {got}")
    for name in many["sign"]:
        if name not in SIGNS:
            raise ValueError(f"sign must be one of {', '.join(SIGNS)}, got {name!r}")
    return tuple(
        objective(metric_name(one, other), each)
        for one, other, each in zip(*many.values(), strict=True)
    )
