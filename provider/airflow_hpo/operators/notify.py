"""
Tells a study's callbacks what happened, from within a task.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow_hpo.driver import announce

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_hpo.model.callbacks import Callback, News
    from airflow_hpo.study import Study

__all__ = ["announce_from"]


def announce_from(context: Context, study: Study) -> None:
    """
    Tell the callbacks of *study* what they were not told yet.

    A notifier renders its templates with the task's own context, and with
    ``hpo``, the news: ``{{ hpo.study }}``, ``{{ hpo.trial.number }}``,
    ``{{ hpo.stop.reason }}``.
    """
    announce(study, notify=lambda callback, news: _notify(context, callback, news))


def _notify(context: Context, callback: Callback, news: News) -> None:
    module, _, name = (callback.notifier or "").rpartition(".")
    notifier = getattr(import_module(module), name)(**callback.arguments)
    # A copy: what notifiers put into a context is not the task's concern.
    known: dict[str, Any] = {**context, "hpo": news}
    notifier(known)
