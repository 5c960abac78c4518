"""
BLUEPRINT -> WHAT IT ASKS OF AIRFLOW: places for tasks, and whether they are to be had.

Nothing here asks a database, so it may run whenever a DAG file is parsed; what
does ask one is in `airflow_hpo.factory.check`.
"""

from __future__ import annotations

import copy
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from airflow_hpo.blueprint.document import dotted, read_document
from airflow_hpo.errors import BlueprintError, Problem
from airflow_hpo.hooks.compat import conf
from airflow_hpo.model.placement import TASK_OPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_hpo.blueprint.document import Document, Path
    from airflow_hpo.model.blueprint import Blueprint
    from airflow_hpo.model.placement import Placement, RunnerSpec, TaskSpec
    from airflow_hpo.model.trial_spec import Step

__all__ = ["Demand", "Places", "demands", "executor_class", "find_problems", "task_options"]

# What a GPU is called in a pod unless its owner says otherwise.
_GPU = "nvidia.com/gpu"

# The container of a task in a pod of Airflow's.
_BASE = "base"


@dataclass(frozen=True, slots=True)
class Demand:
    """
    What one part of a blueprint asks of Airflow.

    Args:
        path: Its place in the file.

        place: What it says of queue, pool, executor and so on.

        runner: What its jobs run with; `None` for tasks that have none.
    """

    path: Path
    place: Step | Placement | TaskSpec
    runner: RunnerSpec | None = None


def demands(blueprint: Blueprint) -> Iterator[Demand]:
    """
    Yield what each part of *blueprint* asks for.
    """
    trial = blueprint.trial
    for index, step in enumerate(trial.steps):
        yield Demand(("trial", "steps", index), step, step.runner or trial.runner)
    for index, rung in enumerate(blueprint.resource.rungs if blueprint.resource else ()):
        yield Demand(("resource", "rungs", index), rung, rung.runner or trial.runner)
    yield Demand(("dag", "tasks"), blueprint.dag.tasks)


class Places:
    """
    Where things stand in the file that a blueprint was read from.

    Args:
        blueprint: Made from that file.
    """

    def __init__(self, blueprint: Blueprint) -> None:
        self._source = blueprint.source
        self._document: Document | None = None
        if self._source.text:
            try:
                self._document = read_document(self._source.text, file=self._source.file)
            except BlueprintError:  # several documents, or a platform's own file format
                self._document = None

    def problem(
        self,
        path: Path,
        message: str,
        *,
        value: object = None,
        hint: str | None = None,
        severity: Literal["error", "warning"] = "error",
    ) -> Problem:
        """
        Return a problem with its place.

        Args:
            path: Where it would stand in a native blueprint.

            message: The rule in the present tense, then "got" and the value.

            value: Stands where the problem is, in a file of another dialect.

            hint: What to type instead.

            severity: Whether it refuses the blueprint.
        """
        path, (line, column) = self._find(path, value)
        file = self._source.file or "<blueprint>"
        return Problem(dotted(path), message, hint, file, line, column, severity)

    def _find(self, path: Path, value: object) -> tuple[Path, tuple[int, int]]:
        # A single step is not listed: its keys stand beside the command.
        beside = ("trial", *path[3:]) if path[:3] == ("trial", "steps", 0) else path
        for candidate in (path, beside):
            if self._document is not None and self._document.has(*candidate):
                return candidate, self._document.where(*candidate)
        word = re.escape(str(value))
        lines = self._source.text.splitlines() if value is not None else []
        for number, line in enumerate(lines, 1):
            if found := re.search(rf"(?<![\w.-]){word}(?![\w.-])", line):
                return beside, (number, found.start() + 1)
        return beside, (1, 1)


def find_problems(blueprint: Blueprint) -> list[Problem]:
    """
    Return what *blueprint* asks for and this Airflow, as it is configured, does not have.
    """
    places, found = Places(blueprint), list[Problem]()
    for demand in demands(blueprint):
        name, config = demand.place.executor, demand.place.executor_config
        if name is not None and not _is_configured(name):
            known = conf.get("core", "executor", fallback="LocalExecutor")
            message = f"must be one of Airflow's [core] executor = {known}, got {name!r}"
            found.append(places.problem((*demand.path, "executor"), message, value=name))
        if config and "pod_override" in config and not _has_kubernetes():
            found.append(
                places.problem(
                    (*demand.path, "executor_config", "pod_override"),
                    "needs the Kubernetes provider, which is not installed",
                    value="pod_override",
                    hint="pip install 'airflow-provider-hpo[kubernetes]'",
                )
            )
    return found


def _is_configured(name: str) -> bool:
    """
    Return whether Airflow has this executor, as far as it can be told here.

    Airflow itself would refuse it, but with it every DAG of the same Python file.
    """
    if conf.getboolean("core", "multi_team", fallback=False):
        return True  # with teams, the name may be one team's: only Airflow knows which
    from airflow.exceptions import UnknownExecutorException
    from airflow.executors.executor_loader import ExecutorLoader

    try:
        ExecutorLoader.lookup_executor_name_by_str(name)
    except UnknownExecutorException:
        return False
    return True


def _has_kubernetes() -> bool:
    try:
        from airflow.providers.cncf.kubernetes import pod_generator  # noqa: F401
    except ImportError:
        return False
    return True


def executor_class(name: str | None) -> str:
    """
    Return the name of the class behind an executor; `None` is Airflow's default one.
    """
    from airflow.executors.executor_loader import ExecutorLoader

    if name is None:
        found = ExecutorLoader.get_default_executor_name()
    else:
        found = ExecutorLoader.lookup_executor_name_by_str(name)
    return str(found.module_path).rpartition(".")[2]


def task_options(
    *places: Step | Placement | TaskSpec | None, gpus: float = 0, leases: bool = False
) -> dict[str, Any]:
    """
    Return the options of Airflow's tasks that *places* come to.

    Args:
        places: The later counts; what it leaves out is said by the one before.

        gpus: How many devices a task's job needs.

        leases: Whether it gets them from the machine that the task runs on.
    """
    options: dict[str, Any] = {}
    for place in places:
        for name in TASK_OPTIONS:
            if getattr(place, name, None) is not None:
                options[name] = getattr(place, name)
    config = options.pop("executor_config", None)
    if gpus and leases and _is_pod(options.get("executor")):
        config = _with_gpus(config or {}, math.ceil(gpus))
    return {**options, "executor_config": _built(config)} if config else options


def _is_pod(executor: str | None) -> bool:
    """
    Return whether a task of this executor gets a pod of its own.
    """
    configured = conf.get("core", "executor", fallback="")
    return "Kubernetes" in configured and executor_class(executor) == "KubernetesExecutor"


def _with_gpus(config: Mapping[str, Any], count: int) -> dict[str, Any]:
    """
    Return *config* with a limit of GPUs for the task's pod, unless it has one.
    """
    made = copy.deepcopy(dict(config))
    spec = made.setdefault("pod_override", {}).setdefault("spec", {})
    containers = spec.setdefault("containers", [{"name": _BASE}])
    base = next((each for each in containers if each.get("name") == _BASE), None)
    if base is None:
        return made
    limits = base.setdefault("resources", {}).setdefault("limits", {})
    if not any("/gpu" in name or "/mig-" in name for name in limits):
        limits[_GPU] = str(count)
    return made


def _built(config: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return *config* with the pod as the object that Airflow's executor wants.
    """
    pod = config.get("pod_override")
    if pod is None:
        return dict(config)
    from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator

    return {**config, "pod_override": PodGenerator.deserialize_model_dict(pod)}
