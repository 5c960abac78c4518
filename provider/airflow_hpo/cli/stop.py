"""
``hpo stop``: end a study and the trials of it that run, wherever they do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from airflow_hpo.cli.options import FormatOption, StorageOption, StudyArgument, open_study
from airflow_hpo.cli.output import Format, refuse, say, show_json

if TYPE_CHECKING:
    from airflow_hpo.study import Study

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """
    Add the command to *app*.
    """
    app.command("stop", epilog='Example: hpo stop digits --reason "good enough"')(_stop)


def _stop(
    study: StudyArgument,
    *,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Why, in the report.")
    ] = "somebody stopped it",
    undo: Annotated[
        bool, typer.Option("--undo", help="Let a study that was stopped so go on.")
    ] = False,
    storage: StorageOption = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """
    End a study: no new trial starts, and those that run are ended within seconds,
    in every process and DAG run that works on it.

    They are recorded as pruned, with what they measured; the DAG run ends in success.
    """
    from airflow_hpo.model.stop import Stop

    opened = open_study(storage, study)
    stop = opened.record().stop
    if undo and (stop is None or stop.rule != "user"):
        refuse(f"study {study!r} was not stopped by anybody")
    running = 0 if undo or stop else _running(opened)
    if undo:
        opened.storage.stop(study, None)
        words = f"study {study} may go on"
    elif stop is not None:
        words = f"study {study} has ended already: {stop.reason}"
    else:
        opened.stop(Stop("user", reason))
        noun = "trial" if running == 1 else "trials"
        words = f"study {study} ends; {running} running {noun} will be ended"
    if output is Format.JSON:
        stop = opened.record().stop
        now = None if stop is None else {"rule": stop.rule, "reason": stop.reason}
        show_json({"study": study, "stop": now, "running": running})
    else:
        say(words)


def _running(study: Study) -> int:
    from airflow_hpo.model.trial import TrialState

    return sum(1 for trial in study.record().trials if trial.state is TrialState.RUNNING)
