"""
Metrics: a trial's output -> measurements -> its objective values.

One file a format; the formats know no siblings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_hpo.metrics.base import Collector
from airflow_hpo.metrics.judge import final_metrics, judge
from airflow_hpo.model.registry import Table

if TYPE_CHECKING:
    from airflow_hpo.model.trial_spec import MetricsSpec

__all__ = [
    "FORMATS",
    "PLANNED",
    "Collector",
    "create_collector",
    "final_metrics",
    "judge",
    "validate_options",
]

FORMATS = Table(
    kind="metrics format",
    entries={
        "json_lines": "airflow_hpo.metrics.json_lines:JsonLinesCollector",
        "regex": "airflow_hpo.metrics.regex:RegexCollector",
        "file": "airflow_hpo.metrics.file:FileCollector",
    },
    group="airflow_hpo.metrics",
)

# Names of the native dialect whose formats are not built yet.
PLANNED = frozenset({"tensorboard"})


def create_collector(
    spec: MetricsSpec,
    *,
    resource: str | None = None,
    workspace: str | None = None,
    since: float | None = None,
) -> Collector:
    """
    Return a collector for one attempt at one trial.

    Args:
        spec: The format, by name, and its options.

        resource:
            Name of the blueprint's resource: where the options name none, the
            metric of that name tells how far a trial is, or else the one
            named in the singular (``epoch`` for ``epochs``).

        workspace: The trial's folder, for formats that read files.

        since:
            When the attempt began, in seconds since the epoch: files that an
            older attempt left are not read.

    Raises:
        ValueError: If the format or an option is not known.
    """
    collector_class = FORMATS.load(spec.format)
    options = collector_class.options_class.model_validate(spec.options)
    collector: Collector = collector_class(
        options, resource=resource, workspace=workspace, since=since
    )
    return collector


def validate_options(spec: MetricsSpec) -> None:
    """
    Refuse a format or options that `create_collector` would refuse.

    Raises:
        ValueError: With what is wrong; pydantic's names each place.
    """
    FORMATS.load(spec.format).options_class.model_validate(spec.options)
