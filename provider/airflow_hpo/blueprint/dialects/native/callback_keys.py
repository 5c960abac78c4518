"""
Keys of callbacks: functions and notifiers that are told what happens.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_hpo.blueprint.records import Key, MapOf, OneOrMany, Record
from airflow_hpo.blueprint.shapes import BROKEN, Anything, Either, Text
from airflow_hpo.model.callbacks import Callback, Callbacks

__all__ = ["CALLBACKS", "read_callbacks"]

_FUNCTION = Text(
    pattern=r"^[\w.]+:[\w.]+$",
    rule="a function as module:function",
    examples=("my_package.alerts:tell",),
)

_NOTIFIER = Record(
    {
        "notifier": Key(
            Text(
                pattern=r"^\w+(\.\w+)+$",
                rule="the import path of a class",
                examples=("airflow.providers.smtp.notifications.smtp.SmtpNotifier",),
            ),
            "An Airflow notifier's class.",
            required=True,
        ),
        "arguments": Key(MapOf(Anything()), "Of the class; its templates know hpo, the news."),
    }
)

_CALLBACKS = OneOrMany(Either(text=_FUNCTION, other=_NOTIFIER))

CALLBACKS = Record(
    {
        "on_trial_complete": Key(_CALLBACKS, "Told of every trial that ends well."),
        "on_new_best": Key(_CALLBACKS, "Told of every trial better than all before it."),
        "on_study_end": Key(_CALLBACKS, "Told when the study has ended."),
    }
)


def read_callbacks(found: Mapping[str, Any]) -> Callbacks:
    """
    Return who is told what.
    """
    return Callbacks(
        **{
            event: tuple(_callback(item) for item in items if item is not BROKEN)
            for event, items in found.items()
        }
    )


def _callback(item: str | Mapping[str, Any]) -> Callback:
    return Callback(function=item) if isinstance(item, str) else Callback(**item)
