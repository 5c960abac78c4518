"""
What holds for random, grid and TPE search of any small space.
"""

from __future__ import annotations

import json
from itertools import islice, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_hpo.errors import SpaceExhaustedError
from airflow_hpo.model.blueprint import StrategySpec
from airflow_hpo.model.distribution import Categorical, Constant, Float, Int
from airflow_hpo.model.objective import Objective
from airflow_hpo.model.space import Parameter, Space
from airflow_hpo.model.trial import Trial, TrialState
from airflow_hpo.model.values import canonical
from airflow_hpo.strategies import create_strategy
from airflow_hpo.strategies._lattice import Lattice
from airflow_hpo.strategies.base import Setting
from airflow_hpo.strategies.support import exhaustible

NAMES = ("a", "b", "c", "d")

distributions = st.one_of(
    st.builds(
        lambda low, count, step, log: Int(
            low=low, high=low + (count - 1) * step, step=step, log=log
        ),
        st.integers(1, 5),
        st.integers(1, 3),
        st.integers(1, 3),
        st.booleans(),
    ),
    st.builds(
        lambda low, count, step: Float(low=low, high=low + count * step, step=step),
        st.sampled_from([-0.3, 0.0, 1.0]),
        st.integers(0, 2),
        st.sampled_from([0.1, 0.25, 7.0]),
    ),
    st.lists(
        st.sampled_from([1, 1.0, True, None, "a", 2]), min_size=1, max_size=3, unique_by=canonical
    ).map(lambda choices: Categorical(choices=tuple(choices))),
    st.just(Categorical(choices=("x", "never", "y"), weights=(1, 0, 2))),
    st.just(Constant(value=2)),
)


@st.composite
def spaces(draw):
    """
    Up to four parameters, with conditions and constraints, in any order.
    """
    parameters = []
    for name in NAMES[: draw(st.sampled_from([1, 2, 3, 3, 4, 4]))]:
        when = {}
        for parent in parameters:
            if draw(st.integers(0, 3)) == 0:
                values = list(parent.distribution.values())
                when[parent.name] = tuple(
                    draw(st.lists(st.sampled_from(values), min_size=1, unique_by=canonical))
                )
        parameters.append(Parameter(name=name, distribution=draw(distributions), when=when))
    names = [parameter.name for parameter in parameters]
    right = st.sampled_from([*names, "1", "2"])
    signs = st.sampled_from(["<=", "!=", "!=", "=="])
    constraint = st.builds("{} {} {}".format, st.sampled_from(names), signs, right)
    return Space(
        parameters=tuple(draw(st.permutations(parameters))),
        constraints=tuple(draw(st.lists(constraint, max_size=draw(st.sampled_from([0, 1, 2]))))),
    )


def everything(space):
    """
    Return all configurations, by going through all combinations of values.
    """
    order = sorted(space.parameters, key=lambda parameter: _depth(space, parameter))
    found = {}
    for values in product(*(_values(parameter.distribution) for parameter in order)):
        names = [parameter.name for parameter in order]
        configuration = space.arrange(dict(zip(names, values, strict=True)))
        if not list(space.problems(configuration)):
            found[canonical(configuration)] = configuration
    return found


def _depth(space, parameter):
    parents = [space.by_name[name] for name in parameter.when]
    return 1 + max((_depth(space, parent) for parent in parents), default=0)


def _values(distribution):
    if isinstance(distribution, Categorical) and distribution.weights:
        pairs = zip(distribution.choices, distribution.weights, strict=True)
        return [choice for choice, weight in pairs if weight]
    return distribution.values()


def make(name, **options):
    """
    Return a strategy whose model takes over after two trials.
    """
    objective = Objective(metric="loss", direction="minimize")
    setting = Setting(objectives=(objective,), trials=1000, startup_trials=2)
    return create_strategy(StrategySpec(name=name, options=options), setting)


def use_up(strategy, space, *, batch):
    """
    Ask until nothing comes back, finishing the trials in all possible ways.
    """
    states = list(TrialState)
    trials = []
    while True:
        try:
            found = strategy.suggest(space, trials, batch, seed=1)
        except SpaceExhaustedError:
            assert not trials
            return trials
        assert len(found) <= batch
        for suggestion in found:
            number = len(trials)
            state = states[number % len(states)]
            values = (float(number),) if state is TrialState.COMPLETE else None
            trials.append(
                Trial(
                    number,
                    suggestion.configuration,
                    state,
                    sampler=suggestion.sampler,
                    values=values,
                )
            )
        if len(found) < batch:
            assert list(strategy.suggest(space, trials, 1, seed=1)) == [] or not trials
            return trials


@pytest.mark.parametrize("name", ["random", "grid"])
@given(space=spaces(), batch=st.integers(1, 5))
@settings(max_examples=150, deadline=None)
def test_every_configuration_once_and_no_other(name, space, batch):
    """
    Asked until the end, a strategy suggests exactly what the space holds.
    """
    trials = use_up(make(name), space, batch=batch)

    labels = [canonical(trial.configuration) for trial in trials]
    assert sorted(labels) == sorted(everything(space))


@given(space=spaces(), batch=st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_tpe_tries_every_configuration_once_and_no_other(space, batch):
    """
    The model neither leaves the space nor hangs where little is left of it.
    """
    trials = use_up(make("tpe"), space, batch=batch)

    labels = [canonical(trial.configuration) for trial in trials]
    assert sorted(labels) == sorted(everything(space))


@given(space=spaces())
@settings(max_examples=150, deadline=None)
def test_shuffled_grid_is_the_same_set(space):
    """
    Shuffling changes the order of a grid and nothing else.
    """
    trials = use_up(make("grid", order="shuffled"), space, batch=3)

    labels = [canonical(trial.configuration) for trial in trials]
    assert sorted(labels) == sorted(everything(space))


@given(space=spaces(), data=st.data())
@settings(max_examples=150, deadline=None)
def test_walk_continues_behind_any_configuration(space, data):
    """
    Continuing a walk gives what is left of it.
    """
    whole = list(Lattice(space).walk())
    if whole:
        place = data.draw(st.integers(0, len(whole) - 1))
        rest = list(Lattice(space).walk(after=whole[place]))
        assert json.dumps(rest) == json.dumps(whole[place + 1 :])


@given(space=spaces())
@settings(max_examples=150, deadline=None)
def test_count_is_exact(space):
    """
    What is counted is what going through all combinations finds.
    """
    assert exhaustible(space) == len(everything(space))


@given(space=spaces(), seed=st.integers(0, 2**63 - 1), count=st.integers(1, 6))
@settings(max_examples=100, deadline=None)
def test_batch_equals_one_by_one(space, seed, count):
    """
    How many are asked for together makes no difference to random search.
    """
    strategy = make("random")
    try:
        together = strategy.suggest(space, [], count, seed=seed)
    except SpaceExhaustedError:
        return
    trials = []
    for number in range(count):
        found = strategy.suggest(space, trials, 1, seed=seed)
        trials += [Trial(number, suggestion.configuration) for suggestion in found]

    assert [item.configuration for item in together] == [item.configuration for item in trials]
    assert len(list(islice(trials, count))) == len(together)
