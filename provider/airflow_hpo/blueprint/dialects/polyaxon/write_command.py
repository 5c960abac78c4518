"""
From our templates to Jinja as Polyaxon has it, which quotes nothing by itself.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from airflow_hpo.blueprint.quoting import Surroundings
from airflow_hpo.blueprint.template import ALL_PARAMETERS, Placeholder, Template, word_of
from airflow_hpo.model.distribution import Categorical, Constant

if TYPE_CHECKING:
    from airflow_hpo.blueprint.dialects.writing import Losses
    from airflow_hpo.model.blueprint import Blueprint, Step
    from airflow_hpo.model.space import Parameter
    from airflow_hpo.model.values import Value

__all__ = ["command_of"]

# A brace that would begin a tag, by itself or with what follows the text.
_BRACE = re.compile(r"\{(?=[{%#]|\Z)")
_OPEN = "{{ '{' }}"
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_TAKEN = frozenset(
    [
        "and",
        "or",
        "not",
        "in",
        "is",
        "if",
        "else",
        "elif",
        "for",
        "endif",
        "endfor",
        "set",
        "true",
        "false",
        "none",
        "True",
        "False",
        "None",
        "loop",
        "range",
        "params",
        "globals",
    ]
)


def command_of(blueprint: Blueprint, losses: Losses) -> str:
    """
    Return the shell line that all of the trial's steps become.
    """
    steps, found = blueprint.trial.steps, []
    for index, step in enumerate(steps):
        path = "trial.command" if len(steps) == 1 else f"trial.steps.{index}.command"
        if step.command:
            found.append(_command(step, path, blueprint, losses))
        else:
            losses.say(path, "a container needs a command; true is written")
    if len(steps) > 1:
        losses.say("trial.steps", "a job has one command; theirs run one after another")
        found = [f"{{\n{command}\n}}" for command in found]
    return " && ".join(found) or "true"


def _command(step: Step, path: str, blueprint: Blueprint, losses: Losses) -> str:
    if step.template == "jinja":
        return step.command
    parameters = {parameter.name: parameter for parameter in blueprint.space.parameters}
    parts = []
    for part in Template.parse(step.command).parts:
        if isinstance(part, str):
            parts.append(_BRACE.sub(_OPEN, part))
        elif part.name == ALL_PARAMETERS and part.name not in parameters:
            parts.append(" ".join(_argument(each) for each in parameters.values()))
            _say_of_values(path, list(parameters.values()), losses)
        else:
            parameter = parameters.get(part.name)
            parts.append(_tag(part, parameter))
            _say_of_values(path, [parameter] if parameter is not None else [], losses)
    return "".join(parts)


def _say_of_values(path: str, parameters: list[Parameter], losses: Losses) -> None:
    """
    Tell that Polyaxon's own templates quote nothing, where that matters.
    """
    for parameter in parameters:
        if any(re.search(r'[\\$`"\']', word) for word in _words(parameter)):
            message = f"values of {parameter.name} are not quoted there"
            losses.say(f"{path}", f"{message}: the shell reads more than a word in them")


def _words(parameter: Parameter) -> list[str]:
    distribution = parameter.distribution
    if not isinstance(distribution, (Categorical, Constant)):
        return []
    return [word_of(value) for value in distribution.values()]


def _tag(part: Placeholder, parameter: Parameter | None) -> str:
    """
    Return a placeholder as Jinja, in quotes where its value may need them.
    """
    inside = _value(part.name, parameter)
    plain = parameter is None or all(shlex.quote(word) == word for word in _words(parameter))
    if not plain and part.around is Surroundings.WORDS:
        inside = f'"{inside}"'
    if part.flag is None:
        return inside
    flag = part.flag if part.flag.endswith("=") else f"{part.flag} "
    if parameter is None or not parameter.when:
        return f"{flag}{inside}"
    return f"{{% if {_name(part.name)} is defined %}}{flag}{inside}{{% endif %}}"


def _argument(parameter: Parameter) -> str:
    name = _BRACE.sub(_OPEN, re.sub(r'([\\$`"])', r"\\\1", parameter.name))
    text = f'"--{name}={_value(parameter.name, parameter)}"'
    return f"{{% if {_name(parameter.name)} is defined %}}{text}{{% endif %}}"


def _value(name: str, parameter: Parameter | None) -> str:
    """
    Return what prints the value as our own templates print it.
    """
    kinds = {_kind(value) for value in _values(parameter)}
    if kinds <= {"plain"}:
        return f"{{{{ {_name(name)} }}}}"
    if "plain" not in kinds:
        return f"{{{{ {_name(name)} | tojson }}}}"
    return f"{{{{ {_name(name)} if {_name(name)} is string else {_name(name)} | tojson }}}}"


def _values(parameter: Parameter | None) -> tuple[Value, ...]:
    if parameter is None or not isinstance(parameter.distribution, (Categorical, Constant)):
        return ()
    return parameter.distribution.values()


def _kind(value: Value) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return "json"
    return "plain"


def _name(name: str) -> str:
    if _IDENTIFIER.fullmatch(name) and name not in _TAKEN:
        return name
    quoted = name.replace("\\", "\\\\").replace("'", "\\'")
    return f"params['{quoted}']"
