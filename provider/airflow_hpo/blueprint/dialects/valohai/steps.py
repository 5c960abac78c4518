"""
From a step to how a configuration is evaluated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.dialects.base import build
from airflow_hpo.blueprint.dialects.devices import read_devices
from airflow_hpo.blueprint.dialects.own import step_of
from airflow_hpo.blueprint.dialects.own import trial_of as own_trial_of
from airflow_hpo.blueprint.dialects.valohai.commands import Script, join, pattern_problem
from airflow_hpo.blueprint.dialects.valohai.declared import Declared
from airflow_hpo.blueprint.dialects.valohai.surroundings import platform_of
from airflow_hpo.blueprint.problems import show
from airflow_hpo.blueprint.shapes import BROKEN
from airflow_hpo.model.blueprint import Step, TrialSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_hpo.blueprint.dialects.valohai.commands import Filling
    from airflow_hpo.blueprint.dialects.valohai.items import Item
    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.blueprint.problems import Problems

__all__ = ["declared_of", "say_unsupported", "trial_of"]

# Without these an execution would not be what it is meant to be.
_REFUSED = {
    "environment-variable-groups": "groups of environment variables are",
    "mounts": "mounts are",
}

# Without these it runs as well, elsewhere or otherwise.
_PASSED_OVER = {
    "environment": "a machine type is",
    "runtime-config-preset": "a preset is",
    "cache-volumes": "cache volumes are",
    "no-output-timeout": "ending silent executions is",
    "autorestart": "autorestart is",
    "upload-store": "an upload store is",
}

_RUNNER_HINT = "write a top-level item - hpo: {task: NAME, runner: ...} to choose another runner"


def say_unsupported(step: Item, problems: Problems, *, has_runner: bool) -> None:
    """
    Note what *step* asks for and does not get.
    """
    for name, what in (_REFUSED | _PASSED_OVER).items():
        if step.given.get(name) in (None, [], {}):
            continue
        message = f"{what} not supported yet"
        note = problems.error if name in _REFUSED else problems.warn
        note((*step.path, name), message, at_key=True)
    if not has_runner and "image" in step.keys:
        problems.warn(
            (*step.path, "image"),
            "running in an image is not supported yet: commands run where the worker runs",
            hint="write a top-level item - hpo: {task: NAME, runner: subprocess} if that is meant",
        )


def declared_of(step: Item, problems: Problems) -> tuple[dict[str, Declared], bool]:
    """
    Return the parameters of *step* by name, and whether all could be read.
    """
    found: dict[str, Declared] = {}
    items = step.keys.get("parameters", [])
    for index, keys in enumerate(items):
        if keys is BROKEN:
            continue
        declared = _declared(keys, (*step.path, "parameters", index), problems)
        if declared.name in found:
            message = f"{show(declared.name)} is there twice; the last one counts"
            problems.warn((*declared.path, "name"), message)
        found[declared.name] = declared
        _check_declared(declared, problems)
    readable = "parameters" not in step.given or "parameters" in step.keys
    return found, readable and BROKEN not in items


def _declared(keys: Mapping[str, Any], path: Path, problems: Problems) -> Declared:
    """
    Return the parameter without the patterns that are refused.
    """
    wrong = set()
    for name in ("pass-as", "pass-true-as", "pass-false-as"):
        problem = pattern_problem(str(keys.get(name) or ""))
        if problem is not None:
            problems.error((*path, name), problem)
            wrong.add(name)
    return Declared({name: value for name, value in keys.items() if name not in wrong}, path)


def _check_declared(declared: Declared, problems: Problems) -> None:
    if declared.kind == "flag":
        _check_flag(declared, problems)
        return
    for name in ("pass-true-as", "pass-false-as"):
        if declared.keys.get(name):
            message = "has no effect on parameters that are no flags"
            problems.warn((*declared.path, name), message, at_key=True)


def _check_flag(declared: Declared, problems: Problems) -> None:
    keys, path = declared.keys, declared.path
    if keys.get("multiple", "none") != "none":
        problems.error((*path, "multiple"), "a flag cannot have several values", at_key=True)
    if "optional" in keys:
        problems.warn((*path, "optional"), "has no effect on flags", at_key=True)
    if keys.get("pass-as") and (keys.get("pass-true-as") or keys.get("pass-false-as")):
        message = "has no effect with pass-true-as or pass-false-as"
        problems.warn((*path, "pass-as"), message, at_key=True)
    if keys.get("default") is True:
        message = "has no effect: a flag is not set unless the task sets it"
        problems.warn((*path, "default"), message, at_key=True)


def trial_of(
    step: Item,
    fillings: Mapping[str, Filling],
    *,
    note: Item | None,
    on_failure: str,
    problems: Problems,
) -> TrialSpec | None:
    """
    Return how *step* is run with *fillings*, or note why it cannot be.
    """
    own = {} if note is None else note.keys
    root = () if note is None else note.path
    told = step_of(own, problems, asked=_gpus(step, problems, own=own), root=root)
    command = _command(step, fillings, problems)
    if command is None:
        return None
    values = own_trial_of(own)
    values |= {
        "steps": (Step(command=command, **told),),
        "on_failure": on_failure,
        "environment": _environment(step, problems),
        "platform": platform_of(step, fillings, note=note, problems=problems),
    }
    if "stop-condition" in step.keys:
        values["until"] = step.keys["stop-condition"]
    if "time-limit" in step.keys:
        values["timeout_s"] = step.keys["time-limit"]
    return build(TrialSpec, values, step.path, problems)


def _gpus(step: Item, problems: Problems, *, own: Mapping[str, Any]) -> tuple[float, Path] | None:
    """
    Return how many GPUs an execution asks for, and where; all else that it asks for is said.
    """
    found = read_devices(step.given.get("resources"), (*step.path, "resources"), problems)
    hint = None if "runner" in own else _RUNNER_HINT
    found.say_others("executions run where the runner runs them", problems, hint=hint)
    return found.gpus


def _command(step: Item, fillings: Mapping[str, Filling], problems: Problems) -> str | None:
    given = step.keys.get("command")
    if given is None:
        return None
    lines = [given] if isinstance(given, str) else given
    script = Script(fillings, step.keys.get("source-path"))
    before = problems.errors
    found = []
    for index, line in enumerate(lines):
        path = (*step.path, "command", *([index] if isinstance(given, list) else []))
        if line is BROKEN:
            continue
        try:
            found.append(script.fill(line))
        except ValueError as error:
            problems.error(path, str(error))
        for text in script.left:
            problems.warn(path, f"names no parameter that has a value, and stays: {text}")
        script.left.clear()
    if problems.errors > before or not found:
        return None
    if not any(found):
        problems.error((*step.path, "command"), "must not be empty")
        return None
    _warn_of_unmentioned(step, fillings, script, problems)
    return join(found, list(script.prelude()))


def _warn_of_unmentioned(
    step: Item, fillings: Mapping[str, Filling], script: Script, problems: Problems
) -> None:
    names = [name for name, filling in fillings.items() if filling.is_searched]
    if names and script.mentioned.isdisjoint(names) and not problems.errors:
        problems.warn(
            (*step.path, "command"),
            f"mentions no parameter that varies ({', '.join(names)}); nothing is appended, "
            "they are in the config files only",
            hint="write {parameters} where they belong, unless the code reads the files",
        )


def _environment(step: Item, problems: Problems) -> dict[str, str]:
    found: dict[str, str] = {}
    for index, keys in enumerate(step.keys.get("environment-variables", [])):
        if keys is BROKEN:
            continue
        if "default" in keys:
            found[keys["name"]] = keys["default"]
        elif keys.get("optional", True) is False:
            message = f"{keys['name']} must be set where the command runs: it has no default"
            problems.warn((*step.path, "environment-variables", index), message)
    return found
