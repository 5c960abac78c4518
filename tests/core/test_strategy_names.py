"""
Strategies by the names of other tools, and what is said of them before they run.
"""

from __future__ import annotations

import pytest

from airflow_hpo.blueprint import check_text, parse_blueprints
from airflow_hpo.plan import make_plan
from airflow_hpo.strategies import STRATEGIES

TEXT = """
hpo: 1
name: names
objective: {metric: loss, direction: minimize}
space:
  rate: {float: [0, 1]}
  kind: {choice: [a, b], weights: [0.9, 0.1]}
  depth: {int: [1, 9], when: {kind: a}}
strategy: NAME
budget: {trials: 30}
trial: {command: "python train.py {rate} {kind} {depth:--depth}"}
"""


CMAES = (
    "strategy cmaes: choices and conditional parameters are drawn at random, without their weights"
)


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("brute_force", "grid"),
        ("BruteForce", "grid"),
        ("sobol", "qmc"),
        ("TPESampler", "tpe"),
        ("nsga-ii", "nsga2"),
        ("bayesian", "gp"),
        ("random-search", "random"),
        ("hyperopt_atpe", "hyperopt_tpe"),
        ("hyperopt", "hyperopt_tpe"),
    ],
)
def test_names_of_other_tools_have_a_hint(name, ours):
    """
    Whoever comes from elsewhere is told what it is called here.
    """
    (problem,) = check_text(TEXT.replace("NAME", f"{{name: {name}}}"))

    assert problem.message.startswith("must be the name of a strategy")
    assert f"write {ours}" in problem.hint
    assert ours in STRATEGIES


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("random", []),
        ("tpe", ["strategy tpe: weights and normal distributions guide the start-up trials only"]),
        (
            "nsga2",
            [
                "strategy nsga2: weights and normal distributions are not looked at",
                "strategy nsga2: conditional parameters are drawn at random",
            ],
        ),
        (
            "cmaes",
            [CMAES],
        ),
    ],
)
def test_what_is_not_looked_at_is_said_in_the_plan(name, expected):
    """
    Weights, normals and conditions that a strategy passes over are no surprise.
    """
    if name == "cmaes":
        pytest.importorskip("cmaes")
    (blueprint,) = parse_blueprints(TEXT.replace("NAME", f"{{name: {name}}}"))
    plain = TEXT.replace(", weights: [0.9, 0.1]", "").replace(", when: {kind: a}", "")
    plain = plain.replace("{choice: [a, b]}", "{float: [0, 2]}").replace(":--depth", "")
    (other,) = parse_blueprints(plain.replace("NAME", f"{{name: {name}}}"))

    assert list(make_plan(blueprint).notes) == expected
    assert make_plan(other).notes == ()
