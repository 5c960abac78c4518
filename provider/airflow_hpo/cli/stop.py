"""
``hpo stop``: end a study and the trials of it that run, wherever they do.
"""

from __future__ import annotations

from typing import Annotated

import typer

from airflow_hpo.cli.options import StorageOption, StudyArgument, open_study
from airflow_hpo.cli.output import refuse, say

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
) -> None:
    """
    End a study: no new trial starts, and those that run are ended within seconds,
    in every process and DAG run that works on it.

    They are recorded as pruned, with what they measured; the DAG run ends in success.
    """
    from airflow_hpo.model.stop import Stop
    from airflow_hpo.model.trial import TrialState

    opened = open_study(storage, study)
    record = opened.record()
    if undo:
        if record.stop is None or record.stop.rule != "user":
            refuse(f"study {study!r} was not stopped by anybody")
        opened.storage.stop(study, None)
        say(f"study {study} may go on")
        return
    if record.stop is not None:
        say(f"study {study} has ended already: {record.stop.reason}")
        return
    opened.stop(Stop("user", reason))
    running = sum(1 for trial in record.trials if trial.state is TrialState.RUNNING)
    noun = "trial" if running == 1 else "trials"
    say(f"study {study} ends; {running} running {noun} will be ended")
