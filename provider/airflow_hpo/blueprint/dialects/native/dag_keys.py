"""
Keys of the DAG: when it runs, and what each run has to do with those before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.cron import PRESETS
from airflow_hpo.blueprint.dialects.base import build
from airflow_hpo.blueprint.dialects.native.trial_keys import TASK_KEYS
from airflow_hpo.blueprint.durations import DURATION
from airflow_hpo.blueprint.records import Key, ListOf, MapOf, Record
from airflow_hpo.blueprint.shapes import (
    BROKEN,
    Anything,
    Either,
    Flag,
    Nullable,
    Number,
    OneOf,
    Text,
    Whole,
)
from airflow_hpo.blueprint.units import SHARE_PATTERN, share_of
from airflow_hpo.model.blueprint import DagSpec
from airflow_hpo.model.retuning import ChampionSpec, PreviousStart, ScheduleSpec

if TYPE_CHECKING:
    from airflow_hpo.blueprint.problems import Problems

__all__ = ["DAG", "read_dag"]

_ASSET = Text(
    pattern=r"^(?!airflow:)[A-Za-z][A-Za-z0-9+.-]*://[!-~]+$",
    rule="the URI of an asset, such as s3://bucket/key",
    examples=("s3://data/daily",),
)

_SCHEDULE = Record(
    {
        "cron": Key(Text(examples=PRESETS), "An expression or a preset."),
        "timezone": Key(Text(examples=("Europe/Berlin",)), "Of cron; UTC by default."),
        "timetable": Key(
            Text(examples=("DeltaTriggerTimetable",)),
            "One of Airflow's timetables by its name, or another as module.Class.",
        ),
        "arguments": Key(MapOf(Anything()), "The timetable's; durations such as 6h are read."),
        "assets": Key(ListOf(_ASSET, least=1), "Runs when they are updated."),
        "match": Key(OneOf(("all", "any")), "Whether all assets have to be updated, or any."),
    },
    foreign={"dataset": "write assets", "datasets": "write assets", "asset": "write assets: [...]"},
    main="cron",
)

_WARM_START = Record(
    {
        "from": Key(
            OneOf(("previous",)), "previous: the study of the interval before.", example="previous"
        ),
        "trials": Key(Whole(least=1), "The best so many; all by default."),
        "max_age": Key(DURATION, "Time between the two intervals, at most."),
        "as": Key(
            OneOf(("points", "history")),
            "points has them tried again on the new data; history shows them as they ended.",
        ),
    },
    foreign={"study": "write warm_start at the top of the file", "top": "write trials"},
    main="trials",
)

_CHAMPION = Record(
    {
        "asset": Key(_ASSET, "Its URI; hpo://NAME/champion by default."),
        "tolerance": Key(
            Either(
                text=Text(
                    pattern=SHARE_PATTERN,
                    rule="a number or a share such as 1%",
                    convert=lambda text: {"share": share_of(text)},
                    examples=("1%",),
                ),
                other=Number(least=0),
            ),
            "Tries the champion on the new data first: not worse by more, it spares the search.",
        ),
    },
    main="asset",
)

DAG = Record(
    {
        "id": Key(Text(), "The DAG's id; the blueprint's name by default."),
        "schedule": Key(
            Nullable(Either(text=Text(examples=PRESETS), other=_SCHEDULE)),
            "A cron expression, a preset, or a mapping; none by default.",
        ),
        "start_date": Key(Text(examples=("2026-01-31",)), "The first day that is scheduled."),
        "catchup": Key(Flag(), "Whether missed runs are made up for."),
        "tags": Key(ListOf(Text()), "Shown in the UI, beside hpo."),
        "owner": Key(Text(), "Of every task."),
        "retries": Key(Whole(least=0), "Of the suggest, evaluate and report tasks."),
        "max_active_runs": Key(
            Whole(least=1), "Runs of the DAG at the same time; 1 where they build on each other."
        ),
        "tasks": Key(Record(TASK_KEYS), "Where the tasks run that suggest, evaluate and report."),
        "warm_start": Key(_WARM_START, "What each run takes over from the interval before."),
        "champion": Key(
            Either(text=_ASSET, other=_CHAMPION), "The best trial as an asset: its URI, or more."
        ),
        "approve": Key(Flag(), "Whether a person is asked before a trial becomes the champion."),
    },
    foreign={
        "dag_id": "write id",
        "cron": "write schedule",
        "schedule_interval": "write schedule",
        "timetable": "write schedule: {timetable: ...}",
        "backfill": "write catchup, or make one with Airflow's own command",
    },
    main="schedule",
)


def read_dag(keys: Mapping[str, Any], problems: Problems) -> DagSpec | None:
    """
    Return what *keys* say of the DAG; `None` where the model refuses it.
    """
    values = dict(keys)
    if "tags" in values:
        values["tags"] = tuple(tag for tag in values["tags"] if tag is not BROKEN)
    for name, read in (("schedule", _schedule), ("warm_start", _previous), ("champion", _champion)):
        if values.get(name) is not None:
            values[name] = read(values[name], problems)
    return build(DagSpec, values, ("dag",), problems)


def _schedule(given: str | Mapping[str, Any], problems: Problems) -> str | ScheduleSpec | None:
    if isinstance(given, str):
        return given
    values = dict(given)
    if "assets" in values:
        values["assets"] = tuple(each for each in values["assets"] if each is not BROKEN)
    if problems.touches(("dag", "schedule")):
        return None
    return build(ScheduleSpec, values, ("dag", "schedule"), problems)


def _previous(given: Mapping[str, Any], problems: Problems) -> PreviousStart | None:
    fields = {"trials": "trials", "max_age": "max_age_s", "as": "use"}
    values = {fields[key]: given[key] for key in fields if key in given}
    return build(PreviousStart, values, ("dag", "warm_start"), problems)


def _champion(given: str | Mapping[str, Any], problems: Problems) -> ChampionSpec | None:
    values: dict[str, Any] = {"asset": given} if isinstance(given, str) else dict(given)
    if isinstance(values.get("tolerance"), dict):
        values["tolerance_share"] = values.pop("tolerance")["share"]
    return build(ChampionSpec, values, ("dag", "champion"), problems)
