"""
``hpo run``: a study in this terminal, without a scheduler.
"""

from __future__ import annotations

import shlex
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from airflow_hpo.cli.options import (
    ArtifactsOption,
    BlueprintArgument,
    FormatOption,
    NameOption,
    StorageOption,
    artifacts_folder,
    open_journal,
    read_blueprint,
)
from airflow_hpo.cli.output import Format, complain, refuse, say, show_json, shown_value

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from airflow_hpo.cli.display import Display
    from airflow_hpo.cli.session import Session
    from airflow_hpo.model.blueprint import Blueprint
    from airflow_hpo.report import ReportFiles
    from airflow_hpo.storage.base import Storage
    from airflow_hpo.study import Study

__all__ = ["register"]

# What a shell says of a program that somebody interrupted.
_INTERRUPTED = 130

_StudyOption = Annotated[
    str | None,
    typer.Option(
        "--study",
        metavar="NAME",
        help="The study's name; one that exists is continued. "
        "Default: the blueprint's, else its name and the time.",
        show_default=False,
    ),
]
_TrialsOption = Annotated[
    int | None,
    typer.Option("--trials", min=1, help="The study's budget.", show_default=False),
]
_SeedOption = Annotated[
    int | None,
    typer.Option("--seed", min=0, help="The seed of a new study.", show_default=False),
]
_ConcurrencyOption = Annotated[
    int | None,
    typer.Option("--concurrency", min=1, help="Trials at the same time.", show_default=False),
]
_TakeOverOption = Annotated[
    bool,
    typer.Option(
        "--take-over",
        help="Run here what another machine or a DAG left unfinished. "
        "Make sure that nobody works on it any more.",
    ),
]
_VerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="Show the trials' own output.")
]
_QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Show nothing but how it ended.")]


def register(app: typer.Typer) -> None:
    """
    Add the command to *app*.
    """
    app.command("run", epilog="Example: hpo run digits.yaml --trials 4 --concurrency 2")(_run)


def _run(  # noqa: PLR0913 - a command has as many options
    file: BlueprintArgument,
    *,
    study: _StudyOption = None,
    trials: _TrialsOption = None,
    seed: _SeedOption = None,
    concurrency: _ConcurrencyOption = None,
    storage: StorageOption = None,
    artifacts: ArtifactsOption = None,
    blueprint: NameOption = None,
    take_over: _TakeOverOption = False,
    verbose: _VerboseOption = False,
    quiet: _QuietOption = False,
    output: FormatOption = Format.TEXT,
) -> None:
    """
    Run a study in this terminal, without a scheduler.

    Does what the DAG does. Ctrl-C ends it and keeps all that was told; with the
    same --study it goes on from there.

    Exit code 0: the study ended well. 1: it did not. 130: it was interrupted.
    """
    from airflow_hpo.cli.session import Session
    from airflow_hpo.plan import make_plan

    wanted = read_blueprint(file, blueprint)
    wanted = _chosen(wanted, trials=trials, seed=seed, concurrency=concurrency)
    plan = make_plan(wanted)
    opened = _open(open_journal(storage), study, wanted, plan=plan.to_dict())
    folder = artifacts_folder(artifacts)
    display = _display(opened, folder, verbose=verbose, quiet=quiet, output=output)
    session = Session(
        opened,
        trials=plan.trials,
        artifacts=folder,
        slots=concurrency or wanted.execution.concurrency or wanted.execution.batch_size,
        display=display,
        take_over=take_over,
    )
    display.open()
    try:
        _introduce(opened, display, storage=storage, notes=plan.notes)
        session.run()
    finally:
        display.close()
    again = _command(file, opened.name, storage, artifacts=artifacts, blueprint=blueprint)
    raise typer.Exit(_conclude(session, folder, output=output, again=again))


def _chosen(
    blueprint: Blueprint, *, trials: int | None, seed: int | None, concurrency: int | None
) -> Blueprint:
    """
    Return *blueprint* with what was chosen for this run of it.
    """
    batch = blueprint.execution.batch_size
    if concurrency is not None and concurrency > batch:
        batch = concurrency  # a round has at least as many as shall run at once
    return blueprint.with_settings(trials=trials, batch_size=batch, seed=seed)


def _open(
    storage: Storage, name: str | None, blueprint: Blueprint, *, plan: Mapping[str, Any]
) -> Study:
    from airflow_hpo.study import Study

    name = _default_name(storage, blueprint) if name is None else name
    try:
        return Study.open(storage, name, blueprint, plan=plan)
    except ValueError as error:
        refuse(f"the study cannot be called {name!r}: {error}")


