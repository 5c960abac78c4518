"""
BOHB's model: two kernel densities and the best ratio of many draws.
"""

from __future__ import annotations

import math
import statistics

import numpy as np  # noqa: TID253 - the model is made of it
import pytest

from airflow_hpo.model.distribution import Categorical, Constant, Float, Int, Normal
from airflow_hpo.model.space import Parameter, Space
from airflow_hpo.model.trial import Trial, TrialState
from airflow_hpo.strategies._kde import KdeModel, KdeRules

RULES = KdeRules(least=4, share=0.15, candidates=64, widening=3, narrowest=1e-3)


def parameter(name, distribution, **when):
    """
    Return a parameter.
    """
    return Parameter(name=name, distribution=distribution, when=when)


def trials(*configurations):
    """
    Return trials of configurations, the best first.
    """
    return [
        Trial(number, configuration, TrialState.COMPLETE, values=(float(number),))
        for number, configuration in enumerate(configurations)
    ]


def line(count=20):
    """
    Return a space of one number, and trials of which the smallest are the best.
    """
    space = Space(parameters=(parameter("x", Float(low=0, high=1)),))
    return space, trials(*({"x": (number + 0.5) / count} for number in range(count)))


def test_density_of_one_kernel_by_hand():
    """
    One point's density is a normal one; the widths follow the reference rule.
    """
    space, found = line(8)
    model = KdeModel(space, found, RULES)
    good = model._good

    points = [trial.configuration["x"] for trial in found[:4]]
    width = 1.06 * statistics.pstdev(points) * 4 ** (-1 / 5)
    assert good.widths == [pytest.approx(width)]
    at = 0.3
    expected = sum(
        math.exp(-0.5 * ((at - point) / width) ** 2) / (width * math.sqrt(2 * math.pi))
        for point in points
    )
    assert good.at(np.array([[at]]))[0] == pytest.approx(expected / 4)


def test_proposals_lie_where_the_good_are():
    """
    Proposals crowd where the good trials are, and stay within the bounds.
    """
    space, found = line()
    model = KdeModel(space, found, RULES)

    proposed = [model.propose(seed)["x"] for seed in range(50)]

    assert all(0 <= value <= 1 for value in proposed)
    assert statistics.mean(proposed) < 0.2


def test_choices_follow_the_good_ones():
    """
    The choice of the good trials is proposed most, others now and then.
    """
    space = Space(parameters=(parameter("k", Categorical(choices=("a", "b", "c"))),))
    found = trials(*[{"k": "b"}] * 5, *[{"k": "a"}] * 8, *[{"k": "c"}] * 8)

    proposed = [KdeModel(space, found, RULES).propose(seed)["k"] for seed in range(20)]

    assert proposed.count("b") > 15


def test_every_kind_of_parameter():
    """
    Ints, choices, normals, conditions and constants give allowed configurations.
    """
    space = Space(
        parameters=(
            parameter("depth", Int(low=1, high=9)),
            parameter("width", Normal(mean=4.0, deviation=1.0)),
            parameter("kind", Categorical(choices=("sgd", "adam"))),
            parameter("momentum", Float(low=0.1, high=0.9), kind=("sgd",)),
            parameter("fixed", Constant(value=3)),
        )
    )
    found = trials(
        *(
            space.arrange(
                {
                    "depth": 1 + number % 9,
                    "width": 3.0 + number / 10,
                    "kind": "sgd" if number % 3 == 0 else "adam",
                    "momentum": 0.1 + number / 50,
                    "fixed": 3,
                }
            )
            for number in range(20)
        )
    )
    model = KdeModel(space, found, RULES)

    for seed in range(30):
        assert list(space.problems(model.propose(seed))) == []


def test_same_seed_same_proposal():
    """
    A proposal depends on the trials and the seed alone.
    """
    space, found = line()

    one, other = (KdeModel(space, found, RULES) for _ in range(2))

    assert one.propose(7) == other.propose(7)
    assert one.propose(7) != one.propose(8)


def test_trials_that_are_all_the_same():
    """
    Points without any spread have narrow kernels, not broken ones.
    """
    space, _ = line()
    model = KdeModel(space, trials(*[{"x": 0.5}] * 12), RULES)

    assert model.propose(1)["x"] == pytest.approx(0.5, abs=0.1)
