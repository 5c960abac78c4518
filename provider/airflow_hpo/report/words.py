"""
SUMMARY -> MARKDOWN: the same for people.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_hpo.model.values import Value

__all__ = ["plan_rows", "shown_volume", "summary_markdown"]


def summary_markdown(summary: Mapping[str, Any]) -> str:
    """
    Return a summary for people, in Markdown.
    """
    best = summary["best"]
    lines = [f"# Study {_cell(summary['study'])}", ""]
    if summary["stop"] is not None:
        lines += [f"Ended: {_cell(summary['stop']['reason'])}.", ""]
    counts = ", ".join(f"{count} {state}" for state, count in summary["states"].items())
    lines += [f"{summary['trials']} trials ({counts or 'none yet'}).", ""]
    if "feasible" in summary:
        constraints = ", ".join(map(_cell, summary["outcome_constraints"]))
        lines += [f"{summary['feasible']} satisfy the outcome constraints: {constraints}.", ""]
    lines += [f"- {_cell(note)}" for note in summary["history"]]
    lines += [""] if summary["history"] else []
    if best is None and summary["states"].get("complete"):
        lines += ["No trial satisfies the outcome constraints."]
    elif best is None:
        lines += ["No trial is complete."]
    elif "front" in summary:
        lines += _front_lines(summary["front"], summary["hypervolume"])
    else:
        value = ", ".join(f"{name} = {value:.6g}" for name, value in best["values"].items())
        lines += [f"Best: trial {best['number']} with {value}.", ""]
        lines += ["| parameter | value |", "|---|---|"]
        lines += [f"| {_cell(name)} | {_cell(it)} |" for name, it in best["parameters"].items()]
    return "\n".join([*lines, *_plan_lines(summary), ""])


def _plan_lines(summary: Mapping[str, Any]) -> list[str]:
    rows = plan_rows(summary)
    head = ["", "| | planned at most | actual |", "|---|---|---|"]
    return [*head, *map(_row, rows)] if rows else []


def plan_rows(summary: Mapping[str, Any]) -> list[list[str]]:
    """
    Return planned beside actual, a row a number; nothing for a study without a plan.
    """
    planned, done = summary["planned"], summary["actual"]
    if not planned.get("trials"):
        return []
    rows = [["trials", planned["trials"], done["trials"]]]
    ran = {
        (bracket["iteration"], bracket["bracket"], rung["rung"]): rung["trials"]
        for bracket in done["brackets"]
        for rung in bracket["rungs"]
    }
    for bracket in planned.get("brackets", ()):
        for rung in bracket["rungs"]:
            place = (bracket.get("iteration", 0), bracket["bracket"], rung["rung"])
            turn = f"iteration {place[0]}, " if place[0] else ""
            what = f"{turn}bracket {place[1]}, rung {place[2]} on {rung['resource']:g}"
            rows.append([what, rung["trials"], ran.get(place, 0)])
    rows += [
        [key.replace("_", " "), f"{planned[key]:.6g}", f"{done[key]:.6g}"]
        for key in ("total_resource", "full_trials", "peak_parallelism")
        if key in planned  # an earlier version's plan may lack it
    ]
    return [[str(cell) for cell in row] for row in rows]


def _front_lines(front: Sequence[Mapping[str, Any]], volume: Mapping[str, Any]) -> list[str]:
    """
    Return a Pareto front as a table, parameters that a trial lacks left empty.
    """
    metrics = list(front[0]["values"])
    parameters = list(dict.fromkeys(name for trial in front for name in trial["parameters"]))
    names = ["trial", *map(_cell, metrics), *map(_cell, parameters)]
    rows = [
        [
            str(trial["number"]),
            *(f"{value:.6g}" for value in trial["values"].values()),
            *(
                _cell(trial["parameters"][name]) if name in trial["parameters"] else ""
                for name in parameters
            ),
        ]
        for trial in front
    ]
    noun = "trial is" if len(front) == 1 else "trials are"
    return [
        *([] if volume["value"] is None else [f"Hypervolume: {_cell(shown_volume(volume))}.", ""]),
        f"Pareto front: {len(front)} {noun} beaten by no other in every objective.",
        "",
        _row(names),
        "|---" * len(names) + "|",
        *map(_row, rows),
    ]


def shown_volume(volume: Mapping[str, Any]) -> str:
    """
    Return a hypervolume with its reference point, for people.
    """
    point = ", ".join(f"{name} = {value:.6g}" for name, value in volume["reference"].items())
    return f"{volume['value']:.6g} from {point}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: Value) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.replace("|", "\\|").replace("\n", " ")
