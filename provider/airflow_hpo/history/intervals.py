"""
STUDY -> THE STUDY BEFORE IT: which run of a DAG came before which.

Each run notes with its study whose it is and which moment it is about. What
came before is told by those moments, not by the order in which runs were made:
a backfill makes late what is early.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_hpo.model.values import Value
    from airflow_hpo.storage.base import Storage

__all__ = ["champion_before", "study_before"]


def study_before(storage: Storage, study: str, *, max_age_s: float | None = None) -> str | None:
    """
    Return the latest study of an earlier interval of the same search; `None` without one.

    Studies in which no trial is complete teach nothing and are passed over.

    Args:
        storage: The journal.

        study: The one that asks; it has noted its interval.

        max_age_s: Seconds that the other one may be earlier, at most.
    """
    intervals = storage.noted("interval")
    own = intervals.get(study)
    if own is None:
        return None
    earlier = [
        (other["at"], name)
        for name, other in intervals.items()
        if (other["dag"], other["search"]) == (own["dag"], own["search"])
        and other["at"] < own["at"]
        and (max_age_s is None or own["at"] - other["at"] <= max_age_s)
    ]
    for _, name in sorted(earlier, reverse=True):
        if any(trial.is_complete for trial in storage.load(name).trials):
            return name
    return None


def champion_before(storage: Storage, study: str, *, asset: str) -> Mapping[str, Value] | None:
    """
    Return what was promoted last as *asset*, before the interval of *study*.

    A run that is made late, as by a backfill, finds the champion of its time.
    """
    own = storage.noted("interval").get(study)
    found = [
        each
        for each in storage.promotions()
        if each["asset"] == asset
        and each["study"] != study
        and (own is None or each["at"] < own["at"])
    ]
    # Of one run's promotions the last counts: a trial was run again since the others.
    return max(reversed(found), key=lambda each: each["at"], default=None)
