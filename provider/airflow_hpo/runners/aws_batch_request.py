"""
(JOB, OPTIONS) -> REQUEST: what AWS Batch is asked for.
"""

from __future__ import annotations

import json
import math
import re
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from airflow_hpo.errors import TrialInvalidError
from airflow_hpo.runners.shell import argv, inside, refuse_unfit

if TYPE_CHECKING:
    from airflow_hpo.model.job import Job
    from airflow_hpo.runners.aws_batch import AwsBatchOptions

__all__ = ["HANDED", "definition_request", "job_name", "submit_request"]

HANDED = "HPO_JOB"
"""Variable of the container that says which job it is."""

# Folder of a container that stands for the workspace.
_ROOT = "/tmp/hpo"  # noqa: S108 - the container's own

_SLUG_SIZE = 40

# Batch refuses shorter time limits.
_SHORTEST_S = 60

# What a tag may have: letters, digits, spaces and these.
_TAG = re.compile(r"[^\w\s.:/=+@-]")
_TAG_SIZE = 256

_HANDED = ("study", "trial", "attempt", "step", "token", "workspace", "timeout_s", "grace_s")


def job_name(job: Job, *, whole: bool = True) -> str:
    """
    Return the job's name: the same for the same key and workspace, and for no other.

    Args:
        job: What runs.

        whole: Whether to go beyond what all jobs of the trial begin with.
    """
    slug = re.sub(r"[^A-Za-z0-9]+", "-", job.study)[:_SLUG_SIZE].strip("-") or "study"
    stem = f"hpo-{slug}-{_mark(job.study, 6)}-{job.trial}-"
    return f"{stem}{job.attempt}-{_mark(f'{job.key}|{job.workspace}', 12)}" if whole else stem


def _mark(text: str, size: int) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:size]


def submit_request(job: Job, options: AwsBatchOptions, *, name: str, most: int) -> dict[str, Any]:
    """
    Return what submits *job*, but for its job definition.

    Args:
        job: What runs.

        options: The runner's.

        name: The job's.

        most: Bytes that command and variables may have.

    Raises:
        TrialInvalidError: If the job asks for what Batch does not have.
    """
    variables = {**inside(job, _ROOT), HANDED: json.dumps({n: getattr(job, n) for n in _HANDED})}
    refuse_unfit(job.command, variables, most=most)
    overrides: dict[str, Any] = {
        "command": argv(job.command),
        "environment": [{"name": key, "value": value} for key, value in variables.items()],
    }
    needs = _needs(job, options)
    if needs:
        overrides["resourceRequirements"] = needs
    own = {"study": job.study, "trial": str(job.trial), "attempt": str(job.attempt)}
    request: dict[str, Any] = {
        "jobName": name,
        "jobQueue": options.job_queue,
        "containerOverrides": overrides,
        "retryStrategy": {"attempts": 1},
        "tags": {**options.tags, **{f"hpo:{key}": _tag(value) for key, value in own.items()}},
        "propagateTags": True,
    }
    if options.parameters:
        request["parameters"] = options.parameters
    if job.timeout_s is not None:
        limit = max(_SHORTEST_S, math.ceil(job.timeout_s))
        request["timeout"] = {"attemptDurationSeconds": limit}
    if options.share_identifier is not None:
        request["shareIdentifier"] = options.share_identifier
    if options.scheduling_priority is not None:
        request["schedulingPriorityOverride"] = options.scheduling_priority
    return request


def _needs(job: Job, options: AwsBatchOptions) -> list[dict[str, str]]:
    if job.gpus and not float(job.gpus).is_integer():
        raise TrialInvalidError(
            f"gpus must be a whole number where AWS Batch assigns them, got {job.gpus:g}"
        )
    found = {"VCPU": options.vcpus, "MEMORY": options.memory_mib, "GPU": job.gpus or None}
    return [
        {"type": kind, "value": f"{amount:g}" if kind != "MEMORY" else str(amount)}
        for kind, amount in found.items()
        if amount is not None
    ]


def _tag(text: str) -> str:
    return _TAG.sub("_", text)[:_TAG_SIZE]


def definition_request(options: AwsBatchOptions) -> dict[str, Any]:
    """
    Return what registers the definition of an image; its name says what is in it.
    """
    vcpus, memory = options.vcpus or 1, options.memory_mib or 2048
    container: dict[str, Any] = {
        "image": options.image,
        "command": ["true"],  # every job brings its own
        "resourceRequirements": [
            {"type": "VCPU", "value": f"{vcpus:g}"},
            {"type": "MEMORY", "value": str(memory)},
        ],
        **options.container,
    }
    if options.job_role is not None:
        container["jobRoleArn"] = options.job_role
    if options.execution_role is not None:
        container["executionRoleArn"] = options.execution_role
    request = {
        "type": "container",
        "platformCapabilities": [options.platform],
        "containerProperties": container,
    }
    content = json.dumps(request, sort_keys=True)
    return {"jobDefinitionName": f"hpo-{_mark(content, 16)}", **request}
