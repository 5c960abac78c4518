"""
TRIALS OF HYPEROPT'S -> a study of ours.
"""

from __future__ import annotations

import math
import pickle
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from airflow_hpo.errors import StorageError
from airflow_hpo.history.foreign import ForeignStudy, ForeignTrial, json_value, pairs
from airflow_hpo.model.distribution import Categorical, Distribution, Float, Int
from airflow_hpo.model.objective import Objective
from airflow_hpo.model.scale import is_number
from airflow_hpo.model.stop import to_number
from airflow_hpo.model.trial import Failure, TrialState
from airflow_hpo.model.values import Value, canonical

__all__ = ["read_hyperopt"]

# HyperOpt's numbers for the states of a job.
_NEW, _RUNNING, _DONE = 0, 1, 2


def read_hyperopt(path: Path) -> ForeignStudy:
    """
    Return what a pickle of HyperOpt's ``Trials`` holds.

    Reading a pickle runs whatever its author wants: only where he is trusted.
    HyperOpt keeps no space with the trials: bounds are those of what was
    tried, and of a choice only the place of each option is known.

    Raises:
        StorageError: If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            found = pickle.load(file)  # noqa: S301 - the caller was told and asked
    except Exception as error:
        raise StorageError(f"{path} cannot be read: {type(error).__name__}: {error}") from error
    documents = getattr(found, "trials", found)
    if not isinstance(documents, list) or not all(map(_is_document, documents)):
        raise StorageError(f"{path} must hold HyperOpt's Trials, got {type(found).__name__}")
    trials = [_trial(each) for each in documents if each["state"] not in {_NEW, _RUNNING}]
    waiting = Counter(
        "waiting" if each["state"] == _NEW else "running"
        for each in documents
        if each["state"] in {_NEW, _RUNNING}
    )
    return ForeignStudy(
        path.stem,
        "HyperOpt",
        (Objective(metric="loss", direction="minimize"),),
        _distributions(trials),
        trials,
        left_out=waiting,
    )


def _is_document(value: object) -> bool:
    return isinstance(value, Mapping) and {"tid", "state", "result", "misc"} <= value.keys()


def _trial(document: Mapping[str, Any]) -> ForeignTrial:
    result, misc = document["result"], document["misc"]
    metrics = dict(pairs(result))
    status = metrics.pop("status", None)
    loss = to_number(metrics.get("loss"))
    complete = document["state"] == _DONE and status == "ok" and loss is not None
    reason = None if complete else _reason(status, misc)
    values = {name: own[0] for name, own in misc.get("vals", {}).items() if len(own)}
    return ForeignTrial(
        int(document["tid"]),
        dict(pairs(values)),
        TrialState.COMPLETE if complete else TrialState.FAILED,
        (loss,) if complete and loss is not None else None,
        metrics,
        reason=reason,
        failure=None if complete else Failure.CODE,
        started=_seconds(document.get("book_time")),
        finished=_seconds(document.get("refresh_time")),
    )


def _reason(status: Value, misc: Mapping[str, Any]) -> str:
    error = misc.get("error")
    if error is not None:
        return ": ".join(map(str, error)) if isinstance(error, (list, tuple)) else str(error)
    return "no finite loss" if status == "ok" else f"status {status}"


def _seconds(moment: datetime | None) -> float | None:
    # HyperOpt's times are UTC and do not say so.
    return None if moment is None else moment.replace(tzinfo=timezone.utc).timestamp()


def _distributions(trials: Sequence[ForeignTrial]) -> dict[str, Distribution]:
    seen: dict[str, list[Value]] = {}
    for trial in trials:
        for name, value in trial.configuration.items():
            seen.setdefault(name, []).append(json_value(value))
    return {name: _around(values) for name, values in seen.items()}


def _around(values: Sequence[Value]) -> Distribution:
    if not all(is_number(value) and math.isfinite(value) for value in values):
        return Categorical(choices=tuple({canonical(value): value for value in values}.values()))
    if all(isinstance(value, int) for value in values):
        return Int(low=min(values), high=max(values))
    return Float(low=min(values), high=max(values))
