"""
A stand-in for a Kubernetes API server: the few endpoints that the runner uses, over HTTP.

::

    with FakeCluster() as cluster:
        options = {"image": "train:1", "kubeconfig": str(cluster.kubeconfig)}

Jobs run their pod's command as a process of this machine, see
`airflow_hpo.testing.kubernetes_pods`. Images whose name has *missing* in it are
not found, those with *slow* in it take for ever to start, and a pod that selects
nodes with ``there: none`` finds none.
"""

from __future__ import annotations

import json
import re
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from airflow_hpo.testing.kubernetes_pods import Pod, now_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["FakeCluster"]

_ROUTES = (
    ("POST", r"/apis/batch/v1/namespaces/([^/]+)/jobs", "create_job"),
    ("GET", r"/apis/batch/v1/namespaces/([^/]+)/jobs", "list_jobs"),
    ("GET", r"/apis/batch/v1/namespaces/([^/]+)/jobs/([^/]+)", "read_job"),
    ("DELETE", r"/apis/batch/v1/namespaces/([^/]+)/jobs/([^/]+)", "delete_job"),
    ("GET", r"/api/v1/namespaces/([^/]+)/pods", "list_pods"),
    ("GET", r"/api/v1/namespaces/([^/]+)/pods/([^/]+)/log", "read_log"),
)

Answer = tuple[int, "dict[str, Any] | Iterator[bytes]"]


@dataclass(frozen=True)
class _Asked:
    """
    One request, taken apart.
    """

    query: Mapping[str, str]
    body: Any
    namespace: str
    name: str = ""