def _default_name(storage: Storage, blueprint: Blueprint) -> str:
    """
    Return the blueprint's own study name, or a new one where it has none.

    A template stands for a new name in each DAG run, so here it does too.
    """
    if blueprint.study is not None and "{" not in blueprint.study:
        return blueprint.study
    stamp = time.strftime("%Y%m%d-%H%M%S")
    name = f"{blueprint.name}-{stamp}"
    known = {summary.name for summary in storage.studies()}
    number = 2
    while name in known:
        name = f"{blueprint.name}-{stamp}-{number}"
        number += 1
    return name


def _display(
    study: Study, artifacts: Path, *, verbose: bool, quiet: bool, output: Format
) -> Display:
    from airflow_hpo.cli import display

    file = sys.stderr if output is Format.JSON else sys.stdout
    kind = display.Bars if file.isatty() else display.Display
    if quiet:
        kind = display.Silence
    return kind(study, artifacts=artifacts, file=file, verbose=verbose)


def _introduce(
    study: Study, display: Display, *, storage: str | None, notes: tuple[str, ...]
) -> None:
    study.begin()
    record = study.record()
    blueprint = study.blueprint
    there = f" ({len(record.trials)} are there)" if record.trials else ""
    aims = ", ".join(objective.aim for objective in blueprint.objectives)
    display.note(
        f"study {study.name}: {aims} in {blueprint.budget.trials} trials{there} "
        f"by {blueprint.strategy.name}"
    )
    for note in (*notes, *study.past()):
        display.note(f"note: {note}")
    wanted = blueprint.strategy.seed
    if wanted is not None and wanted != record.seed:
        display.note(f"note: the study keeps its seed {record.seed}, got {wanted}")
    if storage is not None and storage.startswith("memory://"):
        display.note("note: this journal ends with this process")


def _command(
    file: Path, name: str, storage: str | None, *, artifacts: str | None, blueprint: str | None
) -> str:
    """
    Return the command that goes on with this study.
    """
    words = ["hpo", "run", str(file), "--study", name]
    for option, value in (
        ("--blueprint", blueprint),
        ("--storage", "URL" if storage and "@" in storage else storage),  # no passwords
        ("--artifacts", artifacts),
    ):
        words += [] if value is None else [option, str(value)]
    return shlex.join(words)


def _conclude(session: Session, artifacts: Path, *, output: Format, again: str) -> int:
    """
    Write the report, show how it ended, and return the exit code.
    """
    from dataclasses import astuple

    from airflow_hpo.driver import keep, study_folder
    from airflow_hpo.report import report_on, summarise

    study = session.study
    record = study.record()
    folder = study_folder(artifacts, study.name)
    files = report_on(study, folder)
    keep(folder, astuple(files))
    summary = summarise(record, study.blueprint)
    if output is Format.JSON:
        show_json(summary | {"interrupted": session.interrupted, "report": str(files.summary)})
    else:
        _show(summary, files, session)
    if session.interrupted is not None:
        complain(f"to continue: {again}")
        return _INTERRUPTED
    if session.stop is None:
        complain(f"{_unfinished(session)}; to continue: {again}")
    return 0 if _went_well(session, summary) else 1


def _show(summary: Mapping[str, Any], files: ReportFiles, session: Session) -> None:
    if session.stop is not None and session.interrupted is None:
        say(f"ended: {session.stop.reason}")
    states = ", ".join(f"{count} {state}" for state, count in summary["states"].items())
    say(f"{summary['trials']} trials: {states or 'none'}")
    best = summary["best"]
    if best is None and summary["states"].get("complete"):
        say("no trial satisfies the outcome constraints")
    elif best is None:
        say("no trial is complete")
    else:
        values = ", ".join(f"{name} = {shown_value(it)}" for name, it in best["values"].items())
        say(f"best: #{best['number']} with {values}")
        width = max((len(name) for name in best["parameters"]), default=0)
        for name, value in best["parameters"].items():
            say(f"    {name:<{width}}  {shown_value(value)}")
    say(f"report: {files.html}")


def _unfinished(session: Session) -> str:
    if session.elsewhere:
        return f"the study has not ended: {session.elsewhere} trials are unfinished elsewhere"
    return "the study has not ended: trials were lost that do not count towards its budget"


def _went_well(session: Session, summary: Mapping[str, Any]) -> bool:
    stop = session.stop
    if stop is None or stop.rule in {"failures", "on_failure"} or summary["best"] is None:
        return False
    strict = session.study.blueprint.trial.on_failure == "continue_then_fail"
    return not (strict and "failed" in summary["states"])
