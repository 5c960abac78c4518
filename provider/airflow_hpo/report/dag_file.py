"""
BLUEPRINT + PLAN -> DAG FILE: Python that a person can read, review and change.

Nothing of Airflow is needed to write it. The file's first lines say what made
it and hold the checksum of the rest, by which a change by hand is noticed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import textwrap
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from airflow_hpo.plan import make_plan
from airflow_hpo.report.templates import render_text
from airflow_hpo.strategies import STRATEGIES

if TYPE_CHECKING:
    from airflow_hpo.model.blueprint import Blueprint
    from airflow_hpo.model.ladder import Bracket
    from airflow_hpo.plan import Plan

__all__ = ["Origin", "dag_file", "origin_of"]

Origin = Literal["generated", "edited", "foreign"]

# Airflow's default: no mapped task has more instances.
_MOST_SLOTS = 1024

# The longest line that formatters leave alone, and where a docstring's are broken.
_LINE = 88
_WIDTH = 86

_BODY = "# hpo-generated: "


def dag_file(blueprint: Blueprint, *, target: Path, version: str) -> str:
    """
    Return the text of a Python file whose DAG is that of *blueprint*.

    Args:
        blueprint: Of a file.

        target: Where the text is to be written: it names the blueprint's file
            as seen from there.

        version: Of the program that writes it.
    """
    plan = make_plan(blueprint)
    file = Path(os.path.relpath(Path(blueprint.source.file).resolve(), target.resolve().parent))
    known = _known(blueprint, plan, file.as_posix())
    body = render_text("dag.py.jinja", yaml=_python, py=_python, **known)
    body = re.sub(r"\n{4,}", "\n\n\n", body).rstrip() + "\n"
    lines = [
        f"# Made by `hpo generate {file.name}`, airflow-provider-hpo {version}.",
        "# Change what you like: it is then yours, and only written over with --force.",
        f"{_BODY}sha256 {_digest(body)}",
    ]
    return "\n".join(lines) + "\n" + body


def origin_of(text: str) -> Origin:
    """
    Return whether *text* is as `dag_file` made it, was changed since, or is another's.
    """
    match = re.search(rf"^{_BODY}sha256 ([0-9a-f]{{64}})\n", text, re.MULTILINE)
    if match is None:
        return "foreign"
    return "generated" if _digest(text[match.end() :]) == match[1] else "edited"


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()


def _known(blueprint: Blueprint, plan: Plan, file: str) -> dict[str, Any]:
    """
    Return what the template names.
    """
    spec = blueprint.dag
    arguments = {} if spec.owner is None else {"owner": spec.owner}
    default_args = "".join(f"{_python(key)}: {_python(arguments[key])}, " for key in arguments)
    schedule = spec.schedule
    timed = schedule is None or isinstance(schedule, str)
    title = f"{blueprint.name}: {' '.join(blueprint.description.split())}".rstrip(": ")
    return {
        "title": _prose(title if title.endswith(".") else f"{title}."),
        "shape": _prose(_shape(plan, blueprint)),
        "mode": plan.mode,
        "blueprint": file,
        "name": blueprint.name,
        "sha256": blueprint.source.sha256,
        "dag_id": blueprint.dag_id,
        "description": blueprint.description,
        "schedule": _python(schedule) if timed else "schedule_of(site.blueprint.dag.schedule)",
        "start": _start(spec.start_date),
        "catchup": spec.catchup,
        "tags": ["hpo", *spec.tags],
        "default_args": f'{{{default_args}"retries": {spec.retries}, **RETRIES}}',
        "rounds": plan.rounds,
        "width": max(2, len(str(len(plan.rounds) - 1))),
        "brackets": [_bracket(each) for each in plan.brackets],
        "staggered": bool(STRATEGIES.load(blueprint.strategy.name).learns_from_rungs)
        if plan.mode == "ladder"
        else False,
        "slots": _slots(plan),
    }


def _bracket(bracket: Bracket) -> str:
    """
    Return a bracket as an entry of a mapping: on one line where that is not too long.
    """
    rungs = [f"({rung.trials}, {rung.resource})" for rung in bracket.rungs]
    begin = f"    {_python(bracket.name)}: ("
    line = f"{begin}{bracket.iteration}, {bracket.bracket}, [{', '.join(rungs)}]),"
    if len(line) <= _LINE:
        return line
    return "\n".join(
        [
            begin,
            *(f"        {number}," for number in (bracket.iteration, bracket.bracket)),
            "        [",
            *(f"            {rung}," for rung in rungs),
            "        ],",
            "    ),",
        ]
    )


def _slots(plan: Plan) -> list[tuple[str, int, int]]:
    starts = range(0, plan.trials, _MOST_SLOTS)
    names = ["trial"] if len(starts) == 1 else [f"trial_{part}" for part in range(len(starts))]
    return [
        (name, start, min(start + _MOST_SLOTS, plan.trials))
        for name, start in zip(names, starts, strict=True)
    ]


def _shape(plan: Plan, blueprint: Blueprint) -> str:
    noun = "trial" if plan.trials == 1 else "trials"
    sizes = {
        "batch": f"in {len(plan.rounds)} rounds, one after the other",
        "async": f"{plan.peak_parallelism} at a time, each as soon as another has ended",
        "ladder": f"in {len(plan.brackets)} brackets, whose best move up rung by rung",
    }
    strategy = blueprint.strategy.name
    return f"At most {plan.trials} {noun} by the strategy {strategy}, {sizes[plan.mode]}."


def _start(text: str | None) -> str:
    """
    Return the Python expression of a date; empty where there is none.
    """
    if text is None:
        return ""
    date = datetime.fromisoformat(re.sub("[zZ]$", "+00:00", text.strip()))
    date = date if date.tzinfo is not None else date.replace(tzinfo=timezone.utc)
    return f"datetime.fromisoformat({_python(date.isoformat())})"


def _prose(text: str) -> str:
    """
    Return *text* as lines of a docstring.
    """
    safe = text.replace("\\", "/").replace('"""', "'''")
    return "\n".join(textwrap.wrap(safe, _WIDTH))


def _python(value: Any) -> str:  # noqa: ANN401 - text, or a list of it
    """
    Return *value* as Python writes it, with the quotes that need the fewest escapes.
    """
    if value is None:
        return "None"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_python, value))}]"
    text = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, str) or value.count('"') <= value.count("'"):
        return text
    inner = text[1:-1].replace('\\"', '"').replace("'", "\\'")
    return f"'{inner}'"
