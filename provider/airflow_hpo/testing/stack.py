"""
A real Airflow for tests, benchmarks and the demo: all four components, no Docker.

Each component runs in a session and process group of its own, and carries a
mark in its environment that its descendants inherit: that is how whatever was
started is found again, and nothing else is ever signalled. Everything is
configured by environment variables; one folder holds all that is written.

::

    with Stack(tmp / "home", tmp / "dags", parallelism=2) as stack:
        stack.wait_for_dag("digits")
        run_id = stack.trigger("digits")
        assert stack.wait("digits", run_id) == "success"
"""

from __future__ import annotations

import atexit
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, NoReturn

from airflow_hpo.testing.family import MARK
from airflow_hpo.testing.rest import StackError
from airflow_hpo.testing.running import GRACE_S, STATE, Airflow, AttachedStack

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["COMPONENTS", "AttachedStack", "Stack", "StackError", "free_port"]

COMPONENTS: Mapping[str, tuple[str, ...]] = {
    # The order they start in: tasks that are queued before the api-server listens would fail.
    "api-server": ("api-server",),
    # Logs are read from disk; serving them would need two more ports.
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}

_TAIL_LINES = 30

_SETTINGS: Mapping[str, str] = {
    "CORE__LOAD_EXAMPLES": "False",
    "DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "1",
    "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "5",
    "DAG_PROCESSOR__PARSING_PROCESSES": "1",
    # Each refresh drops the errors of files that are no DAG files, until the next parse.
    "DAG_PROCESSOR__REFRESH_INTERVAL": "60",
    "LOGGING__COLORED_CONSOLE_LOG": "False",
    "USAGE_DATA_COLLECTION__ENABLED": "False",
    # The default of 5 holds a slot for up to 5 s after each short task.
    "WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
}


