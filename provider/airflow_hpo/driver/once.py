"""
Steps that run once a study: whose turn it is, and whether it is done.
"""

from __future__ import annotations

import fcntl
import json
from hashlib import sha256
from typing import TYPE_CHECKING

from airflow_hpo.driver.workspace import safe_name, study_folder
from airflow_hpo.report import write_text

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import IO

    from airflow_hpo.model.trial_spec import Step
    from airflow_hpo.study import Study

__all__ = ["Turn", "has_run", "turn_of"]


class Turn:
    """
    The turn to run one step for all trials of a study.

    **How it works.** A lock on a file tells whose turn it is, and a mark beside
    it that the step ended well, and what it ran with: where that was changed
    since, it runs again.

    **Known limitation.** Where a process that has the turn is killed with
    SIGKILL, its job goes on without a lock, beside that of the next trial.
    Machines without a common folder run the step once each.

    Args:
        shared: Folder of the study's files.

        step: Name of the step.

        mark: What it is run with: its command, and what tells the study from
            an older one of the same name.
    """

    def __init__(self, shared: Path, step: str, mark: str) -> None:
        self._folder = shared / "steps"
        self._step = safe_name(step)
        self._mark = sha256(mark.encode()).hexdigest()
        self._file: IO[str] | None = None

    def __enter__(self) -> Turn:  # noqa: PYI034 - typing has Self from Python 3.11 on
        """
        Open the lock; nobody has the turn by that.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._file = (self._folder / f"{self._step}.lock").open("w")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """
        Give the turn to the next one.
        """
        if self._file is not None:
            self._file.close()

    def take(self) -> bool:
        """
        Take the turn unless another process or thread has it; return whether it is ours.
        """
        if self._file is None:
            return False
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    @property
    def is_done(self) -> bool:
        """
        Whether the step ended well before, with this very command.
        """
        try:
            done = json.loads((self._folder / f"{self._step}.json").read_text("utf-8"))
        except (OSError, ValueError):
            return False
        return isinstance(done, dict) and done.get("mark") == self._mark

    def done(self, trial: int) -> None:
        """
        Note that the step ended well in *trial*.
        """
        text = json.dumps({"mark": self._mark, "trial": trial})
        write_text(self._folder / f"{self._step}.json", f"{text}\n")


def turn_of(study: Study, step: Step, artifacts: Path) -> Turn:
    """
    Return the turn to run *step* for all trials of *study*.
    """
    mark = f"{study.record().created}\n{step.command}"
    return Turn(study_folder(artifacts, study.name), step.name, mark)


def has_run(study: Study, step: str, artifacts: Path) -> bool:
    """
    Return whether *step* has run for all trials of *study*.
    """
    own = next(each for each in study.blueprint.trial.steps if each.name == step)
    return turn_of(study, own, artifacts).is_done
