"""
What a platform is: it gives a job the files and variables that code expects there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from airflow_hpo.model.base import Document
from airflow_hpo.model.values import Configuration, Value

__all__ = ["Fingerprinted", "Platform", "PlatformOptions", "Scene"]


class PlatformOptions(Document):
    """
    A platform's own options; each platform declares a subclass.
    """


@dataclass(frozen=True, slots=True)
class Scene:
    """
    What is known of a job that is about to start.

    Args:
        study: The study's name.

        trial: The trial's number.

        attempt: Counts from 1.

        step: Name of the step within the trial.

        configuration: The trial's parameters, with their types; the resource
            that it is given is among them.

        workspace: Folder of this trial's files (absolute; exists).

        shared: Folder of the whole study's files, for what all trials need.

        workdir: Folder the command starts in.

        parent: Checkpoints of the trial that this one goes on from, if any.

        created:
            When the trial was suggested, in seconds since the epoch; the same
            for all that were suggested together.

        ended: Whether the trial is called off, so that waiting is of no use.
    """

    study: str
    trial: int
    attempt: int
    step: str
    configuration: Configuration
    workspace: Path
    shared: Path
    workdir: Path
    parent: Path | None = None
    created: float = 0.0
    ended: Callable[[], bool] = lambda: False


@runtime_checkable
class Platform(Protocol):
    """
    Sets the scene of one job. Made from its options; holds nothing else.
    """

    options_class: ClassVar[type[PlatformOptions]]

    def __init__(self, options: Any) -> None:  # noqa: ANN401 - its own PlatformOptions
        """
        Keep *options*; touch nothing yet.
        """

    def prepare(self, scene: Scene) -> Mapping[str, str]:
        """
        Write what the job is to find, and return the variables that lead to it.

        May be called again for the same attempt, and then does no harm.

        Raises:
            TrialInvalidError: If it never can be had.

            TrialFailedError: If it cannot be had now.
        """


@runtime_checkable
class Fingerprinted(Protocol):
    """
    A platform that knows files, besides those where commands start, that a result depends on.
    """

    def fingerprint(self, scene: Scene) -> Value:
        """
        Return what is the same for two jobs exactly if those files are.

        Raises:
            TrialInvalidError: If a file never can be had.

            TrialFailedError: If one cannot be had now.
        """