def free_port() -> int:
    """
    Return a port of this machine that nobody listens on at the moment.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Stack(Airflow):
    """
    Starts a real Airflow, and stops all that it started.

    It is stopped by leaving the ``with`` block, by `stop`, when the
    interpreter ends, and on SIGTERM or SIGHUP, which become a `KeyboardInterrupt`.

    Args:
        home: ``AIRFLOW_HOME``; made if absent. Component logs are in ``logs/``.

        dags: The folder of DAG files.

        parallelism: How many tasks run at once.

        executor: Any of Airflow's.

        database:
            Airflow's own, as SQLAlchemy URL; `None` is SQLite in *home*. For
            PostgreSQL ``postgresql+psycopg://`` needs the fewest packages.

        port: Of the api-server; `None` takes a free one.

        env: More environment variables for all components; they win.

        start_timeout: Seconds that each step of starting may take.
    """

    def __init__(
        self,
        home: Path,
        dags: Path,
        *,
        parallelism: int = 4,
        executor: str = "LocalExecutor",
        database: str | None = None,
        port: int | None = None,
        env: Mapping[str, str] | None = None,
        start_timeout: float = 180.0,
    ) -> None:
        super().__init__(home.absolute(), identity=secrets.token_hex(8), port=port or free_port())
        self._start_timeout = start_timeout
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._expected_to_run: set[str] = set()
        self._handlers: dict[signal.Signals, object] = {}
        self._owner = 0
        airflow = {
            **_SETTINGS,
            "API__BASE_URL": self.url,
            "API__HOST": "127.0.0.1",
            "API__PORT": str(self._port),
            "API__SECRET_KEY": secrets.token_hex(32),
            "API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "CORE__DAGS_FOLDER": str(dags.absolute()),
            "CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "CORE__EXECUTOR": executor,
            "CORE__PARALLELISM": str(parallelism),
        }
        if database:
            airflow["DATABASE__SQL_ALCHEMY_CONN"] = database
            if database.startswith("postgresql+psycopg:"):  # one driver serves both
                airflow["DATABASE__SQL_ALCHEMY_CONN_ASYNC"] = database
        self.env: dict[str, str] = {
            **_inherited(),
            "AIRFLOW_HOME": str(self.home),
            **{f"AIRFLOW__{name}": value for name, value in airflow.items()},
            **(env or {}),
        }

    def __enter__(self) -> Self:
        """
        Start it.
        """
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """
        Stop it, whatever happened.
        """
        self.stop()

    @property
    def commands(self) -> Mapping[str, tuple[str, ...]]:
        """
        What it consists of: arguments of ``airflow``, by component, in the order they start in.
        """
        return COMPONENTS

    def start(self) -> None:
        """
        Migrate the database and start all components; returns once tasks can run.

        Raises:
            StackError: If one does not come up; quotes the end of its log.
        """
        if running := AttachedStack.find(self.home):
            raise StackError(f"one Airflow at a time can use {self.home}, got {running.url}")
        self.home.mkdir(parents=True, exist_ok=True)
        self._guard()
        try:
            self._migrate()
            for component in self.commands:
                self.start_component(component)
                if component == "api-server":
                    self._wait_for_server()
            self._wait_until_healthy()
        except BaseException:
            self.stop()
            raise

    def stop(self, *, grace: float = GRACE_S) -> None:
        """
        End all components: SIGTERM, and SIGKILL after *grace* seconds; twice is a no-op.
        """
        if self._owner != os.getpid():  # never started, stopped, or a fork of the process
            return
        self._expected_to_run.clear()
        try:
            self._end({name: leader.pid for name, leader in self._processes.items()}, grace=grace)
            for process in self._processes.values():
                process.wait()
        finally:
            self._processes.clear()
            self._unguard()

    def detach(self) -> None:
        """
        Leave it running for `AttachedStack.find`; this object no longer looks after it.
        """
        self._unguard()

    def check(self) -> None:
        """
        Raise if a component has ended that nobody asked to end.

        Raises:
            StackError: Names the component; quotes the end of its log.
        """
        for component in sorted(self._expected_to_run):
            code = self._processes[component].poll()
            if code is not None:
                self._report(component, code)

    def pid(self, component: str) -> int:
        """
        Return the process id of *component*, which leads its process group.
        """
        return self._processes[component].pid

    def pids(self, component: str) -> set[int]:
        """
        Return *component* and all its descendants: workers, tasks, trials' jobs.
        """
        return self._family.pids(component)

    def kill(
        self,
        component: str,
        number: signal.Signals = signal.SIGKILL,
        *,
        descendants: bool = False,
    ) -> None:
        """
        Send a signal to *component*, and expect it to end of it.

        Args:
            component: One of `commands`.

            number: The signal.

            descendants:
                With all that descend from it, as when a machine dies. Without,
                its workers and their tasks live on, as when only it runs out
                of memory.
        """
        self._expected_to_run.discard(component)
        process = self._processes[component]
        if descendants:
            self._family.signal(number, component)
        elif process.poll() is None:
            process.send_signal(number)
        try:
            process.wait(timeout=GRACE_S)
        except subprocess.TimeoutExpired as error:
            raise StackError(f"{component} must end on {number.name}, it still runs") from error
        self._write_state()

    def start_component(self, component: str) -> None:
        """
        Start *component*; a killed one starts again, with the same settings and log.
        """
        old = self._processes.get(component)
        if old is not None and old.poll() is None:
            raise StackError(f"{component} must not be started twice, got pid {old.pid}")
        self._spawn(component, self.commands[component])
        self._expected_to_run.add(component)
        self._write_state()

    def _own_env(self, component: str) -> Mapping[str, str]:
        """
        Return the variables that *component* alone has.
        """
        del component
        return {}

    def _migrate(self) -> None:
        process = self._spawn("migrate", ("db", "migrate"))
        try:
            code = process.wait(timeout=self._start_timeout)
        except subprocess.TimeoutExpired:
            code = -1
        if code:
            self._report("migrate", code)
        del self._processes["migrate"]

    def _wait_for_server(self) -> None:
        def answers() -> bool | None:
            return bool(self.healthy()) or None

        what = "the api-server must answer"
        self.until(answers, timeout=self._start_timeout, what=what, interval=0.25)

    def _wait_until_healthy(self) -> None:
        def all_well() -> bool | None:
            states = self.healthy()
            return all(states.get(name) == "healthy" for name in needed) or None

        needed = ("scheduler", "dag_processor", "triggerer")
        what = f"{', '.join(needed)} must become healthy"
        self.until(all_well, timeout=self._start_timeout, what=what, interval=0.5)

    def _spawn(self, component: str, arguments: Iterable[str]) -> subprocess.Popen[bytes]:
        log = self.log_file(component)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - this interpreter, our own arguments
                [sys.executable, "-m", "airflow", *arguments],
                cwd=self.home,
                env={**self.env, **self._own_env(component), MARK: self._family.mark(component)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._processes[component] = process
        return process

    def _report(self, component: str, code: int) -> NoReturn:
        log = self.log_file(component)
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:]
        verb = "end well" if component == "migrate" else "keep running"
        tail = "\n".join(f"    {line}" for line in lines)
        raise StackError(f"airflow {component} must {verb}, got exit code {code}; {log}:\n{tail}")

    def _write_state(self) -> None:
        state = {
            "identity": self._family.identity,
            "port": self._port,
            "url": self.url,
            "pids": {name: process.pid for name, process in self._processes.items()},
        }
        draft = self.home / f"{STATE}.draft"
        draft.write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")
        draft.replace(self.home / STATE)

    def _guard(self) -> None:
        """
        Make sure that nothing outlives this process, however it is asked to end.
        """
        self._owner = os.getpid()
        atexit.register(self.stop)
        for number in (signal.SIGTERM, signal.SIGHUP):
            # Only the main thread may do so, and a handler of somebody else's stays.
            if signal.getsignal(number) is signal.SIG_DFL:
                try:
                    self._handlers[number] = signal.signal(number, _interrupt)
                except ValueError:
                    return

    def _unguard(self) -> None:
        self._owner = 0
        atexit.unregister(self.stop)
        for number in self._handlers:
            signal.signal(number, signal.SIG_DFL)
        self._handlers.clear()


def _inherited() -> dict[str, str]:
    """
    Return this process's environment, fit for an Airflow of our own.
    """
    # Another Airflow's settings must not leak in, nor a wish to do without byte code.
    foreign = ("AIRFLOW", "HPO_", "PYTHONDONTWRITEBYTECODE")
    env = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    # `python` in a trial's command is this interpreter's environment.
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", os.defpath)])
    # Without it, processes that change their title overwrite the mark.
    env["SPT_NOENV"] = "1"
    for name in ("NO_PROXY", "no_proxy"):
        env[name] = ",".join(filter(None, [env.get(name), "127.0.0.1", "localhost"]))
    source = Path(__file__).resolve().parents[2]
    if source.name not in {"site-packages", "dist-packages"}:
        paths = [str(source), *filter(None, [env.get("PYTHONPATH")])]
        env["PYTHONPATH"] = os.pathsep.join(paths)
    return env


def _interrupt(number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt(signal.Signals(number).name)
