"""
Population based training: who goes on from whom, with which values.
"""

from __future__ import annotations

import json
import random
import sys
from dataclasses import replace

import pytest

from airflow_hpo.blueprint import check_text, parse_blueprints
from airflow_hpo.driver import TrialRun
from airflow_hpo.model.blueprint import Resource, StrategySpec
from airflow_hpo.model.distribution import Categorical, Constant, Float, Int, Normal
from airflow_hpo.model.ladder import place_of
from airflow_hpo.model.objective import Objective, best_trial
from airflow_hpo.model.space import Parameter, Space
from airflow_hpo.model.trial import Failure, Trial, TrialState
from airflow_hpo.storage import open_storage
from airflow_hpo.strategies import create_strategy
from airflow_hpo.strategies.base import Setting
from airflow_hpo.study import Study
from airflow_hpo.testing.spaces import SPACES

AIM = Objective(metric="loss", direction="minimize")
SPACE = Space(
    parameters=(
        Parameter(name="lr", distribution=Float(low=1e-4, high=1, log=True)),
        Parameter(name="layers", distribution=Int(low=1, high=5)),
        Parameter(name="act", distribution=Categorical(choices=("relu", "tanh"))),
        Parameter(name="noise", distribution=Normal(mean=1, deviation=0.1)),
        Parameter(name="fixed", distribution=Constant(value=3)),
    )
)


def make(trials=20, low=2, high=20, **options):
    """
    Return the strategy with four members and five generations, unless told otherwise.
    """
    options = {"population": 4, **options}
    resource = Resource(name="epochs", min=low, max=high)
    setting = Setting(objectives=(AIM,), trials=trials, resource=resource)
    return create_strategy(StrategySpec(name="pbt", options=options), setting)


def asked(strategy, trials, count=100, space=SPACE, seed=1):
    """
    Return what the strategy wants next, as trials that wait.
    """
    found = strategy.suggest(space, trials, count, seed=seed)
    return [
        Trial(
            number,
            each.configuration,
            sampler=each.sampler,
            resource=each.resource,
            parent=each.parent,
            labels=each.labels,
            attempt=1,
        )
        for number, each in enumerate(found, len(trials))
    ]


def ended(trials, losses):
    """
    Return trials with these losses; `None` failed.
    """
    return [
        replace(trial, state=TrialState.FAILED, failure=Failure.CODE)
        if loss is None
        else replace(trial, state=TrialState.COMPLETE, values=(loss,))
        for trial, loss in zip(trials, losses, strict=True)
    ]


def test_generations_are_rungs():
    """
    Each generation is as large as the population and spends evenly more.
    """
    (bracket,) = make().brackets(SPACE)

    assert [rung.resource for rung in bracket.rungs] == [2, 6, 11, 16, 20]
    assert [rung.trials for rung in bracket.rungs] == [4] * 5
    assert [rung.spent for rung in bracket.rungs] == [8, 16, 20, 20, 16]


def test_the_worst_go_on_from_the_best():
    """
    All go on from their own checkpoint with their own values, but for the worst one.
    """
    strategy = make()
    first = ended(asked(strategy, []), [3.0, 1.0, 4.0, 2.0])

    second = asked(strategy, first)

    assert [trial.parent for trial in second] == [0, 1, 1, 3]
    assert [trial.resource for trial in second] == [6] * 4
    assert [trial.sampler for trial in second] == [
        "pbt continue",
        "pbt continue",
        "pbt copy",
        "pbt continue",
    ]
    for trial in (second[0], second[1], second[3]):
        assert trial.configuration == first[trial.parent].configuration
    assert second[2].configuration != first[1].configuration
    assert place_of(second[2]) == (0, 4, 1)


def test_failed_members_are_replaced():
    """
    A member that failed goes on from one of the best, besides the worst of the others.
    """
    strategy = make()
    first = ended(asked(strategy, []), [None, 1.0, 4.0, 2.0])

    assert [trial.parent for trial in asked(strategy, first)] == [1, 1, 1, 3]


def test_nobody_left_is_the_end():
    """
    Where all members of a generation failed there is nothing to go on from.
    """
    strategy = make()
    first = ended(asked(strategy, []), [None] * 4)

    assert asked(strategy, first) == []


def test_a_generation_waits_for_the_one_before():
    """
    Nothing more comes while a member runs, and one ask at a time comes to the same.
    """
    strategy = make()
    first = asked(strategy, [])
    half = [*ended(first[:3], [1.0, 2.0, 3.0]), first[3]]
    whole = [*half[:3], *ended(first[3:], [0.5])]
    at_once = asked(strategy, whole)
    one_by_one = list(whole)
    for _ in range(4):
        one_by_one += asked(strategy, one_by_one, count=1)

    assert asked(strategy, half) == []
    assert one_by_one[4:] == at_once
    assert asked(strategy, one_by_one) == []


