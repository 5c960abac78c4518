"""
(TRIAL, STEP) -> JOB: the command, its surroundings and its parameter file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_hpo.blueprint.commands import parse_command
from airflow_hpo.driver.jobs import runner_spec
from airflow_hpo.driver.stores import uri_of
from airflow_hpo.errors import TrialInvalidError
from airflow_hpo.model.job import Job
from airflow_hpo.platforms import create_platform
from airflow_hpo.platforms.base import Scene
from airflow_hpo.report import write_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_hpo.model.blueprint import Blueprint
    from airflow_hpo.model.trial import Trial
    from airflow_hpo.model.trial_spec import Step
    from airflow_hpo.model.values import Value

__all__ = ["build_job", "scene_of", "trial_label"]

# Values in labels are cut to this many characters.
_LABEL_VALUE = 16


def trial_label(
    number: int,
    configuration: Mapping[str, Value],
    blueprint: Blueprint,
    *,
    resource: float | None = None,
) -> str:
    """
    Return a trial in a line: ``#7 lr=0.0013 hidden=64`` (constants left out).

    Where trials are given different amounts of a *resource*, its own stands
    first: ``#7 epochs=9 lr=0.0013 hidden=64``.
    """
    tunable = [parameter.name for parameter in blueprint.space.tunable]
    shown = [f"{name}={_short(configuration[name])}" for name in tunable if name in configuration]
    if resource is not None and blueprint.resource is not None:
        shown.insert(0, f"{blueprint.resource.name}={resource:.4g}")
    return " ".join([f"#{number}", *shown])


def _short(value: Value) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    text = value if isinstance(value, str) else json.dumps(value)
    text = " ".join(text.split())  # a label is one line
    return text if len(text) <= _LABEL_VALUE else text[: _LABEL_VALUE - 1] + "…"


def build_job(
    blueprint: Blueprint,
    trial: Trial,
    step: Step,
    *,
    study: str,
    workspace: Path,
    shared: Path | None = None,
    parent: Path | None = None,
    ended: Callable[[], bool] = lambda: False,
) -> Job:
    """
    Return the job of one step of *trial*, and write the files that it reads.

    Args:
        blueprint: Says how the step is run.

        trial: Has the values.

        step: One of the blueprint's.

        study: The study's name.

        workspace: Folder of the trial's files.

        shared: Folder of what all trials of the study need; by default the workspace.

        parent: Checkpoints of the trial that this one goes on from, if any.

        ended: Whether the trial is called off, so that waiting is of no use.

    Raises:
        TrialInvalidError: If the folder that the command starts in is missing,
            or what the platform's code looks for.

        TrialFailedError: If that cannot be had now.
    """
    workdir = _workdir(blueprint)
    scene = scene_of(
        blueprint,
        trial,
        step,
        study=study,
        workspace=workspace,
        shared=shared or workspace,
        parent=parent,
        ended=ended,
    )
    values = scene.configuration
    return Job(
        study=study,
        trial=trial.number,
        attempt=trial.attempt,
        step=step.name,
        workspace=str(workspace),
        folders=() if shared is None else (str(shared),),
        workdir=workdir,
        command=parse_command(step).render(values),
        configuration=values,
        environment={
            **_own_variables(scene, _resource(blueprint, trial), parent=parent),
            **_surroundings(blueprint, scene),
            **blueprint.trial.environment,
        },
        timeout_s=blueprint.trial.timeout_s,
        grace_s=blueprint.trial.grace_s,
        options=dict(runner_spec(blueprint, trial, step).options),
        gpus=_gpus(blueprint, trial, step),
        token=str(trial.started),
    )


def scene_of(
    blueprint: Blueprint,
    trial: Trial,
    step: Step,
    *,
    study: str,
    workspace: Path,
    shared: Path,
    parent: Path | None = None,
    ended: Callable[[], bool] = lambda: False,
) -> Scene:
    """
    Return what is known of the job of one step of *trial*; arguments as in `build_job`.

    Raises:
        TrialInvalidError: If the folder that the command starts in is missing.
    """
    workdir = _workdir(blueprint)
    return Scene(
        study=study,
        trial=trial.number,
        attempt=trial.attempt,
        step=step.name,
        configuration=_values(blueprint, trial),
        workspace=workspace,
        shared=shared,
        workdir=Path(workdir) if workdir else workspace,
        parent=parent,
        created=trial.created or 0.0,
        ended=ended,
    )


def _gpus(blueprint: Blueprint, trial: Trial, step: Step) -> float:
    """
    Return how many devices the step needs: what its rung says, else its own.
    """
    resource = blueprint.resource
    place = None if resource is None else resource.placement(trial.resource)
    return step.gpus if place is None or place.gpus is None else place.gpus


def _own_variables(scene: Scene, resource: float | None, *, parent: Path | None) -> dict[str, str]:
    """
    Return what every job is told, and make the folders and the file that it names.
    """
    checkpoint, common = scene.workspace / "checkpoint", scene.shared / "shared"
    for folder in (checkpoint, common):
        folder.mkdir(parents=True, exist_ok=True)
    params_file = scene.workspace / "params.json"
    write_text(params_file, json.dumps(scene.configuration, indent=2) + "\n")
    return {
        "HPO_STUDY": scene.study,
        "HPO_TRIAL": str(scene.trial),
        "HPO_ATTEMPT": str(scene.attempt),
        "HPO_PARAMS_FILE": str(params_file),
        "HPO_CHECKPOINT_DIR": str(checkpoint),
        "HPO_OUTPUT_DIR": str(scene.workspace),
        "HPO_SHARED_DIR": str(common),
        "HPO_STEP": scene.step,
        **({} if parent is None else {"HPO_PARENT_CHECKPOINT_DIR": str(parent)}),
        # The same for code that reaches no folder of this machine.
        "HPO_CHECKPOINT_URI": uri_of(checkpoint),
        "HPO_OUTPUT_URI": uri_of(scene.workspace),
        "HPO_SHARED_URI": uri_of(common),
        **({} if parent is None else {"HPO_PARENT_CHECKPOINT_URI": uri_of(parent)}),
        **({} if resource is None else {"HPO_RESOURCE": str(resource)}),
    }


def _surroundings(blueprint: Blueprint, scene: Scene) -> Mapping[str, str]:
    spec = blueprint.trial.platform
    return {} if spec is None else create_platform(spec).prepare(scene)


def _resource(blueprint: Blueprint, trial: Trial) -> float | None:
    """
    Return how much of the resource the trial spends: all, unless it was told.

    A whole number is given as one: code that counts epochs reads ``27``, and
    stumbles over ``27.0``.
    """
    if trial.resource is not None:
        amount = trial.resource
    elif blueprint.resource is not None:
        amount = blueprint.resource.max
    else:
        return None
    return int(amount) if float(amount).is_integer() else amount


def _values(blueprint: Blueprint, trial: Trial) -> dict[str, Value]:
    """
    Return what the trial's code is given: its parameters, and the resource by its name.
    """
    values = dict(trial.configuration)
    if blueprint.resource is not None:
        values.setdefault(blueprint.resource.name, _resource(blueprint, trial))
    return values


def _workdir(blueprint: Blueprint) -> str | None:
    """
    Return the folder that commands start in: the blueprint's own by default.
    """
    if not blueprint.source.file or blueprint.source.file.startswith("<"):
        return blueprint.trial.workdir
    folder = Path(blueprint.source.file).absolute().parent
    folder = folder / (blueprint.trial.workdir or ".")
    if not folder.is_dir():
        raise TrialInvalidError(f"the folder that the command starts in is missing: {folder}")
    return str(folder)
