"""
From our templates to commands with Valohai's placeholders.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, TypeAlias

from airflow_hpo.blueprint.dialects.valohai.commands import PLACEHOLDER
from airflow_hpo.blueprint.dialects.valohai.write_space import values_of
from airflow_hpo.blueprint.quoting import Surroundings
from airflow_hpo.blueprint.template import ALL_PARAMETERS, Placeholder, Template, word_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_hpo.blueprint.dialects.writing import Losses
    from airflow_hpo.model.blueprint import Blueprint, Step
    from airflow_hpo.model.space import Space

    _Parts: TypeAlias = Sequence[str | Placeholder]

__all__ = ["commands_of"]

_NAMED = ("parameter:", "parameter-value:")
_ALL = "{parameters}"


def commands_of(blueprint: Blueprint, losses: Losses) -> list[str]:
    """
    Return the commands of the one step that all of the trial's steps become.
    """
    trial = blueprint.trial
    found = []
    if trial.workdir is not None:
        found.append(f"cd {shlex.quote(trial.workdir)}")
        losses.say("trial.workdir", "there is no such key; it is written as the command cd")
    for index, step in enumerate(trial.steps):
        path = "trial.command" if len(trial.steps) == 1 else f"trial.steps.{index}.command"
        if step.command:
            found.append(_command(step, path, blueprint.space, losses))
        else:
            losses.say(path, "a step needs a command; true is written")
    return found or ["true"]


def _command(step: Step, path: str, space: Space, losses: Losses) -> str:
    if step.template != "braces":
        losses.say(path, f"a template of {step.template} is written as it is, and does not work")
        return step.command
    parts = Template.parse(step.command).parts
    variables = _variables(parts, space)
    text, spans = _assembled(parts, variables)
    ours = set(spans.values())
    for match in PLACEHOLDER.finditer(text):
        named = match[1].startswith(_NAMED) or match[1] in {"parameters", "params", "source-path"}
        if named and match.span() not in ours:
            losses.say(path, f"{match[0]} is a placeholder there, and cannot be said otherwise")
    if any(text[slice(*span)] == _ALL for span in ours - _matched(text)):
        losses.say(path, "{parameters} is not seen behind an open brace, and stays as it is")
    lines = [f"{variable}={{parameter-value:{name}}}" for name, variable in variables.items()]
    return "\n".join([*lines, text])


def _variables(parts: _Parts, space: Space) -> dict[str, str]:
    """
    Return the parameters that must go by a variable of the shell, and its name.

    Valohai sees no placeholder behind an open brace, and quotes its values for
    the place between words only.
    """
    found: dict[str, str] = {}
    for part in parts:
        if isinstance(part, str) or part.around is Surroundings.WORDS:
            continue
        if not _is_plain(part.name, space):
            found.setdefault(part.name, f"hpo_{len(found)}")
    while True:
        text, spans = _assembled(parts, found)
        seen = _matched(text)
        hidden = [name for name, span in spans.items() if span not in seen and name[1]]
        if not hidden:
            return found
        for _, name in hidden:
            found.setdefault(name, f"hpo_{len(found)}")


def _matched(text: str) -> set[tuple[int, int]]:
    return {match.span() for match in PLACEHOLDER.finditer(text)}


def _assembled(
    parts: _Parts, variables: Mapping[str, str]
) -> tuple[str, dict[tuple[int, str], tuple[int, int]]]:
    """
    Return the command, and where each placeholder is in it, by number and parameter.
    """
    text, spans = "", {}
    for index, part in enumerate(parts):
        if isinstance(part, str):
            text += part
            continue
        if part.name == ALL_PARAMETERS:
            spans[index, ""] = (len(text), len(text) + len(_ALL))
            text += _ALL
            continue
        flag = part.flag or ""
        text += flag if flag.endswith("=") or not flag else f"{flag} "
        if part.name in variables:
            text += _QUOTED[part.around].format(variables[part.name])
            continue
        placeholder = f"{{parameter-value:{part.name}}}"
        spans[index, part.name] = (len(text), len(text) + len(placeholder))
        text += placeholder
    return text, spans


_QUOTED = {
    Surroundings.WORDS: '"${}"',
    Surroundings.DOUBLE: '""${}""',
    Surroundings.SINGLE: "'\"${}\"'",
}
"""A variable, so that it stays part of the word it is written into."""


def _is_plain(name: str, space: Space) -> bool:
    """
    Return whether no value of a parameter needs quotes.
    """
    if name not in space.by_name:
        return True  # the resource: a number
    words = map(word_of, values_of(space.by_name[name].distribution))
    return all(shlex.quote(word) == word for word in words)
