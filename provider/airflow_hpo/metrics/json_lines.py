"""
Metrics as lines of JSON among the output: the default.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from airflow_hpo.metrics.base import CollectorOptions, Meter, Notes
from airflow_hpo.metrics.text import parse_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_hpo.model.trial import Measurement

__all__ = ["JsonLinesCollector"]


class JsonLinesCollector:
    """
    Reads every line that starts with a JSON object as one measurement.

    Nested objects become dotted names. `NaN` and infinities are read; they are
    no values for an objective. Numbers printed as text count as numbers there.
    """

    options_class: ClassVar[type[CollectorOptions]] = CollectorOptions

    def __init__(
        self,
        options: CollectorOptions,
        *,
        resource: str | None = None,
        workspace: str | None = None,  # noqa: ARG002 - reads no files
        since: float | None = None,  # noqa: ARG002 - nor old ones
    ) -> None:
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
        Return one measurement for each line that holds one.
        """
        found = (parse_line(line, self._notes) for line in lines)
        return [self._meter.measurement(metrics, now) for metrics in found if metrics]

    def finish(self, now: float) -> list[Measurement]:  # noqa: ARG002 - nothing is left
        """
        Return nothing: every line was read as it came.
        """
        return []
