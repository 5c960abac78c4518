"""
Runs a job as a container of a Docker engine, or of Podman's service that speaks like one.
"""

from __future__ import annotations

import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_hpo.errors import TrialError, TrialFailedError, TrialInvalidError
from airflow_hpo.model.job import JobState
from airflow_hpo.model.trial import Failure
from airflow_hpo.runners.base import ENDED
from airflow_hpo.runners.docker_container import (
    HANDLE,
    LABEL,
    container_name,
    host_settings,
    labels_of,
    sees,
    settings_of,
)
from airflow_hpo.runners.docker_engine import Engine
from airflow_hpo.runners.docker_gpus import is_kept, keep, lease_of, leased
from airflow_hpo.runners.docker_options import DockerOptions
from airflow_hpo.runners.docker_output import PAGE, Follower
from airflow_hpo.runners.docker_state import OVER, WAITING, ending_of, ran_s
from airflow_hpo.runners.files import Ending
from airflow_hpo.runners.remote import AwayError, RemoteHandle, RemoteOptions, RemoteRunner, Sight
from airflow_hpo.runners.transcript import position_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_hpo.model.job import Job
    from airflow_hpo.runners.transcript import Pen

__all__ = ["DockerOptions", "DockerRunner"]

# Seconds that an engine gets to kill a container, and a container to end by
# itself past its time limit before we do it.
_PATIENCE_S = 15.0

# Bounds of the seconds between two looks at a container that is asked to end.
_SHORTEST_LOOK_S = 0.01
_LONGEST_LOOK_S = 0.25

# Seconds that a job's keeper gets to come up.
_YOUNG_S = 60.0

_GONE = "the container is gone: somebody removed it before its end was seen"


