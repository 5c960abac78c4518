"""
``hpo trigger`` and ``hpo watch``: runs of a blueprint's DAG, through Airflow's REST API.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from airflow_hpo.cli.options import FormatOption, read_blueprint
from airflow_hpo.cli.output import Format, complain, refuse, say, show_json, shown_value

if TYPE_CHECKING:
    from airflow_hpo.cli.rest import Airflow

__all__ = ["register"]

_DagArgument = Annotated[
    str, typer.Argument(metavar="DAG", help="A DAG's id, or the file of its blueprint.")
]
_RunArgument = Annotated[
    str | None,
    typer.Argument(metavar="[RUN]", help="A run's id. Default: the newest.", show_default=False),
]
_UrlOption = Annotated[
    str,
    typer.Option(
        "--url",
        metavar="URL",
        envvar="HPO_AIRFLOW_URL",
        help="Where Airflow's UI is.",
    ),
]
_UserOption = Annotated[
    str | None,
    typer.Option(
        "--user",
        metavar="NAME",
        envvar="HPO_AIRFLOW_USER",
        help="Who logs in; the password is HPO_AIRFLOW_PASSWORD, or asked for. "
        "Instead: a token in HPO_AIRFLOW_TOKEN.",
        show_default=False,
    ),
]
_TrialsOption = Annotated[
    int | None, typer.Option("--trials", min=1, help="Overrides the budget.", show_default=False)
]
_BatchOption = Annotated[
    int | None,
    typer.Option("--batch-size", min=1, help="Trials of a round.", show_default=False),
]
_SeedOption = Annotated[
    int | None, typer.Option("--seed", min=0, help="Of the study.", show_default=False)
]
_StudyOption = Annotated[
    str | None,
    typer.Option("--study", metavar="NAME", help="The study's name.", show_default=False),
]
_ConfOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Any other field of the DAG's trigger form; VALUE as JSON, or text.",
        show_default=False,
    ),
]
_UnpauseOption = Annotated[
    bool, typer.Option("--unpause", help="Unpause the DAG first: a paused one's runs wait.")
]
_WatchOption = Annotated[bool, typer.Option("--watch", "-w", help="Then do what hpo watch does.")]
_IntervalOption = Annotated[
    float, typer.Option("--interval", min=0.1, metavar="SECONDS", help="How often to look.")
]

_URL = "http://localhost:8080"

# So many times in a row the server may fail to answer while a run is watched.
_PATIENCE = 10

_INTERRUPTED = 130


def register(app: typer.Typer) -> None:
    """
    Add the commands to *app*.
    """
    app.command("trigger", epilog="Example: hpo trigger digits --trials 8 --watch")(_trigger)
    app.command("watch", epilog="Example: hpo watch digits")(_watch)


def _trigger(  # noqa: PLR0913 - a command has as many options
    dag: _DagArgument,
    *,
    trials: _TrialsOption = None,
    batch_size: _BatchOption = None,
    seed: _SeedOption = None,
    study: _StudyOption = None,
    settings: _ConfOption = None,
    unpause: _UnpauseOption = False,
    watch: _WatchOption = False,
    interval: _IntervalOption = 2.0,
    url: _UrlOption = _URL,
    user: _UserOption = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """
    Start a run of a blueprint's DAG in Airflow.

    What is not given is as the blueprint says. Airflow checks the settings
    before anything runs.

    Exit code 0: it was started; with --watch, it ended well. 1: not. 2: wrong usage.
    """
    chosen = {"trials": trials, "batch_size": batch_size, "seed": seed, "study": study}
    conf = {name: value for name, value in chosen.items() if value is not None}
    conf |= _parsed(settings or [])
    airflow = _airflow(url, user)
    dag_id = _dag_id(dag)
    known = airflow.dag(dag_id)
    if known["is_paused"] and unpause:
        airflow.unpause(dag_id)
    elif known["is_paused"]:
        complain(f"note: DAG {dag_id} is paused, so the run waits: --unpause")
    run = airflow.trigger(dag_id, conf)
    run_id = run["dag_run_id"]
    if watch:
        if output is Format.TEXT:
            say(f"run {run_id}: {airflow.page_of(dag_id, run_id)}")
        raise typer.Exit(_follow(airflow, dag_id, run_id, interval=interval, output=output))
    fields = {"dag": dag_id, "run": run_id, "state": run["state"]}
    fields["url"] = airflow.page_of(dag_id, run_id)
    if output is Format.JSON:
        show_json(fields)
    else:
        say(f"run {run_id} is {run['state']}: {fields['url']}")


def _watch(
    dag: _DagArgument,
    run: _RunArgument = None,
    *,
    interval: _IntervalOption = 2.0,
    url: _UrlOption = _URL,
    user: _UserOption = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """
    Follow a run in Airflow until it ends: how many trials have ended, the best so far.

    Ctrl-C ends the watching; the run goes on.

    Exit code 0: the run ended well. 1: it did not. 130: somebody stopped watching.
    """
    airflow = _airflow(url, user)
    dag_id = _dag_id(dag)
    run_id = airflow.latest_run(dag_id)["dag_run_id"] if run is None else run
    raise typer.Exit(_follow(airflow, dag_id, run_id, interval=interval, output=output))


def _airflow(url: str, user: str | None) -> Airflow:
    from airflow_hpo.cli.rest import Airflow

    def password() -> str:
        known = os.environ.get("HPO_AIRFLOW_PASSWORD")
        if known is not None:
            return known
        if not sys.stdin.isatty():
            refuse("the password must be in HPO_AIRFLOW_PASSWORD: nobody can be asked for it here")
        return str(typer.prompt(f"Password of {user}", hide_input=True, err=True))

    return Airflow(url, user=user, password=password)


def _dag_id(dag: str) -> str:
    """
    Return the id of the DAG that is meant, which may be said by a file.
    """
    path = Path(dag)
    if path.suffix.lower() in {".yaml", ".yml", ".json"} or path.is_file():
        return read_blueprint(path, None).dag_id
    return dag


def _parsed(settings: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for text in settings:
        name, sign, value = text.partition("=")
        if not sign or not name:
            refuse(f"--set must be NAME=VALUE, got {text!r}")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def _follow(airflow: Airflow, dag_id: str, run_id: str, *, interval: float, output: Format) -> int:
    """
    Show a run until it has ended; returns the exit code.
    """
    found: dict[str, Any] = {}
    try:
        with _shown(output) as show:
            for found in _looks(airflow, dag_id, run_id, interval=interval):
                show(found)
    except KeyboardInterrupt:
        complain(f"run {run_id} goes on; to watch it again: hpo watch {dag_id} {run_id}")
        return _INTERRUPTED
    if output is Format.JSON:
        show_json(found)
    else:
        _conclude(found)
    return 0 if found["state"] == "success" else 1


def _looks(
    airflow: Airflow, dag_id: str, run_id: str, *, interval: float
) -> Iterator[dict[str, Any]]:
    """
    Yield what is known of a run, again and again until it has ended.
    """
    from airflow_hpo.cli.rest import RestError

    failures = 0
    while True:
        try:
            found = _look(airflow, dag_id, run_id)
        except RestError as error:
            failures += 1
            if not error.may_pass or failures >= _PATIENCE:
                raise
            complain(f"note: {error}")
        else:
            failures = 0
            yield found
            if found["state"] in {"success", "failed"}:
                return
        time.sleep(interval)


def _look(airflow: Airflow, dag_id: str, run_id: str) -> dict[str, Any]:
    # The run first: what is read of its study after it has ended is final.
    state = airflow.run(dag_id, run_id)["state"]
    found = {
        "dag": dag_id,
        "run": run_id,
        "state": state,
        "url": airflow.page_of(dag_id, run_id),
        **dict.fromkeys(("study", "trials", "budget", "best", "stop")),
    }
    summary = airflow.study_of(dag_id, run_id)
    if summary is None:
        return found | {"states": airflow.trial_states(dag_id, run_id)}
    known = {name: summary[name] for name in ("study", "trials", "states", "best", "stop")}
    return found | known | {"budget": summary["budget"]["trials"]}


_ENDED = {"complete", "pruned", "infeasible", "failed", "success", "skipped", "upstream_failed"}


def _line(found: Mapping[str, Any]) -> tuple[int, str]:
    """
    Return how many trials have ended, and the rest in words.
    """
    states: Mapping[str, int] = found["states"] or {}
    ended = sum(count for state, count in states.items() if state in _ENDED)
    words = [f"{count} {state}" for state, count in states.items() if count]
    if found["best"]:
        values = found["best"]["values"].items()
        shown = ", ".join(f"{name} = {shown_value(value)}" for name, value in values)
        words.append(f"best {shown} (#{found['best']['number']})")
    return ended, "  ".join(words) or f"run {found['state']}"


@contextmanager
def _shown(output: Format) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """
    Give what shows a look: a bar on a terminal, otherwise a line where something is new.
    """
    file = sys.stderr if output is Format.JSON else sys.stdout
    if file.isatty():
        with _bar(file) as bar:
            yield bar
    else:
        yield _lines(output)


def _lines(output: Format) -> Callable[[Mapping[str, Any]], None]:
    last: list[str] = []

    def show(found: Mapping[str, Any]) -> None:
        ended, words = _line(found)
        total = f" of {found['budget']}" if found["budget"] else ""
        line = f"{ended}{total} trials ended  {words}"
        if last != [line] and output is Format.TEXT:
            say(line)
        last[:] = [line]

    return show


@contextmanager
def _bar(file: TextIO) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[words]}"),
    )
    with Progress(*columns, console=Console(file=file)) as progress:
        task = progress.add_task("trials", total=None, words="")

        def show(found: Mapping[str, Any]) -> None:
            ended, words = _line(found)
            progress.update(task, completed=ended, total=found["budget"], words=escape(words))

        yield show


def _conclude(found: Mapping[str, Any]) -> None:
    if found["stop"]:
        say(f"ended: {found['stop']['reason']}")
    if found["best"]:
        _, words = _line({**found, "states": {}})
        say(words)
        for name, value in found["best"]["parameters"].items():
            say(f"    {name}  {shown_value(value)}")
    say(f"run {found['run']}: {found['state']}")
