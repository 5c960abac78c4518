"""
Tuning again and again: which study came before, and whether a champion holds.
"""

from __future__ import annotations

import pytest

from airflow_hpo.blueprint import parse_blueprints
from airflow_hpo.driver import judge_champion, promote, suggest_champion, to_promote
from airflow_hpo.history import champion_before, study_before
from airflow_hpo.model.objective import Objective
from airflow_hpo.model.retuning import ChampionSpec, ScheduleSpec
from airflow_hpo.model.trial import Outcome, TrialState
from airflow_hpo.storage import open_storage
from airflow_hpo.study import Study

BLUEPRINT = """\
hpo: 1
name: tiny
objective: {metric: y, direction: maximize}
space: {x: {float: [0, 1]}, m: {int: [1, 9]}}
points: [{x: 0.25, m: 2}, {x: 0.75, m: 3}]
strategy: {name: random, seed: 3}
budget: {trials: 6}
trial: {command: "echo {x} {m}"}
dag: {warm_start: {from: previous, trials: 1}, champion: {tolerance: 10%}}
"""

DAY = 86_400.0


@pytest.fixture(name="storage")
def _storage(tmp_path):
    """
    An empty journal.
    """
    storage = open_storage(f"sqlite:///{tmp_path / 'studies.db'}")
    yield storage
    storage.close()


@pytest.fixture(name="begin")
def _begin(storage):
    """
    Begins the study of a day, with trials that are complete with the values given.
    """

    def begin(name, day, values=(), *, search="", text=BLUEPRINT):
        (blueprint,) = parse_blueprints(text)
        study = Study.open(storage, name, blueprint)
        study.belong({"dag": "dag", "search": search, "run": name, "at": day * DAY})
        for trial, value in zip(study.ask(len(values), key="a"), values, strict=True):
            tell(study, trial.number, value)
        return study

    return begin


def tell(study, number, value):
    """
    Complete a trial with a value.
    """
    trial = study.start(number, key=f"{number}")
    outcome = Outcome(TrialState.COMPLETE, values=(value,), metrics={"y": value})
    study.tell(number, outcome, attempt=trial.attempt)


def crown(study, **more):
    """
    Promote the study's best trial.
    """
    best, _ = to_promote(study)
    data = {
        "asset": "hpo://tiny/champion",
        "trial": best.number,
        "parameters": dict(best.configuration),
        "values": {"y": best.values[0]},
        **more,
    }
    return promote(study, data, key=study.name)


@pytest.mark.parametrize(
    ("spec", "direction", "now", "holds"),
    [
        (ChampionSpec(tolerance=0.1), "maximize", 0.9, True),
        (ChampionSpec(tolerance=0.1), "maximize", 0.89, False),
        (ChampionSpec(tolerance=0.0), "maximize", 1.0, True),
        (ChampionSpec(tolerance=0.1), "maximize", 5.0, True),
        (ChampionSpec(tolerance_share=0.25), "minimize", 1.25, True),
        (ChampionSpec(tolerance_share=0.25), "minimize", 1.26, False),
        (ChampionSpec(tolerance_share=0.25), "minimize", -3.0, True),
    ],
)
def test_a_champion_holds_within_its_tolerance(spec, direction, now, holds):
    """
    Worse by no more than a number, or a share of what it was; better is always well.
    """
    objectives = [Objective(metric="y", direction=direction)]

    assert spec.holds(objectives, [1.0], [now]) is holds


def test_every_objective_has_to_hold():
    """
    One that fell off is enough to search again.
    """
    objectives = [
        Objective(metric="a", direction="maximize"),
        Objective(metric="b", direction="minimize"),
    ]
    spec = ChampionSpec(tolerance=1)

    assert spec.holds(objectives, [5, 5], [4, 6])
    assert not spec.holds(objectives, [5, 5], [9, 6.5])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "cron, timetable or assets must be given"),
        (
            {"cron": "@daily", "timetable": "A"},
            "timetable must stand alone, got cron and timetable",
        ),
        ({"assets": ("a://b",), "timezone": "UTC"}, "timezone must stand with cron"),
        ({"cron": "@daily", "arguments": {"a": 1}}, "arguments must stand with timetable"),
        ({"cron": "@daily", "match": "any"}, "match must stand with assets"),
    ],
)
def test_parts_of_a_schedule_go_together(given, message):
    """
    What says nothing without another part is refused.
    """
    with pytest.raises(ValueError, match=message):
        ScheduleSpec(**given)


