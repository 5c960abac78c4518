"""
Auto: what it chooses, that it says so, and that a study keeps the choice.
"""

from __future__ import annotations

import sys

import pytest

from airflow_hpo.blueprint import parse_blueprints
from airflow_hpo.errors import BlueprintError
from airflow_hpo.model.trial import Outcome, TrialState
from airflow_hpo.plan import make_plan
from airflow_hpo.storage import open_storage
from airflow_hpo.strategies import STRATEGIES
from airflow_hpo.strategies.auto import phases_of
from airflow_hpo.study import Study

FLOATS = "{x: {float: [-5, 5]}, y: {float: [1e-4, 1], log: true}}"
MANY = "{" + ", ".join(f"x{i}: {{float: [0, 1]}}" for i in range(30)) + "}"
BRANCHES = "{kind: {choice: [a, b]}, x: {float: [0, 1], when: {kind: a}}}"
ONE = "{metric: loss, direction: minimize}"
TWO = "[{metric: loss, direction: minimize}, {metric: size, direction: minimize}]"
FOUR = "[" + ", ".join(f"{{metric: m{i}, direction: maximize}}" for i in range(4)) + "]"


def blueprint(*, space=FLOATS, objective=ONE, trials=50, batch=5, strategy="", more=""):
    """
    Return a blueprint whose strategy is chosen.
    """
    (found,) = parse_blueprints(
        f"""
        hpo: 1
        name: chosen
        objective: {objective}
        space: {space}
        strategy: {{name: auto, seed: 3{strategy}}}
        budget: {{trials: {trials}}}
        execution: {{batch_size: {batch}}}
        trial: {{command: "true"}}
        {more}
        """
    )
    return found


def phases(wanted):
    """
    Return who proposes from where on.
    """
    return [(phase.strategy, phase.start) for phase in phases_of(wanted)]


def told(study, count, *, key):
    """
    Ask, tell all, and return who proposed.
    """
    trials = study.ask(count, key=key)
    for trial in trials:
        study.start(trial.number, key="1")
        value = sum(value**2 for value in trial.configuration.values())
        study.tell(trial.number, Outcome(TrialState.COMPLETE, values=(value,)), attempt=1)
    return [trial.sampler for trial in trials]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [("qmc", 0), ("gp", 10)]),
        ({"trials": 12}, [("qmc", 0), ("gp", 5)]),
        ({"trials": 24, "batch": 2}, [("qmc", 0), ("gp", 6)]),
        ({"trials": 3, "batch": 1}, [("qmc", 0), ("gp", 1)]),
        ({"batch": 32, "trials": 64}, [("qmc", 0), ("gp", 32)]),
        ({"strategy": ", startup_trials: 4"}, [("random", 0), ("gp", 4)]),
        ({"strategy": ", startup_trials: 0"}, [("gp", 0)]),
        ({"space": MANY}, [("qmc", 0), ("tpe", 10)]),
        ({"space": BRANCHES}, [("random", 0), ("gp", 10)]),
        ({"objective": TWO}, [("qmc", 0), ("tpe", 10)]),
        ({"objective": TWO, "trials": 900}, [("qmc", 0), ("nsga2", 10)]),
        ({"objective": FOUR, "trials": 900}, [("qmc", 0), ("nsga3", 10)]),
    ],
    ids=str,
)
def test_the_blueprint_decides(settings, expected):
    """
    Space, budget, batch and objectives choose; a start-up that was asked for is kept.
    """
    pytest.importorskip("sklearn")

    assert phases(blueprint(**settings)) == expected


def test_long_budgets_go_on_without_the_slow_model():
    """
    After some hundred trials a quicker strategy takes over, at a fixed number.
    """
    pytest.importorskip("sklearn")
    names = [name for name, _ in phases(blueprint(trials=2000))]
    starts = [start for _, start in phases(blueprint(trials=2000))]

    assert names[:2] == ["qmc", "gp"]
    assert len(names) == 3
    assert 100 < starts[2] < 2000
    assert starts == [start for _, start in phases(blueprint(trials=9000))]


def test_what_is_not_installed_is_not_chosen(monkeypatch):
    """
    Without scikit-learn there is another choice, and the plan says what is missing.
    """
    monkeypatch.setitem(sys.modules, "sklearn", None)

    assert phases(blueprint()) == [("qmc", 0), ("tpe", 10)]
    assert "pip install 'airflow-provider-hpo[gp]'" in make_plan(blueprint()).notes[0]


