"""
Runs each job as a job of AWS Batch.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from airflow_hpo.model.job import Job
from airflow_hpo.runners.aws_batch_api import BatchApi
from airflow_hpo.runners.aws_batch_request import HANDED, job_name, submit_request
from airflow_hpo.runners.aws_batch_sight import ENDED_STATUSES, sight_of
from airflow_hpo.runners.remote import AwayError, RemoteHandle, RemoteOptions, RemoteRunner
from airflow_hpo.runners.transcript import writing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_hpo.runners.remote import Sight
    from airflow_hpo.runners.transcript import Pen

__all__ = ["AwsBatchOptions", "AwsBatchRunner"]

# Seconds that Batch has for ending a container, on top of the job's grace; a
# host gives thirty by itself.
_STOPPING_S = 120.0

# What we say when we end a job; whoever finds the job so knows that it was us.
_CANCELLED = "airflow-provider-hpo: cancelled"

# Bytes of command and variables together: a request may have 30 KiB.
_MOST = 24 * 1024


class AwsBatchOptions(RemoteOptions):
    """
    Options of the AWS Batch runner.

    Args:
        job_queue: Name or ARN.

        job_definition: Name, name and revision, or ARN.

        image:
            In place of *job_definition*: one is registered that has it, once for
            everything that is part of it.

        job_role: ARN of the role that the code has; for *image* only.

        execution_role: ARN of the role that starts the container; likewise.

        platform: ``EC2`` or ``FARGATE``; likewise.

        container:
            More properties of the container as the API has them, such as
            ``volumes`` or ``linuxParameters``; likewise.

        vcpus: Of the container; 1 for *image*, else what the definition says.

        memory_mib: Likewise; 2048 for *image*.

        parameters: Values for ``Ref::name`` in the definition's command.

        tags: More of them.

        share_identifier: Of a queue with fair shares.

        scheduling_priority: Within that share.

        region: By default that of the connection or of the environment.

        endpoint_url: Another address of AWS, as for a stand-in.

        connection:
            An Airflow connection of type ``aws``; by default what boto3 finds.

        log_group: Where the containers' output goes.

        log_delay_s: Seconds after a job's end until all of its output is there.

        start_limit_s: Seconds after which a job that has not started is given up;
            by default it may wait for ever.
    """

    job_queue: str = Field(min_length=1)
    job_definition: str | None = Field(default=None, min_length=1)
    image: str | None = Field(default=None, pattern=r"^\S+$")
    job_role: str | None = None
    execution_role: str | None = None
    platform: Literal["EC2", "FARGATE"] = "EC2"
    container: dict[str, Any] = Field(default_factory=dict)
    vcpus: float | None = Field(default=None, gt=0)
    memory_mib: int | None = Field(default=None, ge=4)
    parameters: dict[str, str] = Field(default_factory=dict)
    tags: dict[str, str] = Field(default_factory=dict)
    share_identifier: str | None = None
    scheduling_priority: int | None = Field(default=None, ge=0, le=9999)
    region: str | None = None
    endpoint_url: str | None = None
    connection: str | None = None
    log_group: str = "/aws/batch/job"
    log_delay_s: float = Field(default=5.0, ge=0)
    start_limit_s: float | None = Field(default=None, gt=0)
    poll_s: float = Field(default=5.0, gt=0)

    @model_validator(mode="after")
    def _one_definition(self) -> AwsBatchOptions:
        if (self.image is None) == (self.job_definition is None):
            raise ValueError("either job_definition or image must be given")
        if self.image is None:
            own = ("job_role", "execution_role", "container", "platform")
            given = [name for name in own if name in self.model_fields_set]
            if given:
                raise ValueError(f"{', '.join(given)} must go with image, got job_definition")
        return self


class AwsBatchRunner(RemoteRunner):
    """
    Runs each job as one attempt of an AWS Batch job.

    **How it works.** The job's name is made of its key: a queue that has a job of
    that name is given no second one. Command, variables and resources override
    those of the job definition. Output is copied from CloudWatch into the
    workspace. A host that was taken away, as spot instances are, is a failure of
    the infrastructure; a container that was killed for want of memory says so.
    `cancel` terminates the job.

    **Connection.** The Airflow connection, if one is named, through the official
    provider's hook; else what boto3 finds: variables, profiles, roles.

    **What it does not do.** It makes no queues and no compute environments, and
    moves no files: see ``HPO_CHECKPOINT_URI``.

    **Known limitation.** Time limits are whole seconds, at least sixty. The grace
    is that of the hosts (``ECS_CONTAINER_STOP_TIMEOUT``, thirty seconds by default),
    not the blueprint's. CloudWatch keeps no blank lines. Batch has no
    tokens that make a request safe to repeat: two machines that submit the same
    attempt at the same second may start two jobs; the later one is terminated.
    """

    options_class: ClassVar[type[RemoteOptions]] = AwsBatchOptions
    is_remote: ClassVar[bool] = True
    shares_folders: ClassVar[bool] = False
    options: AwsBatchOptions

    def __init__(self, options: AwsBatchOptions) -> None:
        super().__init__(options)
        self._api = BatchApi(options)

    def _start(self, job: Job) -> RemoteHandle:
        name = job_name(job)
        known = self._api.jobs_named(name)
        if not known:
            request = submit_request(job, self.options, name=name, most=_MOST)
            request["jobDefinition"] = self._api.definition()
            own = self._api.submit(request)
            known = self._api.jobs_named(name) or [own]
        first, *later = sorted(known, key=lambda each: (each.get("createdAt", 0), each["jobId"]))
        for each in later:
            self._api.terminate(each["jobId"], reason=f"{_CANCELLED}: submitted twice")
        return RemoteHandle.of(job, {"job": first["jobId"], "queue": self.options.job_queue})

    def _look(self, job: RemoteHandle) -> Sight | None:
        found = self._api.job(job.place["job"])
        if found is None:
            return None
        return sight_of(
            found,
            now=time.time(),
            delay_s=self.options.log_delay_s,
            limit_s=self.options.start_limit_s,
            cancelled=_CANCELLED,
        )

    def _read(self, job: RemoteHandle, pen: Pen, *, last: bool) -> None:  # noqa: ARG002 - all or some
        stream = pen.mark.get("stream") or self._stream(job)
        if stream is None:
            return
        for messages, token in self._api.output(stream, pen.mark.get("token")):
            data = b"".join(f"{message}\n".encode("utf-8", "replace") for message in messages)
            pen.write(data, {"stream": stream, "token": token})

    def _stream(self, job: RemoteHandle) -> str | None:
        found = self._api.job(job.place["job"]) or {}
        stream = (found.get("container") or {}).get("logStreamName")
        return None if stream is None else str(stream)

    def _stop(self, job: RemoteHandle) -> None:
        self._api.terminate(job.place["job"], reason=_CANCELLED)
        deadline = time.monotonic() + job.grace_s + _STOPPING_S
        while (found := self._api.job(job.place["job"])) is not None:
            if found["status"] in ENDED_STATUSES:
                break
            if time.monotonic() > deadline:
                raise AwayError(f"job {job.place['job']} still runs, long after its grace")
            time.sleep(min(1.0, self.options.poll_s))
        time.sleep(self.options.log_delay_s)
        with writing(job.files) as pen:
            self._read(job, pen, last=True)

    def _search(self, study: str, trial: int, *, workspace: str) -> Iterable[RemoteHandle]:
        some = job_name(Job(study=study, trial=trial, attempt=1, workspace=workspace), whole=False)
        for found in self._api.described(self._api.jobs_named(f"{some}*")):
            handle = _handle(found, self.options.job_queue)
            owner = f"{study}/{trial}"
            if handle is not None and (handle.owner, handle.folder) == (owner, workspace):
                yield handle


def _handle(found: dict[str, Any], queue: str) -> RemoteHandle | None:
    """
    Return the handle of a job of ours, from what its environment says.
    """
    environment = (found.get("container") or {}).get("environment") or []
    known = next((each["value"] for each in environment if each["name"] == HANDED), None)
    if known is None:
        return None
    return RemoteHandle.of(Job(**json.loads(known)), {"job": found["jobId"], "queue": queue})
