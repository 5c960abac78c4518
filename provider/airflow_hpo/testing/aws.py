"""
A stand-in for AWS: moto's server, whose Batch jobs are processes of this machine.

::

    with FakeAws() as aws:
        options = {"image": "train:1", "job_queue": aws.queue, "endpoint_url": aws.url}

moto answers for Batch, CloudWatch and S3. Where it would start a container, the
job's command runs as a process, see `airflow_hpo.testing.kubernetes_pods`, and
what it prints goes to CloudWatch line by line as a host's log driver sends it:
without blank lines, and long ones in parts. Jobs on the queue ``held`` never start.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from contextlib import suppress
from datetime import datetime
from functools import partialmethod
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

from airflow_hpo.testing.kubernetes_pods import Pod

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["FakeAws"]

REGION = "us-east-1"

# Who asks; moto asks nobody for more.
_ACCOUNT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
}

# Bytes of one event of CloudWatch.
_EVENT = 256 * 1024
_EVENTS_AT_ONCE = 5000

# Time limits pass so many times as fast: none is shorter than a minute.
_HURRY = 60

# What Batch calls its log group.
_GROUP = "/aws/batch/job"

# Seconds that hosts give a container to end; thirty at AWS.
_STOP_S = 1.0


class FakeAws:
    """
    One region with two queues and a bucket, and the variables by which clients find it.

    One at a time in a process.

    Args:
        engine:
            Where a container engine is: moto then runs jobs in containers as it does
            by itself, with their output at the end.
    """

    queue = "trials"
    bucket = "artifacts"

    def __init__(self, *, engine: str | None = None) -> None:
        from moto.server import ThreadedMotoServer

        self._engine = engine

        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._kept: dict[str, str | None] = {}
        self._moto: Any = None

    @property
    def url(self) -> str:
        """
        Where it answers.
        """
        host, port = self._server.get_host_and_port()
        return f"http://{host}:{port}"

    @property
    def variables(self) -> dict[str, str]:
        """
        The variables by which clients find it.
        """
        return {**_ACCOUNT, "AWS_ENDPOINT_URL": self.url}

    def client(self, service: str) -> Any:
        """
        Return boto3's client of one service.
        """
        import boto3

        return boto3.client(service, endpoint_url=self.url, region_name=REGION)

    def __enter__(self) -> Self:
        """
        Begin to answer, with queues and a bucket that are empty.
        """
        from moto.batch.models import Job

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._moto = (Job.run, Job.describe)
        if self._engine is None:
            Job.run = _run_job  # type: ignore[assignment,method-assign]
        Job.describe = partialmethod(_described, self._moto[1])  # type: ignore[assignment,method-assign]
        self._server.start()
        # What it knows is this process's, not the server's.
        with urlopen(Request(f"{self.url}/moto-api/reset", method="POST")):  # noqa: S310 - ours
            pass
        known = {**self.variables, **_containers(self._engine)}
        self._kept = {name: os.environ.get(name) for name in known}
        os.environ.update(known)
        self.client("s3").create_bucket(Bucket=self.bucket)
        self._make_queues()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """
        End every job.
        """
        from moto.batch.models import Job

        for job in self.jobs():
            job.terminate("over")
        Job.run, Job.describe = self._moto  # type: ignore[method-assign]
        self._server.stop()
        _forget_addresses()
        for name, value in self._kept.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value

    def jobs(self) -> list[Any]:
        """
        Return all of moto's jobs.
        """
        from moto.batch.models import batch_backends

        return [
            job
            for regions in batch_backends.values()
            for backend in regions.values()
            for job in backend._jobs.values()
        ]

    def _make_queues(self) -> None:
        trust = '{"Version": "2012-10-17", "Statement": []}'
        role = self.client("iam").create_role(RoleName="batch", AssumeRolePolicyDocument=trust)
        batch = self.client("batch")
        made = batch.create_compute_environment(
            computeEnvironmentName="hosts",
            type="UNMANAGED",
            state="ENABLED",
            serviceRole=role["Role"]["Arn"],
        )
        order = [{"order": 1, "computeEnvironment": made["computeEnvironmentArn"]}]
        for queue in (self.queue, "held"):
            batch.create_job_queue(
                jobQueueName=queue, state="ENABLED", priority=1, computeEnvironmentOrder=order
            )


def _containers(engine: str | None) -> dict[str, str]:
    return {} if engine is None else {"DOCKER_HOST": engine, "MOTO_DOCKER_NETWORK_MODE": "host"}


def _forget_addresses() -> None:
    """
    Have file systems that others open look for AWS again.
    """
    with suppress(ImportError):
        import s3fs

        s3fs.S3FileSystem.clear_instance_cache()


def _described(job: Any, moto: Any) -> dict[str, Any]:
    """
    Return what moto tells of a job, and what it leaves out of how that ended.
    """
    found: dict[str, Any] = moto(job)
    if job.job_stopped:
        container = found.setdefault("container", {})
        container |= {"exitCode": job.exit_code} if job.exit_code is not None else {}
        container |= getattr(job, "told", {})
        found["isTerminated"] = bool(job.stop)
    return found


def _run_job(job: Any) -> None:
    """
    Do what a host does with one of moto's jobs.
    """
    job.status = "RUNNABLE"
    while job.job_queue.name == "held" and not job.stop:
        time.sleep(0.01)
    if job.stop:
        job._mark_stopped(success=False)
        return
    job.job_started_at = datetime.now()  # noqa: DTZ005 - as moto has it
    job._start_attempt()
    pod = _pod_of(job)
    _begin_log(job)
    pod.start()
    job.pod = pod
    job.status = "RUNNING"
    limit = None if job.timeout is None else job.timeout["attemptDurationSeconds"] / _HURRY
    sent, began = 0, time.monotonic()
    while True:
        over = pod.over.is_set()  # asked before its output is read
        sent = _send(job, pod, sent)
        if over:
            break
        if job.stop or (limit is not None and time.monotonic() - began > limit):
            job.job_stopped_reason = job.job_stopped_reason or (
                "Job attempt duration exceeded timeout"
            )
            threading.Thread(target=pod.end, kwargs={"grace_s": _STOP_S}, daemon=True).start()
            limit = None
        pod.over.wait(0.02)
    _end(job, pod)


def _pod_of(job: Any) -> Pod:
    variables = {
        each["name"]: each["value"] for each in job._get_container_property("environment", [])
    }
    container = {
        "name": "job",
        "image": job.job_definition.container_properties["image"],
        "command": job._add_parameters_to_command(job._get_container_property("command", [])),
        # Nothing is replaced in Batch's variables.
        "env": [{"name": n, "value": v.replace("$", "$$")} for n, v in variables.items()],
    }
    container["command"] = [word.replace("$", "$$") for word in container["command"]]
    return Pod({"spec": {"containers": [container]}}, name=job.job_id, namespace="batch")


def _begin_log(job: Any) -> None:
    job.log_stream_name = job._stream_name
    job._log_backend.ensure_log_group(_GROUP)
    job._log_backend.ensure_log_stream(_GROUP, job.log_stream_name)


def _send(job: Any, pod: Pod, sent: int) -> int:
    """
    Send new lines to CloudWatch.
    """
    lines = pod.lines[sent:]
    moment = int(time.time() * 1000)
    texts = [text.rstrip(b"\n") for _, text in lines]
    parts = [text[at : at + _EVENT] for text in texts for at in range(0, len(text), _EVENT)]
    events = [
        {"timestamp": moment, "message": part.decode("utf-8", "replace")} for part in parts if part
    ]
    for start in range(0, len(events), _EVENTS_AT_ONCE):
        page = events[start : start + _EVENTS_AT_ONCE]
        job._log_backend.put_log_events(_GROUP, job.log_stream_name, page)
    return sent + len(lines)


def _end(job: Any, pod: Pod) -> None:
    state = pod.status["containerStatuses"][0]["state"]["terminated"]
    job.exit_code = state["exitCode"]
    if state["reason"] == "OOMKilled":
        job.told = {"reason": "OutOfMemoryError: Container killed due to memory usage"}
    if job.job_stopped_reason is None and job.exit_code:
        job.job_stopped_reason = "Essential container in task exited"
    job._mark_stopped(success=job.exit_code == 0 and not job.stop)