def test_what_came_before_is_told_by_time(begin, storage):
    """
    The latest earlier interval of the same search that has a complete trial and is not too old.
    """
    begin("late", 9, [0.1])
    begin("first", 1, [0.1])
    begin("other", 3, [0.1], search="b")
    begin("empty", 4)
    begin("own", 5)

    assert study_before(storage, "own") == "first"
    assert study_before(storage, "own", max_age_s=4 * DAY) == "first"
    assert study_before(storage, "own", max_age_s=3.9 * DAY) is None
    assert study_before(storage, "first") is None
    assert study_before(storage, "never noted") is None


def test_a_study_begins_with_the_best_of_the_one_before(begin):
    """
    Its points come first, then the best trial of the interval before, once and for all.
    """
    before = begin("before", 1, [0.1, 0.2, 0.9, 0.3])
    study = begin("own", 2)

    configurations = [trial.configuration for trial in study.ask(4, key="b")]

    assert configurations[2] == before.record().trials[2].configuration
    assert study.past()[0] == (
        "warm start: 1 of 1 trials of study before, the interval before to be tried again"
    )
    begin("between", 1.5, [0.5])
    assert [trial.configuration for trial in study.ask(4, key="b")] == configurations


def test_the_champion_is_that_of_its_time(begin, storage):
    """
    A study finds what was promoted last before its interval; not its own, not another asset's.
    """
    crown(begin("second", 2, [0.5]))
    crown(begin("first", 1, [0.5]))
    crown(begin("foreign", 2.5, [0.5]), asset="x://y")
    begin("own", 3)
    begin("zero", 0)

    asset = "hpo://tiny/champion"
    assert champion_before(storage, "own", asset=asset)["study"] == "second"
    assert champion_before(storage, "second", asset=asset)["study"] == "first"
    assert champion_before(storage, "zero", asset=asset) is None


def test_a_trial_that_was_run_again_is_promoted_again(begin, storage):
    """
    Of the promotions of one study the last counts; the same one twice is one.
    """
    study = begin("first", 1, [0.5])
    for key, value in (("a", 1), ("b", 2), ("a", 3)):
        promote(study, {"asset": "x://y", "mark": value}, key=key)
    begin("own", 2)

    assert champion_before(storage, "own", asset="x://y")["mark"] == 2
    assert len(storage.promotions()) == 2


def test_the_champion_takes_no_point_s_place(begin):
    """
    It is the first trial, and then all points follow, the first among them.
    """
    crown(begin("first", 1, [0.1, 0.2, 0.9]))
    study = begin("own", 2)

    (trial,), words = suggest_champion(study, key="check")
    again, _ = suggest_champion(study, key="check")
    rest = study.ask(4, key="b")

    assert trial.sampler == "champion"
    assert words == "the champion is trial 2 of study first"
    assert again == (trial,)
    assert [each.configuration for each in rest[:2]] == [{"x": 0.25, "m": 2}, {"x": 0.75, "m": 3}]


@pytest.mark.parametrize(("value", "ends"), [(0.82, True), (0.8, False)])
def test_a_champion_that_holds_ends_the_study(begin, value, ends):
    """
    Within a tenth of what it was the study ends and nothing is promoted; below, it goes on.
    """
    crown(begin("first", 1, [0.9]))
    study = begin("own", 2)
    (trial,), _ = suggest_champion(study, key="check")
    tell(study, trial.number, value)

    stop, words = judge_champion(study, [trial.number])

    assert (stop is not None) is ends
    assert words.endswith(f"y is {value} and was 0.9")
    assert (to_promote(study)[0] is None) is ends
    assert (study.ask(2, key="b") == ()) is ends


def test_a_champion_that_does_not_fit_is_told(begin):
    """
    Where the search space has no place for it any more there is no trial, and the reason is said.
    """
    crown(begin("first", 1, [0.9]))
    study = begin(
        "own",
        2,
        text=BLUEPRINT.replace("float: [0, 1]", "float: [2, 3]").replace(
            "points: [{x: 0.25, m: 2}, {x: 0.75, m: 3}]\n", ""
        ),
    )

    trials, words = suggest_champion(study, key="check")

    assert trials == ()
    assert words == "the champion of study first does not fit: x is outside its values"
    assert judge_champion(study, []) == (None, "no champion was tried")


def test_no_champion_no_trial(begin):
    """
    The first interval has nothing to try.
    """
    trials, words = suggest_champion(begin("own", 1), key="check")

    assert trials == ()
    assert words == "there is no champion hpo://tiny/champion yet"
