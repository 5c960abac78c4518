"""
Where studies and trials keep their files.
"""

from __future__ import annotations

import json
import os
import re
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_hpo.report import write_text

if TYPE_CHECKING:
    from airflow_hpo.model.trial import Trial

__all__ = ["claim_folder", "default_artifacts", "safe_name", "study_folder", "trial_folder"]

# Says which trial a folder belongs to.
_OWNER = "trial.json"


def default_artifacts() -> Path:
    """
    Return the folder of workspaces and reports where nobody configured one.
    """
    configured = os.environ.get("HPO_ARTIFACTS")
    if configured:
        return Path(configured).expanduser().absolute()
    home = Path(os.environ.get("AIRFLOW_HOME") or "~/airflow").expanduser()
    return home.absolute() / "hpo" / "studies"


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
    plain = study_folder(artifacts, study) / "trials" / f"{trial.number:05d}"
    try:
        owner = json.loads((plain / _OWNER).read_text("utf-8"))
    except FileNotFoundError:
        return plain
    if owner == _owner(study, trial):
        return plain
    mark = sha256(json.dumps(_owner(study, trial)).encode()).hexdigest()[:8]
    return plain.with_name(f"{plain.name}-{mark}")


def claim_folder(folder: Path, study: str, trial: Trial) -> None:
    """
    Make the workspace of *trial* and note in it whose it is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / _OWNER, json.dumps(_owner(study, trial)) + "\n")


def _owner(study: str, trial: Trial) -> dict[str, object]:
    return {"study": study, "trial": trial.number, "created": trial.created}
