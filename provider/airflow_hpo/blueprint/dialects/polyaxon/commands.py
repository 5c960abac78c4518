"""
Commands of Polyaxon's: what its shell would be given, as a template of ours.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from airflow_hpo.blueprint.dialects.polyaxon.statics import MISSING, Static, is_template
from airflow_hpo.blueprint.jinja import JinjaTemplate
from airflow_hpo.blueprint.jinja.nodes import Name, Output
from airflow_hpo.model.distribution import Categorical, Constant, Distribution

if TYPE_CHECKING:
    from airflow_hpo.model.values import Value

__all__ = ["as_braces", "joined", "of_container", "with_derived", "without_context"]

_TAG = re.compile(r"(\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\})", re.DOTALL)

# Blanks outside of quotes and tags; a backslash before them goes too.
_BLANKS = re.compile(
    r"""(\{\{.*?\}\}|\{%.*?%\}|\{\#.*?\#\}|'[^']*'|"(?:[^"\\]|\\.)*"|\\\S)|(?:\s|\\(?=\s|$))+""",
    re.DOTALL,
)

_SHELLS = ("bash", "sh", "zsh")


def joined(commands: Sequence[str]) -> str:
    r"""
    Return the commands of a ``run`` as one line, each only after the one before.

    Blanks outside of quotes become one, and a backslash that goes on in the
    next line is dropped: folded text has it in the middle of a line.

    Example:
        >>> joined(["pip install x", "train --a=1 \\ --b=2"])
        'pip install x && train --a=1 --b=2'
    """
    squeezed = (_BLANKS.sub(lambda match: match[1] or " ", text).strip() for text in commands)
    return " && ".join(filter(None, squeezed))


def of_container(command: Sequence[str], args: Sequence[str]) -> str:
    """
    Return the words that a container starts with as a shell line.

    A shell's own script is taken out of ``[sh, -c, script]``.

    Example:
        >>> of_container(["python", "train.py"], ["--lr={{ lr }}", "a b"])
        "python train.py --lr={{ lr }} 'a b'"
    """
    words = [*command, *args]
    if len(words) >= _SHELL_WORDS and words[0].rpartition("/")[2] in _SHELLS:
        flags, rest = words[1:-1], words[-1]
        if all(re.fullmatch(r"-[a-z]+", flag) for flag in flags) and flags[-1].endswith("c"):
            return rest.strip()
    return " ".join(map(_word, words))


_SHELL_WORDS = 3


def _word(text: str) -> str:
    """
    Return *text* as one word of the shell, its tags as they are.
    """
    parts = _TAG.split(text)
    own = "".join(parts[::2])
    if len(parts) == 1:
        return shlex.quote(text)
    if re.fullmatch(r"[\w@%+=:,./-]*", own, re.ASCII):
        return text
    plain = (re.sub(r'([\\$`"])', r"\\\1", part) for part in parts[::2])
    inside = [part for pair in zip(plain, [*parts[1::2], ""], strict=True) for part in pair]
    return f'"{"".join(inside)}"'


_CONTEXT = re.compile(r"\bparams\.([A-Za-z_]\w*)(\.value\b|\.as_arg\b|\.as_str\b)", re.ASCII)
_FOLDER = re.compile(
    r"\{\{\s*globals\.(?:run_outputs_path|outputs_path|run_artifacts_path|artifacts_path)\s*\}\}"
)


def without_context(text: str) -> str:
    """
    Return *text* with bare names for what newer files may reach by a context.

    Example:
        >>> without_context("train {{ params.lr.as_arg }} -o {{ globals.run_outputs_path }}")
        "train {{ ('--lr=' ~ lr) }} -o ${POLYAXON_RUN_OUTPUTS_PATH}"
    """
    text = _FOLDER.sub("${POLYAXON_RUN_OUTPUTS_PATH}", text)
    return _TAG.sub(lambda tag: _CONTEXT.sub(_bare, tag[0]), text)


def _bare(match: re.Match[str]) -> str:
    name = match[1]
    return f"('--{name}=' ~ {name})" if match[2] == ".as_arg" else name


def with_derived(text: str, statics: Iterable[Static], searched: Iterable[str] = ()) -> str:
    """
    Return *text* behind what puts parameters together that it may name.

    Args:
        text: A template.

        statics: Those that are templates themselves, and flags.

        searched: Names of flags that are searched.
    """
    flags = [static.name for static in statics if static.is_flag and static.value is not MISSING]
    lines = [
        f"{{% set {name} = '--{name}' if {name} else '' %}}"
        for name in dict.fromkeys([*flags, *searched])
        if re.search(rf"\b{re.escape(name)}\b", text)
    ]
    return "".join([*map(_derived, _ordered(statics)), *lines, text])


def _derived(static: Static) -> str:
    text = str(static.value).strip()
    whole = re.fullmatch(r"\{\{((?:(?!\}\}).)*)\}\}", text, re.DOTALL)
    if whole is not None:
        return f"{{% set {static.name} = {whole[1].strip('-+ ')} %}}"
    return f"{{% set {static.name} %}}{text}{{% endset %}}"


def _ordered(statics: Iterable[Static]) -> list[Static]:
    """
    Return those that are templates, each behind what it is made of.
    """
    waiting = [static for static in statics if is_template(static.value)]
    ordered: list[Static] = []
    while waiting:
        names = {static.name for static in waiting}
        ready = [static for static in waiting if not _names(static) & (names - {static.name})]
        # A circle stays as it is written: its names have no value then.
        ordered += ready or waiting
        waiting = [static for static in waiting if static not in ordered]
    return ordered


def _names(static: Static) -> frozenset[str]:
    try:
        return JinjaTemplate.parse(str(static.value)).names()
    except ValueError:
        return frozenset()


def as_braces(text: str, values: Mapping[str, Distribution], numbers: Iterable[str]) -> str | None:
    """
    Return *text* as a plain template of ours, where it says the same there.

    Args:
        text: A Jinja template.

        values: Distributions of parameters, by name.

        numbers: Names of other parameters, which are numbers.
    """
    try:
        template = JinjaTemplate.parse(text)
    except ValueError:
        return None
    if not template.is_simple():
        return None
    plain = {name for name, distribution in values.items() if _prints_alike(distribution)}
    if not template.names() <= plain.union(numbers):
        return None
    parts = []
    for node in template.block.body:
        if isinstance(node, Output) and isinstance(node.value, Name):
            parts.append(f"{{{node.value.name}}}")
        else:
            parts.append(getattr(node, "text", "").replace("{", "{{").replace("}", "}}"))
    return "".join(parts)


def _prints_alike(distribution: Distribution) -> bool:
    """
    Return whether values are the same text in JSON and in Python, and never empty.
    """
    if not isinstance(distribution, (Categorical, Constant)):
        return True
    return all(_plain(value) for value in distribution.values())


def _plain(value: Value) -> bool:
    return value != "" and isinstance(value, (str, int, float)) and not isinstance(value, bool)
