"""
Pods that are processes of this machine: what a cluster does, for tests of what asks one.

A pod's one container is its command, run as a process. It is ended as a kubelet
ends one: its first process hears SIGTERM, everything it started is killed once
its grace is over or it has ended. Lines that are read at once have the same time,
as some container runtimes have it.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Pod", "now_text"]

_MARK = "HPO_TEST_POD"

# What Kubernetes replaces in commands and variables: $$, and $(NAME) of a known name.
_EXPANDED = re.compile(r"\$(?:(\$)|\(([^()]*)\))")

_IMAGE_NAME = re.compile(r"[a-z0-9][a-z0-9._/-]*(:[\w.-]+)?(@sha256:[0-9a-f]{64})?")


def now_text(*, seconds: float | None = None) -> str:
    """
    Return a moment as the API writes it; now by default.
    """
    moment = datetime.fromtimestamp(time.time() if seconds is None else seconds, timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


class Pod:
    """
    One pod: an object as the API shows it, and the process behind it.

    Args:
        template: The Job's.

        name: The pod's.

        namespace: Likewise.
    """

    def __init__(self, template: Mapping[str, Any], *, name: str, namespace: str) -> None:
        self.spec = template["spec"]
        self.uid = uuid4().hex
        self.metadata = {
            **(template.get("metadata") or {}),
            "name": name,
            "namespace": namespace,
            "uid": self.uid,
            "creationTimestamp": now_text(),
        }
        self.status: dict[str, Any] = {"phase": "Pending", "conditions": []}
        self.lines: list[tuple[str, bytes]] = []
        self.over = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._ending = threading.Lock()

    @property
    def container(self) -> Mapping[str, Any]:
        """
        The first container; the only one that runs.
        """
        first: Mapping[str, Any] = self.spec["containers"][0]
        return first

    def to_json(self) -> dict[str, Any]:
        """
        Return the pod as the API shows it.
        """
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": dict(self.metadata),
            "spec": self.spec,
            "status": dict(self.status),
        }

    def start(self) -> None:
        """
        Start the container, unless its node or its image is not to be had.
        """
        image = self.container["image"]
        if self.spec.get("nodeSelector", {}).get("there") == "none":
            self._unschedulable()
        elif not _IMAGE_NAME.fullmatch(image):
            self._wait_for("InvalidImageName", f'couldn\'t parse image name "{image}"')
        elif "missing" in image:
            self._wait_for("ImagePullBackOff", f'Back-off pulling image "{image}": not found')
        elif "slow" in image:
            self._wait_for("ContainerCreating", "")
        else:
            self._run()

    def _unschedulable(self) -> None:
        self.status["conditions"] = [
            {
                "type": "PodScheduled",
                "status": "False",
                "reason": "Unschedulable",
                "message": "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity",
            }
        ]

    def _wait_for(self, reason: str, message: str) -> None:
        self._set_state({"waiting": {"reason": reason, "message": message}})

    def _set_state(self, state: Mapping[str, Any]) -> None:
        self.status["containerStatuses"] = [{"name": self.container["name"], "state": dict(state)}]

    def _run(self) -> None:
        environment = self._environment()
        words = [*self.container.get("command", []), *self.container.get("args", [])]
        self._process = subprocess.Popen(  # noqa: S603 - running a command is what it is for
            [_expand(word, environment) for word in words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={"PATH": os.environ["PATH"], **environment, _MARK: self.uid},
            cwd=self.container.get("workingDir", "/"),
            start_new_session=True,
        )
        self.status["phase"] = "Running"
        self._set_state({"running": {"startedAt": now_text()}})
        threading.Thread(target=self._follow, daemon=True).start()
        limit = self.spec.get("activeDeadlineSeconds")
        if limit is not None:
            threading.Thread(target=self._deadline, args=(limit,), daemon=True).start()

    def _environment(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for variable in self.container.get("env", []):
            found[variable["name"]] = _expand(variable["value"], found)
        return found

    def _follow(self) -> None:
        """
        Read the output to its end, then tell how the process ended.
        """
        process = self._process
        assert process is not None
        assert process.stdout is not None
        reader = threading.Thread(target=self._read, args=(process.stdout.fileno(),), daemon=True)
        reader.start()
        code = process.wait()
        self._sweep()
        reader.join()
        process.stdout.close()
        self._tell(code if code >= 0 else 128 - code)

    def _read(self, pipe: int) -> None:
        rest = b""
        while data := os.read(pipe, 2**16):
            *whole, rest = (rest + data).split(b"\n")
            stamp = _stamp()
            self.lines += [(stamp, line + b"\n") for line in whole]
        if rest:
            self.lines.append((_stamp(), rest))

    def _tell(self, code: int) -> None:
        oom = self.status.pop("oom", False)
        reason = "OOMKilled" if oom else "Completed" if code == 0 else "Error"
        self._set_state(
            {"terminated": {"exitCode": code, "reason": reason, "finishedAt": now_text()}}
        )
        self.status["phase"] = "Succeeded" if code == 0 and not self.is_spoiled else "Failed"
        self.over.set()

    @property
    def is_spoiled(self) -> bool:
        """
        Whether the cluster ended it, whatever its command says.
        """
        return "reason" in self.status

    def _deadline(self, seconds: float) -> None:
        if not self.over.wait(seconds):
            self.end(reason="DeadlineExceeded", message="Pod was active too long")

    def end(
        self, *, reason: str | None = None, message: str = "", grace_s: float | None = None
    ) -> None:
        """
        End the pod as a kubelet does; returns when it is over.

        Args:
            reason: What its status says about why, if anything.

            message: Likewise.

            grace_s: Seconds between SIGTERM and SIGKILL; by default the pod's own.
        """
        if reason is not None and not self.over.is_set():
            self.status |= {"reason": reason, "message": message}
        with self._ending:
            if self._process is None:
                self.status["phase"] = "Failed"
                self.over.set()
                return
            if grace_s is None:
                grace_s = self.spec.get("terminationGracePeriodSeconds", 30)
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGTERM)
            if not self.over.wait(grace_s):
                self._sweep()
                self.over.wait()

    def kill(self, *, starved: bool = False) -> None:
        """
        Kill the container, as the kernel does where memory is short.

        Args:
            starved: Whether the cluster says that it was so.
        """
        self.status["oom"] = starved
        self._sweep()
        self.over.wait()

    def _sweep(self) -> None:
        """
        Kill everything that the container started.
        """
        while left := list(self._left()):
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.002)

    def _left(self) -> Iterator[int]:
        mark = f"{_MARK}={self.uid}".encode()
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    yield int(folder.name)


def _stamp() -> str:
    moment = time.time_ns()
    seconds = datetime.fromtimestamp(moment // 10**9, timezone.utc)
    return f"{seconds:%Y-%m-%dT%H:%M:%S}.{moment % 10**9:09d}Z"


def _expand(text: str, known: Mapping[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        return "$" if found[1] else known.get(found[2], found[0])

    return _EXPANDED.sub(value, text)
