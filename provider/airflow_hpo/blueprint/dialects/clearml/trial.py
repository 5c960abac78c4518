"""
A trial: the command that stands for ClearML's base task.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from typing import TYPE_CHECKING

from airflow_hpo.blueprint.dialects.base import build
from airflow_hpo.blueprint.dialects.own import OWN, step_of, trial_of
from airflow_hpo.blueprint.problems import show
from airflow_hpo.blueprint.template import ALL_PARAMETERS
from airflow_hpo.model.blueprint import Step, TrialSpec

if TYPE_CHECKING:
    from airflow_hpo.blueprint.dialects.clearml.settings import Settings
    from airflow_hpo.blueprint.dialects.clearml.space import Found
    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.blueprint.problems import Problems

__all__ = ["read_trial"]

_INTERPRETERS = {".py": "python", ".sh": "sh"}

# Doubled braces are none; what is in single ones is a name, and maybe a flag.
_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([^\s{}:]+)((?::[^{}]*)?)\}")

# What no trial of ClearML's would be told otherwise.
_MAX_ITERATIONS = "HPO_MAX_ITERATIONS"

_ALL = f"{{{ALL_PARAMETERS}}}"

_MINUTE_S = 60


def read_trial(settings: Settings, found: Found, problems: Problems) -> TrialSpec | None:
    """
    Return how one configuration is evaluated, or note why it cannot be.
    """
    own = settings.own
    problems.relocate(
        {
            ("trial",): (OWN,),
            ("trial", "steps", 0): (OWN,),
            ("trial", "steps", 0, "command"): _place_of_command(settings),
            ("trial", "steps", 0, "queue"): settings.place("execution_queue"),
            ("trial", "timeout_s"): settings.place("time_limit_per_job"),
        }
    )
    command = _command(settings, found, problems)
    if command is None:
        return None
    limit = settings.get("time_limit_per_job")
    queue = settings.get("execution_queue")
    values = trial_of(own)
    values["steps"] = (Step(command=command, queue=queue, **step_of(own, problems)),)
    values["environment"] = {**_told(settings), **values["environment"]}
    values["timeout_s"] = None if limit is None else limit * _MINUTE_S
    return build(TrialSpec, values, ("trial",), problems)


def _place_of_command(settings: Settings) -> Path:
    return (OWN, "command") if "command" in settings.own else settings.place("base_task_id")


def _told(settings: Settings) -> dict[str, str]:
    most = settings.get("max_iteration_per_job")
    return {} if most is None else {_MAX_ITERATIONS: f"{most:g}"}


def _command(settings: Settings, found: Found, problems: Problems) -> str | None:
    """
    Return the command of a trial, with a placeholder for each parameter.
    """
    path = _place_of_command(settings)
    given = settings.own.get("command") or settings.get("base_task_id")
    if given is None:
        if not problems.touches(path) and not problems.touches((OWN,)):
            message = "must be given: the script that is run, or its command"
            problems.error(path, message, hint="write base_task_id: train.py", at_key=True)
        return None
    is_command = re.search(r"[\s{]", given) is not None
    command = (_filled if is_command else _of_script)(given, path, found, problems)
    if command is None:
        return None
    # No command has use for the number of a combination, only whoever reads it.
    notes = "".join(f": {{{name}:{name}=}}\n" for name in found.selectors)
    return notes + command


def _of_script(given: str, path: Path, found: Found, problems: Problems) -> str | None:
    """
    Return the command of a script that takes ``--name=value``.
    """
    suffix = given[given.rfind(".") :] if "." in given else ""
    if suffix not in _INTERPRETERS:
        problems.error(
            path,
            f"must be a script (.py, .sh) or a command that is run, got {show(given)}",
            hint=f'write {OWN}: {{command: "python train.py --lr {{lr}}"}}',
        )
        return None
    words = [_INTERPRETERS[suffix], shlex.quote(given).replace("{", "{{").replace("}", "}}")]
    return " ".join([*words, *_flags(found)])


def _flags(found: Found) -> list[str]:
    """
    Return ``{name:--name=}`` for each parameter, its section left out where it can be.
    """
    bare = [name.rpartition("/")[2] for name in found.variants]
    count = Counter(bare)
    flags = [
        short if count[short] == 1 else name
        for short, name in zip(bare, found.variants, strict=True)
    ]
    return [
        f"{{{variant}:--{flag}=}}"
        for flag, variants in zip(flags, found.variants.values(), strict=True)
        for variant in variants
        if variant in found.parameters and variant != ALL_PARAMETERS
    ]


def _filled(given: str, path: Path, found: Found, problems: Problems) -> str:
    """
    Return a command in which each name stands for the parameter that has its value.

    A name may be written without its section where no other has it.
    ``{parameters}`` passes all of them as a script gets them.
    """
    names = dict(found.variants)
    for name, variants in found.variants.items():
        bare = name.rpartition("/")[2]
        if bare not in found.variants:
            names[bare] = [] if bare in names else variants

    def replaced(match: re.Match[str]) -> str:
        variants = names.get(match.group(1) or "", [])
        flag: str = match.group(2) or ""
        if match.group() == _ALL:
            return " ".join(_flags(found))
        if not variants:
            return match.group()
        if len(variants) > 1 and not flag:
            name = match.group(1)
            flag = f":--{name.rpartition('/')[2]}="
            problems.error(
                path,
                f"must give a flag with {name}, which differs between combinations, "
                f"got {match.group()}",
                hint=f"write {{{name}{flag}}}",
            )
        return " ".join(f"{{{variant}{flag}}}" for variant in variants)

    return _PLACEHOLDER.sub(replaced, given)