class DockerRunner(RemoteRunner):
    """
    Runs each job in a container of its own, with ``/bin/sh -c`` of the image.

    **How it works.** The container is named after the job, so an engine never
    has two of it, and labelled with study, trial, attempt and step, so that it is
    found again. Its output is copied into the workspace as it comes. Once its
    end is on record there, the container is removed. It goes on when this process
    is killed; any process with the handle can follow, cancel, and read the result.

    **What the job sees.** The study's folder and the one that the command starts
    in, under the same paths as here, so variables such as ``HPO_PARAMS_FILE``
    hold; what is in ``.jobs`` it may only read. The variables of the job, those
    that *pass_environment* names, and none else of ours.

    **GPUs.** Where the engine is on this host, they are leased among all jobs of the
    host as the subprocess runner's are, and the container is given just those. The
    lease is held by a process of its own until the container has ended.

    **What it does not do.** It shares out no GPUs of other hosts: an engine there
    that is asked for one GPU gives the first to everybody.

    **Known limitation.** The folders must be on the engine's machine. Where
    Airflow runs in a container itself, they have to be mounted there under the
    same path, or be a volume that *mounts* names.
    """

    options_class: ClassVar[type[RemoteOptions]] = DockerOptions
    needs_command: ClassVar[bool] = True
    # An engine is mostly a machine's own: who waits elsewhere would not reach it.
    is_remote: ClassVar[bool] = False

    def __init__(self, options: DockerOptions) -> None:
        super().__init__(options)
        self._engine = Engine(options.base_url, options.connection)
        self._followers: dict[str, Follower] = {}

    def shares(self, folder: str) -> bool:
        """
        Return whether jobs see *folder* of this machine.
        """
        return sees(folder, self.options)

    def _start(self, job: Job) -> RemoteHandle:
        gpus = leased(job, self.options, is_local=self._engine.is_local)
        if gpus:
            return self._queue(job, gpus)
        handle, is_new = self._make(job)
        if is_new:
            self._engine.start(_container(handle))
        return handle

    def _queue(self, job: Job, gpus: float) -> RemoteHandle:
        """
        Return the handle of a job whose container is made once it has its GPUs.
        """
        name, engine = container_name(job), self._engine
        place = {"container": name, "engine": engine.name, "gpus": f"{gpus:g}"}
        handle = RemoteHandle.of(job, place)
        self._planned(handle, job)  # what cannot be is refused at once
        self._end_rivals(handle)
        engine.provide(self.options.image, self.options.pull)
        return handle

    def _planned(self, handle: RemoteHandle, job: Job) -> dict[str, Any]:
        """
        Return what a keeper makes the container of *job* with.
        """
        host = host_settings(job, self.options, sdk=self._engine.sdk)
        return {
            "image": self.options.image,
            "host": {name: each for name, each in host.items() if name != "device_requests"},
            "labels": {**labels_of(job), HANDLE: handle.text},
            "settings": settings_of(job, self.options, rootless=self._engine.is_rootless),
            "lease": lease_of(job, float(handle.place["gpus"])),
        }

    def _see_to(self, handle: RemoteHandle, job: Job) -> None:
        if "gpus" in handle.place and handle.ending() is None and not is_kept(handle.files):
            keep(handle, self.options.base_url, self._planned(handle, job))

    def _make(self, job: Job) -> tuple[RemoteHandle, bool]:
        """
        Make the container of *job*; return whether it still has to be started.
        """
        name, engine = container_name(job), self._engine
        settings = settings_of(job, self.options, rootless=engine.is_rootless)
        handle = RemoteHandle.of(job, {"container": name, "engine": engine.name})
        self._end_rivals(handle)
        engine.provide(self.options.image, self.options.pull)
        host = host_settings(job, self.options, sdk=engine.sdk)
        labels = {**labels_of(job), HANDLE: handle.text}
        if engine.create(name, self.options.image, host=host, labels=labels, **settings):
            return handle, True
        # Somebody made it before, and perhaps died before starting it.
        about = engine.inspect(name)
        return handle, about is not None and about["State"]["Status"] in WAITING

    def _end_rivals(self, handle: RemoteHandle) -> None:
        """
        End jobs that have the files which those of *handle* are going to have.

        Raises:
            TrialInvalidError: If another trial uses the workspace.
        """
        waiting = [each for each in self._noted(handle.folder) if is_kept(each.files)]
        here = [each for each in waiting if not self._is_elsewhere(each)]
        for other in [*self._labelled({"workspace": handle.folder}), *here]:
            if other.key == handle.key or other.ending() is not None:
                continue
            if other.owner != handle.owner and self._state(other) not in ENDED:
                raise TrialInvalidError(
                    f"a workspace belongs to one trial, got {handle.folder}, where {other.key} runs"
                )
            if other.name == handle.name:
                self.cancel(other.text)

    def _look(self, job: RemoteHandle) -> Sight | None:
        if not _container(job):
            return None  # it is another runner's
        kept = "gpus" in job.place and self._engine.is_local and is_kept(job.files)
        about = self._engine.inspect(_container(job))
        if about is None:
            waits = (kept or _is_young(job)) and not self._is_elsewhere(job)
            return Sight(JobState.PENDING) if waits else self._missing(job)
        state = about["State"]
        if "gpus" in job.place and not kept and state["Status"] not in OVER:
            self._keep_again(job)
        if job.timeout_s is not None and ran_s(state) > job.timeout_s + job.grace_s + _PATIENCE_S:
            self._end(job)  # it ought to have ended itself
            state = (self._engine.inspect(_container(job)) or about)["State"]
        if state["Status"] in WAITING:
            return Sight(JobState.PENDING)
        if state["Status"] in OVER:
            return Sight.ended(ending_of(state, timeout_s=job.timeout_s))
        return Sight(JobState.RUNNING)

    def _keep_again(self, job: RemoteHandle) -> None:
        """
        Have the GPUs of a container held whose keeper was killed.
        """
        if self._engine.is_local and not self._is_elsewhere(job):
            with suppress(TrialFailedError):  # at the next look, then
                keep(job, self.options.base_url)

    def _missing(self, job: RemoteHandle) -> Sight | None:
        """
        Return what it means that the engine does not know the container of *job*.
        """
        if self._is_elsewhere(job) or RemoteHandle.read(job.files.handle) is None:
            return None
        return Sight.ended(Ending(reason=_GONE, failure=Failure.INFRASTRUCTURE))

    def _settled(self, job: RemoteHandle, sight: Sight | None) -> JobState:
        if sight is None:
            return JobState.UNKNOWN
        state = super()._settled(job, sight)
        if state is JobState.DONE:
            follower = self._followers.pop(job.text, None)
            if follower is not None:
                follower.close()
            with suppress(AwayError, TrialError):  # whoever looks for jobs next does it
                self._engine.remove(_container(job))
        return state

    def _read(self, job: RemoteHandle, pen: Pen, *, last: bool) -> None:
        if not last:
            follower = self._follower(job)
            if follower is not None:
                _write(pen, *follower.take())
            return
        start, data = 0, bytearray()
        for chunk in self._engine.output(_container(job), follow=False):
            data += chunk
            if len(data) > PAGE:
                _write(pen, start, bytes(data))
                start, data = start + len(data), bytearray()
        _write(pen, start, bytes(data))

    def _follower(self, job: RemoteHandle) -> Follower | None:
        """
        Return who reads the output of *job* as it comes; `None` unless it runs.
        """
        follower = self._followers.get(job.text)
        if follower is not None and follower.is_alive():
            return follower
        # Where an engine hands out nothing, it is not asked all the time.
        is_tired = follower is not None and follower.age_s < self.options.poll_s
        if is_tired or self._lately(job) is not JobState.RUNNING:
            return None
        self._followers[job.text] = follower = Follower(self._engine, _container(job))
        follower.start()
        return follower

    def _is_due(self, job: RemoteHandle) -> bool:
        follower = self._followers.get(job.text)
        return super()._is_due(job) if follower is None else follower.bell.is_set()

    def _nap(self, job: RemoteHandle, seconds: float) -> None:
        """
        Sleep until there is output, the job ends, or *seconds* are over.
        """
        follower = self._follower(job)
        if follower is None:
            time.sleep(min(seconds, _LONGEST_LOOK_S))
            return
        follower.bell.wait(seconds)
        if not follower.is_alive():
            self._seen.pop(job.id, None)  # it has ended, or the engine has a hiccup

    def cancel(self, handle: str) -> None:
        """
        End the job and everything it started; returns when it is gone.

        Raises:
            TrialFailedError: If the engine does not answer, or it is another one's.
        """
        job = RemoteHandle.parse(handle)
        if job is not None and self._state(job) is JobState.UNKNOWN and not job.is_superseded:
            self._refuse_elsewhere(job)
        super().cancel(handle)

    def _refuse_elsewhere(self, job: RemoteHandle) -> None:
        try:
            here = self._engine.name
        except AwayError as error:
            raise TrialFailedError(f"the job could not be ended: {error}") from error
        if self._is_elsewhere(job):
            raise TrialFailedError(
                f"the job is not known on {here}: {job.key}; "
                f"it was started on {job.place['engine']}"
            )

    def _is_elsewhere(self, job: RemoteHandle) -> bool:
        return job.place.get("engine", self._engine.name) != self._engine.name

    def _stop(self, job: RemoteHandle) -> None:
        self._dismiss(job)
        about = self._engine.inspect(_container(job))
        if about is None:
            return
        if about["State"]["Status"] in WAITING:
            self._engine.remove(_container(job))
            return
        if about["State"].get("Paused"):
            self._engine.unpause(_container(job))  # who is stopped cannot hear
        self._end(job)
        self._state(job)

    def _dismiss(self, job: RemoteHandle) -> None:
        """
        Wait until nobody waits any more for GPUs to make the container with.

        Who does looks for the mark that `cancel` makes.
        """
        deadline = time.monotonic() + _PATIENCE_S
        while is_kept(job.files) and self._engine.inspect(_container(job)) is None:
            if time.monotonic() > deadline:
                return  # it starts no container any more, if it lives
            time.sleep(_SHORTEST_LOOK_S)

    def _end(self, job: RemoteHandle) -> None:
        """
        Ask a container to end, wait for the grace period, then kill it.

        Raises:
            TrialFailedError: If even that does not end it.
        """
        name = _container(job)
        for number, patience in ((signal.SIGTERM, job.grace_s), (signal.SIGKILL, _PATIENCE_S)):
            self._engine.signal(name, number)
            deadline, pause = time.monotonic() + patience, _SHORTEST_LOOK_S
            while self._runs(name):
                if time.monotonic() >= deadline:
                    break
                time.sleep(min(pause, max(0.0, deadline - time.monotonic())))
                pause = min(pause * 2, _LONGEST_LOOK_S)
            else:
                return
        raise TrialFailedError(f"the container {name} cannot be killed")

    def _runs(self, name: str) -> bool:
        about = self._engine.inspect(name)
        return about is not None and about["State"]["Status"] not in OVER

    def _search(self, study: str, trial: int, *, workspace: str) -> Iterable[RemoteHandle]:
        """
        Return the jobs of a trial: those that have containers, and those on record alone.
        """
        wanted = {"study": study, "trial": str(trial), "workspace": workspace}
        found = {handle.text: handle for handle in self._labelled(wanted)}
        for handle in found.values():
            if handle.ending() is not None:  # whoever told of it could not remove it
                self._engine.remove(_container(handle))
        for noted in self._noted(workspace):
            if noted.owner == f"{study}/{trial}":
                found.setdefault(noted.text, noted)
        return found.values()

    def _noted(self, workspace: str) -> list[RemoteHandle]:
        """
        Return the jobs of containers that are on record in *workspace*.
        """
        paths = sorted((Path(workspace) / ".jobs").glob("*.json"))
        return [each for each in map(RemoteHandle.read, paths) if each and _container(each)]

    def _labelled(self, wanted: Mapping[str, str]) -> list[RemoteHandle]:
        labels = self._engine.labels({f"{LABEL}.{name}": text for name, text in wanted.items()})
        handles = (RemoteHandle.parse(each.get(HANDLE, "")) for each in labels)
        return [handle for handle in handles if handle is not None]


def _container(job: RemoteHandle) -> str:
    return str(job.place.get("container", ""))


def _is_young(job: RemoteHandle) -> bool:
    """
    Return whether a job was handed in just now, and its keeper is still to come.
    """
    if "gpus" not in job.place or position_file(job.files).exists():
        return False
    try:
        return time.time() - job.files.handle.stat().st_mtime < _YOUNG_S
    except OSError:
        return False


def _write(pen: Pen, start: int, data: bytes) -> None:
    """
    Write what of *data*, which begins at *start*, is not in the copy yet.

    What lies behind a gap is left to the last reading, which begins at the beginning.
    """
    size = pen.size - pen.mark.get("own", 0)  # in front of it is what a keeper wrote
    fresh = data[max(0, size - start) :]
    if fresh and start <= size:
        pen.write(fresh, pen.mark)