class FakeCluster:
    """
    A cluster with one namespace, ``ml``, and room for every pod.

    ``broken`` is a list of states to answer the next requests with, and ``asked``
    lists the requests that came.
    """

    namespaces = ("ml", "default")

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.pods: dict[str, Pod] = {}
        self.broken: list[int] = []
        self.asked: list[str] = []
        self._lock = threading.RLock()
        self._folder = TemporaryDirectory()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        """
        Begin to answer.
        """
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self.kubeconfig.write_text(json.dumps(self._settings()))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """
        End every pod.
        """
        for pod in list(self.pods.values()):
            pod.end(grace_s=0)
        self._server.shutdown()
        self._server.server_close()
        self._folder.cleanup()

    @property
    def kubeconfig(self) -> Path:
        """
        The file that says how to reach it.
        """
        return Path(self._folder.name, "kubeconfig")

    def _settings(self) -> dict[str, Any]:
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": {"server": self.url}}],
            "users": [{"name": "fake", "user": {"token": "fake-token"}}],
            "contexts": [
                {"name": "fake", "context": {"cluster": "fake", "user": "fake", "namespace": "ml"}}
            ],
        }

    def pod_of(self, job: str) -> Pod:
        """
        Return the pod of a Job, once there is one.
        """
        return next(pod for pod in self.pods.values() if pod.metadata["labels"]["job-name"] == job)

    def remove_pod(self, pod: Pod, *, condition: Mapping[str, str] | None = None) -> None:
        """
        End *pod* and take it away, as evictions by the API and preemptions do.
        """
        if condition is not None:
            pod.status["conditions"].append({"status": "True", **condition})
        pod.end()
        with self._lock:
            self.pods.pop(pod.metadata["name"])
            self._finish(self.jobs[pod.metadata["labels"]["job-name"]], ok=False)

    def create_job(self, asked: _Asked) -> Answer:
        """
        Create a Job and start its pod.
        """
        name = asked.body["metadata"]["name"]
        if asked.namespace not in self.namespaces:
            return 404, _status(404, "NotFound", f'namespaces "{asked.namespace}" not found')
        if not asked.body["spec"]["template"]["spec"].get("containers"):
            return 422, _status(422, "Invalid", "spec.template.spec.containers: Required value")
        with self._lock:
            if name in self.jobs:
                return 409, _status(409, "AlreadyExists", f'jobs.batch "{name}" already exists')
            asked.body["metadata"] |= {"creationTimestamp": now_text(), "uid": name}
            self.jobs[name] = {**asked.body, "status": {"startTime": now_text()}}
            template = asked.body["spec"]["template"]
            template["metadata"].setdefault("labels", {})["job-name"] = name
            pod = Pod(template, name=f"{name}-{len(self.pods)}", namespace=asked.namespace)
            self.pods[pod.metadata["name"]] = pod
            pod.start()  # at once: nobody has to wait for a node here
        threading.Thread(target=self._control, args=(name, pod), daemon=True).start()
        return 201, self.jobs[name]

    def _control(self, name: str, pod: Pod) -> None:
        """
        Do a Job controller's work.
        """
        pod.over.wait()
        with self._lock:
            if name in self.jobs:
                self._finish(self.jobs[name], ok=pod.status["phase"] == "Succeeded")

    def _finish(self, job: dict[str, Any], *, ok: bool) -> None:
        kind = "Complete" if ok else "Failed"
        message = {} if ok else {"message": "Job has reached the specified backoff limit"}
        job["status"]["conditions"] = [{"type": kind, "status": "True", **message}]

    def list_jobs(self, asked: _Asked) -> Answer:
        """
        Return the Jobs that have the labels asked for.
        """
        return 200, {"kind": "JobList", "items": _selected(asked.query, list(self.jobs.values()))}

    def read_job(self, asked: _Asked) -> Answer:
        """
        Return one Job.
        """
        name = asked.name
        if name not in self.jobs:
            return 404, _status(404, "NotFound", f'jobs.batch "{name}" not found')
        return 200, self.jobs[name]

    def delete_job(self, asked: _Asked) -> Answer:
        """
        Delete a Job; in the foreground, once its pods are gone.
        """
        name = asked.name
        with self._lock:
            if name not in self.jobs:
                return 404, _status(404, "NotFound", f'jobs.batch "{name}" not found')
            job = self.jobs[name]
            policy = asked.query.get("propagationPolicy") or (asked.body or {}).get(
                "propagationPolicy"
            )
            if policy != "Foreground":
                return 400, _status(400, "BadRequest", f"the stand-in has no policy {policy}")
            if "deletionTimestamp" not in job["metadata"]:
                job["metadata"]["deletionTimestamp"] = now_text()
                threading.Thread(target=self.clear, args=(name,), daemon=True).start()
        return 200, job

    def clear(self, name: str) -> None:
        """
        End the pods of a Job, and take it away with them.
        """
        for pod in [
            each for each in self.pods.values() if each.metadata["labels"]["job-name"] == name
        ]:
            grace = pod.spec.get("terminationGracePeriodSeconds", 30)
            pod.metadata["deletionTimestamp"] = now_text(seconds=time.time() + grace)
            pod.end()
            with self._lock:
                self.pods.pop(pod.metadata["name"], None)
        with self._lock:
            self.jobs.pop(name, None)

    def list_pods(self, asked: _Asked) -> Answer:
        """
        Return the pods that have the labels asked for.
        """
        pods = [pod.to_json() for pod in list(self.pods.values())]
        return 200, {"kind": "PodList", "items": _selected(asked.query, pods)}

    def read_log(self, asked: _Asked) -> Answer:
        """
        Return a container's output.
        """
        name = asked.name
        pod = self.pods.get(name)
        if pod is None:
            return 404, _status(404, "NotFound", f'pods "{name}" not found')
        if pod.status["phase"] == "Pending":
            message = (
                f'container "{asked.query.get("container")}" in pod "{name}" is waiting to start'
            )
            return 400, _status(400, "BadRequest", message)
        return 200, _output(pod, asked.query)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        cluster = self

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                cluster._serve(self)

            do_GET = do_POST = do_DELETE = _serve  # noqa: N815 - as http.server wants them

            def log_message(self, *_: object) -> None:
                """
                Say nothing.
                """

        return Handler

    def _serve(self, request: BaseHTTPRequestHandler) -> None:
        size = int(request.headers.get("Content-Length") or 0)
        body = json.loads(request.rfile.read(size)) if size else None
        self.asked.append(f"{request.command} {request.path}")
        status, answer = self._answer(request, body)
        request.send_response(status)
        if isinstance(answer, dict):
            data = json.dumps(answer).encode()
            request.send_header("Content-Type", "application/json")
            request.send_header("Content-Length", str(len(data)))
            request.end_headers()
            request.wfile.write(data)
            return
        request.send_header("Content-Type", "text/plain")
        request.end_headers()
        for piece in answer:
            request.wfile.write(piece)

    def _answer(self, request: BaseHTTPRequestHandler, body: Any) -> Answer:
        if request.headers.get("Authorization") != "Bearer fake-token":
            return 401, _status(401, "Unauthorized", "Unauthorized")
        if self.broken:
            status = self.broken.pop(0)
            return status, _status(status, "InternalError", "etcdserver: request timed out")
        parts = urlsplit(request.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        for method, pattern, name in _ROUTES:
            found = re.fullmatch(pattern, parts.path)
            if found and method == request.command:
                call: Callable[..., Answer] = getattr(self, name)
                return call(_Asked(query, body, *found.groups()))
        return 404, _status(404, "NotFound", "the server could not find the requested resource")


def _status(code: int, reason: str, message: str) -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }


def _selected(query: Mapping[str, str], things: list[dict[str, Any]]) -> list[dict[str, Any]]:
    wanted = dict(part.split("=", 1) for part in query.get("labelSelector", "").split(",") if part)
    return [each for each in things if wanted.items() <= each["metadata"]["labels"].items()]


def _output(pod: Pod, query: Mapping[str, str]) -> Iterator[bytes]:
    since, place = query.get("sinceTime", ""), 0
    while True:
        over = pod.over.is_set() or query.get("follow") != "true"  # asked before reading
        lines = pod.lines[place:]
        place += len(lines)
        # Both are UTC; a whole second stands before all of its parts.
        fresh = [(time, text) for time, text in lines if time >= since.rstrip("Z")]
        stamps = query.get("timestamps") == "true"
        yield b"".join(f"{time} ".encode() * stamps + text for time, text in fresh)
        if over:
            return
        pod.over.wait(0.01)
