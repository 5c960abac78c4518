"""
``hpo init``: a blueprint to start from.
"""

from __future__ import annotations

import json
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from airflow_hpo.cli.options import FormatOption
from airflow_hpo.cli.output import Format, complain, refuse, say, show_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["register"]

_FileArgument = Annotated[
    Path, typer.Argument(metavar="[FILE]", help="The file to write; - for standard output.")
]
_NameOption = Annotated[
    str | None,
    typer.Option("--name", metavar="NAME", help="Default: the file's name.", show_default=False),
]
_MetricOption = Annotated[
    list[str] | None,
    typer.Option(
        "--metric",
        metavar="NAME[:DIRECTION]",
        help="What to optimise, such as val_loss:minimize; several for a Pareto front.",
        show_default=False,
    ),
]
_ParameterOption = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        metavar="NAME=VALUES",
        help="Searched: lr=1e-5..0.1:log, hidden=16..128:16 (in steps), optimizer=sgd,adam.",
        show_default=False,
    ),
]
_ResourceOption = Annotated[
    str | None,
    typer.Option(
        "--resource",
        metavar="NAME=MIN..MAX",
        help="What good trials get more of, such as epochs=1..81: the strategy is asha.",
        show_default=False,
    ),
]
_CommandOption = Annotated[
    str | None,
    typer.Option(
        "--command",
        metavar="TEXT",
        help="What a trial runs. Default: python train.py with an option a parameter.",
        show_default=False,
    ),
]
_TrialsOption = Annotated[int, typer.Option("--trials", min=1, help="The budget.")]
_ParallelOption = Annotated[int, typer.Option("--parallel", min=1, help="Trials at the same time.")]
_AskOption = Annotated[
    bool | None,
    typer.Option(
        "--ask/--no-ask",
        help="Ask for what is not given. Default: on a terminal, if nothing is given.",
        show_default=False,
    ),
]
_ForceOption = Annotated[bool, typer.Option("--force", help="Write over a file that is there.")]

_RANGE = re.compile(r"(?P<low>[^.]*(?:\.\d[^.]*)?)\.\.(?P<high>[^:]+)(?P<rest>(?::[^:]+)*)")

_EXAMPLES = ("learning_rate=1e-5..0.1:log", "hidden=16..128:16", "optimizer=sgd,adam")


def register(app: typer.Typer) -> None:
    """
    Add the command to *app*.
    """
    app.command(
        "init",
        epilog="Example: hpo init mnist.yaml --metric val_loss:minimize --param lr=1e-5..0.1:log",
    )(_init)


def _init(  # noqa: PLR0913 - a command has as many options
    file: _FileArgument = Path("blueprint.yaml"),
    *,
    name: _NameOption = None,
    metrics: _MetricOption = None,
    parameters: _ParameterOption = None,
    resource: _ResourceOption = None,
    command: _CommandOption = None,
    trials: _TrialsOption = 20,
    parallel: _ParallelOption = 4,
    ask: _AskOption = None,
    force: _ForceOption = False,
    output: FormatOption = Format.TEXT,
) -> None:
    """
    Write a blueprint to start from, with a comment on each part.

    On a terminal it asks; with flags it does not. What it writes passes hpo check.
    """
    if str(file) != "-" and file.exists() and not force:
        refuse(f"{file} is there already\n    hint: --force writes over it")
    if ask is None:
        ask = sys.stdin.isatty() and not any((name, metrics, parameters, resource, command))
    given = {
        "name": name or _name_of(file),
        "metrics": metrics or ["val_accuracy:maximize"],
        "parameters": parameters or list(_EXAMPLES),
        "resource": resource or "",
        "trials": trials,
        "parallel": parallel,
    }
    if ask:
        given = _asked(given)
    known = _understood(given)
    known["command"] = command or _command(known)
    if ask and command is None:
        known["command"] = typer.prompt("What a trial runs", default=known["command"], err=True)
    text = _written(known, file)
    if str(file) == "-":
        typer.echo(text, nl=False)
        return
    _keep(file, text)
    if output is Format.JSON:
        show_json({"file": str(file), "name": known["name"]})
    else:
        say(f"{file} is written; next: hpo check {file}, hpo plan {file}, hpo run {file}")


def _name_of(file: Path) -> str:
    return re.sub(r"[^\w.-]+", "-", file.stem).strip("-") or "my-model"


