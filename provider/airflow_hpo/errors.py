"""
Every error of the package, by whose move it is next.

::

    HpoError
    ├── BlueprintError            the file is wrong; edit it
    │   └── DialectError          no dialect, or several, claim the file
    ├── StudyError                the request does not fit the study's state
    │   ├── StudyNotFoundError    no such study in this storage
    │   └── SpaceExhaustedError   nothing is left to suggest
    ├── StorageError              the journal cannot be reached or is too new
    └── TrialError                one trial went wrong; the study lives on
        ├── TrialFailedError      may pass if run again  -> Airflow retries
        └── TrialInvalidError     will fail again        -> Airflow fails now

Imports nothing of the package.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "BlueprintError",
    "DialectError",
    "HpoError",
    "Problem",
    "SpaceExhaustedError",
    "StorageError",
    "StudyError",
    "StudyNotFoundError",
    "TrialError",
    "TrialFailedError",
    "TrialInvalidError",
]


@dataclass(frozen=True, slots=True)
class Problem:
    """
    One thing that is wrong with a blueprint, and where.

    Args:
        path: Place in the document, dotted: ``space.lr``.

        message: The rule in the present tense, then "got" and the value.

        hint: What to type instead; `None` where nothing useful can be typed.

        file: The blueprint's file name as the user gave it.

        line: Counted from 1; 0 where the place is not known.

        column: Counted from 1; 0 where the place is not known.

        severity: An ``error`` refuses the blueprint, a ``warning`` does not.
    """

    path: str
    message: str
    hint: str | None = None
    file: str = "<blueprint>"
    line: int = 0
    column: int = 0
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        """
        Return ``file:line:column: path: message`` and the hint below it.
        """
        mark = "" if self.severity == "error" else f"{self.severity}: "
        place = f"{self.path}: " if self.path else ""
        line = f"{self.file}:{self.line}:{self.column}: {mark}{place}{self.message}"
        return line if self.hint is None else f"{line}\n    hint: {self.hint}"

    def to_dict(self) -> dict[str, object]:
        """
        Return the problem as ``hpo check --format json`` prints it.
        """
        return asdict(self)


class HpoError(Exception):
    """
    The root: whatever this package raises on purpose is one of these.
    """


class BlueprintError(HpoError, ValueError):
    """
    The blueprint is wrong; holds all its *problems*, in document order.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(
            sorted(problems, key=lambda problem: (problem.file, problem.line, problem.column))
        )
        count = len(self.problems)
        noun = "problem" if count == 1 else "problems"
        super().__init__("\n".join([f"{count} {noun} in blueprint:", *map(str, self.problems)]))

    def __reduce__(self) -> tuple[type[BlueprintError], tuple[tuple[Problem, ...]]]:
        """
        Let the error cross process borders (the message is derived).
        """
        return type(self), (self.problems,)


class DialectError(BlueprintError):
    """
    No dialect, or several, claim the file.
    """


class StudyError(HpoError):
    """
    The request does not fit the study's state.
    """


class StudyNotFoundError(StudyError, LookupError):
    """
    The storage holds no study of that name.
    """


class SpaceExhaustedError(StudyError):
    """
    No configuration that satisfies the constraints could be found.
    """


class StorageError(HpoError):
    """
    The study journal cannot be reached, or was written by a newer version.
    """


class TrialError(HpoError):
    """
    One trial went wrong; the study lives on.
    """


class TrialFailedError(TrialError):
    """
    The trial may pass if it is run again (a lost node, a crash).
    """


class TrialInvalidError(TrialError):
    """
    The trial will fail again the same way (bad command, metric missing).
    """
