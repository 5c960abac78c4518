"""
Tuning again every interval: schedules, warm starts, champions, approval.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest

pytest.importorskip("airflow")

from airflow_hpo.storage import open_storage
from airflow_hpo.study import Study


def test_a_cron_expression_may_have_a_time_zone(build):
    """
    It is that of the timetable, whatever the start date is in.
    """
    dag = build(dag={"schedule": {"cron": "0 2 * * *", "timezone": "Europe/Berlin"}})

    assert type(dag.timetable).__name__ == "CronTriggerTimetable"
    assert "Europe/Berlin" in repr(dag.timetable)


def test_a_timetable_is_had_by_its_name(build):
    """
    Its arguments are the blueprint's, durations as people write them.
    """
    schedule = {"timetable": "DeltaTriggerTimetable", "arguments": {"delta": "6h"}}

    dag = build(dag={"schedule": schedule, "start_date": "2026-01-01"})

    assert type(dag.timetable).__name__ == "DeltaTriggerTimetable"


@pytest.mark.parametrize("name", ["NoSuchTimetable", "no.such.Timetable", "json.dumps"])
def test_a_timetable_that_is_none_is_refused(build, name):
    """
    What cannot be imported, or is no class, is named.
    """
    with pytest.raises(ValueError, match=f"one that can be imported, got '{name}'"):
        build(dag={"schedule": {"timetable": name}})


def test_a_timetable_s_arguments_are_its_own(build):
    """
    One that it does not know is refused with its words.
    """
    with pytest.raises(ValueError, match="DeltaTriggerTimetable refuses its arguments"):
        build(dag={"schedule": {"timetable": "DeltaTriggerTimetable", "arguments": {"x": 1}}})


@pytest.mark.parametrize(
    ("schedule", "name"),
    [
        ({"assets": ["s3://a/b"]}, "AssetTriggeredTimetable"),
        ({"assets": ["s3://a/b", "s3://c/d"], "match": "any"}, "AssetTriggeredTimetable"),
        ({"assets": ["s3://a/b"], "cron": "@weekly"}, "AssetOrTimeSchedule"),
    ],
)
def test_assets_start_runs(build, serialise, schedule, name):
    """
    All of them or any, and a cron expression beside them.
    """
    dag = build(dag={"schedule": schedule})

    assert type(dag.timetable).__name__ == name
    assert "s3://a/b" in json.dumps(serialise(dag))


def test_runs_that_build_on_each_other_come_one_by_one(build):
    """
    Unless the blueprint says otherwise, one run at a time.
    """
    warm = {"warm_start": {"from": "previous"}}

    assert build(dag=warm).max_active_runs == 1
    assert build(dag={"champion": {"tolerance": "1%"}}).max_active_runs == 1
    assert build(dag={**warm, "max_active_runs": 3}).max_active_runs == 3
    assert build().max_active_runs > 1


@pytest.mark.parametrize("shape", ["batch", "async", "ladder"])
def test_the_champion_stands_around_the_search(build, shape, serialise):
    """
    Its check comes first and names all that it may skip; behind the report a person is asked, and
    then it is published.
    """
    parts = {
        "batch": {},
        "async": {"execution": {"mode": "async", "concurrency": 2}},
        "ladder": {
            "strategy": {"name": "hyperband", "seed": 1},
            "resource": {"name": "epochs", "min": 1, "max": 3},
            "budget": {"trials": 7},
        },
    }[shape]

    dag = build(dag={"champion": {"tolerance": 0.1}, "approve": True}, **parts)

    check = dag.get_task("check.evaluate")
    named = {task for stage in check.later for task in stage}
    around = {"check.suggest", "check.trial", "check.evaluate"}
    behind = {"report", "nominate", "approve", "champion"}
    assert named == set(dag.task_ids) - around - behind
    assert not dag.get_task("check.suggest").upstream_task_ids
    assert dag.get_task("champion").upstream_task_ids == {"approve"}
    assert dag.get_task("report").watched[:2] == ["check.suggest", "check.evaluate"]
    assert [asset.uri for asset in dag.get_task("champion").outlets] == ["hpo://tiny/champion"]
    assert json.dumps(serialise(dag))


def test_a_ladder_needs_a_trial_for_the_champion(build):
    """
    The rungs' trials are all needed: the budget must have one more.
    """
    with pytest.raises(Exception, match=r"at least 7 .* and the champion's check, got 6"):
        build(
            strategy={"name": "hyperband", "seed": 1},
            resource={"name": "epochs", "min": 1, "max": 3},
            budget={"trials": 6},
            dag={"champion": {"tolerance": 0.1}},
        )


def run(dag, day):
    """
    Run *dag* for a day of January 2026; returns the states of its tasks.
    """
    date = datetime(2026, 1, day, tzinfo=timezone.utc)
    done = dag.test(logical_date=date, run_after=date)
    return {each.task_id: str(each.state) for each in done.get_task_instances()}


def record(name):
    """
    Return the study's record.
    """
    return Study.load(open_storage(), name).record()


def test_each_interval_begins_with_the_best_of_the_one_before(load, document):
    """
    The best trials are tried again first; a run that is made late builds on what was before it in
    time, and what is too old is left alone.
    """
    warm = {"from": "previous", "trials": 2, "max_age": "3d"}
    dag = load(
        document(
            "warm",
            study="warm-{{ ds }}",
            budget={"trials": 4},
            dag={"schedule": "@daily", "start_date": "2026-01-01", "warm_start": warm},
        )
    )

    for day in (1, 2, 9, 4):
        assert run(dag, day)["report"] == "success"

    def best(name):
        trials = sorted(record(name).trials, key=lambda trial: trial.values, reverse=True)
        return [trial.configuration for trial in trials[:2]]

    def first(name):
        return [trial.configuration for trial in record(name).trials[:2]]

    assert first("warm-2026-01-02") == best("warm-2026-01-01")
    assert record("warm-2026-01-09").notes["warm_started"]["source"] == "no interval before"
    assert first("warm-2026-01-04") == best("warm-2026-01-02")
    assert [trial.sampler for trial in record("warm-2026-01-04").trials[:2]] == ["point"] * 2


@pytest.mark.parametrize("mode", ["batch", "async", "ladder"])
def test_a_champion_that_holds_spares_the_search(load, document, mode):
    """
    The first run promotes; on data like that the champion is tried once and stays; where it fell
    off, the search is made, learns from its trial, and promotes anew.
    """
    parts = {
        "batch": {"budget": {"trials": 3}},
        "async": {"execution": {"mode": "async", "concurrency": 2}, "budget": {"trials": 3}},
        "ladder": {
            "strategy": {"name": "hyperband", "seed": 1},
            "resource": {"name": "epochs", "min": 1, "max": 3},
            "budget": {"trials": 7},
        },
    }[mode]
    sign = """case "$HPO_STUDY" in *03) s=-;; *) s=;; esac"""  # the third day is another world
    command = sign + """; printf '{{"y": %s%s}}\\n' "$s" {x}"""
    name = f"hold_{mode}"
    dag = load(
        document(
            name,
            study=f"{name}-{{{{ ds }}}}",
            trial={"command": command},
            dag={"schedule": "@daily", "start_date": "2026-01-01", "champion": {"tolerance": "5%"}},
            **parts,
        )
    )

    states = [run(dag, day) for day in (1, 2, 3)]

    assert [each["champion"] for each in states] == ["success", "skipped", "success"]
    assert [each["report"] for each in states] == ["success"] * 3
    days = [record(f"{name}-2026-01-0{day}") for day in (1, 2, 3)]
    best = max(days[0].trials, key=lambda trial: trial.values)
    assert len(days[1].trials) == 1
    assert days[1].trials[0].configuration == best.configuration
    assert days[1].trials[0].sampler == "champion"
    assert days[1].stop.rule == "champion"
    assert "still holds: y is" in days[1].stop.reason
    assert len(days[2].trials) == parts["budget"]["trials"]
    assert days[2].trials[0].configuration == best.configuration
    promoted = [each for each in open_storage().promotions() if each["dag"] == name]
    assert [each["study"] for each in promoted] == [days[0].name, days[2].name]
    assert promoted[0]["parameters"] == best.configuration
    assert promoted[0]["value"] == best.values[0]
    assert promoted[0]["at"] + timedelta(days=2).total_seconds() == promoted[1]["at"]
