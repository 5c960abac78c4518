"""
The wait for one job that runs elsewhere.
"""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from airflow_hpo.driver import TrialRun
from airflow_hpo.errors import StorageError, StudyError
from airflow_hpo.triggers.looks import study_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from typing import TypeVar

    T = TypeVar("T")

__all__ = ["JobTrigger"]

# Threads that all triggers of a process share: what they call blocks, and
# Airflow's own triggers must not wait for it. So many, as a study that ends
# has all its jobs ended at once, and each may take its time to go.
_THREADS = 48

# Seconds between two looks at a job; they grow with the number of jobs, so that
# hundreds cost no more than a few dozen. A study that reaches its goal has
# ended within ten: the look, the siblings' look, and what code needs to end.
_SHORTEST_S = 1.0
_LONGEST_S = 3.0
_JOBS_PER_S = 30

# Seconds after which a job that cannot be looked at from here is handed back.
_PATIENCE_S = 120.0
_PAUSE_S = 5.0

# How often a busy Airflow is asked what became of the task, and seconds between.
_ASKED = 5
_ASKED_AGAIN_S = 1.0

_pool: ThreadPoolExecutor | None = None
_following = 0


class JobTrigger(BaseTrigger):
    """
    Follow one trial's job until it has ended, in place of the task that handed it in.

    **How it works.** Every second or so it reads what the job printed, in a
    thread: into the task's log, and what it measures into the study, so that
    pruners and stop rules act at once. Once the job has ended it tells the
    outcome, unless another step follows, and wakes the task. All it needs to
    know stands in the journal: a triggerer that takes over goes on where the
    other one ended, and one that is shut down ends no job.

    **What it does not do.** It hands in no job: the next step is the task's.

    **Known limitation.** A job that can't be looked at from here for two
    minutes, such as for want of its runner's package, is left to the task,
    which then follows it in a worker's slot. A journal that is away is waited for.

    Args:
        study: The study's name.

        number: The trial's.

        key: The attempt's.

        blueprint: What is optimised, as JSON text.

        artifacts: Folder under which workspaces are.

        log_name: Names the task's log; see `TrialRun`.

        hpo_conn_id: The Airflow connection to the journal.
    """

    def __init__(
        self,
        *,
        study: str,
        number: int,
        key: str,
        blueprint: str,
        artifacts: str,
        log_name: str,
        hpo_conn_id: str | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.arguments: dict[str, Any] = {
            "study": study,
            "number": number,
            "key": key,
            "blueprint": blueprint,
            "artifacts": artifacts,
            "log_name": log_name,
            "hpo_conn_id": hpo_conn_id,
        }
        self._follower = _Follower(self.arguments, log=self._log_line)
        self._was_cancelled = False

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """
        Return the way to this class, and what makes another one like it.
        """
        return f"{type(self).__module__}.{type(self).__qualname__}", self.arguments

    def _log_line(self, line: str) -> None:
        self.log.info("%s", line)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """
        Yield one event once the job has ended.
        """
        global _following  # noqa: PLW0603 - how many there are sets their pace
        _following += 1
        try:
            trouble = await self._follow()
        except asyncio.CancelledError:
            self._was_cancelled = True
            raise
        finally:
            _following -= 1
        told = {"trial": self._number, "key": self.arguments["key"], "trouble": trouble}
        yield TriggerEvent(told)  # type: ignore[no-untyped-call]

    async def _follow(self) -> str | None:
        """
        Return why the job cannot be followed from here, or `None` once it has ended.
        """
        failing_since: float | None = None
        while True:
            try:
                if await _in_thread(self._follower.poll):
                    return None
                failing_since = None
            except Exception as error:  # noqa: BLE001 - whatever a runner's client raises
                self._follower.begin_anew()
                self.log.warning("Trial %d cannot be looked at: %s", self._number, error)
                now = time.monotonic()
                failing_since = failing_since or now
                if not isinstance(error, StorageError) and now - failing_since >= _PATIENCE_S:
                    return f"{type(error).__name__}: {error}"
                await asyncio.sleep(_PAUSE_S)
                continue
            await asyncio.sleep(min(_LONGEST_S, max(_SHORTEST_S, _following / _JOBS_PER_S)))

    @property
    def _number(self) -> int:
        number: int = self.arguments["number"]
        return number

    async def on_kill(self) -> None:
        """
        End the job: somebody cleared the task, marked it, or deleted its run.

        Airflow calls this from 3.3 on; also where another triggerer took the
        task over because this one was too slow to be noticed, and then the job goes on.
        """
        if await self._is_wanted():
            self.log.info("The task still waits: its job goes on")
            return
        await _in_thread(self._follower.end, "the task was stopped")

    async def cleanup(self) -> None:
        """
        Let go; before Airflow 3.3, end the job of a task that somebody stopped.
        """
        if self._was_cancelled and not hasattr(BaseTrigger, "on_kill"):
            await self.on_kill()

    async def _is_wanted(self) -> bool:
        """
        Return whether the task is still deferred, or nobody can tell.
        """
        ti = self.task_instance
        if ti is None:
            return True
        name = ti.task_id if ti.map_index < 0 else f"{ti.task_id}_{ti.map_index}"
        for again in range(_ASKED):
            await asyncio.sleep(_ASKED_AGAIN_S if again else 0)
            try:
                states = await _in_thread(_states, ti.dag_id, ti.task_id, ti.run_id)
            except Exception as error:  # noqa: BLE001 - a lost job costs more than one too many
                self.log.warning("Its task's state cannot be found out: %s", error)
            else:
                return states.get(ti.run_id, {}).get(name) == "deferred"
        return True


def _states(dag_id: str, task_id: str, run_id: str) -> dict[str, dict[str, Any]]:
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    found: dict[str, dict[str, Any]] = RuntimeTaskInstance.get_task_states(
        dag_id=dag_id, task_ids=[task_id], run_ids=[run_id]
    )
    return found


async def _in_thread(function: Callable[..., T], *arguments: object) -> T:
    """
    Call what blocks in a thread of ours.

    Not by `asyncio.to_thread`: calls of Airflow's SDK find their way back to the
    event loop only from threads that asgiref started, before Airflow 3.3.
    """
    global _pool  # noqa: PLW0603 - made when first needed, then kept
    if _pool is None:
        _pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="hpo-job")
    called = sync_to_async(function, thread_sensitive=False, executor=_pool)
    return await called(*arguments)


