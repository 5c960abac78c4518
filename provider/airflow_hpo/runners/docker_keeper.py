"""
Keeps the GPUs of one container: leases them, makes the container, and holds them until it ends.

A process of its own, started by the Docker runner: it outlives the task, the
worker and the triggerer that follow the job, so a lease ends with its container,
neither before nor after. What it holds is written on the container, too. Where it
is killed, whoever looks at the container next, or leases for another one, starts
another keeper, which takes the very same devices.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow_hpo.errors import TrialError, TrialFailedError, TrialInvalidError
from airflow_hpo.model.trial import Failure
from airflow_hpo.runners.docker_container import HANDLE, LEASE
from airflow_hpo.runners.docker_engine import Engine
from airflow_hpo.runners.docker_gpus import keep, request_for
from airflow_hpo.runners.docker_state import OVER, WAITING
from airflow_hpo.runners.files import Ending, this_host
from airflow_hpo.runners.lease import obtain
from airflow_hpo.runners.remote import AwayError
from airflow_hpo.runners.remote_handle import RemoteHandle
from airflow_hpo.runners.supervisor import is_alive, started
from airflow_hpo.runners.transcript import writing

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["main"]

# Seconds that one question for a container's end may take, between two signs of
# life, between two tries where the engine is away, and after which that is taken
# to be gone for good if nobody can tell whether the container still runs.
_WAIT_S = 60
_BEAT_S = 30.0
_AWAY_S = 1.0
_LOST_S = 3600.0


def main() -> None:
    """
    Keep the GPUs of one container, as the orders on standard input say.

    They hold ``handle`` (the job's), ``base_url`` (the engine's, or `None`), and
    ``container``: what to make once there are devices; `None` where it is there.
    """
    orders = json.load(sys.stdin)
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    handle = RemoteHandle.parse(orders["handle"])
    if handle is None:
        raise ValueError(f"a handle must be one that submit returned, got {orders['handle']!r}")
    _Keeper(handle, orders["base_url"], orders["container"]).run()


class _Keeper:
    """
    Who holds the devices of one container.

    Args:
        job: Whose container it is.

        base_url: Where the engine is.

        container: What to make once there are devices; `None` where it is there.
    """

    def __init__(
        self, job: RemoteHandle, base_url: str | None, container: Mapping[str, Any] | None
    ) -> None:
        self._job = job
        self._base_url = base_url
        self._container = container
        self._name = str(job.place["container"])
        self._engine = Engine(base_url, None)
        self._is_announced = False
        self._is_made = container is None
        self._lease: dict[str, Any] = {}
        self._process: tuple[int, int] | None = None
        self._answered = self._beaten = time.monotonic()
        self._mark = json.dumps(
            {"host": this_host(), "pid": os.getpid(), "started": started(os.getpid())}
        )

    def run(self) -> None:
        """
        Work until the container has ended, or is not to be made any more.
        """
        try:
            if self._take_and_make():
                self._hold()
        finally:
            with suppress(OSError):
                if self._is_on_record():
                    self._job.files.keeper.unlink()

    def _is_on_record(self) -> bool:
        return self._job.files.keeper.read_text("utf-8") == self._mark

    def _beat(self) -> None:
        """
        Have other machines see, now and then, that we live.
        """
        if time.monotonic() - self._beaten < _BEAT_S:
            return
        self._beaten = time.monotonic()
        with suppress(OSError):
            if self._is_on_record():
                os.utime(self._job.files.keeper)

    def _take_and_make(self) -> bool:
        """
        Get the devices, and the container to run; return whether there is one to hold them for.
        """
        try:
            about = self._engine.inspect(self._name)
            if about is not None:
                self._container, self._is_made = None, True
                return self._take(json.loads(about["Config"]["Labels"][LEASE])) and self._begin()
            if self._container is None or self._is_called_off():
                return False
            self._keep_others()
            return self._take(self._container["lease"]) and self._begin()
        except (TrialError, AwayError) as error:
            if self._container is not None:
                self._give_up(error)
            return self._is_made and bool(self._lease)

    def _take(self, lease: Mapping[str, Any]) -> bool:
        """
        Lease devices; return whether that came to pass before it was of no use any more.
        """
        names = obtain(lease, sleep=time.sleep, ends=self._is_of_no_use, say=self._say)
        if names is None:
            return False
        self._lease = {**lease, "devices": names}
        return True

    def _is_of_no_use(self) -> bool:
        self._beat()
        if self._container is not None:
            return self._is_called_off()
        time.sleep(1.0)  # the engine need not be asked more often
        return self._is_over()

    def _is_called_off(self) -> bool:
        known = RemoteHandle.read(self._job.files.handle)
        return self._job.files.cancel.exists() or known is None or known.key != self._job.key

    def _say(self, text: str) -> None:
        """
        Write to the job's output what becomes of its devices, where that is news.
        """
        self._announce()
        if self._container is None:
            return
        with writing(self._job.files) as pen:
            line = f"GPU: {text}\n".encode()
            pen.write(line, {"own": pen.size + len(line)})

    def _announce(self) -> None:
        """
        Go on record, and tell who started us.
        """
        if self._is_announced:
            return
        self._is_announced = True
        path = self._job.files.keeper
        new = path.with_suffix(".keeper-new")
        new.write_text(self._mark, "utf-8")
        new.replace(path)
        with suppress(BrokenPipeError):
            sys.stdout.write("kept\n")
            sys.stdout.flush()
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)

    def _keep_others(self) -> None:
        """
        Have the devices held whose keepers were killed while their containers went on.
        """
        for labels in self._engine.labels({LEASE: None}, running=True):
            other = RemoteHandle.parse(labels.get(HANDLE, ""))
            if other is not None and other.key != self._job.key:
                with suppress(TrialFailedError):
                    keep(other, self._base_url)

    def _begin(self) -> bool:
        """
        Make and start the container, unless that is done; return whether it is ours to hold.
        """
        if self._container is not None and not self._make(self._container):
            return False
        about = self._engine.inspect(self._name)
        if about is None:
            return False
        if about["State"]["Status"] in WAITING:
            if self._is_called_off():
                self._engine.remove(self._name)
                return False
            self._engine.start(self._name)
        return True

    def _make(self, container: Mapping[str, Any]) -> bool:
        request = request_for(self._lease["devices"], is_podman=self._engine.is_podman)
        host = {**container["host"], "device_requests": [request]}
        labels = {**container["labels"], LEASE: json.dumps(self._lease)}
        self._is_made = True  # an engine that does not answer may have done it
        return self._engine.create(
            self._name, container["image"], host=host, labels=labels, **container["settings"]
        )

    def _give_up(self, error: Exception) -> None:
        """
        Put on record that the container could not be had.
        """
        self._announce()
        if not self._is_called_off() and self._job.ending() is None:
            kind = Failure.CODE if isinstance(error, TrialInvalidError) else Failure.INFRASTRUCTURE
            self._job.end(Ending(reason=str(error), failure=kind))
        with suppress(TrialError, AwayError):
            self._engine.remove(self._name)

    def _hold(self) -> None:
        """
        Return when the container has ended.
        """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # meant for a worker: the container goes on
        while not self._has_ended():
            pass

    def _has_ended(self) -> bool:
        """
        Return whether the container has ended, after a while if it has not.
        """
        self._beat()
        try:
            if self._is_over():
                return True
            self._process, self._answered = self._seen() or self._process, time.monotonic()
            self._engine.wait(self._name, _WAIT_S)
        except AwayError:
            time.sleep(_AWAY_S)
            if self._process is not None:
                return not is_alive(*self._process)
            return time.monotonic() - self._answered > _LOST_S
        return False

    def _is_over(self) -> bool:
        about = self._engine.inspect(self._name)
        return about is None or about["State"]["Status"] in OVER

    def _seen(self) -> tuple[int, int] | None:
        """
        Return the container's first process and when it started, where that is seen from here.
        """
        about = self._engine.inspect(self._name)
        pid = 0 if about is None else int(about["State"].get("Pid") or 0)
        since = started(pid) if pid else None
        return None if since is None else (pid, since)


if __name__ == "__main__":
    main()
