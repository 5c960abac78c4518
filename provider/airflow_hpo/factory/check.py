"""
BLUEPRINT + THIS AIRFLOW -> PROBLEMS: whether what it asks for is really there.

For ``hpo check --airflow``, on a machine of that Airflow: asks its database,
its executors, and its workers as far as they can be asked.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_hpo.errors import BlueprintError, Problem
from airflow_hpo.factory.dag import build_dag
from airflow_hpo.factory.demands import Demand, Places, demands, executor_class, find_problems
from airflow_hpo.hooks.compat import AirflowNotFoundException, conf
from airflow_hpo.hooks.study import StudyHook
from airflow_hpo.runners import is_remote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.model.blueprint import Blueprint
    from airflow_hpo.model.placement import RunnerSpec

__all__ = ["Installation", "check_for_installation"]

_Answer = TypeVar("_Answer")

# Executors that look at the queue of a task.
_WITH_QUEUES = frozenset({"CeleryExecutor", "CeleryKubernetesExecutor", "EdgeExecutor"})

# Executors that make a pod for each task.
_WITH_PODS = frozenset({"KubernetesExecutor", "CeleryKubernetesExecutor"})

# Seconds that workers have to answer.
_ANSWER_S = 3.0


@dataclass
class Installation:
    """
    What there is in this Airflow; each part is asked for once, when it is needed.

    What cannot be asked is `None`, and why stands in *silent*.
    """

    silent: dict[str, str] = field(default_factory=dict)

    @cached_property
    def pools(self) -> Mapping[str, int] | None:
        """
        The slots of each pool; a negative number is no limit.
        """
        return self._ask("pools", _pools)

    @cached_property
    def connections(self) -> frozenset[str] | None:
        """
        The connections in Airflow's own database.
        """
        return self._ask("connections", _connections)

    @cached_property
    def queues(self) -> Mapping[str, tuple[str, ...]] | None:
        """
        The Celery workers that listen to each queue.
        """
        return self._ask("queues", _queues)

    @cached_property
    def has_triggerer(self) -> bool | None:
        """
        Whether a triggerer is alive.
        """
        return self._ask("triggerer", _has_triggerer)

    def has_connection(self, name: str) -> bool | None:
        """
        Return whether a task would find connection *name*; `None` for nobody knows.
        """
        with suppress(AirflowNotFoundException):
            StudyHook.get_connection(name)
            return True
        return None if self.connections is None else name in self.connections

    def _ask(self, what: str, question: Callable[[], _Answer]) -> _Answer | None:
        try:
            return question()
        except Exception as error:  # noqa: BLE001 - whatever keeps it from answering
            lines = str(error).strip().splitlines() or [type(error).__name__]
            self.silent[what] = lines[0]
            return None


def check_for_installation(blueprint: Blueprint, installation: Installation) -> list[Problem]:
    """
    Return what *blueprint* asks for that *installation* does not have.
    """
    found = find_problems(blueprint)
    if found:
        return found  # nothing else can be asked of an executor that is not there
    try:
        build_dag(blueprint)
    except BlueprintError as error:
        found += error.problems
    except Exception as error:  # noqa: BLE001 - whatever Airflow has against it
        message = f"Airflow must be able to make a DAG of it, got {type(error).__name__}: {error}"
        found.append(Places(blueprint).problem(("name",), message, value=blueprint.name))
    checker = _Checker(blueprint, installation)
    for demand in demands(blueprint):
        checker.executor(demand)
        checker.pool(demand)
        checker.queue(demand)
        checker.runner(demand)
    checker.connections_of_callbacks()
    checker.journal()
    return _unlike([*found, *checker.found])


def _unlike(problems: list[Problem]) -> list[Problem]:
    """
    Return *problems*, each once.
    """
    return list({str(problem): problem for problem in problems}.values())


class _Checker:
    """
    Holds one blueprint against one installation.
    """

    def __init__(self, blueprint: Blueprint, installation: Installation) -> None:
        self.found: list[Problem] = []
        self._blueprint = blueprint
        self._installation = installation
        self._places = Places(blueprint)

    def executor(self, demand: Demand) -> None:
        """
        Note an executor that does not load, and a pod that nobody makes.
        """
        name, config = demand.place.executor, demand.place.executor_config
        if name is not None:
            trouble = _trouble_of(name)
            if trouble:
                message = f"must be an executor that can be loaded, got {name!r}: {trouble}"
                self._error((*demand.path, "executor"), message, value=name)
        kind = executor_class(name)
        if config and "pod_override" in config and kind not in _WITH_PODS:
            message = f"says nothing to {kind}: only executors for Kubernetes make pods"
            path = (*demand.path, "executor_config", "pod_override")
            self._warn(path, message, value="pod_override")

    def pool(self, demand: Demand) -> None:
        """
        Note a pool that does not exist, or is too small for a single task.
        """
        pool, slots = demand.place.pool, demand.place.pool_slots or 1
        if pool is None:
            return
        pools = self._installation.pools
        if pools is None:
            self._unknown((*demand.path, "pool"), "pools", value=pool)
        elif pool not in pools:
            known = ", ".join(sorted(pools))
            message = f"must be a pool of this Airflow ({known}), got {pool!r}: no task would start"
            hint = f"airflow pools set {pool} {max(slots, 4)} 'for trials'"
            self._error((*demand.path, "pool"), message, value=pool, hint=hint)
        elif 0 <= pools[pool] < slots:
            message = f"must not exceed the {pools[pool]} slots of pool {pool}, got {slots}"
            self._error((*demand.path, "pool_slots"), message, value=slots)

    def queue(self, demand: Demand) -> None:
        """
        Note a queue that nobody listens to, as far as workers can be asked.
        """
        queue, kind = demand.place.queue, executor_class(demand.place.executor)
        if queue is None:
            return
        path = (*demand.path, "queue")
        if kind not in _WITH_QUEUES:
            self._warn(path, f"says nothing to {kind}, which has no queues", value=queue)
            return
        if not kind.startswith("Celery"):
            return  # its workers cannot be asked from here
        queues = self._installation.queues
        if queues is None:
            self._unknown(path, "queues", value=queue)
        elif queue not in queues:
            known = ", ".join(sorted(queues)) or "none answered"
            message = f"must be one that a Celery worker listens to ({known}), got {queue!r}"
            hint = f"airflow celery worker --queues {queue}"
            self._warn(path, message, value=queue, hint=hint)

    def runner(self, demand: Demand) -> None:
        """
        Note a connection that a runner would not find, and a triggerer that its trials need.
        """
        runner = demand.runner
        if runner is None:
            return
        name = runner.options.get("connection")
        if isinstance(name, str):
            self._connection((*demand.path, "runner", "connection"), name)
        if not self._defers(runner):
            return
        path = ("trial", "deferrable")
        alive = self._installation.has_triggerer
        if alive is None:
            self._unknown(path, "triggerer", value="deferrable")
        elif not alive:
            message = "needs a triggerer, got none that is alive: trials would wait for ever"
            hint = "airflow triggerer, or write trial: {deferrable: false}"
            self._error(path, message, value="deferrable", hint=hint)

    def _defers(self, runner: RunnerSpec) -> bool:
        """
        Return whether a trial leaves its slot while a job of *runner* runs.
        """
        asked = self._blueprint.trial.deferrable
        if asked is not None:
            return asked
        usual = conf.getboolean("operators", "default_deferrable", fallback=False)
        return usual and is_remote(runner)

    def connections_of_callbacks(self) -> None:
        """
        Note connections that notifiers would not find.
        """
        for path, name in _named_connections(self._blueprint.callbacks.model_dump(), ()):
            self._connection(("callbacks", *path), name)

    def journal(self) -> None:
        """
        Note a journal that cannot be reached.
        """
        try:
            well, text = StudyHook().test_connection()
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the connection
            well, text = False, str(error)
        if not well:
            self._error(("name",), f"the journal of studies must be reached, got {text}")

    def _connection(self, path: Path, name: str) -> None:
        known = self._installation.has_connection(name)
        if known is None:
            self._unknown(path, "connections", value=name)
        elif not known:
            message = f"must be a connection of this Airflow, got {name!r}"
            hint = f"airflow connections add {name} --conn-type ..."
            self._error(path, message, value=name, hint=hint)

    def _unknown(self, path: Path, what: str, *, value: object) -> None:
        reason = self._installation.silent.get(what, "")
        self._warn(path, f"could not be checked: the {what} are not known: {reason}", value=value)

    def _error(self, path: Path, message: str, **more: Any) -> None:  # noqa: ANN401
        self.found.append(self._places.problem(path, message, **more))

    def _warn(self, path: Path, message: str, **more: Any) -> None:  # noqa: ANN401
        self.found.append(self._places.problem(path, message, severity="warning", **more))


def _named_connections(data: Any, path: Path) -> Iterator[tuple[Path, str]]:  # noqa: ANN401
    """
    Yield the values of keys that name connections, as notifiers and hooks call them.
    """
    items: Mapping[Any, Any] = data if isinstance(data, dict) else {}
    if isinstance(data, (list, tuple)):
        items = dict(enumerate(data))
    for key, value in items.items():
        if isinstance(key, str) and key.endswith("conn_id") and isinstance(value, str):
            yield (*path, key), value
        else:
            yield from _named_connections(value, (*path, key))


def _trouble_of(name: str) -> str:
    """
    Return why an executor that is configured cannot be loaded; empty if it can.
    """
    from airflow.executors.executor_loader import ExecutorLoader

    module, _, attribute = str(
        ExecutorLoader.lookup_executor_name_by_str(name).module_path
    ).rpartition(".")
    try:
        getattr(import_module(module), attribute)
    except Exception as error:  # noqa: BLE001 - whatever its module does
        return f"{type(error).__name__}: {error}"
    return ""


def _pools() -> dict[str, int]:
    from airflow.models.pool import Pool
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        return {str(name): slots for name, slots in session.execute(select(Pool.pool, Pool.slots))}


def _connections() -> frozenset[str]:
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        return frozenset(session.scalars(select(Connection.conn_id)))


def _has_triggerer() -> bool:
    from airflow.jobs.job import most_recent_job

    job = most_recent_job("TriggererJob")
    return job is not None and job.is_alive()


def _queues() -> dict[str, tuple[str, ...]]:
    from airflow.providers.celery.executors.celery_executor import app

    answers = app.control.inspect(timeout=_ANSWER_S).active_queues() or {}
    found: dict[str, tuple[str, ...]] = {}
    for worker, queues in answers.items():
        for queue in queues:
            found[queue["name"]] = (*found.get(queue["name"], ()), worker)
    return found