class _Follower:
    """
    What a trigger does in threads, one call at a time.
    """

    def __init__(self, arguments: Mapping[str, Any], *, log: Callable[[str], None]) -> None:
        self._arguments = arguments
        self._log = log
        self._lock = threading.Lock()
        self._run: TrialRun | None = None
        self._stopped: str | None = None

    def poll(self) -> bool:
        """
        Look at the job; return whether it has ended, and told what there was to tell.
        """
        with self._lock:
            run = self._run or self._opened()
            if run is None:
                return True
            if not run.poll():
                return False
            run.conclude()
            return True

    def begin_anew(self) -> None:
        """
        Forget what was read: the next look reads it again.
        """
        self._run = None

    def end(self, reason: str) -> None:
        """
        End the job, wait until it has, and tell that.
        """
        run = self._run
        if run is not None:
            run.cancel(reason)  # a look that goes on at this moment soon ends
        with self._lock:
            run = self._run or self._opened()
            if run is None:
                return
            run.cancel(reason)
            while not run.poll():
                time.sleep(_SHORTEST_S / 10)
            run.conclude()

    def _opened(self) -> TrialRun | None:
        """
        Begin to follow the job; `None` where there is nothing to follow any more.
        """
        own = self._arguments
        study = study_of(own["hpo_conn_id"], own["study"], own["blueprint"])
        run = TrialRun(
            study,
            own["number"],
            key=own["key"],
            artifacts=Path(own["artifacts"]),
            log=self._log,
            log_name=own["log_name"],
        )
        try:
            self._run = run if run.take_up() else None
        except StudyError as error:
            self._log(f"the trial is no more: {error}")
            self._run = None
        return self._run
