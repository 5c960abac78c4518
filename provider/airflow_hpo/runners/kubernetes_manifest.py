"""
(JOB, OPTIONS) -> MANIFEST: a Kubernetes Job of one pod, from the user's pod template.
"""

from __future__ import annotations

import copy
import json
import math
import re
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from airflow_hpo.errors import TrialInvalidError
from airflow_hpo.runners.shell import argv, inside, refuse_unfit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_hpo.model.job import Job
    from airflow_hpo.runners.kubernetes import KubernetesOptions

__all__ = ["DOMAIN", "job_manifest", "job_name", "label_value", "pod_template", "trial_labels"]

DOMAIN = "airflow-hpo"
"""In front of every label and annotation of ours."""

# What a pod's container is called where its template does not say.
_CONTAINER = "trial"

# Folder of a container that does not see the workspace, on a volume of its own.
_ROOT = "/hpo"
_VOLUME = "hpo"

# Bytes of command and variables together; an object of Kubernetes has 1.5 MiB.
_MOST = 2**20

_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_LABEL_SIZE = 63
_SLUG_SIZE = 30

# Kubernetes replaces $(NAME) in commands and variables, and $$ by $.
_EXPANDED = re.compile(r"\$(?=[$(])")


def label_value(text: str) -> str:
    """
    Return *text* as a label's value; different texts stay different.

    Example:
        >>> label_value("digits-2026")
        'digits-2026'
        >>> label_value("nightly: 2026")
        'nightly-2026-6577eb07'
    """
    if _LABEL.fullmatch(text):
        return text
    mark = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{_slug(text, _LABEL_SIZE - 9)}-{mark}".lstrip("-")


def _slug(text: str, size: int) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", text)[:size].strip("-")


def job_name(job: Job) -> str:
    """
    Return the name of the Job: the same for the same key and workspace, and for no other.
    """
    whole = f"{job.key}\n{job.workspace}"  # two installations may share a namespace
    mark = sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    slug = _slug(job.study, _SLUG_SIZE).lower()
    return "-".join(filter(None, ["hpo", slug, str(job.trial), str(job.attempt), mark]))


def trial_labels(study: str, trial: int) -> dict[str, str]:
    """
    Return the labels by which all Jobs of a trial are found.
    """
    return {
        "app.kubernetes.io/managed-by": "airflow-provider-hpo",
        f"{DOMAIN}/study": label_value(study),
        f"{DOMAIN}/trial": str(trial),
    }


def pod_template(named: str | Mapping[str, Any], folder: str | Path | None) -> dict[str, Any]:
    """
    Return the ``metadata`` and ``spec`` of the user's pod template.

    Args:
        named: A file in YAML, or its content: a Pod, a PodTemplate, or a pod's spec.

        folder: Where a relative path starts.

    Raises:
        ValueError: If there is no such file, or no such thing in it.
    """
    found = _load(named, folder) if isinstance(named, str) else named
    if isinstance(found, dict) and isinstance(found.get("template"), dict):
        found = found["template"]
    if isinstance(found, dict) and "containers" in found:
        found = {"spec": found}
    spec = found.get("spec") if isinstance(found, dict) else None
    containers = spec.get("containers") if isinstance(spec, dict) else None
    if not isinstance(containers, list) or not all(isinstance(each, dict) for each in containers):
        raise ValueError("pod must be a Pod with spec.containers, or a file that holds one")
    return {"metadata": copy.deepcopy(found.get("metadata") or {}), "spec": copy.deepcopy(spec)}


def _load(name: str, folder: str | Path | None) -> Any:  # noqa: ANN401 - whatever the file holds
    path = Path(folder or "", name).expanduser()
    if folder is None and not path.is_absolute():
        raise ValueError(f"pod must be an absolute path here, got {name!r}")
    try:
        return yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise ValueError(
            f"pod must be a file that can be read, got {name!r}: {error.strerror}"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"pod must be a file in YAML, got {name!r}: {error}") from None


def job_manifest(job: Job, options: KubernetesOptions, *, namespace: str) -> dict[str, Any]:
    """
    Return the Job that runs *job* once, as the API takes it.

    Raises:
        TrialInvalidError: If the template or the options do not fit together.
    """
    name = job_name(job)
    labels = {
        **options.labels,
        **trial_labels(job.study, job.trial),
        f"{DOMAIN}/attempt": str(job.attempt),
        f"{DOMAIN}/step": label_value(job.step),
        f"{DOMAIN}/job": name,
    }
    template, container = _pod(job, options, labels)
    annotations = {f"{DOMAIN}/job": json.dumps(_known(job, container))}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": labels,
            "annotations": {**options.annotations, **annotations},
        },
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "ttlSecondsAfterFinished": options.ttl_s,
            "template": template,
        },
    }


def _known(job: Job, container: str) -> dict[str, Any]:
    """
    Return what a handle is made of again by whoever finds the Job.
    """
    handed = ("study", "trial", "attempt", "step", "token", "workspace", "timeout_s", "grace_s")
    return {"container": container, **{name: getattr(job, name) for name in handed}}


