"""
``hpo status`` and ``hpo top``: what is known of studies.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from airflow_hpo.cli.options import (
    ArtifactsOption,
    FormatOption,
    StorageOption,
    StudyArgument,
    artifacts_folder,
    open_journal,
    open_study,
)
from airflow_hpo.cli.output import (
    Format,
    cut,
    say,
    show_json,
    show_table,
    shown_duration,
    shown_time,
    shown_value,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from airflow_hpo.model.record import StudySummary
    from airflow_hpo.model.trial import Trial
    from airflow_hpo.study import Study

__all__ = ["register"]

# Reasons in a list of studies are cut to this many characters.
_REASON = 60


def register(app: typer.Typer) -> None:
    """
    Add the commands to *app*.
    """
    app.command("status", epilog="Example: hpo status digits --format json")(_status)
    app.command("top", epilog="Example: hpo top digits -n 3")(_top)


def _status(
    study: Annotated[
        str | None, typer.Argument(metavar="[STUDY]", help="One study; all by default.")
    ] = None,
    *,
    storage: StorageOption = None,
    artifacts: ArtifactsOption = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """
    Show how studies stand: all of them, or one with what it is running.

    Of one study it also shows what killed processes left behind; hpo repair
    sets that right.
    """
    if study is None:
        summaries = open_journal(storage).studies()
        if output is Format.JSON:
            show_json([_line(summary) for summary in summaries])
        elif summaries:
            _show_list(summaries)
        else:
            say("there are no studies yet")
        return
    details = _details(open_study(storage, study), artifacts_folder(artifacts))
    if output is Format.JSON:
        show_json(details)
    else:
        _show_details(details)


def _line(summary: StudySummary) -> dict[str, Any]:
    stop = summary.stop
    return {
        "study": summary.name,
        "created": summary.created,
        "trials": summary.trials,
        "states": dict(summary.states),
        "stop": None if stop is None else {"rule": stop.rule, "reason": stop.reason},
    }


def _show_list(summaries: Sequence[StudySummary]) -> None:
    lines = map(_line, summaries)
    show_table(
        ["study", "created", "trials", "states", "ended"],
        (
            [
                line["study"],
                shown_time(line["created"]),
                line["trials"],
                _states(line["states"]),
                cut(line["stop"]["reason"], _REASON) if line["stop"] else "",
            ]
            for line in lines
        ),
    )


def _states(states: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in states.items() if count)


def _details(study: Study, artifacts: Path) -> dict[str, Any]:
    """
    Return the study's summary, what its running trials measured last, and what has strayed.
    """
    from airflow_hpo.driver import find_strays
    from airflow_hpo.model.trial import TrialState
    from airflow_hpo.report import summarise

    record = study.record()
    running = [trial for trial in record.trials if trial.state is TrialState.RUNNING]
    return summarise(record, study.blueprint) | {
        "running": [_running(study, trial) for trial in running],
        "strays": [
            {"trial": stray.trial.number, "kind": stray.kind.value, "what": stray.what}
            for stray in find_strays(study, artifacts)
        ],
    }


def _running(study: Study, trial: Trial) -> dict[str, Any]:
    measured = study.storage.measurements(study.name, trial.number)
    last = measured[-1] if measured else None
    return {
        "number": trial.number,
        "attempt": trial.attempt,
        "started": trial.started,
        "parameters": dict(trial.configuration),
        "measurement": None
        if last is None
        else {"metrics": dict(last.metrics), "resource": last.resource, "time": last.time},
    }


def _show_details(details: Mapping[str, Any]) -> None:
    say(f"study {details['study']} (blueprint {details['blueprint']}, {details['strategy']})")
    stop = details["stop"]
    say(f"ended: {stop['reason']}" if stop else details["status"])
    budget = details["budget"]["trials"]
    states = _states(details["states"]) or "none yet"
    say(f"trials: {states} (budget: {budget})")
    for note in details["history"]:
        say(f"note: {note}")
    if "feasible" in details:
        say(f"feasible: {details['feasible']} ({', '.join(details['outcome_constraints'])})")
    best = details["best"]
    if best is not None:
        values = ", ".join(f"{name} = {shown_value(it)}" for name, it in best["values"].items())
        say(f"best: #{best['number']} with {values}")
        if "front" in details:
            numbers = ", ".join(f"#{trial['number']}" for trial in details["front"])
            say(f"beaten by no other in every objective: {numbers}")
            _show_volume(details["hypervolume"])
        show_table(["parameter", "value"], list(best["parameters"].items()))
    if details["running"]:
        say()
        show_table(["running", "for", "last measured"], map(_running_row, details["running"]))
    for stray in details["strays"]:
        say(f"stray: #{stray['trial']}: {stray['what']} (hpo repair mends it)")


def _show_volume(volume: Mapping[str, Any]) -> None:
    from airflow_hpo.report import shown_volume

    if volume["value"] is not None:
        say(f"hypervolume: {shown_volume(volume)}")


def _running_row(trial: Mapping[str, Any]) -> list[str]:
    last = trial["measurement"]
    metrics = last["metrics"] if last else {}
    return [
        f"#{trial['number']}",
        shown_duration(time.time() - trial["started"]) if trial["started"] else "",
        " ".join(f"{name}={shown_value(value)}" for name, value in metrics.items()),
    ]


def _top(
    study: StudyArgument,
    *,
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="How many at most.")] = 10,
    storage: StorageOption = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """
    Show the best trials of a study, best first, feasible ones before others.

    With several objectives those come first that no other beats in all of
    them (rank 0), each rank by the first objective.
    """
    opened = open_study(storage, study)
    metrics = [objective.metric for objective in opened.blueprint.objectives]
    best = [
        _top_line(trial, metrics, opened) | ({} if len(metrics) == 1 else {"rank": rank})
        for rank, trial in _ranked(opened)[:count]
    ]
    if output is Format.JSON:
        show_json(best)
    elif not best:
        say("no trial is complete")
    else:
        parameters = [parameter.name for parameter in opened.blueprint.space.tunable]
        ranked = ["rank"] if len(metrics) > 1 else []
        ranked += ["feasible"] if opened.blueprint.outcome_constraints else []
        show_table(
            ["trial", *ranked, *metrics, *parameters, "took"],
            ([*_top_row(line, metrics, parameters)] for line in best),
        )


def _ranked(study: Study) -> list[tuple[int, Trial]]:
    """
    Return the complete trials with their ranks, best first.
    """
    from airflow_hpo.model.objective import loss
    from airflow_hpo.model.pareto import ranks

    objectives = study.blueprint.objectives
    complete = [trial for trial in study.record().trials if trial.is_complete and trial.values]
    allow = study.blueprint.outcomes.allow
    # Whatever a trial measured is worse than anything where it is not feasible.
    losses = [
        loss(objectives, trial.values or ()) if allow(trial) else (math.inf,) * len(objectives)
        for trial in complete
    ]
    # With one objective every distinct loss would be a rank of its own.
    fronts = ranks(losses) if len(objectives) > 1 else [0] * len(losses)
    found = zip(fronts, losses, complete, strict=True)
    ordered = sorted(found, key=lambda item: (item[0], item[1], item[2].number))
    return [(rank, trial) for rank, _, trial in ordered]


def _top_line(trial: Trial, metrics: list[str], study: Study) -> dict[str, Any]:
    outcomes = study.blueprint.outcomes
    return {
        **({"feasible": outcomes.allow(trial)} if outcomes.constraints else {}),
        "number": trial.number,
        "values": dict(zip(metrics, trial.values or (), strict=True)),
        "parameters": dict(trial.configuration),
        "metrics": dict(trial.metrics),
        "sampler": trial.sampler,
        "duration_s": trial.duration,
    }


def _top_row(line: Mapping[str, Any], metrics: list[str], parameters: list[str]) -> list[Any]:
    return [
        f"#{line['number']}",
        *([line["rank"]] if "rank" in line else []),
        *([line["feasible"]] if "feasible" in line else []),
        *(line["values"][metric] for metric in metrics),
        *(line["parameters"].get(name) for name in parameters),
        shown_duration(line["duration_s"]),
    ]
