"""
Scripts that can be run again as base tasks: what is recorded of them, and where.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

from airflow_hpo.driver import default_artifacts
from airflow_hpo.report import write_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from airflow_hpo.model.values import Value

__all__ = ["BaseTask", "find_task", "recorded_tasks"]


@dataclass
class BaseTask:
    """
    What is recorded of a script, so that it can be run again.

    Args:
        id: Made of project and name: the same script run again is the same task.

        command: How it was started, in words.

        workdir: Where.

        parameters: What it connected, with its own values.
    """

    id: str
    project: str
    name: str
    command: list[str] = field(default_factory=list)
    workdir: str = ""
    parameters: dict[str, Value] = field(default_factory=dict)

    @classmethod
    def called(cls, project: str, name: str) -> BaseTask:
        """
        Return an empty record for the task of this name.
        """
        return cls(sha256(f"{project}\0{name}".encode()).hexdigest()[:32], project, name)

    def save(self) -> None:
        """
        Keep it.
        """
        folder = _folder()
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(asdict(self), indent=2, default=str)
        write_text(folder / f"{self.id}.json", text + "\n")


def _folder() -> Path:
    return default_artifacts() / ".clearml-tasks"


def recorded_tasks() -> Iterator[BaseTask]:
    """
    Yield all that are recorded on this machine.
    """
    for path in sorted(_folder().glob("*.json")):
        yield BaseTask(**json.loads(path.read_text("utf-8")))


def find_task(
    task_id: str | None = None, project: str | None = None, name: str | None = None
) -> BaseTask | None:
    """
    Return the recorded task that has all that is given; `None` if none has.
    """
    wanted = {"id": task_id, "project": project, "name": name}
    for task in recorded_tasks():
        if all(value in {None, getattr(task, key)} for key, value in wanted.items()):
            return task
    return None
