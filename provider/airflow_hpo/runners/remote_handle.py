"""
What is known of a job that another service runs, wherever it is looked at.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_hpo.model.trial import Failure
from airflow_hpo.runners.files import Ending, JobFiles

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_hpo.model.job import Job

__all__ = ["RemoteHandle"]


@dataclass(frozen=True, slots=True)
class RemoteHandle:
    """
    One job, as any process can look at it that reaches the service.

    Args:
        key: The job's key.

        owner: Study and trial.

        attempt: The trial's attempt.

        step: The trial's step.

        folder: The workspace.

        name: Of the job's files there.

        grace_s: Seconds between asking it to end and killing it.

        timeout_s: Seconds it may take; `None` for no limit.

        place: What the service calls it.
    """

    key: str
    owner: str
    attempt: int
    step: str
    folder: str
    name: str
    grace_s: float
    timeout_s: float | None
    place: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, job: Job, place: Mapping[str, str]) -> RemoteHandle:
        """
        Return the handle of *job*.
        """
        files = JobFiles.of(job)
        return cls(
            key=job.key,
            owner=f"{job.study}/{job.trial}",
            attempt=job.attempt,
            step=job.step,
            folder=str(files.folder),
            name=files.name,
            grace_s=job.grace_s,
            timeout_s=job.timeout_s,
            place=dict(place),
        )

    @classmethod
    def parse(cls, text: str) -> RemoteHandle | None:
        """
        Return the handle that *text* is; `None` if it is none.
        """
        try:
            found = cls(**json.loads(text))
        except (ValueError, TypeError, RecursionError):
            return None
        return found if isinstance(found.place, dict) else None

    @classmethod
    def read(cls, path: Path) -> RemoteHandle | None:
        """
        Return the handle in the file at *path*; `None` if there is none.
        """
        try:
            return cls.parse(path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError):
            return None

    @property
    def text(self) -> str:
        """
        The handle as it is handed out.
        """
        return json.dumps(asdict(self))

    @property
    def files(self) -> JobFiles:
        """
        The job's files in the workspace.
        """
        return JobFiles(Path(self.folder), self.name)

    @property
    def id(self) -> tuple[str, str]:
        """
        What tells it from every other job.
        """
        return self.key, self.folder

    @property
    def is_superseded(self) -> bool:
        """
        Whether another job took its place in the workspace: a study made anew.
        """
        known = RemoteHandle.read(self.files.handle)
        return known is not None and known.key != self.key

    def ending(self) -> Ending | None:
        """
        Return how the job ended; `None` as long as that is not on record here.
        """
        try:
            fields = json.loads(self.files.result.read_text("utf-8"))
        except (OSError, ValueError):
            return None
        if fields.pop("key", None) != self.key:
            return None
        failure = fields.pop("failure", None)
        return Ending(**fields, failure=None if failure is None else Failure(failure))

    def end(self, ending: Ending) -> None:
        """
        Put on record how the job ended.
        """
        new = self.files.result.with_suffix(".new")
        new.write_text(json.dumps({"key": self.key, **asdict(ending)}) + "\n", "utf-8")
        new.replace(self.files.result)
