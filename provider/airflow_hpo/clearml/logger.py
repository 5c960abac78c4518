"""
ClearML's ``Logger``: scalars become lines that metrics are read from.
"""

from __future__ import annotations

import json
import os

from airflow_hpo.blueprint.dialects.clearml import metric_name

__all__ = ["Logger"]

# What tells a trial how long it may be; the first that is set counts.
_LIMITS = ("HPO_RESOURCE", "HPO_MAX_ITERATIONS")


class Logger:
    """
    Prints scalars as metrics, one line of JSON each.
    """

    @classmethod
    def current_logger(cls) -> Logger:
        """
        Return the logger of this process.
        """
        return cls()

    def report_scalar(self, title: str, series: str, value: float, iteration: int) -> None:
        """
        Print one value; a trial that has done its iterations ends here instead.

        Args:
            title: Of the plot.

            series: Of the line in it.

            value: A number.

            iteration: How far the training is.

        Raises:
            SystemExit: In a trial, beyond the iterations that it was given.
        """
        limit = _limit()
        if limit is not None and iteration > limit:
            raise SystemExit(0)
        measured = {metric_name(title, series): float(value), "iteration": int(iteration)}
        print(json.dumps(measured), flush=True)  # noqa: T201 - this is what it is for

    def report_single_value(self, name: str, value: float) -> None:
        """
        Print one value that belongs to no iteration.
        """
        print(json.dumps({name: float(value)}), flush=True)  # noqa: T201 - as above

    def report_text(self, text: str, **_others: object) -> None:
        """
        Print *text*.
        """
        print(text, flush=True)  # noqa: T201 - as above

    def flush(self) -> None:
        """
        Do nothing: nothing waits.
        """


def _limit() -> float | None:
    for name in _LIMITS:
        text = os.environ.get(name)
        if text:
            return float(text)
    return None
