"""
Results that are there already: what is the same as an earlier trial is not run again.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_hpo.driver.job import scene_of
from airflow_hpo.model.trial import TrialState
from airflow_hpo.model.values import canonical
from airflow_hpo.platforms import create_platform
from airflow_hpo.platforms.base import Fingerprinted
from airflow_hpo.platforms.fetching import digest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from airflow_hpo.driver.memory import Memory
    from airflow_hpo.model.blueprint import Blueprint
    from airflow_hpo.model.record import StudyRecord
    from airflow_hpo.model.trial import Measurement, Trial
    from airflow_hpo.model.values import Value
    from airflow_hpo.platforms.base import Scene
    from airflow_hpo.storage.base import Storage
    from airflow_hpo.study import Study

__all__ = ["Earlier", "identity_of", "take_over"]

# Larger files count by their size and their time, which takes no reading.
_READ_BYTES = 16 * 2**20

# With more files, the folder is no program's: nothing is taken over.
_MOST_FILES = 20_000

# So many studies are looked through, the newest first.
_STUDIES = 500

# What a result does not depend on: when a trial is given up, and what its failure means.
_IRRELEVANT = ("reuse", "timeout_s", "grace_s", "retries", "failures", "on_failure", "deferrable")
_IRRELEVANT_IN_STEPS = ("gpus", "pool", "pool_slots", "queue", "executor", "priority_weight")


@dataclass(frozen=True, slots=True)
class Earlier:
    """
    A trial that has the result.

    Args:
        study: Its study.

        trial: The trial.

        measurements: Those of its latest attempt.
    """

    study: str
    trial: Trial
    measurements: tuple[Measurement, ...]

    @property
    def reason(self) -> str:
        """
        Why a trial that takes it over was not run.
        """
        return f"taken over from trial {self.trial.number} of study {self.study}"


def take_over(
    study: Study,
    trial: Trial,
    memory: Memory,
    *,
    folder: Path,
    shared: Path,
    log: Callable[[str], None],
) -> Earlier | None:
    """
    Return the trial whose result counts for *trial* too, where the blueprint wants that.

    Whoever has a trial run again wants it to run; what goes on from another's
    checkpoint always does.

    Args:
        study: The study.

        trial: As its attempt began.

        memory: The attempt's, which gets what the trial does.

        folder: The trial's.

        shared: The study's folder.

        log: Told what is found.

    Raises:
        TrialInvalidError: If what the trial needs never can be had.

        TrialFailedError: If it cannot be had now.
    """
    blueprint = study.blueprint
    if not blueprint.trial.reuse or trial.parent is not None or memory.identity is not None:
        return None
    step = blueprint.trial.steps[0]
    scene = scene_of(blueprint, trial, step, study=study.name, workspace=folder, shared=shared)
    identity = identity_of(blueprint, scene)
    if identity is None:
        log("there are too many files where commands start to tell what is the same")
        return None
    memory.identity = identity
    if trial.attempt > 1:
        return None
    found = _earlier_result(study.storage, study.name, trial, identity=identity)
    if found is not None:
        log(f"not run: {found.reason}, which did the very same")
    return found


def identity_of(blueprint: Blueprint, scene: Scene) -> str | None:
    """
    Return what is equal for two trials if they would do the very same.

    That is their commands and where they run, environment, parameters and
    resource, the files of the folder that commands start in (without hidden
    ones and the blueprint), and what the platform fetches. `None` where that
    folder holds too much to tell.

    Args:
        blueprint: Says how a trial is run.

        scene: Of its first job.

    Raises:
        TrialInvalidError: If an input file never can be had.

        TrialFailedError: If one cannot be had now.
    """
    files = _files(scene, Path(blueprint.source.file) if blueprint.source.file else None)
    if files is None:
        return None
    parts = [_definition(blueprint), scene.configuration, files, _inputs(blueprint, scene)]
    return sha256(canonical(parts).encode()).hexdigest()


def _inputs(blueprint: Blueprint, scene: Scene) -> Value:
    """
    Return what the platform says of the files that it brings.
    """
    spec = blueprint.trial.platform
    platform: Any = None if spec is None else create_platform(spec)
    return platform.fingerprint(scene) if isinstance(platform, Fingerprinted) else None


def _definition(blueprint: Blueprint) -> Mapping[str, Value]:
    """
    Return what of a blueprint decides on a result.
    """
    found = blueprint.trial.model_dump(mode="json", exclude=set(_IRRELEVANT))
    for step in found["steps"]:
        for name in _IRRELEVANT_IN_STEPS:
            step.pop(name, None)
    found["objectives"] = [each.metric for each in blueprint.objectives]
    return found


def _files(scene: Scene, blueprint: Path | None) -> Mapping[str, str] | None:
    """
    Return a checksum of each file that a command may read, by its name.
    """
    if scene.workdir == scene.workspace:
        return {}
    found: dict[str, str] = {}
    for path in _walk(scene.workdir, without=scene.shared):
        if blueprint is not None and path.samefile(blueprint):
            continue
        if len(found) >= _MOST_FILES:
            return None
        found[str(path.relative_to(scene.workdir))] = _checksum(path)
    return found


def _walk(root: Path, *, without: Path) -> Iterator[Path]:
    for folder, names, files in os.walk(root):
        here = Path(folder)
        names[:] = sorted(name for name in names if _matters(name) and here / name != without)
        yield from (here / name for name in sorted(files) if _matters(name))


def _matters(name: str) -> bool:
    return not name.startswith(".") and name != "__pycache__"


def _checksum(path: Path) -> str:
    try:
        status = path.stat()
        if status.st_size > _READ_BYTES:
            return f"{status.st_size} {status.st_mtime_ns}"
        with path.open("rb") as file:
            return digest_of(file)
    except OSError as error:  # a socket, a dangling link, nothing that we may read
        return type(error).__name__


def _earlier_result(storage: Storage, study: str, trial: Trial, *, identity: str) -> Earlier | None:
    """
    Return the latest complete trial that did the very same; `None` if there is none.
    """
    summaries = [each for each in storage.studies() if each.states.get(TrialState.COMPLETE.value)]
    for summary in summaries[:_STUDIES]:
        record = storage.load(summary.name)
        for candidate in _alike(record, study, trial):
            attempt = storage.attempts(summary.name, candidate.number)[-1]
            if attempt.memory.get("identity") == identity:
                measured = storage.measurements(
                    summary.name, candidate.number, attempt=candidate.attempt
                )
                return Earlier(summary.name, candidate, tuple(measured))
    return None


def _alike(record: StudyRecord, study: str, trial: Trial) -> Iterator[Trial]:
    """
    Yield complete trials with the same values, the latest first.
    """
    wanted = canonical([trial.configuration, trial.resource])
    for candidate in reversed(record.trials):
        if (
            candidate.state is TrialState.COMPLETE
            and (record.name, candidate.number) != (study, trial.number)
            and canonical([candidate.configuration, candidate.resource]) == wanted
        ):
            yield candidate
