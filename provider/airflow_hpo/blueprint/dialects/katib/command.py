"""
The command of a trial: the words of a container, as a template of ours.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_hpo.model.registry import did_you_mean

if TYPE_CHECKING:
    from airflow_hpo.blueprint.dialects.katib.space import Found
    from airflow_hpo.blueprint.dialects.katib.template import Container
    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.blueprint.problems import Problems

__all__ = ["PARAMETER", "TRIAL_NAME", "Writer", "command_of"]

PARAMETER = "${trialParameters."
"""How a parameter begins, wherever it stands."""

TRIAL_NAME = "${trialSpec.Name}"
"""The one word about a trial that there is here as well."""

_OUR_NAME = "${HPO_STUDY}-${HPO_TRIAL}"

_SHELLS = ("sh", "bash", "zsh", "dash", "ash")
_SHELL_WORDS = 3

# What is replaced in a word: a parameter, a variable of the container, what is escaped.
_REPLACED = re.compile(r"\$\{trialParameters\.([^{}]+)\}|\$\(([A-Za-z_]\w*)\)|\$\$\(", re.ASCII)
_PLAIN = re.compile(r"[\w@%+=:,./-]*", re.ASCII)


@dataclass(frozen=True)
class Writer:
    """
    Writes words of the template in a language of ours.

    Args:
        found: All parameters.

        references: What the template calls them.

        places: Where those stand.

        variables: Names of the container's variables.
    """

    found: Found
    references: Mapping[str, str]
    places: Mapping[str, Path]
    variables: frozenset[str]

    @property
    def language(self) -> str:
        """
        The template's language: Jinja where rounded numbers are to be whole.
        """
        return "jinja" if self.found.whole else "braces"

    def script(self, text: str) -> str:
        """
        Return a line of a shell, in which parameters are filled in.
        """
        parts = list(self._parts(text))
        return "".join(value if is_ours else self._literal(value) for value, is_ours in parts)

    def word(self, text: str) -> str:
        """
        Return one word, whatever it holds.
        """
        parts = list(self._parts(text))
        own = "".join(value for value, is_ours in parts if not is_ours)
        if not any(is_ours for _, is_ours in parts):
            return self._literal(shlex.quote(own))
        # An empty value in Jinja is no word, but in quotes.
        is_bare = own or self.language == "braces"
        if is_bare and _PLAIN.fullmatch(own) and not any(it.startswith("$") for it, _ in parts):
            return "".join(value for value, _ in parts)
        return f'"{"".join(self._quoted(*part) for part in parts)}"'

    def quoted(self, text: str) -> str:
        """
        Return *text* in double quotes.
        """
        return f'"{"".join(self._quoted(*part) for part in self._parts(text))}"'

    def _quoted(self, value: str, is_ours: bool) -> str:  # noqa: FBT001 - a part as it comes
        return value if is_ours else self._literal(re.sub(r'([\\$`"])', r"\\\1", value))

    def _parts(self, text: str) -> list[tuple[str, bool]]:
        """
        Return the pieces of *text*, and whether each is something that we fill in.
        """
        parts, last = [], 0
        for match in _REPLACED.finditer(text):
            piece = self._piece(match)
            parts += [(text[last : match.start()], False), piece]
            last = match.end()
        return [part for part in (*parts, (text[last:], False)) if part[0]]

    def _piece(self, match: re.Match[str]) -> tuple[str, bool]:
        name, variable = match.groups()
        if name is not None:
            return self._value(self.references.get(name, name)), True
        if variable is None:
            return "$(", False
        if variable in self.variables:
            return self._literal(f"${{{variable}}}"), True
        return match[0], False

    def _value(self, name: str) -> str:
        if name == TRIAL_NAME:
            return self._literal(_OUR_NAME)
        if self.language == "braces":
            return f"{{{name}}}"
        return f"{{{{ params[{name!r}]{' | int' if name in self.found.whole else ''} }}}}"

    def _literal(self, text: str) -> str:
        if self.language == "jinja":
            return re.sub(r"\{(?=[{%#])", "{{ '{' }}", text)
        return text.replace("{", "{{").replace("}", "}}")


def command_of(container: Container, writer: Writer, problems: Problems) -> str | None:
    """
    Return the trial's command, or note why there is none.
    """
    texts = [*container.words, *container.environment.values()]
    named = {match[1] for text in texts for match in _REPLACED.finditer(text) if match[1]}
    for name in sorted(named - writer.references.keys()):
        message = f"must name trialParameters, got ${{trialParameters.{name}}}"
        hint = did_you_mean(name, writer.references)
        problems.error((*container.path, "command"), message, hint=hint)
    for name, path in writer.places.items():
        if name not in named:
            message = f"is not in the template: ${{trialParameters.{name}}} stands nowhere"
            problems.warn(path, message)
    if not container.words or named - writer.references.keys():
        return None
    exports = [
        f"export {name}={writer.quoted(text)}\n"
        for name, text in container.environment.items()
        if _REPLACED.search(text)
    ]
    return "".join([*exports, _line(container, writer, problems)])


def _line(container: Container, writer: Writer, problems: Problems) -> str:
    script = _script(container.words)
    if script is None:
        return " ".join(map(writer.word, container.words))
    shell = container.words[0].rpartition("/")[2]
    if shell != "sh":
        message = f"is run by /bin/sh, not by {shell}"
        problems.warn((*container.path, "command"), message)
    return writer.script(script)


def _script(words: Sequence[str]) -> str | None:
    """
    Return the script of ``[sh, -c, script]``.
    """
    if len(words) < _SHELL_WORDS or words[0].rpartition("/")[2] not in _SHELLS:
        return None
    flags = words[1:-1]
    is_script = all(re.fullmatch(r"-[a-z]+", flag) for flag in flags) and flags[-1].endswith("c")
    return words[-1] if is_script else None
