"""
Metrics as regular expressions find them in the output.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from pydantic import field_validator, model_validator

from airflow_hpo.metrics.base import CollectorOptions, Meter, Notes
from airflow_hpo.metrics.text import from_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_hpo.model.trial import Measurement
    from airflow_hpo.model.values import Value

__all__ = ["RegexCollector", "RegexOptions"]

# Some expressions take time that grows with the square of a line's length, or
# worse: lines are searched this far and no farther.
_SEARCHED = 4096


class RegexOptions(CollectorOptions):
    """
    Options of the regex format; *pattern*, *patterns* or both.

    Args:
        pattern: An expression whose named groups are metrics.

        patterns:
            Several of them; or a mapping of metrics to expressions with one
            group each, for names that no group can have (``val/loss``).
    """

    pattern: str | None = None
    patterns: dict[str, str] | tuple[str, ...] = ()

    @field_validator("pattern")
    @classmethod
    def _pattern(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            _with_names(pattern)
        return pattern

    @field_validator("patterns")
    @classmethod
    def _patterns(
        cls, patterns: dict[str, str] | tuple[str, ...]
    ) -> dict[str, str] | tuple[str, ...]:
        if isinstance(patterns, dict):
            for metric, pattern in patterns.items():
                _with_one_group(metric, pattern)
        else:
            for pattern in patterns:
                _with_names(pattern)
        return patterns

    @model_validator(mode="after")
    def _some(self) -> RegexOptions:
        if self.pattern is None and not self.patterns:
            raise ValueError("pattern or patterns must be given, got neither")
        return self

    @property
    def searches(self) -> tuple[tuple[str | None, re.Pattern[str]], ...]:
        """
        The compiled expressions; with the metric, where the mapping names it.
        """
        one = () if self.pattern is None else (self.pattern,)
        if isinstance(self.patterns, dict):
            named = ((name, re.compile(text)) for name, text in self.patterns.items())
            return (*((None, re.compile(text)) for text in one), *named)
        return tuple((None, re.compile(text)) for text in (*one, *self.patterns))


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(
            f"a pattern must be a regular expression, got {pattern!r}: {error}"
        ) from error


def _with_names(pattern: str) -> None:
    if not _compiled(pattern).groupindex:
        raise ValueError(f"a pattern must name its groups, as in (?P<loss>.*), got {pattern!r}")


def _with_one_group(metric: str, pattern: str) -> None:
    groups = _compiled(pattern).groups
    if groups != 1:
        raise ValueError(
            f"the pattern of {metric} must have one group, got {groups} in {pattern!r}"
        )


class RegexCollector:
    """
    Searches every line; what the expressions find in one is one measurement.

    Each expression counts where it matches first in a line. Text that spells a
    number becomes one. Lines are searched in their first 4096 characters.
    """

    options_class: ClassVar[type[CollectorOptions]] = RegexOptions

    def __init__(
        self,
        options: RegexOptions,
        *,
        resource: str | None = None,
        workspace: str | None = None,  # noqa: ARG002 - reads no files
        since: float | None = None,  # noqa: ARG002 - nor old ones
    ) -> None:
        self._searches = options.searches
        self._meter = Meter(options, resource)
        self._notes = Notes()

    @property
    def notes(self) -> Sequence[str]:
        """
        What was passed over and why.
        """
        return self._notes.sentences()

    def feed(self, lines: Sequence[str], now: float) -> list[Measurement]:
        """
        Return one measurement for each line in which something was found.
        """
        found = (dict(self._search(line)) for line in lines)
        return [self._meter.measurement(metrics, now) for metrics in found if metrics]

    def finish(self, now: float) -> list[Measurement]:  # noqa: ARG002 - nothing is left
        """
        Return nothing: every line was searched as it came.
        """
        return []

    def _search(self, line: str) -> Iterator[tuple[str, Value]]:
        if len(line) > _SEARCHED:
            self._notes.add(f"a line was searched in its first {_SEARCHED} characters only")
        for metric, pattern in self._searches:
            match = pattern.search(line[:_SEARCHED])
            if match is None:
                continue
            groups = match.groupdict() if metric is None else {metric: match.group(1)}
            for name, text in groups.items():
                if text:  # a group may take no part, or match nothing
                    yield name, from_text(text)
