"""
Valohai: the ``VH_*`` variables, the config files, the inputs and outputs folders.

Code that reads them by hand, or by the package valohai-utils, runs as it is.
"""

from __future__ import annotations

import json
import shutil
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

import yaml
from pydantic import Field

from airflow_hpo.platforms.base import PlatformOptions
from airflow_hpo.platforms.fetching import InputSpec, checksums, fetch
from airflow_hpo.platforms.group import addresses, assemble

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from airflow_hpo.model.values import Value
    from airflow_hpo.platforms.base import Scene
    from airflow_hpo.platforms.fetching import InputFile

__all__ = ["ValohaiOptions", "ValohaiPlatform"]


class ValohaiOptions(PlatformOptions):
    """
    What a step of Valohai's has beside its command.

    Args:
        step: The step's name, for the execution's config.

        inputs: Files that each execution finds in its inputs folder.

        parameters: Values of parameters that the space does not have.

        group:
            How many executions work together: each starts once all are there,
            and finds where in ``distributed.json``. `None` where each is alone.
    """

    step: str = ""
    inputs: tuple[InputSpec, ...] = ()
    parameters: dict[str, Any] = Field(default_factory=dict)
    group: int | None = Field(default=None, ge=1, le=1000)


class ValohaiPlatform:
    """
    Gives each attempt folders of its own under ``valohai/ATTEMPT`` of the workspace.

    **What it does not do.** There is no API to talk to: ``api.json`` and
    ``runtime.json`` are not written, and links to a platform's stored data
    (``datum://``, ``dataset://``) are refused when the file is read.
    """

    options_class = ValohaiOptions

    def __init__(self, options: ValohaiOptions) -> None:
        self._options = options

    def prepare(self, scene: Scene) -> Mapping[str, str]:
        """
        Write the config files, fetch the inputs; return the variables.
        """
        root = scene.workspace / "valohai" / str(scene.attempt)
        config, inputs, outputs = (root / name for name in ("config", "inputs", "outputs"))
        for folder in (config, inputs):
            shutil.rmtree(folder, ignore_errors=True)  # of a start that came to nothing
        for folder in (config, inputs, outputs):
            folder.mkdir(parents=True, exist_ok=True)
        values = {**self._options.parameters, **scene.configuration}
        found = {
            spec.name: fetch(spec, inputs / spec.name, values=values, scene=scene)
            for spec in self._options.inputs
        }
        execution = self._execution(scene)
        _write(config, "parameters", values)
        _write(config, "inputs", {name: _listed(files) for name, files in found.items()})
        _write(config, "execution", execution)
        if self._options.group is not None:
            self._join(scene, execution, config, count=self._options.group)
        return {
            "VH_CONFIG_DIR": str(config),
            "VH_INPUTS_DIR": str(inputs),
            "VH_OUTPUTS_DIR": str(outputs),
            "VH_REPOSITORY_DIR": str(scene.workdir),
            "VH_JOB_ID": f"exec-{execution['valohai.execution-id']}",
            "VH_EXECUTION_ID": execution["valohai.execution-id"],
            "VH_TASK_ID": execution["valohai.task-id"],
            "VH_PROJECT_ID": execution["valohai.project-id"],
        }

    def fingerprint(self, scene: Scene) -> Value:
        """
        Return the checksums of all input files, and the parameters beside the space's.
        """
        values = {**self._options.parameters, **scene.configuration}
        inputs = {
            spec.name: checksums(spec, values=values, scene=scene) for spec in self._options.inputs
        }
        return {"inputs": inputs, "parameters": self._options.parameters}

    def _join(
        self, scene: Scene, execution: Mapping[str, Any], config: Path, *, count: int
    ) -> None:
        """
        Wait for the group, and write what connects its members.
        """
        member = scene.trial % count
        about = {
            "announce_time": datetime.now(timezone.utc).isoformat(),
            "identity": execution["valohai.execution-id"],
            "job_id": f"exec-{execution['valohai.execution-id']}",
            "member_id": str(member),
            "network": {"exposed_ports": {}, "local_ips": addresses(), "public_ips": []},
        }
        name = f"task-{execution['valohai.task-id']}"
        # Those of another study of this name have nothing to do with it.
        folder = scene.shared / "group" / f"{scene.created:.6f}"
        members = assemble(folder, member, count=count, about=about, ended=scene.ended)
        if members is None:
            return
        own = {"group_name": name, "member_id": str(member), "required_count": count}
        _write(config, "distributed", {"config": own, "members": list(members), "self": about})

    def _execution(self, scene: Scene) -> dict[str, Any]:
        """
        Return what an execution knows of itself; ids are made of names.
        """
        task = f"hpo://{scene.study}"
        counter = scene.trial + 1
        return {
            "valohai.execution-id": str(uuid5(NAMESPACE_URL, f"{task}/{counter}/{scene.attempt}")),
            "valohai.execution-counter": counter,
            "valohai.execution-step": self._options.step or scene.step,
            "valohai.execution-title": f"{scene.study} #{counter}",
            "valohai.task-id": str(uuid5(NAMESPACE_URL, task)),
            "valohai.task-counter": 1,
            "valohai.task-title": scene.study,
            "valohai.project-id": str(uuid5(NAMESPACE_URL, f"file://{scene.workdir}")),
        }


def _listed(files: Sequence[InputFile]) -> dict[str, Any]:
    return {
        "files": [
            {
                "name": file.name,
                "path": str(file.path),
                "uri": file.uri,
                "size": file.path.stat().st_size,
                "checksums": {},
                "metadata": [],
            }
            for file in files
        ]
    }


def _write(folder: Path, name: str, data: Mapping[str, Any]) -> None:
    """
    Write *data* as JSON and as YAML, as Valohai does.
    """
    plain = json.dumps(dict(data), indent=2)
    (folder / f"{name}.json").write_text(f"{plain}\n", "utf-8")
    # By way of JSON: tuples and other types of ours are lists and numbers to others.
    text = yaml.safe_dump(json.loads(plain), sort_keys=False, allow_unicode=True)
    (folder / f"{name}.yaml").write_text(text, "utf-8")
