"""
What tells one kind of failure from another: exit codes, and lines of a log.
"""

from __future__ import annotations

import re
import warnings
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from airflow_hpo.model.base import Document

__all__ = ["MAX_SEARCHED", "FailureKind", "FailureSigns", "FailureSpec", "check_pattern"]

FailureKind: TypeAlias = Literal["infeasible", "infrastructure", "code"]

KINDS: tuple[FailureKind, ...] = ("infeasible", "infrastructure", "code")

MAX_SEARCHED = 1000
"""So many characters of a line are searched for a pattern, and no more."""

# An expression with more repetitions that have no end than this can take years.
_MOST_REPEATS = 4

# From how often on a repetition is as bad as one without an end.
_MANY = 16


def check_pattern(pattern: str) -> str:
    """
    Return *pattern* if it is an expression whose search ends in good time.

    Raises:
        ValueError: If it is no regular expression; if something that is
            repeated is repeated in its turn, as in ``(a+)+``; or if it repeats
            too many things.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what later versions may read otherwise
            re.compile(pattern)
        found = _parsed(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"must be a regular expression, got {pattern!r}: {error}") from error
    count, nested = _repeats(found)
    if nested:
        raise ValueError(f"must not repeat what is repeated itself, got {pattern!r}")
    if count > _MOST_REPEATS:
        raise ValueError(
            f"must have at most {_MOST_REPEATS} repetitions without an end, got {count} "
            f"in {pattern!r}"
        )
    return pattern


def _parsed(pattern: str) -> Any:  # noqa: ANN401 - the parser's own type
    try:
        from re import _parser as parser  # type: ignore[attr-defined]
    except ImportError:  # Python 3.10
        import sre_parse as parser
    return parser.parse(pattern)


def _repeats(node: Any) -> tuple[int, bool]:  # noqa: ANN401 - the parser's own types
    """
    Return how many long repetitions there are, and whether one is inside another.
    """
    if _is_repeat(node):
        count, nested = _repeats(node[2])
        if node[1] < _MANY:
            return count, nested
        return count + 1, nested or count > 0
    children = getattr(node, "data", node)
    if not isinstance(children, (list, tuple)):
        return 0, False
    inner = [_repeats(child) for child in children]
    return sum(count for count, _ in inner), any(nested for _, nested in inner)


def _is_repeat(node: Any) -> bool:  # noqa: ANN401 - the parser's own types
    # (smallest number, greatest number, what is repeated)
    if not isinstance(node, tuple) or len(node) != 3:  # noqa: PLR2004 - so many
        return False
    return all(isinstance(number, int) for number in node[:2]) and hasattr(node[2], "data")


class FailureSigns(Document):
    """
    What tells one kind of failure.

    Args:
        exit_codes: Of the user's code.

        logs:
            Regular expressions; one that is found in a line of the output of a
            job that failed. Lines are searched in their first 1000 characters,
            the last 2000 of them.
    """

    exit_codes: tuple[Annotated[int, Field(ge=1, le=255)], ...] = ()
    logs: tuple[Annotated[str, AfterValidator(check_pattern)], ...] = ()


class FailureSpec(Document):
    """
    How failures are told apart, where the exit code alone does not do it.

    Args:
        infeasible: The configuration has no value: never tried again, told.

        infrastructure: The machine's fault: tried again, costs nothing.

        code: A bug: tried again as ``retries.code`` says.

        out_of_memory: What running out of memory is.
    """

    infeasible: FailureSigns = Field(default_factory=FailureSigns)
    infrastructure: FailureSigns = Field(default_factory=FailureSigns)
    code: FailureSigns = Field(default_factory=FailureSigns)
    out_of_memory: FailureKind | None = None

    @model_validator(mode="after")
    def _each_once(self) -> FailureSpec:
        codes = [code for kind in KINDS for code in self.signs(kind).exit_codes]
        twice = sorted({code for code in codes if codes.count(code) > 1})
        if twice:
            raise ValueError(f"an exit code must mean one thing, got {twice[0]} twice")
        return self

    def signs(self, kind: FailureKind) -> FailureSigns:
        """
        Return what tells failures of *kind*.
        """
        found: FailureSigns = getattr(self, kind)
        return found
