"""
Whether two failures are the same one, and what to call it in a line.
"""

from __future__ import annotations

import re

__all__ = ["failure_signature", "failure_summary"]

# A failure's reason is looked at this far, from its end, and no farther.
_LOOKED_AT = 20_000
_SHOWN = 300

# So many frames of a traceback tell two failures apart.
_FRAMES = 5

# One line of a traceback's way to the error, in Python's words.
_FRAME = re.compile(r'^\s*File "([^"\n]{1,1000})", line \d+, in (\S{1,300})$')

# What an interpreter says last: ``ValueError: ...``, ``torch.OutOfMemoryError: ...``.
_ERROR = re.compile(r"^[A-Za-z_][\w.]{0,200}(?:Error|Exception|Warning|Exit|Interrupt)\b")

# What differs between two failures that are the same: addresses, numbers.
_VARIABLE = re.compile(r"0x[0-9a-fA-F]+|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")


def failure_signature(reason: str) -> str:
    """
    Return what two failures have in common if they are the same one.

    Of a Python traceback these are its functions and the error it ends with;
    of anything else, all of the text. Numbers are no difference: line numbers,
    addresses, a loss that was printed before.

    Example:
        >>> failure_signature("exit code 1: epoch 3, loss 0.51") == failure_signature(
        ...     "exit code 1: epoch 4, loss 1e-9"
        ... )
        True
    """
    lines = reason[-_LOOKED_AT:].splitlines()
    error = _error_line(lines)
    if error is None:
        return _VARIABLE.sub("#", "\n".join(line.strip() for line in lines))
    frames = [found.group(1, 2) for line in lines if (found := _FRAME.match(line))]
    # The innermost ones: how many lines of a traceback were kept may differ.
    return _VARIABLE.sub("#", repr((frames[-_FRAMES:], error)))


def failure_summary(reason: str) -> str:
    """
    Return *reason* in a line: the error that a traceback ends with, or else its first line.
    """
    lines = reason[-_LOOKED_AT:].splitlines()
    summary = _error_line(lines) or next(iter(reason[:_LOOKED_AT].splitlines()), "")
    summary = summary.strip()
    return summary if len(summary) <= _SHOWN else f"{summary[:_SHOWN]}..."


def _error_line(lines: list[str]) -> str | None:
    """
    Return the line in which the interpreter named the error; `None` if there is none.
    """
    found = (line.strip() for line in reversed(lines) if _ERROR.match(line.strip()))
    return next(found, None)
