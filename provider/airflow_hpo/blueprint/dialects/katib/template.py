"""
The template of a trial: the container of a Job, as a command of ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.dialects.devices import Resources, read_limits, without_gpus
from airflow_hpo.blueprint.dialects.katib.command import PARAMETER, TRIAL_NAME
from airflow_hpo.blueprint.dialects.katib.keys import Word
from airflow_hpo.blueprint.dialects.own import OWN
from airflow_hpo.blueprint.problems import show
from airflow_hpo.blueprint.records import ListOf
from airflow_hpo.blueprint.shapes import BROKEN, Whole
from airflow_hpo.model.registry import did_you_mean

if TYPE_CHECKING:
    from airflow_hpo.blueprint.dialects.katib.space import Found
    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.blueprint.problems import Problems

__all__ = ["TEMPLATE", "Container", "read_container", "read_references"]

TEMPLATE = ("spec", "trialTemplate")
_JOB = (*TEMPLATE, "trialSpec")
_POD = (*_JOB, "spec", "template", "spec")

_SAID = frozenset({"name", "image", "command", "args", "env", "workingDir", "resources"})


@dataclass
class Container:
    """
    What a Job says of a trial.

    Args:
        path: Where the container stands.

        words: Of its command and arguments.

        environment: Its variables.

        settings: Other parts of the model: ``timeout_s``, ``retries``.

        resources: What it asks for.

        image: What it runs in.

        pod: The pod's template, without the command.

        name: The container's.
    """

    path: Path
    words: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    resources: Resources = field(default_factory=lambda: Resources(()))
    image: str | None = None
    pod: dict[str, Any] = field(default_factory=dict)
    name: str | None = None


def read_references(
    template: Mapping[str, Any], found: Found, problems: Problems
) -> tuple[dict[str, str], dict[str, Path]]:
    """
    Return the parameter that each name of the template stands for, and where it says so.
    """
    names: dict[str, str] = {}
    places: dict[str, Path] = {}
    for index, item in enumerate(template.get("trialParameters", ())):
        path = (*TEMPLATE, "trialParameters", index)
        if item is BROKEN:
            continue
        name, reference = item["name"], item["reference"]
        if name in names:
            problems.error((*path, "name"), f"names must be unique, got {name} again")
        if reference.startswith("${trialSpec.") and reference != TRIAL_NAME:
            message = f"must be a parameter or {TRIAL_NAME}, got {show(reference)}"
            problems.error((*path, "reference"), message)
            reference = TRIAL_NAME
        elif reference != TRIAL_NAME and reference not in found.broken | found.given.keys():
            message = f"must be the name of a parameter, got {show(reference)}"
            hint = did_you_mean(reference, found.given)
            problems.error((*path, "reference"), message, hint=hint)
            found.broken.add(reference)
        names[name], places[name] = reference, path
    return names, places


def read_container(
    template: Mapping[str, Any], problems: Problems, *, needed: bool, in_pod: bool
) -> Container | None:
    """
    Return the container that is the trial, or note why there is none.

    Args:
        template: The section of the file.

        problems: Gets what is wrong.

        needed: Whether the command is to be found there.

        in_pod: Whether it is run in its own image and pod.
    """
    job = _job(template, problems, needed=needed)
    if job is None:
        return None
    spec = _mapping(job, "spec", _JOB, problems)
    pod_template = _mapping(spec, "template", (*_JOB, "spec"), problems)
    pod = _mapping(pod_template, "spec", (*_JOB, "spec", "template"), problems)
    if spec is None or pod_template is None or pod is None:
        return None
    place = _chosen(pod, template, problems)
    if place is None:
        return None
    given = pod["containers"][place]
    found = Container((*_POD, "containers", place), name=given.get("name"))
    _read(given, found, problems, needed=needed)
    _read_variables(given.get("env"), found, problems, needed=needed, in_pod=in_pod)
    _read_job(spec, found, problems)
    found.pod = _without_command(pod_template, place, found)
    if not in_pod:
        _say_what_is_of_the_cluster(pod, place, found, problems)
    return found


def _job(template: Mapping[str, Any], problems: Problems, *, needed: bool) -> Any:  # noqa: ANN401
    """
    Return the Job; `None` where there is none that can be read.
    """
    if "trialSpec" not in template:
        if needed:
            path = (*TEMPLATE, "configMap") if "configMap" in template else TEMPLATE
            hint = f"write trialSpec, or {OWN}: {{command: ...}}"
            problems.error(path, "trialSpec must be given: what a trial runs", hint=hint)
        return None
    job = template["trialSpec"]
    if not isinstance(job, dict):
        problems.error(_JOB, f"must be a mapping, got {show(job)}")
        return None
    kind = job.get("apiVersion"), job.get("kind")
    if kind == ("batch/v1", "Job"):
        return job
    if not needed:
        problems.warn(_JOB, f"has no effect: {OWN} has the command", at_key=True)
        return None
    got = f"apiVersion={show(kind[0])}, kind={show(kind[1])}"
    hint = f"write {OWN}: {{command: ...}} beside it, what one trial runs"
    problems.error(_JOB, f"must be a Job of batch/v1, got {got}", hint=hint, at_key=True)
    return None


def _mapping(data: Any, key: str, path: Path, problems: Problems) -> Any:  # noqa: ANN401
    """
    Return the mapping under *key*, or note that there is none.
    """
    if data is None:
        return None
    found = data.get(key)
    if isinstance(found, dict):
        return found
    if key in data:
        problems.error((*path, key), f"must be a mapping, got {show(found)}")
    else:
        problems.error(path, f"{key} must be given", at_key=True)
    return None


def _chosen(pod: Mapping[str, Any], template: Mapping[str, Any], problems: Problems) -> int | None:
    """
    Return the place of the primary container, or note that there is none.
    """
    given = pod.get("containers")
    path = (*_POD, "containers")
    if not isinstance(given, list) or not given or not all(isinstance(it, dict) for it in given):
        got = show(given) if "containers" in pod else "none"
        problems.error(path, f"must be a list of containers, got {got}", at_key=True)
        return None
    wanted = template.get("primaryContainerName")
    names = [each.get("name") for each in given]
    if wanted is None and len(given) == 1:
        return 0
    if wanted in names:
        return names.index(wanted)
    message = f"must be the name of a container, got {show(wanted)}"
    hint = f"names are {', '.join(map(str, names))}"
    problems.error((*TEMPLATE, "primaryContainerName"), message, hint=hint)
    return None


def _read(given: Mapping[str, Any], found: Container, problems: Problems, *, needed: bool) -> None:
    for key in ("command", "args"):
        words = given.get(key)
        if words is not None:
            read = ListOf(Word()).read(words, (*found.path, key), problems)
            found.words += [] if read is BROKEN or BROKEN in read else read
    if needed and not given.get("command") and not problems.touches((*found.path, "command")):
        message = "command must be given: the image's own is not known here"
        hint = "write command: [python, train.py]"
        problems.error(found.path, message, hint=hint, at_key=True)
    image = given.get("image")
    found.image = image if isinstance(image, str) and image else None
    path = (*found.path, "resources")
    found.resources = read_limits(given.get("resources"), path, problems)


def _read_variables(
    given: Any,  # noqa: ANN401 - as it stands in the file
    found: Container,
    problems: Problems,
    *,
    needed: bool,
    in_pod: bool,
) -> None:
    path = (*found.path, "env")
    if given is not None and not isinstance(given, list):
        problems.error(path, f"must be a list of variables, got {show(given)}")
        return
    for index, item in enumerate(given or ()):
        name = item.get("name") if isinstance(item, dict) else None
        if not isinstance(name, str) or re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) is None:
            problems.error((*path, index), "name must be the name of a variable", at_key=True)
        elif "valueFrom" in item:
            if not in_pod:
                message = "has no effect: it is a cluster's"
                hint = f"write {OWN}: {{environment: {{{name}: ...}}}}"
                problems.warn((*path, index, "valueFrom"), message, hint=hint, at_key=True)
        else:
            value = Word().read(item.get("value", ""), (*path, index, "value"), problems)
            found.environment |= {} if value is BROKEN else {name: value}
            if not needed and PARAMETER in str(value):
                message = f"has no effect: {OWN} has the command"
                hint = f"write export {name}=... in it"
                problems.warn((*path, index), message, hint=hint)


def _read_job(spec: Mapping[str, Any], found: Container, problems: Problems) -> None:
    path = (*_JOB, "spec")
    for key, ours, least in (
        ("backoffLimit", "retries", 0),
        ("activeDeadlineSeconds", "timeout_s", 1),
    ):
        if spec.get(key) is not None:
            read = Whole(least=least).read(spec[key], (*path, key), problems)
            if read is not BROKEN:
                found.settings[ours] = read
    for key in spec:
        if key not in {"template", "backoffLimit", "activeDeadlineSeconds"}:
            message = "has no effect: a trial is one run of the command"
            problems.warn((*path, key), message, at_key=True)


def _without_command(template: Mapping[str, Any], place: int, found: Container) -> dict[str, Any]:
    """
    Return the pod's template, whose container gets command, variables and GPUs from us.
    """
    spec = dict(template["spec"])
    container = dict(spec["containers"][place])
    for key in ("command", "args"):
        container.pop(key, None)
    if isinstance(container.get("env"), list):
        container["env"] = [it for it in container["env"] if not _is_given(it, found)]
    if found.resources.gpus is not None:
        container["resources"] = without_gpus(container["resources"])
    containers = list(spec["containers"])
    containers[place] = container
    spec["containers"] = containers
    metadata = template.get("metadata")
    return {**({"metadata": metadata} if metadata else {}), "spec": spec}


def _is_given(variable: Any, found: Container) -> bool:  # noqa: ANN401
    """
    Return whether a variable of the container comes from us.
    """
    return isinstance(variable, dict) and variable.get("name") in list(found.environment)


def _say_what_is_of_the_cluster(
    pod: Mapping[str, Any], place: int, found: Container, problems: Problems
) -> None:
    """
    Warn of all that a pod has, and a command on a worker has not.
    """
    here = "has no effect: the command runs where the worker runs"
    hint = f"write {OWN}: {{runner: kubernetes}} to run it in a pod"
    if found.image is not None:
        problems.warn((*found.path, "image"), here, hint=hint, at_key=True)
    found.resources.say_others("the command runs where the worker runs", problems, hint=hint)
    for key in pod:
        if key not in {"containers", "restartPolicy"}:
            problems.warn((*_POD, key), here, at_key=True)
    for index, container in enumerate(pod["containers"]):
        if index != place:
            message = "has no effect: it is not the primary container"
            problems.warn((*_POD, "containers", index), message)
            continue
        for key in container:
            if key not in _SAID or key == "workingDir":
                problems.warn((*found.path, key), here, at_key=True)