def test_constraints_on_outcomes_are_kept():
    """
    What cannot keep them is not chosen, and refused where it is asked for.
    """
    limit = 'outcome_constraints: ["size <= 3"]'
    asked = ", options: {phases: [{strategy: NAME}]}"

    for name, _ in phases(blueprint(more=limit)):
        assert STRATEGIES.load(name).support.outcome_constraints
    able = {
        name for name in STRATEGIES.entries if STRATEGIES.load(name).support.outcome_constraints
    }
    for name in {"gp", "tpe", "nsga2"} - able:
        with pytest.raises(BlueprintError, match="cannot keep constraints on outcomes"):
            blueprint(more=limit, strategy=asked.replace("NAME", name))


def test_plan_shows_the_choice():
    """
    The rounds name who proposes, and a note names the rule and its reason.
    """
    pytest.importorskip("sklearn")
    plan = make_plan(blueprint(trials=20, batch=4))

    assert [each.sampler for each in plan.rounds] == ["qmc", "qmc, gp", "gp", "gp", "gp"]
    assert plan.notes[0].startswith(
        "strategy auto: qmc for trials 0 to 4, gp from trial 5 on: at most"
    )


def test_plan_shows_no_more_than_the_budget():
    """
    What would only begin after the last trial is not told.
    """
    (note,) = make_plan(blueprint(trials=4, batch=8)).notes

    assert note.startswith("strategy auto: qmc from trial 0 on: ")


def test_phases_propose_in_turn():
    """
    A batch across the border has trials of both, whoever asks in which portions.
    """
    wanted = blueprint(
        strategy=", options: {phases: [{strategy: qmc}, {strategy: tpe, start: 3}, "
        "{strategy: random, start: 5, options: {}}]}"
    )
    together = Study.open(open_storage("memory://auto-together"), "one", wanted)
    single = Study.open(open_storage("memory://auto-single"), "one", wanted)

    names = told(together, 4, key="a") + told(together, 3, key="b")
    singly = [told(single, 1, key=f"{number}")[0] for number in range(4)]

    # Where nothing was told yet, there is nothing to model.
    assert names == ["qmc"] * 3 + ["random", "tpe", "random", "random"]
    assert singly == ["qmc"] * 3 + ["tpe"]
    start = [trial.configuration for trial in together.record().trials[:3]]
    assert start == [trial.configuration for trial in single.record().trials[:3]]


def test_study_keeps_the_choice():
    """
    Neither another budget nor another batch changes it after the study began.
    """
    pytest.importorskip("sklearn")
    storage = open_storage("memory://auto-keeps")
    first = Study.open(storage, "one", blueprint(trials=12, batch=3))
    names = told(first, 3, key="a")
    noted = storage.load("one").notes["strategy_chosen"]
    later = Study.open(storage, "one", blueprint(trials=60, batch=20))
    names += told(later, 3, key="b")

    assert names == ["qmc"] * 3 + ["gp"] * 3
    assert [phase["start"] for phase in noted["phases"]] == [0, 3]
    assert noted["rule"].startswith("at most")
    assert storage.load("one").notes["strategy_chosen"] == noted
    assert told(Study.load(storage, "one"), 1, key="c") == ["gp"]


def test_explicit_phases_are_what_they_say():
    """
    A person's phases are not noted, so editing them has an effect.
    """
    storage = open_storage("memory://auto-explicit")
    options = ", options: {phases: [{strategy: NAME}]}"
    study = Study.open(storage, "one", blueprint(strategy=options.replace("NAME", "random")))
    names = told(study, 2, key="a")
    study = Study.open(storage, "one", blueprint(strategy=options.replace("NAME", "qmc")))
    names += told(study, 2, key="b")

    assert names == ["random", "random", "qmc", "qmc"]
    assert "strategy_chosen" not in storage.load("one").notes


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ("[{strategy: qmc, start: 2}]", "phases must start at 0"),
        ("[{strategy: qmc}, {strategy: tpe}]", "each after the one before"),
        ("[{strategy: auto}]", "a strategy without rungs, got 'auto'"),
        ("[{strategy: hyperband}]", "a strategy without rungs, got 'hyperband'"),
        ("[{strategy: tpee}]", "strategy must be one of"),
        ("[{strategy: 'no.such:Thing'}]", "strategy no.such:Thing cannot be loaded"),
        ("[{strategy: 'airflow_hpo.errors:Problem'}]", "cannot be loaded"),
        ("[{strategy: tpe, options: {gamma: 2}}]", "options of phase tpe: gamma: "),
        ("[{strategy: grid}]", "strategy grid cannot search a float without step"),
        ("[]", "at least 1"),
    ],
)
def test_wrong_phases_are_refused(listed, message):
    """
    Before anything runs, with the place in the file.
    """
    with pytest.raises(BlueprintError) as caught:
        blueprint(strategy=f", options: {{phases: {listed}}}")

    assert message in str(caught.value)
    assert "strategy.options" in str(caught.value)