def _asked(given: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return *given* as somebody at the terminal wants it.
    """

    def ask(text: str, default: object, kind: Callable[[str], Any] = str) -> Any:  # noqa: ANN401
        return typer.prompt(text, default=default, type=kind, err=True)

    found = dict(given)
    found["name"] = ask("Name of the study", given["name"])
    found["metrics"] = ask("Metric and direction", given["metrics"][0]).split()
    found["parameters"] = []
    complain("Parameters, one a line, such as " + " or ".join(_EXAMPLES))
    while line := ask("Parameter (nothing to end)", "").strip():
        found["parameters"].append(line)
    found["parameters"] = found["parameters"] or list(_EXAMPLES)
    found["resource"] = ask("Resource of trials, such as epochs=1..81 (or nothing)", "").strip()
    found["trials"] = ask("How many trials", given["trials"], int)
    found["parallel"] = ask("How many at the same time", given["parallel"], int)
    return found


def _understood(given: Mapping[str, Any]) -> dict[str, Any]:
    objectives = [_objective(text) for text in given["metrics"]]
    resource = _resource(given["resource"]) if given["resource"] else None
    strategy = "tpe" if len(objectives) == 1 else "nsga2"
    if resource is not None and len(objectives) > 1:
        refuse("--resource must be given with one --metric, got several")
    return {
        "name": given["name"],
        "objectives": objectives,
        "parameters": dict(_parameter(text) for text in given["parameters"]),
        "resource": resource,
        "strategy": "asha" if resource else strategy,
        "trials": given["trials"],
        "parallel": given["parallel"],
    }


def _objective(text: str) -> dict[str, str]:
    metric, _, direction = text.rpartition(":") if ":" in text else (text, "", "")
    if not direction:
        direction = "minimize" if re.search("loss|err|cost|time|latency", metric) else "maximize"
    if direction not in {"minimize", "maximize"} or not metric:
        refuse(f"--metric must be NAME:minimize or NAME:maximize, got {text!r}")
    return {"metric": metric, "direction": direction}


def _parameter(text: str) -> tuple[str, dict[str, Any]]:
    name, sign, values = (part.strip() for part in text.partition("="))
    if not sign or not name or not values:
        refuse(f"--param must be NAME=LOW..HIGH or NAME=A,B,C, got {text!r}")
    found = None if "," in values else _RANGE.fullmatch(values)
    if found is None:
        return name, {"choice": [_value(each.strip()) for each in values.split(",")]}
    low, high = _value(found["low"]), _value(found["high"])
    if isinstance(low, str) or isinstance(high, str):
        refuse(f"--param {name}: the ends of a range must be numbers, got {values!r}")
    kind = "int" if isinstance(low, int) and isinstance(high, int) else "float"
    distribution: dict[str, Any] = {kind: [low, high]}
    for word in filter(None, found["rest"].split(":")):
        if word == "log":
            distribution["log"] = True
        elif isinstance(_value(word), (int, float)):
            distribution["step"] = _value(word)
        else:
            refuse(f"--param {name}: behind a range come log or a step, got {word!r}")
    return name, distribution


def _resource(text: str) -> dict[str, Any]:
    name, distribution = _parameter(text)
    ends = distribution.get("int") or distribution.get("float")
    if ends is None:
        refuse(f"--resource must be NAME=MIN..MAX, got {text!r}")
    return {"name": name, "min": ends[0], "max": ends[1]}


def _value(text: str) -> Any:  # noqa: ANN401 - a number, a truth value or text
    if text in {"true", "false"}:
        return text == "true"
    with suppress(ValueError):
        return int(text)
    with suppress(ValueError):
        return float(text)
    return text


def _command(known: Mapping[str, Any]) -> str:
    names = [*known["parameters"], *([known["resource"]["name"]] if known["resource"] else [])]
    options = " ".join(f"--{name.replace('_', '-')} {{{name}}}" for name in names)
    return f"python train.py {options}"


def _written(known: Mapping[str, Any], file: Path) -> str:
    """
    Return the blueprint; refuse where it would be wrong.
    """
    from airflow_hpo.blueprint import check_text
    from airflow_hpo.report.templates import render_text

    shown = "FILE" if str(file) == "-" else str(file)
    text = render_text(
        "starter.yaml.jinja",
        **{**known, "file": shown, "description": "What this study is for.", "yaml": _yaml},
    )
    problems = check_text(text, file=shown)
    for problem in problems:
        complain(str(problem))
    if any(problem.severity == "error" for problem in problems):
        refuse("this would be no blueprint: nothing was written")
    return text


def _yaml(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """
    Return *value* in YAML's flow style, plain where that is safe.
    """
    if isinstance(value, dict):
        pairs = ", ".join(f"{_yaml(name)}: {_yaml(each)}" for name, each in value.items())
        return f"{{{pairs}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_yaml, value))}]"
    if isinstance(value, str) and _is_plain(value):
        return value
    return json.dumps(value, ensure_ascii=False)


def _is_plain(text: str) -> bool:
    import yaml

    if not re.fullmatch(r"[\w][\w .,/=-]*", text) or text != text.strip() or "," in text:
        return False
    return bool(yaml.safe_load(text) == text)


def _keep(file: Path, text: str) -> None:
    from airflow_hpo.report import write_text

    try:
        write_text(file, text)
    except OSError as error:
        refuse(f"{file} cannot be written: {error.strerror}")
