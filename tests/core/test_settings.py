"""
The settings of one run: what they change, and what is refused.
"""

from __future__ import annotations

import json

import pytest

from airflow_hpo.blueprint import parse_blueprints
from airflow_hpo.blueprint.bounds import bounds_of, bounds_text
from airflow_hpo.blueprint.settings import apply_settings, read_settings, target_of
from airflow_hpo.errors import StudyError

_TEXT = """
hpo: 1
name: form
objective: {metric: y, direction: maximize}
space:
  lr: {float: [1e-5, 0.1], log: true}
  hidden: {int: [16, 128], step: 16}
  optimizer: {choice: [sgd, adam, 3], weights: [2, 1, 1]}
  momentum: {float: [0, 1], when: {optimizer: sgd}}
  width: {normal: [64, 16]}
  epochs: 10
points: [{lr: 0.05}, {lr: 0.001}]
strategy: {name: random, seed: 7}
budget: {trials: 8}
stop: [{metric: y, at_least: 0.9}, {metric: z, at_most: 1}, {plateau: 5}]
trial: {command: "true {parameters}"}
"""


@pytest.fixture(name="blueprint")
def _blueprint():
    """
    One with a parameter of every kind.
    """
    (found,) = parse_blueprints(_TEXT)
    return found


@pytest.fixture(name="run")
def _run(blueprint):
    """
    Returns the blueprint of a run with such settings, bounds by parameter.
    """

    def run(space=None, **settings):
        fields = {f"space.{name}": value for name, value in (space or {}).items()}
        return apply_settings(blueprint, read_settings({**settings, "space": json.dumps(fields)}))

    return run


def test_what_is_left_alone_changes_nothing(blueprint, run):
    """
    The form's own values give the blueprint as it is.
    """
    tunable = blueprint.space.tunable
    bounds = {item.name: bounds_of(item.distribution) for item in tunable}
    texts = {
        name: bounds_text(blueprint.space.by_name[name].distribution) for name in ("lr", "width")
    }

    found = run(
        {**bounds, **texts},
        trials="8",
        seed="7",
        strategy="random",
        target="0.9",
        warm_start="None",
    )

    assert found == blueprint


def test_bounds_are_the_run_s(blueprint, run):
    """
    Bounds, choices and moments are replaced; all else of a parameter stays.
    """
    space = {"lr": [1e-3, 1e-2], "hidden": [32, 64], "optimizer": ["3", "sgd"], "width": [32, 4]}

    found = run(space).space.by_name

    lr, hidden = found["lr"].distribution, found["hidden"].distribution
    assert (lr.low, lr.high, lr.log) == (1e-3, 1e-2, True)
    assert (hidden.low, hidden.high, hidden.step) == (32, 64, 16)
    optimizer, width = found["optimizer"].distribution, found["width"].distribution
    assert (optimizer.choices, optimizer.weights) == (("sgd", 3), (2, 1))
    assert (width.mean, width.deviation) == (32, 4)
    assert found["momentum"] == blueprint.space.by_name["momentum"]


@pytest.mark.parametrize("text", ["1e-4 to .01", "0.0001, 0.01", "[1e-4, 1e-2]", "1e-4..1e-2"])
def test_bounds_may_be_a_line_of_text(run, text):
    """
    As people write two numbers.
    """
    found = run({"lr": text, "hidden": "32 to 64"}).space.by_name

    assert (found["lr"].distribution.low, found["lr"].distribution.high) == (1e-4, 1e-2)
    assert (found["hidden"].distribution.low, found["hidden"].distribution.high) == (32, 64)


def test_points_outside_of_new_bounds_are_left_out(run):
    """
    Points are only what is tried first: those that fit are still tried.
    """
    assert run({"lr": [1e-4, 1e-2]}).points == ({"lr": 0.001},)


def test_target_replaces_the_objective_s_own_rule(blueprint, run):
    """
    Rules about other metrics stay; without a rule there is one afterwards.
    """
    kinds = [rule.kind for rule in run(target="0.95").stop]

    assert target_of(blueprint) == ("at_least", 0.9)
    assert target_of(run(target="0.95")) == ("at_least", 0.95)
    assert sorted(kinds) == ["metric", "metric", "plateau"]


def test_another_strategy_has_its_own_options(run):
    """
    The seed stays, the options of the blueprint's strategy do not.
    """
    spec = run(strategy="tpe").strategy

    assert (spec.name, spec.seed, spec.options) == ("tpe", 7, {})


@pytest.mark.parametrize(("strategy", "use"), [("tpe", "history"), ("random", "points")])
def test_warm_start_is_used_as_the_strategy_can(run, strategy, use):
    """
    Who learns from a history gets one, who does not tries the trials again.
    """
    found = run(strategy=strategy, warm_start="earlier").warm_start

    assert (found.source.study, found.use) == ("earlier", use)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"space": {"lr": [0.1, 0.01]}}, r"space\.lr: .*must not exceed.*low=0\.1, high=0\.01"),
        ({"space": {"lr": [0, 0.01]}}, r"space\.lr: low must be above 0"),
        (
            {"space": {"lr": 3}},
            r"space\.lr must be two numbers, low and high, such as 1e-05 to 0\.1, got 3",
        ),
        ({"space": {"lr": "few"}}, r"space\.lr must be two numbers, .*, got 'few'"),
        ({"space": {"lr": ["a", 1]}}, r"space\.lr: low: must be a number, got 'a'"),
        ({"space": {"hidden": [16.5, 32]}}, r"space\.hidden: low: must be a whole number"),
        ({"space": {"width": [1, -1]}}, r"space\.width: deviation: must be above 0, got -1"),
        ({"space": {"optimizer": ["rms"]}}, r"space\.optimizer must be some of .* got 'rms'"),
        ({"space": {"optimizer": []}}, r"space\.optimizer must be some of sgd, adam, 3, got none"),
        ({"space": {"optimizer": ["adam"]}}, r"space\.optimizer: momentum waits for .*'sgd'"),
        ({"space": {"hiden": [1, 2]}}, r"space\.hiden must name a parameter.*hidden"),
        ({"space": {"epochs": [1, 2]}}, r"space\.epochs must name a parameter"),
        ({"strategy": "tpp"}, r"strategy: .*tpp"),
        ({"strategy": "hyperband"}, r"strategy must be random in this DAG"),
        (
            {"strategy": "grid"},
            r"strategy grid cannot search a float without step, got lr, momentum",
        ),
        ({"target": "high"}, r"target must be a number, got 'high'"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(run, settings, message):
    """
    The message names the field, the rule and what was given.
    """
    with pytest.raises(StudyError, match=message):
        run(**settings)


def test_everything_that_is_wrong_is_told_at_once(run):
    """
    Nobody should have to try as often as there are mistakes.
    """
    with pytest.raises(StudyError, match=r"space\.lr.*; space\.width.*; strategy"):
        run({"lr": [1, 0.1], "width": [0, 0]}, strategy="unknown")


def test_bounds_must_be_json():
    """
    What a person sends by REST may be anything.
    """
    with pytest.raises(StudyError, match="space must be JSON"):
        read_settings({"space": "{"})
    with pytest.raises(StudyError, match="space must be a mapping"):
        read_settings({"space": [1]})
