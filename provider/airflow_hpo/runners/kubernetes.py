"""
Runs each job as a Kubernetes Job of one pod.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from airflow_hpo.model.base import Document
from airflow_hpo.model.job import Job
from airflow_hpo.runners.kubernetes_api import ClusterApi
from airflow_hpo.runners.kubernetes_log import Entries, since_time
from airflow_hpo.runners.kubernetes_manifest import (
    DOMAIN,
    job_manifest,
    pod_template,
    trial_labels,
)
from airflow_hpo.runners.kubernetes_sight import sight_of, trial_status
from airflow_hpo.runners.remote import AwayError, RemoteHandle, RemoteOptions, RemoteRunner
from airflow_hpo.runners.transcript import writing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from airflow_hpo.runners.remote import Sight
    from airflow_hpo.runners.transcript import Pen

__all__ = ["KubernetesOptions", "KubernetesRunner", "PodResources"]

Quantity = str | int | float

# Seconds beyond a job's grace in which a cluster must have cleared it away.
_CLEARING_S = 60.0

# Seconds between two looks whether it has.
_LOOK_S = 0.2


class PodResources(Document):
    """
    What a container is given: ``{cpu: 2, memory: 8Gi, nvidia.com/gpu: 1}``.

    Args:
        requests: At least.

        limits: At most.
    """

    requests: dict[str, Quantity] = Field(default_factory=dict)
    limits: dict[str, Quantity] = Field(default_factory=dict)

    @field_validator("requests", "limits")
    @classmethod
    def _quantities(cls, amounts: dict[str, Quantity]) -> dict[str, Quantity]:
        for name, amount in amounts.items():
            if not _is_quantity(str(amount)):
                raise ValueError(
                    f"{name} must be a quantity such as 2, 500m or 8Gi, got {amount!r}"
                )
        return amounts


class KubernetesOptions(RemoteOptions):
    """
    Options of the Kubernetes runner.

    Args:
        image: The container's image; may come from *pod* instead.

        namespace:
            Where Jobs are made; by default that of the connection, of the
            kubeconfig's context or of the pod that this runs in.

        connection:
            An Airflow connection of type ``kubernetes``. By default the
            cluster that this process runs in, else the kubeconfig's.

        kubeconfig: A kubeconfig file; by default ``KUBECONFIG``, or ``~/.kube/config``.

        context: The kubeconfig's context; by default its current one.

        pod:
            A pod template: a mapping, or a file in YAML whose path is relative
            to the folder that commands start in.

        container: The template's container that runs the command; by default its first.

        resources: Requests and limits of that container.

        gpu_resource: What the cluster calls the devices that a trial's ``gpus`` asks for.

        node_selector: Labels that a node must have.

        tolerations: Taints of nodes that it bears, as in a pod.

        affinity: As in a pod.

        volumes: As in a pod, beside those of the template.

        volume_mounts: As in a container, beside those of the template.

        shared_folders:
            Whether pods see the studies' folders under the same path as the
            workers, on a volume that *pod* or *volumes* mount.

        working_dir:
            Folder the command starts in; by default the image's own, or the
            workspace with *shared_folders*.

        service_account: The pod's.

        image_pull_policy: ``Always``, ``IfNotPresent`` or ``Never``.

        image_pull_secrets: Names of secrets.

        priority_class: The pod's.

        labels: More of them, on Job and pod.

        annotations: Likewise.

        ttl_s: Seconds after which a Job that has ended is deleted.

        start_limit_s: Seconds after which a pod that has not started is given up.
    """

    image: str | None = Field(default=None, pattern=r"^\S+$")
    namespace: str | None = Field(default=None, pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
    connection: str | None = None
    kubeconfig: str | None = None
    context: str | None = None
    pod: str | dict[str, Any] | None = None
    container: str | None = None
    resources: PodResources = Field(default_factory=PodResources)
    gpu_resource: str = "nvidia.com/gpu"
    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: tuple[dict[str, Any], ...] = ()
    affinity: dict[str, Any] | None = None
    volumes: tuple[dict[str, Any], ...] = ()
    volume_mounts: tuple[dict[str, Any], ...] = ()
    shared_folders: bool = False
    working_dir: str | None = Field(default=None, pattern=r"^/")
    service_account: str | None = None
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    image_pull_secrets: tuple[str, ...] = ()
    priority_class: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    ttl_s: int = Field(default=86_400, ge=60)
    start_limit_s: float = Field(default=600.0, gt=0)

    @model_validator(mode="after")
    def _has_image(self) -> KubernetesOptions:
        if self.image is None and self.pod is None:
            raise ValueError("image or pod must be given")
        if self.connection is not None and self.kubeconfig is not None:
            raise ValueError("connection and kubeconfig exclude each other")
        return self

    def problems(self, folder: Path | None) -> Iterator[tuple[str, str]]:
        """
        Yield what is wrong with the pod template, and the option that it is about.
        """
        if self.pod is None or (isinstance(self.pod, str) and folder is None):
            return
        try:
            template = pod_template(self.pod, folder)
        except ValueError as error:
            yield "pod", str(error).removeprefix("pod ")
            return
        containers = template["spec"]["containers"]
        names = [str(each.get("name")) for each in containers]
        if self.container is not None and names and self.container not in names:
            yield (
                "container",
                f"must be one of the template's, {', '.join(names)}, got {self.container!r}",
            )
        if self.image is None and not any(each.get("image") for each in containers):
            yield "pod", "must have a container with an image where the runner has none"


class KubernetesRunner(RemoteRunner):
    """
    Runs each job as a Kubernetes Job whose one pod is never tried again.

    **How it works.** The Job's name is made of the job's key, so a cluster takes
    it once. The pod comes from the template, with the command, its variables
    and what the options ask for put in. Output is copied into the workspace
    while it comes. Evictions, preemptions and lost nodes are failures of the
    infrastructure; a container that was killed for want of memory says so. Jobs
    that ended stay for ``ttl_s``; those that are cancelled are deleted, and
    their pods get the grace that the blueprint says.

    **Connection.** The Airflow connection, if one is named, through the official
    provider's hook; else the pod's own service account; else the kubeconfig.

    **What it does not do.** It makes no namespaces, accounts or volumes, and moves
    no files: see ``HPO_CHECKPOINT_URI``.

    **Known limitation.** A node keeps only the last part of a very long output
    (10 MiB by default). What nobody read until then is lost.
    """

    options_class: ClassVar[type[RemoteOptions]] = KubernetesOptions
    is_remote: ClassVar[bool] = True
    options: KubernetesOptions

    def __init__(self, options: KubernetesOptions) -> None:
        super().__init__(options)
        self._api = ClusterApi(options)

    @property
    def shares_folders(self) -> bool:
        """
        Whether jobs see this machine's folders.
        """
        return self.options.shared_folders

    def _start(self, job: Job) -> RemoteHandle:
        manifest = job_manifest(job, self.options, namespace=self._api.namespace)
        self._api.create(manifest)
        return _handle(manifest)

    def _look(self, job: RemoteHandle) -> Sight | None:
        found = self._api.job(job.place["namespace"], job.place["job"])
        if found is None:
            return None
        return sight_of(
            found,
            self._pods(job),
            container=job.place["container"],
            now=time.time(),
            limit_s=self.options.start_limit_s,
        )

    def _pods(self, job: RemoteHandle) -> list[dict[str, Any]]:
        return self._api.pods(job.place["namespace"], {f"{DOMAIN}/job": job.place["job"]})

    def _read(self, job: RemoteHandle, pen: Pen, *, last: bool) -> None:
        container = job.place["container"]
        for pod in self._pods(job):
            entries, since = Entries(), since_time(pen.mark)
            with self._api.output(pod, container, since=since) as chunks:
                for chunk in _steady(chunks):
                    entries.feed(chunk, pen)
            if last:
                entries.end(pen)

    def _stop(self, job: RemoteHandle) -> None:
        namespace, name = job.place["namespace"], job.place["job"]
        running = [
            pod
            for pod in self._pods(job)
            if trial_status(pod, job.place["container"]).get("state", {}).get("running")
        ]
        if running:
            self._hear_out(job, running[0])
        else:
            self._api.delete(namespace, name)
        deadline = time.monotonic() + job.grace_s + _CLEARING_S
        while self._api.job(namespace, name) is not None:
            if time.monotonic() > deadline:
                raise AwayError(f"Job {name} is still there, {_CLEARING_S:g} s after its grace")
            time.sleep(_LOOK_S)

    def _hear_out(self, job: RemoteHandle, pod: dict[str, Any]) -> None:
        """
        Delete the job, and copy what its pod still prints.
        """
        with writing(job.files) as pen:
            since = since_time(pen.mark)
        entries, patience = Entries(), job.grace_s + _CLEARING_S
        output = self._api.output(pod, job.place["container"], since=since, follow_s=patience)
        with output as chunks:
            self._api.delete(job.place["namespace"], job.place["job"])
            for chunk in _steady(chunks):
                with writing(job.files) as pen:
                    entries.feed(chunk, pen)
        with writing(job.files) as pen:
            entries.end(pen)

    def _search(self, study: str, trial: int, *, workspace: str) -> Iterable[RemoteHandle]:
        found = map(_handle, self._api.jobs(trial_labels(study, trial)))
        owner = f"{study}/{trial}"
        return [each for each in found if (each.owner, each.folder) == (owner, workspace)]


def _handle(manifest: dict[str, Any]) -> RemoteHandle:
    """
    Return the handle of a Job of ours, from what its annotation says.
    """
    metadata = manifest["metadata"]
    known = json.loads(metadata["annotations"][f"{DOMAIN}/job"])
    container = known.pop("container")
    place = {"namespace": metadata["namespace"], "job": metadata["name"], "container": container}
    return RemoteHandle.of(Job(**known), place)


def _steady(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """
    Yield *chunks* as long as they come; what is cut off comes next time.
    """
    from urllib3.exceptions import HTTPError

    try:
        yield from chunks
    except (HTTPError, OSError):
        return


def _is_quantity(text: str) -> bool:
    number = text.rstrip("numkKMGTPEi")
    try:
        return float(number) >= 0 and len(text) - len(number) <= 2  # noqa: PLR2004 - as in Ki
    except ValueError:
        return False