@pytest.mark.parametrize("factor", [0.8, 1.2])
def test_copied_numbers_are_changed_a_little(factor):
    """
    Numbers are multiplied and stay within their bounds; whole ones move at least a step.
    """
    strategy = make(resample=0.0, factors=(factor, factor))
    first = ended(asked(strategy, []), [3.0, 1.0, 4.0, 2.0])

    copied, source = asked(strategy, first)[2].configuration, first[1].configuration

    assert copied["lr"] == pytest.approx(min(max(source["lr"] * factor, 1e-4), 1))
    assert copied["noise"] == pytest.approx(source["noise"] * factor)
    assert copied["act"] == source["act"]
    assert copied["fixed"] == 3
    step = 1 if factor > 1 else -1
    assert copied["layers"] == min(max(source["layers"] + step, 1), 5)
    assert isinstance(copied["layers"], int)


@pytest.mark.parametrize("title", SPACES)
def test_every_member_is_in_the_space(title):
    """
    Whatever the space and the losses, values are allowed and parents are complete.
    """
    space, rng = SPACES[title], random.Random(7)
    strategy, trials = make(trials=40, population=10), []
    for _ in range(4):
        new = asked(strategy, trials, space=space, seed=3)
        assert len(new) == 10
        for trial in new:
            assert not list(space.problems(trial.configuration))
            assert trial.parent is None or trials[trial.parent].is_complete
        losses = [rng.choice([None, rng.random(), rng.random()]) for _ in new]
        trials += ended(new, losses)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("trials: 12", "trials: 7"), "must be at least 8, two generations of 4, got 7"),
        (("min: 1, max: 5", "min: 5, max: 5"), "each generation trains further"),
        (("resource: {name: epochs, min: 1, max: 5}\n", ""), "must be given for strategy pbt"),
        (("population: 4", "population: 1"), "must be at least 2, got 1"),
        (("population: 4", "quantile: 0.6"), "must be at most 0.5, got 0.6"),
    ],
)
def test_what_cannot_work(change, message):
    """
    Too small a budget, no room to grow and options out of range are refused.
    """
    problems = check_text(TEXT.replace(*change), file="study.yaml")

    assert any(message in problem.message for problem in problems), problems


TEXT = """\
hpo: 1
name: digits
objective: {metric: loss, direction: minimize}
resource: {name: epochs, min: 1, max: 5}
space:
  learning_rate: {float: [0.0003, 0.3], log: true}
strategy: {name: pbt, options: {population: 4}, seed: 3}
budget: {trials: 12}
trial:
  command: PYTHON SCRIPT
"""

SCRIPT = '''\
"""Trains a network on scikit-learn's digits, from its parent's weights where there are some."""
import json, os, pickle, pathlib, warnings
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPClassifier

warnings.simplefilter("ignore")
given = json.loads(pathlib.Path(os.environ["HPO_PARAMS_FILE"]).read_text())
x, y = load_digits(return_X_y=True)
x = x / 16
parent = os.environ.get("HPO_PARENT_CHECKPOINT_DIR")
if parent:
    model, done = pickle.loads(pathlib.Path(parent, "model").read_bytes())
else:
    model, done = MLPClassifier((32,), random_state=0), 0
model.learning_rate_init = given["learning_rate"]
if done:
    model._optimizer.learning_rate = model._optimizer.learning_rate_init = given["learning_rate"]
for epoch in range(done, given["epochs"]):
    model.partial_fit(x[:1200], y[:1200], classes=np.arange(10))
loss = log_loss(y[1200:], model.predict_proba(x[1200:]))
folder = pathlib.Path(os.environ["HPO_CHECKPOINT_DIR"])
(folder / "model").write_bytes(pickle.dumps((model, given["epochs"])))
print(json.dumps({"loss": loss, "trained": given["epochs"] - done}))
'''


def test_real_training_goes_on_from_the_checkpoint(tmp_path):
    """
    Members train what is new to them alone, and the population ends better than it began.
    """
    pytest.importorskip("sklearn")
    (tmp_path / "train.py").write_text(SCRIPT)
    text = TEXT.replace("PYTHON", sys.executable).replace("SCRIPT", str(tmp_path / "train.py"))
    (blueprint,) = parse_blueprints(text)
    study = Study.open(open_storage(f"sqlite:///{tmp_path / 's.db'}"), "s", blueprint)
    for generation in range(3):
        for trial in study.ask(4, key=f"g{generation}"):
            key, lines = f"t{trial.number}", []
            run = TrialRun(study, trial.number, key=key, artifacts=tmp_path / "f", log=lines.append)
            assert run.run().state is TrialState.COMPLETE, lines

    trials = study.record().trials
    assert [trial.resource for trial in trials] == [1] * 4 + [3] * 4 + [5] * 4
    assert [trial.metrics["trained"] for trial in trials] == [1] * 4 + [2] * 8
    assert {trial.sampler for trial in trials[4:]} == {"pbt continue", "pbt copy"}
    best = [min(trial.values[0] for trial in trials[start : start + 4]) for start in (0, 4, 8)]
    assert best == sorted(best, reverse=True)
    assert best_trial(blueprint.objectives, trials).number >= 8
    assert study.decide().rule in {"trials", "exhausted"}
    assert json.dumps(dict(trials[8].labels))
