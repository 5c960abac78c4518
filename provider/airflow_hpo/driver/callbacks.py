"""
Tells callbacks what happened in a study, each thing exactly once.

Who tells is whoever looks first after it happened: a trial's task, the end of a
round, the report. The journal keeps what was told; a claim comes before the
call, so whatever is killed, nothing is told twice.
"""

from __future__ import annotations

import importlib
import logging
import sys
from collections import Counter
from contextlib import contextmanager
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_hpo.model.callbacks import NewBest, StudyEnd, TrialComplete
from airflow_hpo.model.objective import best_trial
from airflow_hpo.model.trial import TrialState

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from airflow_hpo.model.blueprint import Blueprint
    from airflow_hpo.model.callbacks import Callback, Event, News
    from airflow_hpo.model.record import StudyRecord
    from airflow_hpo.model.trial import Trial
    from airflow_hpo.model.values import Value
    from airflow_hpo.study import Study

    Notify = Callable[[Callback, News], None]

__all__ = ["announce"]

_log = logging.getLogger(__name__)

_UNFINISHED = frozenset({TrialState.WAITING, TrialState.RUNNING})


def announce(study: Study, *, notify: Notify | None = None) -> int:
    """
    Tell the study's callbacks what they were not told yet; returns how many things.

    An exception in a callback is logged and harms nothing.

    Args:
        study: The study.

        notify: Calls a notifier; without it notifiers are passed over, and logged.
    """
    callbacks = study.blueprint.callbacks
    if not callbacks.any:
        return 0
    told = 0
    storage, name = study.storage, study.name
    events = storage.events(name)
    known = {event.data.get("key") for event in events if event.kind == "announced"}
    ends = sum(1 for event in events if event.kind == "stopped")
    for event, key, news in _happened(study, study.record(), known=known, ends=ends):
        if key in known or not storage.claim(name, key):
            continue
        known.add(key)
        told += 1
        for callback in callbacks.of(event):
            _call(callback, news, study.blueprint, notify)
    return told


def _happened(
    study: Study, record: StudyRecord, *, known: Collection[Value], ends: int
) -> Iterator[tuple[Event, str, News]]:
    """
    Yield what happened in the study, in its order, with a key for each.

    A trial that is the best of its time only because a better one was run
    again since is no news, unless it is the best of all now.

    Args:
        study: The study.

        record: The study as it stands.

        known: Keys of what was told before.

        ends: How often the study ended: it may have been opened again.
    """
    complete = sorted(
        (trial for trial in record.trials if trial.is_complete),
        key=lambda trial: (trial.finished or 0.0, trial.number),
    )
    allowed = study.blueprint.outcomes.allow
    best: Trial | None = None
    of_all = best_trial(study.blueprint.objectives, filter(allowed, complete))
    for trial in complete:
        before = best
        best = _better(study, before, trial) if allowed(trial) else before
        place = f"{trial.number}/{trial.attempt}"
        fresh = f"complete/{place}" not in known
        yield "on_trial_complete", f"complete/{place}", TrialComplete(record.name, trial, best)
        if best is trial and (fresh or trial is of_all):
            yield "on_new_best", f"best/{place}", NewBest(record.name, trial, before)
    if record.stop is None or any(trial.state in _UNFINISHED for trial in record.trials):
        return
    states = Counter(trial.state.value for trial in record.trials)
    yield "on_study_end", f"end/{ends}", StudyEnd(record.name, record.stop, best, dict(states))


def _better(study: Study, best: Trial | None, trial: Trial) -> Trial:
    """
    Return *trial* if it is better than *best*, which was there first.
    """
    if best is None:
        return trial
    objectives = study.blueprint.objectives
    losses = [objectives[0].loss((each.values or (0.0,))[0]) for each in (best, trial)]
    return trial if losses[1] < losses[0] else best


def _call(callback: Callback, news: News, blueprint: Blueprint, notify: Notify | None) -> None:
    try:
        if callback.notifier is not None and notify is None:
            _log.warning("Not told outside of Airflow's tasks: %s", callback.shown)
        elif callback.notifier is not None and notify is not None:
            notify(callback, news)
        else:
            with _searched(blueprint):
                _find(callback.function or "")(news)
    except (Exception, SystemExit):  # noqa: BLE001 - whatever other people's code raises
        _log.exception("Callback %s failed; the study goes on", callback.shown)


def _find(path: str) -> Any:  # noqa: ANN401 - a function of somebody else's
    module, _, name = path.partition(":")
    return reduce(getattr, name.split("."), importlib.import_module(module))


@contextmanager
def _searched(blueprint: Blueprint) -> Iterator[None]:
    """
    Let modules be imported from the blueprint's folder.
    """
    file = blueprint.source.file
    if not file or file.startswith("<"):
        yield
        return
    folder = str(Path(file).absolute().parent / (blueprint.trial.workdir or "."))
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        if folder in sys.path:
            sys.path.remove(folder)
