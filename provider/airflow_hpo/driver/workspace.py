"""
Where studies and trials keep their files.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_hpo.driver.stores import local_folder
from airflow_hpo.report import write_text
from airflow_hpo.runners.files import this_host
from airflow_hpo.runners.supervisor import is_alive, started

if TYPE_CHECKING:
    from airflow_hpo.model.trial import Trial

__all__ = [
    "OWNER",
    "Follower",
    "artifacts_at",
    "claim_folder",
    "default_artifacts",
    "safe_name",
    "study_folder",
    "trial_folder",
    "usual_folder",
]

# Says which trial a folder belongs to.
OWNER = "trial.json"

# Says which process follows the trial's latest attempt.
_FOLLOWER = "follower.json"


@dataclass(frozen=True, slots=True)
class Follower:
    """
    The process that follows one attempt at a trial.

    Args:
        key: The attempt's.

        host: The machine it runs on.

        pid: Its number there.

        started: When it started, in the system's unit.
    """

    key: str
    host: str
    pid: int
    started: int

    @classmethod
    def note(cls, folder: Path, key: str) -> None:
        """
        Note in *folder* that this process follows the attempt called *key*.
        """
        pid = os.getpid()
        known = cls(key, this_host(), pid, started(pid) or 0)
        write_text(folder / _FOLLOWER, json.dumps(asdict(known)) + "\n")

    @classmethod
    def hand_over(cls, folder: Path, key: str) -> None:
        """
        Note in *folder* that the attempt called *key* is left to some other process.
        """
        write_text(folder / _FOLLOWER, json.dumps(asdict(cls(key, "", 0, 0))) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Follower | None:
        """
        Return who is noted in *folder*; `None` if nobody is.
        """
        try:
            return cls(**json.loads((folder / _FOLLOWER).read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def is_gone(self) -> bool:
        """
        Return whether it ran on this machine and does no more.

        Of one that an attempt was left to nobody knows the machine.
        """
        return self.host == this_host() and not is_alive(self.pid, self.started)


def default_artifacts() -> Path:
    """
    Return the folder of workspaces and reports where nobody configured one.
    """
    configured = os.environ.get("HPO_ARTIFACTS")
    return artifacts_at(configured) if configured else _home() / "studies"


def artifacts_at(where: str) -> Path:
    """
    Return the folder of workspaces and reports that are kept at *where*.

    Args:
        where: A folder, or an address such as ``s3://bucket/studies``; see `store_of`.

    Raises:
        StorageError: If there can be no such folder.
    """
    return local_folder(where, _home())


def _home() -> Path:
    home = Path(os.environ.get("AIRFLOW_HOME") or "~/airflow").expanduser()
    return home.absolute() / "hpo"


def safe_name(name: str) -> str:
    """
    Return *name* as a folder's name; different names stay different.

    A study's name may hold anything, such as the colons of a run's date.
    """
    plain = re.sub(r"[^\w.-]", "_", name, flags=re.ASCII)[:100]
    if plain == name and plain.strip("."):
        return plain
    return f"{plain.strip('.')}-{sha256(name.encode()).hexdigest()[:8]}"


def study_folder(artifacts: Path, study: str) -> Path:
    """
    Return the folder that holds the trials and the report of *study*.
    """
    return artifacts / safe_name(study)


def trial_folder(artifacts: Path, study: str, trial: Trial) -> Path:
    """
    Return the workspace of *trial*: what its attempts write.

    A trial of another study with the same name (one that was deleted, or that
    lives in another journal) keeps the plain number where it was there first:
    its results must never pass for this trial's.
    """
    plain = usual_folder(artifacts, study, trial)
    try:
        owner = json.loads((plain / OWNER).read_text("utf-8"))
    except FileNotFoundError:
        return plain
    if owner == _owner(study, trial):
        return plain
    mark = sha256(json.dumps(_owner(study, trial)).encode()).hexdigest()[:8]
    return plain.with_name(f"{plain.name}-{mark}")


def usual_folder(artifacts: Path, study: str, trial: Trial) -> Path:
    """
    Return the workspace of *trial* where no other trial was there first.
    """
    return study_folder(artifacts, study) / "trials" / f"{trial.number:05d}"


def claim_folder(folder: Path, study: str, trial: Trial) -> None:
    """
    Make the workspace of *trial* and note in it whose it is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / OWNER, json.dumps(_owner(study, trial)) + "\n")


def _owner(study: str, trial: Trial) -> dict[str, object]:
    return {"study": study, "trial": trial.number, "created": trial.created}
