"""
The demo: a study on a real Airflow, from nothing to the best parameters.

::

    python -m airflow_hpo.testing.demo          start, tune, show, stop
    python -m airflow_hpo.testing.demo up       start, and leave it running
    python -m airflow_hpo.testing.demo down     stop what `up` started
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_hpo.driver.workspace import study_folder
from airflow_hpo.errors import HpoError, StorageError, StudyNotFoundError
from airflow_hpo.report import summarise
from airflow_hpo.storage import open_storage
from airflow_hpo.study import Study
from airflow_hpo.testing.running import Airflow, AttachedStack
from airflow_hpo.testing.stack import Stack, StackError, free_port

if TYPE_CHECKING:
    from rich.status import Status

__all__ = ["main"]

_PLAIN_INTERVAL_S = 5.0
"""How often a line is printed where stdout is no terminal."""

_LOG_LINES = 15
_LOGS = 3
_UP_PORT = 8080


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Do what the command line says, and return the exit code.
    """
    options = _parser().parse_args(arguments)
    screen = _Screen()
    try:
        code: int = options.action(options, screen)
    except HpoError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; nothing is left running.", file=sys.stderr)
        return 128 + signal.SIGINT
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="airflow_hpo.testing.demo", description="Run the demo on a real Airflow."
    )
    home = Path(os.environ.get("AIRFLOW_HOME", ".airflow"))
    parser.add_argument("--home", type=Path, default=home, help="Airflow's home (%(default)s)")
    parser.add_argument("--dags", type=Path, default=Path("dags"), help="(%(default)s)")
    parser.set_defaults(action=_run, dag="digits", timeout=900.0)
    commands = parser.add_subparsers(metavar="run | up | down")
    run = commands.add_parser("run", help="start Airflow, run a DAG, show its result, stop")
    run.add_argument("--dag", default="digits", help="which one (%(default)s)")
    run.add_argument("--timeout", type=float, default=900.0, help="seconds, in all (%(default)g)")
    up = commands.add_parser("up", help="start Airflow and leave it running")
    up.add_argument("--port", type=int, help=f"({_UP_PORT} if it is free, else any)")
    up.set_defaults(action=_up)
    commands.add_parser("down", help="stop what `up` started").set_defaults(action=_down)
    return parser


def _run(options: argparse.Namespace, screen: _Screen) -> int:
    deadline = time.monotonic() + options.timeout
    run_id = f"demo__{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%S}"
    with _airflow(options, screen) as airflow:
        progress = _Progress(airflow, options.dag, run_id, screen)
        try:
            with screen.status(f"Running the DAG {options.dag}"):
                airflow.wait_for_dag(options.dag)
                airflow.trigger(options.dag, run_id=run_id)
                left = max(deadline - time.monotonic(), 1.0)
                state = airflow.wait(options.dag, run_id, timeout=left, on_tick=progress.show)
        except StackError:
            _show_failures(airflow, options.dag, run_id)
            raise
        return _show_result(progress, state)


def _up(options: argparse.Namespace, screen: _Screen) -> int:
    running: Airflow | None = AttachedStack.find(options.home)
    if running is None:
        port = options.port or (_UP_PORT if _is_free(_UP_PORT) else free_port())
        stack = Stack(options.home, options.dags, port=port)
        with screen.status(f"Starting Airflow in {_short(options.home)}"):
            stack.start()
        stack.detach()
        running = stack
    print(f"Airflow runs at {running.url}")
    print(f"    user {running.username}, password {running.password}")
    print(f"    logs in {_short(running.home / 'logs')}; stop it with `make down`")
    return 0


def _down(options: argparse.Namespace, screen: _Screen) -> int:
    running = AttachedStack.find(options.home)
    if running is None:
        print(f"No Airflow runs in {_short(options.home)}.")
        return 0
    with screen.status(f"Stopping Airflow at {running.url}"):
        running.stop()
    print("Stopped.")
    return 0


@contextmanager
def _airflow(options: argparse.Namespace, screen: _Screen) -> Iterator[Airflow]:
    """
    Give the Airflow that runs already, or one that lives as long as the block.
    """
    running = AttachedStack.find(options.home)
    if running is not None:
        screen.say(f"Using the Airflow that runs at {running.url}")
        yield running
        return
    stack = Stack(options.home, options.dags)
    try:
        with screen.status(f"Starting Airflow in {_short(options.home)}"):
            stack.start()
        screen.say(f"Airflow is up at {stack.url} after {screen.elapsed:.0f} s")
        yield stack
    finally:
        with screen.status("Stopping Airflow"):
            stack.stop()


class _Screen:
    """
    Lines that stay, and one that changes: live on a terminal, now and then elsewhere.
    """

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._live: Status | None = None
        self._shown = ""
        self._shown_at = -_PLAIN_INTERVAL_S

    @property
    def elapsed(self) -> float:
        """
        Seconds since the program began.
        """
        return time.monotonic() - self._began

    @contextmanager
    def status(self, text: str) -> Iterator[None]:
        """
        Show *text* while the block runs, or whatever `now` says meanwhile.
        """
        if not sys.stdout.isatty():
            self.say(f"{text} ...")
            yield
            return
        from rich.console import Console

        with Console().status(text) as self._live:
            yield
        self._live = None

    def say(self, text: str) -> None:
        """
        Print a line that stays.
        """
        if self._live:
            self._live.console.print(text, markup=False, highlight=False)
        else:
            print(text, flush=True)

    def now(self, text: str) -> None:
        """
        Show how things stand.
        """
        stamped = f"{self.elapsed:4.0f} s  {text}"
        if self._live:
            from rich.text import Text

            self._live.update(Text(stamped, no_wrap=True, overflow="ellipsis"))
        elif text != self._shown and self.elapsed - self._shown_at >= _PLAIN_INTERVAL_S:
            self._shown, self._shown_at = text, self.elapsed
            print(stamped, flush=True)


