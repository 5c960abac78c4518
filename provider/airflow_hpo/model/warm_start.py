"""
Where a study takes its first knowledge from: another study, or a file.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from airflow_hpo.model.base import Document

__all__ = ["WarmStart", "WarmStartSource"]


class WarmStartSource(Document):
    """
    Another study, or a file of trials.

    Args:
        study: The other study's name; empty for a file.

        storage: URL of its journal; `None` for the study's own.

        file:
            CSV, JSON or JSON lines, relative to the blueprint's own folder;
            empty for a study.

        previous:
            Whether it is the study that a DAG's run of an earlier interval made,
            the latest before the run that asks.

        max_age_s: Seconds between the two intervals, at most; `None` for no limit.
    """

    study: str = ""
    storage: str | None = None
    file: str = ""
    previous: bool = False
    max_age_s: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _one_source(self) -> WarmStartSource:
        if bool(self.study) + bool(self.file) + self.previous != 1:
            raise ValueError("exactly one of study and file must be given")
        if self.file and self.storage is not None:
            raise ValueError("storage must be given with a study, got a file")
        return self

    @property
    def words(self) -> str:
        """
        What a person calls it; without the URL, which is for machines.
        """
        if self.previous:
            return "the interval before"
        return f"study {self.study}" if self.study else f"file {self.file}"


class WarmStart(Document):
    """
    What a study is told before its first trial.

    Args:
        source: Where the trials come from.

        trials: The best so many of them; `None` for all that are of use.

        use:
            ``history`` shows them to the strategy as they ended, ``points``
            has their configurations tried again, before anything else.
    """

    source: WarmStartSource
    trials: int | None = Field(default=None, ge=1)
    use: Literal["history", "points"] = "history"
