"""
Charts as plain data: what is drawn, what is left out, and what is said of it.
"""

from __future__ import annotations

import json
import math

import pytest

from airflow_hpo.blueprint import parse_blueprints
from airflow_hpo.errors import StudyError
from airflow_hpo.model.ladder import Place
from airflow_hpo.model.record import Event
from airflow_hpo.model.trial import Measurement, Outcome, Trial, TrialState
from airflow_hpo.plan import make_plan
from airflow_hpo.report.figures import CHARTS, Asked, charts_of, draw
from airflow_hpo.report.figures.curves import followed
from airflow_hpo.report.figures.rungs import rung_rows
from airflow_hpo.report.figures.thin import thinned
from airflow_hpo.report.figures.timeline import idle, spans
from airflow_hpo.storage import open_storage
from airflow_hpo.study import Study

_TEXT = """
hpo: 1
name: figures
objective: {metric: y, direction: maximize}
space:
  "<b>x</b>": {float: [0, 1]}
  n: {int: [1, 8]}
  c: {choice: ["<i>", "b"]}
  m: {float: [0, 1], when: {c: "b"}}
strategy: {name: random, seed: 3}
budget: {trials: 30}
trial: {command: "true {parameters}"}
"""

_LADDER = """
hpo: 1
name: rungs
objective: {metric: y, direction: minimize}
space: {x: {float: [0, 1]}, z: {float: [0, 1]}}
strategy: {name: hyperband, seed: 3}
resource: {name: epochs, min: 1, max: 9}
budget: {trials: 22}
trial: {command: "true {x} {epochs}"}
"""


def _run(study, trials):
    for trial in trials:
        study.start(trial.number, key=f"{trial.number}/1")
        value = trial.configuration.get("<b>x</b>", trial.configuration.get("x"))
        measured = [Measurement({"y": value * part / 4}, 1.0, part) for part in (1, 2, 3, 4)]
        study.measure(trial.number, measured, attempt=1, first=0)
        study.tell(trial.number, Outcome(TrialState.COMPLETE, (value,), {"y": value}), attempt=1)


def _asked(study, **more):
    record, name = study.record(), study.name
    measured = {
        number: study.storage.measurements(name, number)
        for number in followed(record, study.blueprint)
    }
    return Asked(
        record,
        study.blueprint,
        measured=measured,
        events=study.storage.events(name),
        now=1e10,
        **more,
    )


@pytest.fixture(scope="module", name="study")
def _study():
    """
    A study of thirty trials, the last of which runs.
    """
    (blueprint,) = parse_blueprints(_TEXT)
    study = Study.open(open_storage("memory://figures"), "figures", blueprint)
    trials = study.ask(30, key="all")
    _run(study, trials[:-1])
    study.start(29, key="29/1")
    study.measure(29, [Measurement({"y": 0.5}, 1.0, 1)], attempt=1, first=0)
    return study


@pytest.fixture(scope="module", name="ladder")
def _ladder():
    """
    A hyperband whose first bracket has been run to its end.
    """
    (blueprint,) = parse_blueprints(_LADDER)
    plan = make_plan(blueprint)
    study = Study.open(open_storage("memory://figures"), "rungs", blueprint, plan=plan.to_dict())
    for rung in plan.brackets[0].rungs:
        place = Place(0, plan.brackets[0].bracket, rung.rung)
        _run(study, study.ask(22, key=f"{place}", only=place))
    return study


@pytest.mark.parametrize("name", [name for name in CHARTS if name not in {"rungs", "front"}])
def test_every_chart_is_plain_data_without_markup(study, name):
    """
    Each can be sent as JSON, has something in it, and leaves no markup of the user's to Plotly.
    """
    figure = draw(name, _asked(study))
    text = json.dumps(figure, allow_nan=False)

    assert figure["data"]
    assert "<b>" not in text
    assert "<i>" not in text
    assert "template" not in figure["layout"]


def test_charts_fit_the_study(study, ladder):
    """
    Rungs are offered for ladders only, a front for several objectives only.
    """
    names = {chart.name for chart in charts_of(study.record(), study.blueprint)}
    ladders = {chart.name for chart in charts_of(ladder.record(), ladder.blueprint)}

    assert names == set(CHARTS) - {"rungs", "front"}
    assert ladders == set(CHARTS) - {"front"}


def test_unknown_chart_is_refused(study):
    """
    The message names those that there are.
    """
    with pytest.raises(StudyError, match=r"must be one of history, .* got 'histry'"):
        draw("histry", _asked(study))


