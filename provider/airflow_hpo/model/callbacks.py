"""
Callbacks: whom a study tells what happens, and in which words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from pydantic import Field, model_validator

from airflow_hpo.model.base import Document
from airflow_hpo.model.stop import Stop
from airflow_hpo.model.trial import Trial

__all__ = ["Callback", "Callbacks", "NewBest", "News", "StudyEnd", "TrialComplete"]


@dataclass(frozen=True, slots=True)
class TrialComplete:
    """
    A trial ended well: what ``on_trial_complete`` is called with.

    Args:
        study: The study's name.

        trial: The trial, with its values.

        best: The best trial of the study by now; it may be this one. `None`
            where no trial satisfies the constraints on outcomes yet.
    """

    study: str
    trial: Trial
    best: Trial | None


@dataclass(frozen=True, slots=True)
class NewBest:
    """
    A trial is better than all before it: what ``on_new_best`` is called with.

    Args:
        study: The study's name.

        trial: The trial, with its values.

        previous: The best one before; `None` for the first.
    """

    study: str
    trial: Trial
    previous: Trial | None


@dataclass(frozen=True, slots=True)
class StudyEnd:
    """
    A study ended and nothing of it runs any more: what ``on_study_end`` is called with.

    Args:
        study: The study's name.

        stop: Why it ended.

        best: The best trial; `None` if none is complete.

        states: Number of trials by state.
    """

    study: str
    stop: Stop
    best: Trial | None
    states: Mapping[str, int]


News: TypeAlias = TrialComplete | NewBest | StudyEnd
"""What callbacks are called with."""

Event: TypeAlias = Literal["on_trial_complete", "on_new_best", "on_study_end"]


class Callback(Document):
    """
    One that is told: a function, or an Airflow notifier.

    Args:
        function: ``module:function``; called with the news as its only argument.

        notifier: Import path of a notifier's class, as in
            ``airflow.providers.smtp.notifications.smtp.SmtpNotifier``.

        arguments: Of the notifier's class; its templates know ``hpo``, the news.
    """

    function: str | None = Field(default=None, pattern=r"^[\w.]+:[\w.]+$")
    notifier: str | None = Field(default=None, pattern=r"^\w+(\.\w+)+$")
    arguments: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one(self) -> Callback:
        if (self.function is None) == (self.notifier is None):
            raise ValueError("exactly one of function and notifier must be given")
        return self

    @property
    def shown(self) -> str:
        """
        Its name.
        """
        return self.function or self.notifier or ""


class Callbacks(Document):
    """
    Who is told what.

    Args:
        on_trial_complete: Told of every trial that ends well.

        on_new_best: Told of every trial that is better than all before it.

        on_study_end: Told when the study has ended.
    """

    on_trial_complete: tuple[Callback, ...] = ()
    on_new_best: tuple[Callback, ...] = ()
    on_study_end: tuple[Callback, ...] = ()

    def of(self, event: Event) -> tuple[Callback, ...]:
        """
        Return who is told of *event*.
        """
        found: tuple[Callback, ...] = getattr(self, event)
        return found

    @property
    def any(self) -> bool:
        """
        Whether anybody is told anything.
        """
        return bool(self.on_trial_complete or self.on_new_best or self.on_study_end)
