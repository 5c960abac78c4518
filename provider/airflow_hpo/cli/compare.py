"""
``hpo compare``: studies side by side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from airflow_hpo.cli.options import FormatOption, StorageOption, known_studies, open_study
from airflow_hpo.cli.output import (
    Format,
    cut,
    refuse,
    say,
    show_json,
    show_table,
    shown_duration,
    shown_value,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_hpo.study import Study

__all__ = ["register"]

_FEWEST = 2

# Reasons are cut to this many characters.
_REASON = 40


def register(app: typer.Typer) -> None:
    """
    Add the command to *app*.
    """
    app.command("compare", epilog="Example: hpo compare digits digits-2")(_compare)


def _compare(
    studies: Annotated[
        list[str],
        typer.Argument(metavar="STUDY STUDY...", help="Two or more.", autocompletion=known_studies),
    ],
    *,
    storage: StorageOption = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """
    Show studies side by side: what each found, after how many trials, with what.

    Where they have the same objective, it says which is best, how far the others
    are behind it, and after how many trials each was as good as the worst of them.
    """
    if len(set(studies)) < _FEWEST:
        refuse(f"two or more different studies must be given, got {', '.join(studies)}")
    opened = [open_study(storage, name) for name in dict.fromkeys(studies)]
    columns = [_column(study) for study in opened]
    verdict = _verdict(opened)
    if output is Format.JSON:
        show_json({"studies": columns, **verdict})
        return
    _show(columns, verdict)


def _column(study: Study) -> dict[str, Any]:
    from airflow_hpo.report import summarise

    summary = summarise(study.record(), study.blueprint)
    best = summary["best"]
    return {
        "study": study.name,
        "objectives": [objective.aim for objective in study.blueprint.objectives],
        "strategy": summary["strategy"],
        "seed": summary["seed"],
        "status": summary["status"],
        "stop": None if summary["stop"] is None else summary["stop"]["reason"],
        "trials": summary["trials"],
        "states": summary["states"],
        "trial_time_s": summary["trial_time_s"],
        "values": None if best is None else best["values"],
        "best_trial": None if best is None else best["number"],
        "parameters": None if best is None else best["parameters"],
        "hypervolume": summary.get("hypervolume"),
    }


def _verdict(studies: Sequence[Study]) -> dict[str, Any]:
    """
    Return which study is best and how far behind the others are; nothing where that means nothing.
    """
    first = studies[0].blueprint.objectives
    aims = {
        tuple((each.metric, each.direction, each.target) for each in study.blueprint.objectives)
        for study in studies
    }
    bests = {study.name: study.best() for study in studies}
    if len(aims) > 1 or len(first) > 1 or None in bests.values():
        return {"best": None, "behind": None, "trials_to_level": None}
    losses = {
        name: first[0].loss(trial.values[0])
        for name, trial in bests.items()
        if trial is not None and trial.values
    }
    lowest, level = min(losses.values()), max(losses.values())
    return {
        "best": min(losses, key=losses.__getitem__),
        "behind": {name: value - lowest for name, value in losses.items()},
        "trials_to_level": {study.name: _until(study, level) for study in studies},
    }


def _until(study: Study, level: float) -> int | None:
    """
    Return how many trials it took until one was as good as *level*.
    """
    objective = study.blueprint.objectives[0]
    for trial in study.blueprint.outcomes.feasible(study.record().trials):
        if trial.is_complete and trial.values and objective.loss(trial.values[0]) <= level:
            return trial.number + 1
    return None


def _show(columns: Sequence[Mapping[str, Any]], verdict: Mapping[str, Any]) -> None:
    rows = [
        ["objective", *(", ".join(each["objectives"]) for each in columns)],
        ["strategy", *(each["strategy"] for each in columns)],
        ["seed", *(str(each["seed"]) for each in columns)],
        ["ended", *(cut(each["stop"] or f"({each['status']})", _REASON) for each in columns)],
        ["trials", *(_states(each["states"]) for each in columns)],
        ["trials' time", *(shown_duration(each["trial_time_s"]) for each in columns)],
    ]
    rows += [
        [name, *(shown_value((each["values"] or {}).get(name)) for each in columns)]
        for name in _names(columns, "values")
    ]
    if any(each["hypervolume"] for each in columns):
        volumes = [(each["hypervolume"] or {}).get("value") for each in columns]
        rows.append(["hypervolume", *map(shown_value, volumes)])
    rows.append(["best trial", *(_number(each["best_trial"]) for each in columns)])
    rows += [
        [f"  {name}", *(shown_value((each["parameters"] or {}).get(name)) for each in columns)]
        for name in _names(columns, "parameters")
    ]
    show_table(["", *(each["study"] for each in columns)], rows)
    if verdict["best"] is not None:
        say()
        say(f"best: {verdict['best']}")
        for name, behind in verdict["behind"].items():
            count = verdict["trials_to_level"][name]
            say(f"    {name}: {shown_value(behind)} behind; level with the worst after {count}")


def _names(columns: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    return list(dict.fromkeys(name for each in columns for name in each[key] or {}))


def _states(states: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in states.items())


def _number(number: int | None) -> str:
    return "" if number is None else f"#{number}"
