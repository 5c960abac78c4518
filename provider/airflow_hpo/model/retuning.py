"""
Tuning again and again: when, from what, and whether the champion still holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field, model_validator

from airflow_hpo.model.base import Document
from airflow_hpo.model.objective import Objective
from airflow_hpo.model.warm_start import WarmStart, WarmStartSource

__all__ = ["ChampionSpec", "PreviousStart", "ScheduleSpec"]


class ScheduleSpec(Document):
    """
    When a DAG runs, where a cron expression in UTC does not say it.

    Args:
        cron: An expression or a preset; beside *assets* it adds runs.

        timezone: Of *cron*, such as ``Europe/Berlin``.

        timetable: Airflow's name of a timetable, or ``module.Class``.

        arguments: The timetable's.

        assets: URIs of assets whose updates start a run.

        match: Whether all of them have to be updated, or any.
    """

    cron: str | None = None
    timezone: str | None = None
    timetable: str | None = None
    arguments: dict[str, Any] = Field(default_factory=dict)
    assets: tuple[str, ...] = ()
    match: Literal["all", "any"] = "all"

    @model_validator(mode="after")
    def _whole(self) -> ScheduleSpec:
        given = [name for name in ("cron", "timetable", "assets") if getattr(self, name)]
        if not given:
            raise ValueError("cron, timetable or assets must be given")
        if "timetable" in given and len(given) > 1:
            raise ValueError(f"timetable must stand alone, got {' and '.join(given)}")
        for name, of in (("timezone", "cron"), ("arguments", "timetable")):
            if getattr(self, name) and of not in given:
                raise ValueError(f"{name} must stand with {of}")
        if self.match == "any" and not self.assets:
            raise ValueError("match must stand with assets")
        return self


class PreviousStart(Document):
    """
    What each run's study is told of the study of the interval before.

    Args:
        trials: The best so many of its trials; `None` for all that are of use.

        max_age_s: Seconds between the two intervals, at most; `None` for no limit.

        use:
            ``points`` has them tried again on the new data, before anything
            else; ``history`` shows them to the strategy as they ended.
    """

    trials: int | None = Field(default=None, ge=1)
    max_age_s: float | None = Field(default=None, gt=0)
    use: Literal["points", "history"] = "points"

    @property
    def warm_start(self) -> WarmStart:
        """
        The same as any other warm start.
        """
        source = WarmStartSource(previous=True, max_age_s=self.max_age_s)
        return WarmStart(source=source, trials=self.trials, use=self.use)


class ChampionSpec(Document):
    """
    The best trial as an asset, and when a search for a better one is spared.

    Args:
        asset: Its URI; empty for ``hpo://NAME/champion``.

        tolerance:
            How much worse the champion may be on new data, in the objective's
            unit, and still hold: then nothing else is tried. `None`, as is
            *tolerance_share*, where it is not tried at all.

        tolerance_share: The same as a share of the champion's own value.
    """

    asset: str = ""
    tolerance: float | None = Field(default=None, ge=0)
    tolerance_share: float | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _one_tolerance(self) -> ChampionSpec:
        if self.tolerance is not None and self.tolerance_share is not None:
            raise ValueError("tolerance must be a number or a share, got both")
        return self

    @property
    def is_checked(self) -> bool:
        """
        Whether each run first tries the champion on the new data.
        """
        return self.tolerance is not None or self.tolerance_share is not None

    def allowance(self, value: float) -> float:
        """
        Return how much worse than *value* is still well.
        """
        return (self.tolerance or 0.0) + (self.tolerance_share or 0.0) * abs(value)

    def holds(
        self, objectives: Sequence[Objective], then: Sequence[float], now: Sequence[float]
    ) -> bool:
        """
        Return whether values *now* are not much worse than they were *then*, each of them.
        """
        return all(
            objective.loss(new) <= objective.loss(old) + self.allowance(old)
            for objective, old, new in zip(objectives, then, now, strict=True)
        )
