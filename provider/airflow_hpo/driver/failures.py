"""
What the end of a job means: whose fault it was, as the blueprint tells it.
"""

from __future__ import annotations

import json
import re
import time
from collections import deque
from typing import TYPE_CHECKING

from airflow_hpo.metrics import final_metrics
from airflow_hpo.model.signs import MAX_SEARCHED
from airflow_hpo.model.trial import Failure, Outcome, TrialState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_hpo.model.job import JobResult
    from airflow_hpo.model.signs import FailureKind, FailureSpec
    from airflow_hpo.model.trial import Measurement

__all__ = ["Signs"]

# So many last lines of the output are searched for what the blueprint names.
_LINES = 2000

# Searching them ends after so many seconds, whatever the expressions are like.
_SEARCH_S = 5.0

# The longest line that may be a word of the code about itself.
_LONGEST_WORD = 10_000

# What says of a line that memory was short, in the words of Python, C++, CUDA,
# PyTorch, TensorFlow, JAX and the C library.
_OUT_OF_MEMORY = re.compile(
    r"\bMemoryError\b|out of memory|OutOfMemory|std::bad_alloc|RESOURCE_EXHAUSTED"
    r"|Cannot allocate memory",
    re.IGNORECASE,
)


class Signs:
    """
    Reads a job's output for what tells one failure from another.

    Args:
        spec: What the blueprint says.
    """

    def __init__(self, spec: FailureSpec) -> None:
        self._spec = spec
        self._lines: deque[str] = deque(maxlen=_LINES)
        self._said: str | None = None

    def feed(self, lines: Iterable[str]) -> None:
        """
        Read the next lines of output.
        """
        for line in lines:
            if line.startswith("{") and '"infeasible"' in line[:_LONGEST_WORD]:
                self._said = _said(line) or self._said
            self._lines.append(line[:MAX_SEARCHED])

    @property
    def infeasible(self) -> str | None:
        """
        Why the configuration has no value, if the code itself said so.
        """
        return self._said

    def outcome(self, result: JobResult, measurements: Sequence[Measurement]) -> Outcome:
        """
        Return what it means that a job ended as *result* says, which is not well.
        """
        kind, why = self._kind(result)
        reason = result.reason or ("cancelled" if result.cancelled else "failed without a reason")
        reason = f"{why}: {reason}" if why else reason
        metrics = final_metrics(measurements)
        if kind == "infeasible":
            return Outcome(
                TrialState.INFEASIBLE, metrics=metrics, reason=reason, exit_code=result.exit_code
            )
        failure = Failure(kind) if kind else result.failure or Failure.INFRASTRUCTURE
        return Outcome(
            TrialState.FAILED,
            metrics=metrics,
            reason=reason,
            failure=failure,
            exit_code=result.exit_code,
        )

    def _kind(self, result: JobResult) -> tuple[FailureKind | None, str]:
        """
        Return the kind of failure and what told it; `None` where nothing did.
        """
        if self._said is not None:
            return "infeasible", self._said
        kinds: tuple[FailureKind, ...] = ("infeasible", "infrastructure", "code")
        for kind in kinds:
            if result.exit_code in self._spec.signs(kind).exit_codes:
                return kind, f"{kind} by its exit code"
        if self._spec.out_of_memory is not None and self._ran_out_of_memory(result):
            return self._spec.out_of_memory, "out of memory"
        if result.failure is Failure.TIMEOUT:
            return None, ""
        return self._by_log(kinds)

    def _ran_out_of_memory(self, result: JobResult) -> bool:
        return result.out_of_memory or any(map(_OUT_OF_MEMORY.search, self._lines))

    def _by_log(self, kinds: Sequence[FailureKind]) -> tuple[FailureKind | None, str]:
        deadline = time.monotonic() + _SEARCH_S
        for kind in kinds:
            for pattern in map(re.compile, self._spec.signs(kind).logs):
                for line in reversed(self._lines):
                    if pattern.search(line):
                        return kind, f"{kind} by its output {line.strip()!r}"
                    if time.monotonic() > deadline:
                        return None, "the search of its output took too long and was ended"
        return None, ""


def _said(line: str) -> str | None:
    """
    Return what the code says of its configuration in a line of JSON.

    ``{"infeasible": true}`` or, better, ``{"infeasible": "the loss diverged"}``.
    """
    try:
        found = json.loads(line) if len(line) <= _LONGEST_WORD else {}
    except (ValueError, RecursionError):
        return None
    word = found.get("infeasible") if isinstance(found, dict) else None
    if isinstance(word, str) and word.strip():
        return word.strip()[:MAX_SEARCHED]
    return "infeasible, as its code says" if word is True else None
