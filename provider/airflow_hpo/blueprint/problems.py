"""
The collector of everything that is wrong with one file, each with its place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from airflow_hpo.blueprint.document import dotted
from airflow_hpo.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_hpo.blueprint.document import Document, Path
    from airflow_hpo.model.values import Value

__all__ = ["Problems", "show"]


class Problems:
    """
    Collects the problems of one document.

    Args:
        document: Gives the places.

        warnings: Whether anybody wants to see warnings.
    """

    def __init__(self, document: Document, *, warnings: bool = True) -> None:
        self.document = document
        self.warnings_wanted = warnings
        self.found: list[Problem] = []
        self.errors = 0
        self._elsewhere: dict[Path, Path] = {}

    def relocate(self, places: Mapping[Path, Path]) -> None:
        """
        Let problems at a key of *places*, or below it, show at its value instead.

        For what the file says in another place than the native dialect would.
        """
        self._elsewhere.update(places)

    def error(
        self, path: Path, message: str, *, hint: str | None = None, at_key: bool = False
    ) -> None:
        """
        Note what refuses the file.

        Args:
            path: Where.

            message: The rule in the present tense, then "got" and the value.

            hint: What to type instead.

            at_key: Whether it is about the key rather than its value.
        """
        self.errors += 1
        self._note("error", path, message, hint, at_key=at_key)

    def warn(
        self, path: Path, message: str, *, hint: str | None = None, at_key: bool = False
    ) -> None:
        """
        Note what a person should know of; arguments as in `error`.
        """
        if self.warnings_wanted:
            self._note("warning", path, message, hint, at_key=at_key)

    def touches(self, path: Path) -> bool:
        """
        Return whether there is an error at *path*, above or below it.
        """
        if not self.errors:
            return False
        text = dotted(self._moved(path))
        return any(
            problem.severity == "error"
            and (f"{problem.path}.".startswith(f"{text}.") or text.startswith(f"{problem.path}."))
            for problem in self.found
        )

    def _note(
        self,
        severity: Literal["error", "warning"],
        path: Path,
        message: str,
        hint: str | None,
        *,
        at_key: bool,
    ) -> None:
        path = self._moved(path)
        where = self.document.where_key if at_key else self.document.where
        line, column = where(*path)
        self.found.append(
            Problem(dotted(path), message, hint, self.document.file, line, column, severity)
        )

    def _moved(self, path: Path) -> Path:
        for length in range(len(path), 0, -1):
            if path[:length] in self._elsewhere:
                return (*self._elsewhere[path[:length]], *path[length:])
        return path


# So much of a text value is shown.
_SHOWN = 60


def show(value: Value) -> str:
    """
    Return *value* as it would be written in YAML, cut short.

    Example:
        >>> [show(value) for value in (True, None, 2.0, "x", [1], {})]
        ['true', 'nothing', '2.0', "'x'", '[1]', 'a mapping']
    """
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return repr(value if len(value) <= _SHOWN else f"{value[:_SHOWN]}...")
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        text = f"[{', '.join(map(show, value[:_SHOWN]))}]"
        return text if len(text) <= _SHOWN else f"a list of {len(value)}"
    return repr(value)