def _pod(
    job: Job, options: KubernetesOptions, labels: Mapping[str, str]
) -> tuple[dict[str, Any], str]:
    """
    Return the pod's template, and the name of the container that runs the command.
    """
    try:
        pod = pod_template(options.pod, job.workdir) if options.pod else _bare()
    except ValueError as error:
        raise TrialInvalidError(str(error)) from error
    spec, metadata = pod["spec"], pod["metadata"]
    container = _container(spec, options.container)
    _fill(container, job, options)
    _place(spec, options)
    if not options.shared_folders:
        spec.setdefault("volumes", []).append({"name": _VOLUME, "emptyDir": {}})
        container["volumeMounts"].append({"name": _VOLUME, "mountPath": _ROOT})
    spec["restartPolicy"] = "Never"
    # Kubernetes counts in whole seconds, and 0 would be no time at all.
    spec["terminationGracePeriodSeconds"] = max(1, math.ceil(job.grace_s))
    if job.timeout_s is not None:
        spec["activeDeadlineSeconds"] = max(1, math.ceil(job.timeout_s))
    metadata = {
        "labels": {**(metadata.get("labels") or {}), **labels},
        "annotations": {**(metadata.get("annotations") or {}), **options.annotations},
    }
    return {"metadata": metadata, "spec": spec}, str(container["name"])


def _bare() -> dict[str, Any]:
    return {"metadata": {}, "spec": {"containers": []}}


def _container(spec: dict[str, Any], name: str | None) -> dict[str, Any]:
    """
    Return the container of *spec* that runs the command; made if there is none.
    """
    containers: list[dict[str, Any]] = spec["containers"]
    if not containers:
        containers.append({"name": name or _CONTAINER})
    if name is None:
        return containers[0]
    for each in containers:
        if each.get("name") == name:
            return each
    known = ", ".join(str(each.get("name")) for each in containers)
    raise TrialInvalidError(f"container must be one of the pod template's, {known}, got {name!r}")


def _fill(container: dict[str, Any], job: Job, options: KubernetesOptions) -> None:
    """
    Have *container* run the job's command with its variables.
    """
    container.setdefault("name", _CONTAINER)
    if options.image is not None:
        container["image"] = options.image
    if not container.get("image"):
        raise TrialInvalidError("image must be given, by the runner or by its pod template")
    if options.image_pull_policy is not None:
        container["imagePullPolicy"] = options.image_pull_policy
    variables = inside(job, None if options.shared_folders else _ROOT)
    refuse_unfit(job.command, variables, most=_MOST)
    container["command"], container["args"] = _words(argv(job.command))
    given = [each for each in container.get("env") or [] if each.get("name") not in variables]
    own = [{"name": name, "value": _literal(value)} for name, value in variables.items()]
    container["env"] = [*given, *own]
    resources = _resources(container.get("resources") or {}, job, options)
    if resources:
        container["resources"] = resources
    mounts = [*(container.get("volumeMounts") or []), *options.volume_mounts]
    container["volumeMounts"] = mounts
    if options.working_dir is not None:
        container["workingDir"] = options.working_dir
    elif options.shared_folders:
        container["workingDir"] = job.workspace


def _words(words: list[str]) -> tuple[list[str], list[str]]:
    literal = [_literal(word) for word in words]
    return literal[:2], literal[2:]


def _literal(text: str) -> str:
    """
    Return what Kubernetes makes *text* of.
    """
    return _EXPANDED.sub("$$", text)


def _resources(given: Mapping[str, Any], job: Job, options: KubernetesOptions) -> dict[str, Any]:
    """
    Return requests and limits: the template's, over them the options', over them the GPUs.
    """
    own = {
        "requests": dict(options.resources.requests),
        "limits": dict(options.resources.limits),
    }
    if job.gpus:
        if not float(job.gpus).is_integer():
            raise TrialInvalidError(
                f"gpus must be a whole number where Kubernetes assigns them, got {job.gpus:g}"
            )
        own["limits"][options.gpu_resource] = int(job.gpus)
    found = dict(given)
    for kind, amounts in own.items():
        merged = {**(given.get(kind) or {}), **amounts}
        if merged:
            found[kind] = {name: str(amount) for name, amount in merged.items()}
    return found


def _place(spec: dict[str, Any], options: KubernetesOptions) -> None:
    """
    Say in *spec* which nodes take the pod, and what belongs to it beside its containers.
    """
    lists = {
        "tolerations": options.tolerations,
        "volumes": options.volumes,
        "imagePullSecrets": [{"name": name} for name in options.image_pull_secrets],
    }
    for key, more in lists.items():
        if more:
            spec[key] = [*(spec.get(key) or []), *map(dict, more)]
    if options.node_selector:
        spec["nodeSelector"] = {**(spec.get("nodeSelector") or {}), **options.node_selector}
    single = {
        "affinity": options.affinity,
        "serviceAccountName": options.service_account,
        "priorityClassName": options.priority_class,
    }
    spec.update({key: value for key, value in single.items() if value is not None})