@dataclass
class _Progress:
    """
    How one DAG run and its study stand.
    """

    airflow: Airflow
    dag_id: str
    run_id: str
    screen: _Screen
    _study: Study | None = None

    def show(self, run: Mapping[str, Any]) -> None:
        """
        Show how it goes, told by the journal and by Airflow.
        """
        tasks = self.airflow.task_instances(self.dag_id, self.run_id)
        self._study = self._study or self._find(tasks)
        failed = sum(task["state"] == "failed" for task in tasks)
        running = sorted({task["task_id"] for task in tasks if task["state"] == "running"})
        parts = [self._trials()]
        if failed:
            parts.append(f"{failed} failed")
        parts.append(", ".join(running) or str(run["state"]))
        self.screen.now("; ".join(parts))

    def summary(self) -> dict[str, Any] | None:
        """
        Return what the report would say of the study now; `None` if it has not begun.
        """
        if self._study is None:
            return None
        try:
            return summarise(self._study.record(), self._study.blueprint)
        except StorageError:  # busy; there is a next time
            return None

    def folder(self) -> Path | None:
        """
        Return where the study's files lie.
        """
        if self._study is None:
            return None
        return study_folder(self.airflow.artifacts, self._study.name)

    def _trials(self) -> str:
        summary = self.summary()
        if summary is None:
            return "no trials yet"
        planned = summary["budget"].get("trials", "?")
        states = summary["states"]
        ended = summary["trials"] - states.get("waiting", 0) - states.get("running", 0)
        text = f"{ended}/{planned} trials, {states.get('running', 0)} running"
        return f"{text}, best {_best(summary)}" if summary["best"] else text

    def _find(self, tasks: Sequence[Mapping[str, Any]]) -> Study | None:
        """
        Return the study that the run's tasks say they work on, once it exists.
        """
        names = (task["rendered_fields"].get("study") for task in tasks if task["rendered_fields"])
        name = next(filter(None, names), None)
        try:
            return Study.load(open_storage(self.airflow.storage_url), name) if name else None
        except (StorageError, StudyNotFoundError):
            return None


def _show_result(progress: _Progress, state: str) -> int:
    summary, folder = progress.summary(), progress.folder()
    if state != "success" or summary is None or not summary["best"]:
        reason = f"ended as {state}" if state != "success" else "has no complete trial"
        print(f"\nThe run {progress.run_id} of {progress.dag_id} {reason}.", file=sys.stderr)
        _show_failures(progress.airflow, progress.dag_id, progress.run_id)
        return 1
    counts = ", ".join(f"{count} {name}" for name, count in summary["states"].items())
    say = progress.screen.say
    say(f"\nStudy {summary['study']}: {counts}, in {progress.screen.elapsed:.0f} s")
    if summary["stop"]:
        say(f"Ended: {summary['stop']['reason']}")
    say(f"Best: {_best(summary)}")
    for name, value in summary["best"]["parameters"].items():
        say(f"    {name} = {value:.6g}" if isinstance(value, float) else f"    {name} = {value}")
    if folder and (folder / "report").is_dir():
        say(f"Report: {_short(folder / 'report')}")
    say("")
    return 0


def _show_failures(airflow: Airflow, dag_id: str, run_id: str) -> None:
    """
    Tell which tasks failed, and the end of what the first of them logged.
    """
    try:
        instances = airflow.task_instances(dag_id, run_id)
        instances.sort(key=lambda task: (task["task_id"], task["map_index"]))
        failed = [task for task in instances if task["state"] == "failed"]
        for task in failed[:_LOGS]:
            print(f"\n{_name(task)} failed; its log ends:", file=sys.stderr)
            lines = [line for line in airflow.log(task) if "group::" not in line]
            print("\n".join(f"    {line}" for line in lines[-_LOG_LINES:]), file=sys.stderr)
        if rest := failed[_LOGS:]:
            print(f"\nAlso failed: {', '.join(map(_name, rest))}", file=sys.stderr)
        if instances and not failed:
            states = Counter(str(task["state"]) for task in instances)
            print(f"No task failed; tasks by state: {dict(states)}", file=sys.stderr)
    except StackError:  # no such run, or no answer: the reason for that is told anyway
        return


def _name(task: Mapping[str, Any]) -> str:
    index = f"[{task['map_index']}]" if task["map_index"] >= 0 else ""
    return f"{task['task_id']}{index}"


def _best(summary: Mapping[str, Any]) -> str:
    values = summary["best"]["values"].items()
    shown = ", ".join(f"{name} {value:.6g}" for name, value in values)
    return f"{shown} (trial {summary['best']['number']})"


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _short(path: Path) -> str:
    """
    Return *path* as seen from here, where that is shorter.
    """
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


if __name__ == "__main__":
    sys.exit(main())
