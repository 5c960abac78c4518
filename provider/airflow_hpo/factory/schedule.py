"""
SCHEDULE -> what Airflow's DAGs take for it: text, a timetable, or assets.
"""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, AssetAll, AssetAny

from airflow_hpo.blueprint.units import seconds_of

if TYPE_CHECKING:
    from airflow_hpo.model.retuning import ScheduleSpec

__all__ = ["schedule_of"]

# Where Airflow keeps its timetables: first where DAG files of late are to look.
_HOMES = (
    "airflow.sdk",
    "airflow.timetables.trigger",
    "airflow.timetables.interval",
    "airflow.timetables.events",
)


def schedule_of(spec: str | ScheduleSpec | None) -> Any:  # noqa: ANN401 - as Airflow takes it
    """
    Return what a DAG's argument ``schedule`` is given.

    Raises:
        ValueError: If there is no such timetable, or it refuses its arguments.
    """
    if spec is None or isinstance(spec, str):
        return spec
    timed = _timetable(spec)
    if not spec.assets:
        return timed
    assets = [Asset(uri) for uri in spec.assets]
    condition = AssetAny(*assets) if spec.match == "any" else AssetAll(*assets)
    if timed is None:
        return condition
    return _made("AssetOrTimeSchedule", timetable=timed, assets=condition)


def _timetable(spec: ScheduleSpec) -> Any:  # noqa: ANN401
    if spec.timetable is not None:
        arguments = {name: _duration(value) for name, value in spec.arguments.items()}
        return _made(spec.timetable, **arguments)
    if spec.cron is None:
        return None
    if spec.timezone is None and not spec.assets:
        return spec.cron
    return _made("CronTriggerTimetable", cron=spec.cron, timezone=spec.timezone or "UTC")


def _duration(value: Any) -> Any:  # noqa: ANN401 - whatever the timetable takes
    """
    Return text that is a duration as one, as YAML has none.
    """
    try:
        return timedelta(seconds=seconds_of(value)) if isinstance(value, str) else value
    except ValueError:
        return value


def _made(name: str, **arguments: Any) -> Any:  # noqa: ANN401
    found = _find(name)
    try:
        if name == "CronTriggerTimetable":
            return found(arguments.pop("cron"), **arguments)
        return found(**arguments)
    except (TypeError, ValueError) as error:
        raise ValueError(f"dag.schedule: {name} refuses its arguments: {error}") from error


def _find(name: str) -> Any:  # noqa: ANN401
    homes = [name.rpartition(".")[0]] if "." in name else [*_HOMES, "airflow.timetables.assets"]
    for home in homes:
        try:
            found = getattr(import_module(home), name.rpartition(".")[2], None)
        except ImportError:
            continue
        if isinstance(found, type):
            return found
    raise ValueError(f"dag.schedule.timetable must be one that can be imported, got {name!r}")