def test_history_keeps_numbers_and_the_best(study):
    """
    Trials stand at their own numbers, also where some are left out, and the best line is ours.
    """
    figure = draw("history", _asked(study))
    best = study.best()

    numbers = {number for trace in figure["data"] for number in trace["x"]}
    assert best.number in numbers
    assert numbers <= set(range(30))
    line = next(trace for trace in figure["data"] if trace.get("mode") == "lines")
    assert max(line["y"]) == best.values[0]


def test_a_chart_of_nothing_says_why():
    """
    A study whose trials have not ended yet gives words in place of a chart.
    """
    (blueprint,) = parse_blueprints(_TEXT)
    study = Study.open(open_storage("memory://figures"), "new", blueprint)
    study.ask(2, key="first")

    for name in ("parallel", "slice", "contour", "importance", "curves", "timeline"):
        figure = draw(name, _asked(study))
        assert figure["data"] == []
        assert figure["note"]


def test_contour_is_over_the_parameters_that_are_asked_for(study):
    """
    Two of them, in that order; those that there are not are passed over.
    """
    figure = draw("contour", _asked(study, params=["n", "<b>x</b>", "gone"]))

    titles = {figure["layout"][axis]["title"]["text"] for axis in ("xaxis", "yaxis")}
    assert titles == {"n", "&lt;b>x&lt;/b>"}


def _trials(values):
    return tuple(
        Trial(number, {}, TrialState.COMPLETE, values=(value,))
        for number, value in enumerate(values)
    )


@pytest.mark.parametrize("most", [12, 50, 999])
def test_thinning_keeps_every_best(study, most):
    """
    Whatever was best so far stays, first and last too; the count is bounded and said.
    """
    record = study.record()
    record = type(record)(
        record.name, {}, 0, 0.0, _trials(math.sin(number) * number for number in range(1000))
    )

    found, note = thinned(record, study.blueprint.objectives, most=most)

    numbers = [trial.number for trial in found.trials]
    assert len(numbers) <= most
    assert numbers == sorted(set(numbers))
    best = max(record.trials, key=lambda trial: trial.values)
    assert best.number in numbers
    assert note.startswith(f"{len(numbers)} of 1000 trials are drawn")


def test_small_studies_are_not_thinned(study):
    """
    They are as they are, and nothing is said.
    """
    record = study.record()

    assert thinned(record, study.blueprint.objectives, most=30) == (record, "")


def _event(kind, moment, trial, attempt, **data):
    return Event(kind, moment, trial, {"attempt": attempt, **data})


def test_lanes_hold_attempts_that_do_not_overlap():
    """
    Each attempt has a lane of its own while it lasts; lost ones end where the next begins, and
    those that run end now.
    """
    events = [
        _event("started", 0.0, 0, 1, key="a"),
        _event("started", 1.0, 1, 1, key="b"),
        _event("finished", 4.0, 0, 1, state="complete"),
        _event("started", 5.0, 1, 2, key="c"),  # the first attempt was lost
        _event("started", 6.0, 2, 1, key="d"),
        _event("finished", 9.0, 1, 2, state="failed"),
    ]

    found = spans(events, now=10.0)

    drawn = [(each.number, each.attempt, each.start, each.end, each.lane) for each in found]
    assert drawn == [
        (0, 1, 0.0, 4.0, 0),
        (1, 1, 1.0, 5.0, 1),
        (1, 2, 5.0, 9.0, 0),
        (2, 1, 6.0, 10.0, 1),
    ]
    states = [each.state and each.state.value for each in found]
    assert states == ["complete", None, "failed", "running"]
    assert idle(found) == {
        "lanes": 2,
        "wall_s": 10.0,
        "busy_s": 16.0,
        "idle_share": pytest.approx(0.2),
    }


def test_rungs_are_planned_beside_run(ladder):
    """
    Each rung of the plan has a row, with what ran and what moved up.
    """
    rows = rung_rows(ladder.record())

    first = [row for row in rows if row["bracket"] == rows[0]["bracket"]]
    assert [row["planned"] for row in first] == [row["trials"] for row in first]
    assert [row["promoted"] for row in first[:-1]] == [row["trials"] for row in first[1:]]
    assert any(row["trials"] == 0 and row["planned"] > 0 for row in rows)
    assert draw("rungs", _asked(ladder))["data"]
