"""
ClearML's ``Task`` without a server: scripts that can be tuned, by id or name.

A script that calls `Task.init` outside a trial is recorded: how it was started
and with which parameters. The optimiser runs it again as its base task. In a
trial `Task.connect` hands over the trial's values, and a logger's scalars
become its metrics.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_hpo.blueprint.dialects.clearml import external_name
from airflow_hpo.clearml.base_tasks import BaseTask, find_task, recorded_tasks
from airflow_hpo.clearml.logger import Logger
from airflow_hpo.model.registry import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_hpo.model.values import Value

__all__ = ["Task", "TaskTypes"]

_GENERAL, _ARGS = "General", "Args"


class TaskTypes(str, Enum):
    """
    What a task does, in ClearML's words; nothing here depends on it.
    """

    training = "training"
    testing = "testing"
    inference = "inference"
    data_processing = "data_processing"
    application = "application"
    monitor = "monitor"
    controller = "controller"
    optimizer = "optimizer"
    service = "service"
    qc = "qc"
    custom = "custom"


class Task:
    """
    A task: this script itself, or one that was recorded. Made by `init` and `get_task`.
    """

    TaskTypes = TaskTypes
    _current: ClassVar[Task | None] = None

    def __init__(self, record: BaseTask, *, is_trial: bool = False) -> None:
        self._record = record
        self._is_trial = is_trial
        self._logger = Logger()

    @classmethod
    def init(
        cls,
        project_name: str | None = None,
        task_name: str | None = None,
        task_type: str = TaskTypes.training,
        reuse_last_task_id: object = True,  # noqa: FBT002 - ClearML's signature
        **_others: object,
    ) -> Task:
        """
        Return the task of this script, and record how it was started.

        In a trial nothing is recorded, and what is connected gets its values.

        Args:
            project_name: What it belongs to.

            task_name: What it is called; both together are its identity.

            task_type: Of no effect.

            reuse_last_task_id: Of no effect: the same name is the same task.
        """
        del task_type, reuse_last_task_id
        name = task_name or Path(sys.argv[0]).stem or "task"
        record = BaseTask.called(project_name or "", name)
        record.command, record.workdir = _how_started(), str(Path.cwd())
        is_trial = "HPO_PARAMS_FILE" in os.environ
        if not is_trial:
            record.save()
        cls._current = cls(record, is_trial=is_trial)
        return cls._current

    @classmethod
    def create(
        cls,
        project_name: str | None = None,
        task_name: str | None = None,
        *,
        script: str | os.PathLike[str],
        working_directory: str | os.PathLike[str] = ".",
        argparse_args: Sequence[tuple[str, Value]] = (),
    ) -> Task:
        """
        Record a script that need not know of this, and return it as a task.

        Args:
            project_name: What it belongs to.

            task_name: What it is called; the script's name by default.

            script: A Python script; it gets parameters as ``--name=value``.

            working_directory: Where it is started.

            argparse_args: What it gets in any case.

        Raises:
            ValueError: If there is no such script.
        """
        folder = Path(working_directory).absolute()
        path = folder / script
        if not path.is_file():
            raise ValueError(f"script must be a file, got {os.fspath(script)!r} in {folder}")
        record = BaseTask.called(project_name or "", task_name or path.stem)
        fixed = [f"--{name}={value}" for name, value in argparse_args]
        record.command, record.workdir = [sys.executable, str(path), *fixed], str(folder)
        record.save()
        return cls(record)

    @classmethod
    def get_task(
        cls,
        task_id: str | None = None,
        project_name: str | None = None,
        task_name: str | None = None,
    ) -> Task:
        """
        Return a task that was recorded.

        Raises:
            ValueError: If there is none; the message has those that there are.
        """
        record = find_task(task_id, project_name, task_name)
        if record is not None:
            return cls(record)
        wanted = task_id or f"{project_name or '*'}/{task_name or '*'}"
        known = [f"{task.project}/{task.name}" for task in recorded_tasks()]
        hint = did_you_mean(wanted, known)
        message = f"a task must have been run once, or made by Task.create, got {wanted!r}"
        known_text = f"; there are {', '.join(known)}" if known else "; there are none yet"
        raise ValueError(message + (f"; {hint}" if hint else known_text))

    @classmethod
    def current_task(cls) -> Task | None:
        """
        Return what `init` made in this process, if it was called.
        """
        return cls._current

    @property
    def id(self) -> str:
        """
        What `HyperParameterOptimizer` takes as ``base_task_id``.
        """
        return self._record.id

    @property
    def name(self) -> str:
        """
        What it is called.
        """
        return self._record.name

    def get_project_name(self) -> str:
        """
        Return what it belongs to.
        """
        return self._record.project

    def get_parameters(self) -> dict[str, Value]:
        """
        Return what was connected, by ``Section/name``.
        """
        return dict(self._record.parameters)

    def get_logger(self) -> Logger:
        """
        Return what scalars are reported to.
        """
        return self._logger

    def connect(self, mutable: Any, name: str | None = None) -> Any:  # noqa: ANN401 - any settings
        """
        Return *mutable*; in a trial, with the trial's values in it.

        Args:
            mutable: A dict, parsed arguments, or an object with attributes.

            name: The section; ``Args`` for parsed arguments, else ``General``.
        """
        section = name or (_ARGS if isinstance(mutable, argparse.Namespace) else _GENERAL)
        fields = mutable if isinstance(mutable, dict) else _Attributes(mutable)
        values = _trial_values() if self._is_trial else {}
        self._record.parameters |= _fill(fields, section, values)
        if not self._is_trial:
            self._record.save()
        return mutable

    def execute_remotely(self, queue_name: str | None = None, **_others: object) -> None:
        """
        Go on in this process: there is no agent that would.
        """
        message = "execute_remotely has no effect: the script goes on here"
        warnings.warn(f"{message}, not in the queue {queue_name}", stacklevel=2)

    def close(self) -> None:
        """
        Do nothing: whatever was reported is there.
        """


def _how_started() -> list[str]:
    """
    Return the words that start this script again; none where there is no script.
    """
    if sys.argv[0] in {"", "-c"}:
        return []
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        program = ["-m", spec.name.removesuffix(".__main__")]
    else:
        program = [str(Path(sys.argv[0]).absolute())]
    return [sys.executable, *program, *sys.argv[1:]]


class _Attributes:
    """
    The public attributes of an object, as a mapping.
    """

    def __init__(self, target: object) -> None:
        self._target = target

    def items(self) -> list[tuple[str, Any]]:
        found = {**_public(vars(type(self._target))), **_public(vars(self._target))}
        return list(found.items())

    def __setitem__(self, name: str, value: Value) -> None:
        setattr(self._target, name, value)


def _public(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in fields.items()
        if not name.startswith("_") and not callable(value) and not isinstance(value, property)
    }


def _trial_values() -> dict[str, Value]:
    data = json.loads(Path(os.environ["HPO_PARAMS_FILE"]).read_text("utf-8"))
    return {external_name(name): value for name, value in data.items()}


def _fill(fields: Any, path: str, values: Mapping[str, Value]) -> dict[str, Value]:  # noqa: ANN401
    """
    Put *values* into *fields* and return all of them by their full names.
    """
    found: dict[str, Value] = {}
    for name, value in list(fields.items()):
        full = f"{path}/{name}"
        if isinstance(value, dict):
            found |= _fill(value, full, values)
            continue
        # A name without a section is of the section General.
        bare = full.partition("/")[2]
        chosen = values.get(full, values.get(bare, value))
        if full in values or bare in values:
            fields[name] = chosen
        found[full] = chosen
    return found
