"""
A sweep's command: words and macros, as a template of ours.

Programs are given what an agent of W&B's gives them: Python's text of each
value (``True``, ``None``, ``{'lr': 0.1}``), each argument one word.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_hpo.blueprint.problems import show
from airflow_hpo.model.distribution import Categorical, Constant
from airflow_hpo.model.registry import did_you_mean

if TYPE_CHECKING:
    from airflow_hpo.blueprint.dialects.wandb.space import Found, Tree
    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.blueprint.problems import Problems
    from airflow_hpo.model.space import Parameter
    from airflow_hpo.model.values import Value

__all__ = ["ARGUMENTS", "DEFAULT", "command_of"]

DEFAULT = ("${env}", "${interpreter}", "${program}", "${args}")
"""What is run where there is no ``command``."""

_MACRO = re.compile(r"\$\{([^{}:]*)\}")
_VARIABLE = re.compile(r"\$\{envvar:([A-Za-z_][A-Za-z0-9_]*)\}")

_PLAIN = {"env": "/usr/bin/env", "interpreter": "python"}

# Where the arguments are written to, as JSON.
_FILE = '"$HPO_OUTPUT_DIR/args.json"'


def command_of(
    words: Sequence[str], program: str | None, found: Found, path: Path, problems: Problems
) -> tuple[str, str] | None:
    """
    Return a trial's command and its language, or note why there is none.

    Args:
        words: Of ``command``.

        program: The script, if there is one.

        found: All parameters.

        path: Where the words stand.

        problems: Gets what is wrong.
    """
    before = problems.errors
    for index, word in enumerate(words):
        _check(word, program, (*path, index), problems)
    if problems.errors > before or found.broken or not found.parameters:
        return None
    writer = _Writer(found, is_jinja=_needs_jinja(words, found))
    text = " ".join(filter(None, (_written(word, program, writer) for word in words)))
    return writer.prefix(words) + text, writer.language


def _check(word: str, program: str | None, path: Path, problems: Problems) -> None:
    macro = _MACRO.fullmatch(word)
    known = (*_PLAIN, "program", *ARGUMENTS)
    if macro is None:
        for inside in _MACRO.findall(word):
            if inside in known:
                message = f"a macro must be a word of its own, got ${{{inside}}} in {show(word)}"
                problems.error(path, message)
    elif macro[1] not in known:
        names = ", ".join(f"${{{name}}}" for name in known)
        message = f"must be one of the macros {names}, ${{envvar:NAME}}, got {show(word)}"
        hint = (
            did_you_mean(macro[1], known) or f"write ${{envvar:{macro[1].upper()}}} for a variable"
        )
        problems.error(path, message, hint=hint)
    elif macro[1] == "program" and not program and not problems.touches(("program",)):
        message = "must be given: the script that is run"
        problems.error(("program",), message, hint="write program: train.py", at_key=True)


def _needs_jinja(words: Sequence[str], found: Found) -> bool:
    """
    Return whether values are to be written otherwise than a plain template does.
    """
    if found.whole or "${args_json}" in words:
        return True
    if any(not isinstance(leaf, str) for leaf in found.tree.values()):
        return True
    return not all(map(_prints_alike, found.parameters.values()))


def _prints_alike(parameter: Parameter) -> bool:
    """
    Return whether values are the same text in JSON and in Python.
    """
    distribution = parameter.distribution
    if not isinstance(distribution, (Categorical, Constant)):
        return True
    return all(
        isinstance(value, (str, int, float)) and not isinstance(value, bool)
        for value in distribution.values()
    )


def _written(word: str, program: str | None, writer: _Writer) -> str:
    macro = _MACRO.fullmatch(word)
    if macro is None:
        return writer.literal(_word(word))
    if macro[1] in _PLAIN:
        return _PLAIN[macro[1]]
    if macro[1] == "program":
        return writer.literal(_word(program or ""))
    return ARGUMENTS[macro[1]](writer)


def _word(text: str) -> str:
    r"""
    Return *text* as one word of the shell, in which only W&B's variables are filled in.

    Example:
        >>> _word("a b"), _word("--data=${envvar:DATA}/$x")
        ("'a b'", '"--data=${DATA}/\\$x"')
    """
    parts = _VARIABLE.split(text)
    if len(parts) == 1:
        return shlex.quote(text)
    plain = (re.sub(r'([\\$`"])', r"\\\1", part) for part in parts[::2])
    names = [*(f"${{{name}}}" for name in parts[1::2]), ""]
    return '"' + "".join(part + name for part, name in zip(plain, names, strict=True)) + '"'


@dataclass(frozen=True)
class _Writer:
    """
    Writes a template: in the plain language where that is enough, else in Jinja.
    """

    found: Found
    is_jinja: bool

    @property
    def language(self) -> str:
        """
        The template's language.
        """
        return "jinja" if self.is_jinja else "braces"

    def literal(self, text: str) -> str:
        """
        Return *text* with all that would be a placeholder taken as text.
        """
        if self.is_jinja:
            return re.sub(r"\{(?=[{%#])", "{{ '{' }}", text)
        return text.replace("{", "{{").replace("}", "}}")

    def arguments(self, before: str, after: str) -> str:
        """
        Return every argument, its name between *before* and *after*.
        """
        # An empty value in Jinja is no word, but in quotes.
        quote = '"' if self.is_jinja and after == " " else ""
        return " ".join(
            f"{_flag(f'{before}{name}{after}')}{quote}{self.value(leaf)}{quote}"
            for name, leaf in self.found.tree.items()
        )

    def value(self, leaf: str | Tree) -> str:
        """
        Return what stands for the value of one argument.
        """
        if not self.is_jinja:
            return f"{{{leaf}}}"
        bare = self._expression(leaf)
        if None in self._choices(leaf):
            bare = f"'None' if {bare} is none else {bare}"
        return f"{{{{ {bare} }}}}"

    def with_flags(self) -> str:
        """
        Return every argument; of those that are true only the name, and nothing of false ones.
        """
        return " ".join(self._with_flag(name, leaf) for name, leaf in self.found.tree.items())

    def _with_flag(self, name: str, leaf: str | Tree) -> str:
        usual = f"{_flag(f'--{name}=')}{self.value(leaf)}"
        if not any(isinstance(value, bool) for value in self._choices(leaf)):
            return usual
        own = f"params['{leaf}']"
        otherwise = f"{{% elif {own} is not boolean %}}{usual}"
        return f"{{% if {own} is true %}}{_flag(f'--{name}')}{otherwise}{{% endif %}}"

    def json(self) -> str:
        """
        Return all arguments as JSON, in pieces that together are one word; only in Jinja.
        """
        pieces = (
            f"""'"{name}": '{{{{ {self._expression(leaf)} | tojson }}}}"""
            for name, leaf in self.found.tree.items()
        )
        return f"""'{{'{"', '".join(pieces)}'}}'"""

    @property
    def json_file(self) -> str:
        """
        The word that names the file of arguments.
        """
        return _FILE if self.is_jinja else '"$HPO_PARAMS_FILE"'

    def prefix(self, words: Sequence[str]) -> str:
        """
        Return what is to be done before: the file is written, where none is there.
        """
        if not self.is_jinja or "${args_json_file}" not in words:
            return ""
        return f"printf '%s\\n' {self.json()} > {_FILE} &&\n"

    def _choices(self, leaf: str | Tree) -> tuple[Value, ...]:
        """
        Return the values of a parameter that has a few; none of any other.
        """
        parameter = self.found.parameters.get(leaf) if isinstance(leaf, str) else None
        distribution = None if parameter is None else parameter.distribution
        if isinstance(distribution, (Categorical, Constant)):
            return distribution.values()
        return ()

    def _expression(self, leaf: str | Tree) -> str:
        if isinstance(leaf, str):
            return f"params['{leaf}']" + (" | int" if leaf in self.found.whole else "")
        items = (f"'{name}': {self._expression(part)}" for name, part in leaf.items())
        return f"{{{', '.join(items)}}}"


def _flag(text: str) -> str:
    """
    Return what stands before a value, so that the shell takes nothing of it for its own.
    """
    word = text.rstrip()
    return shlex.quote(word) + text[len(word) :]


ARGUMENTS: Mapping[str, Callable[[_Writer], str]] = {
    "args": lambda writer: writer.arguments("--", "="),
    "args_no_equals": lambda writer: writer.arguments("--", " "),
    "args_no_hyphens": lambda writer: writer.arguments("", "="),
    "args_no_boolean_flags": _Writer.with_flags,
    "args_json": _Writer.json,
    "args_json_file": lambda writer: writer.json_file,
}
"""The macros that pass parameters."""
