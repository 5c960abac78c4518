"""
``hpo repair``: set right what killed processes left behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from airflow_hpo.cli.options import (
    ArtifactsOption,
    FormatOption,
    StorageOption,
    StudyArgument,
    artifacts_folder,
    open_study,
)
from airflow_hpo.cli.output import Format, say, show_json

if TYPE_CHECKING:
    from airflow_hpo.driver import Stray
    from airflow_hpo.model.trial import Trial

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """
    Add the command to *app*.
    """
    app.command("repair", epilog="Example: hpo repair digits --dry-run")(_repair)


def _repair(
    study: StudyArgument,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be mended.")
    ] = False,
    follow: Annotated[
        bool,
        typer.Option("--follow", help="Wait for jobs that still run, instead of ending them."),
    ] = False,
    take_over: Annotated[
        bool,
        typer.Option(
            "--take-over",
            help="Nobody works on the study any more, on no machine and in no DAG run: "
            "every unfinished trial is lost.",
        ),
    ] = False,
    storage: StorageOption = None,
    artifacts: ArtifactsOption = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """
    Mend what killed processes left behind: trials that are on record as running
    though nobody works on them, and processes that run for nobody.

    Results that a job left are read first: nothing that was measured is lost. Trials that
    were lost do not count; the next run of the study tries others in their place.
    """
    from airflow_hpo.driver import find_strays, mend

    opened, folder = open_study(storage, study), artifacts_folder(artifacts)
    lines: list[dict[str, Any]] = []
    for stray in find_strays(opened, folder, take_over=take_over):
        trial = stray.trial
        if not dry_run:
            trial = mend(opened, stray, artifacts=folder, log=lambda _: None, follow=follow)
        line = _line(stray, trial)
        lines.append(line)
        if output is not Format.JSON:
            say(_text(line, dry_run=dry_run))
    if output is Format.JSON:
        show_json(lines)
    elif not lines:
        say("nothing has strayed")


def _line(stray: Stray, trial: Trial) -> dict[str, Any]:
    return {
        "trial": trial.number,
        "kind": stray.kind.value,
        "what": stray.what,
        "state": trial.state.value,
        "reason": trial.reason,
    }


def _text(line: dict[str, Any], *, dry_run: bool) -> str:
    text = f"#{line['trial']}: {line['what']}"
    if dry_run:
        return text
    if line["kind"] == "orphan":
        return f"{text}: ended"
    return f"{text}: now {line['state']}" + (f" ({line['reason']})" if line["reason"] else "")
