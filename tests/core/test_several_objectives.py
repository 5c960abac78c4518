"""
Several objectives, from the blueprint to the report.
"""

from __future__ import annotations

import json

import pytest

from airflow_hpo.blueprint import check_text, parse_blueprints
from airflow_hpo.model.trial import Outcome, TrialState
from airflow_hpo.report import summarise, summary_markdown, trial_rows, write_report
from airflow_hpo.storage import open_storage
from airflow_hpo.study import Study

TEXT = """
hpo: 1
name: size-and-loss
objective:
  - {metric: loss, direction: minimize}
  - {metric: "a|c", direction: maximize}
space:
  x: {float: [-2, 2]}
  kind: {choice: [plain, deep]}
  depth: {int: [1, 9], when: {kind: deep}}
strategy: {name: NAME, seed: 3, startup_trials: 6}
budget: {trials: 24}
trial: {command: "python train.py {x} {kind}"}
"""


def finished(name, *, url="memory://several", storage=None):
    """
    Return a study of two objectives that contradict each other, after it ended.
    """
    (blueprint,) = parse_blueprints(TEXT.replace("NAME", name))
    study = Study.open(storage or open_storage(f"{url}-{name}"), "both", blueprint)
    while study.decide() is None:
        for trial in study.ask(6, key=f"ask {len(study.record().trials)}"):
            x = trial.configuration["x"]
            study.start(trial.number, key="only")
            outcome = Outcome(TrialState.COMPLETE, values=(x**2, -((x - 1) ** 2)))
            study.tell(trial.number, outcome, attempt=1)
    return study


@pytest.mark.parametrize("name", ["random", "tpe", "nsga2", "nsga3", "qmc"])
def test_a_study_of_two_objectives_runs_to_its_end(name):
    """
    It is asked, told and summed up; the best by the first is on the front.
    """
    study = finished(name)

    summary = summarise(study.record(), study.blueprint)

    assert summary["states"] == {"complete": 24}
    front = summary["front"]
    assert front[0] == summary["best"]
    losses = [trial["values"]["loss"] for trial in front]
    gains = [trial["values"]["a|c"] for trial in front]
    assert losses == sorted(losses)
    assert gains == sorted(gains)
    assert all(0 <= trial["parameters"]["x"] <= 1 for trial in front[1:-1])
    assert study.best().number == front[0]["number"]


def test_model_based_ones_find_more_of_the_front():
    """
    Both parts of the compromise lie where neither objective alone has its best.
    """
    inside = {}
    for name in ("random", "tpe"):
        trials = finished(name).record().trials
        inside[name] = sum(0 <= trial.configuration["x"] <= 1 for trial in trials)

    assert inside["tpe"] > inside["random"]


def test_the_report_shows_the_front(tmp_path):
    """
    As a table with a row a trial, whose cells hold any text.
    """
    study = finished("random")
    record = study.record()

    files = write_report(record, study.blueprint, tmp_path)

    summary = json.loads(files.summary.read_text("utf-8"))
    lines = files.markdown.read_text("utf-8").splitlines()
    start = lines.index("| trial | loss | a\\|c | x | kind | depth |")
    assert len(lines[start + 2 :]) == len(summary["front"])
    count = len(summary["front"])
    assert lines[start - 2] == (
        f"Pareto front: {count} trials are beaten by no other in every objective."
    )
    first = summary["front"][0]
    assert lines[start + 2].startswith(f"| {first['number']} | {first['values']['loss']:.6g} | ")
    assert {row["value.a|c"] for row in trial_rows(record, study.blueprint)} == {
        trial.values[1] for trial in record.trials
    }


def test_a_study_without_complete_trials_has_an_empty_front():
    """
    That is no error, in the summary and in words.
    """
    (blueprint,) = parse_blueprints(TEXT.replace("NAME", "random"))
    study = Study.open(open_storage("memory://several-empty"), "both", blueprint)

    summary = summarise(study.record(), blueprint)

    assert summary["front"] == []
    assert "No trial is complete." in summary_markdown(summary)


def test_one_objective_has_a_best_trial_and_no_front():
    """
    The summary of such a study is what it was.
    """
    text = TEXT.replace("NAME", "random").replace('  - {metric: "a|c", direction: maximize}\n', "")
    (blueprint,) = parse_blueprints(text)
    study = Study.open(open_storage("memory://several-one"), "one", blueprint)

    assert "front" not in summarise(study.record(), blueprint)


def test_strategies_that_cannot_are_refused_with_those_that_can():
    """
    So is a plateau, which would look at the first objective alone.
    """
    text = TEXT.replace("NAME", "cmaes") + "stop: [{plateau: 5}]\n"

    messages = "\n".join(map(str, check_text(text)))

    assert "strategy cmaes cannot optimise several objectives, got 2" in messages
    assert "hint: these can: auto, random, " in messages
    assert "plateau must have one objective to look at, got 2" in messages


def test_top_goes_by_rank_first(hpo):
    """
    All of the front come before what any of them beats.
    """
    study = finished("random", storage=open_storage())
    front = [trial["number"] for trial in summarise(study.record(), study.blueprint)["front"]]

    top = hpo.json("top", "both", "-n", "24")

    assert [line["number"] for line in top[: len(front)]] == front
    assert [line["rank"] for line in top] == sorted(line["rank"] for line in top)
    assert top[len(front)]["rank"] == 1
    assert "rank" in hpo("top", "both").stdout
    numbers = ", ".join(f"#{number}" for number in front)
    assert f"beaten by no other in every objective: {numbers}" in hpo("status", "both").stdout
