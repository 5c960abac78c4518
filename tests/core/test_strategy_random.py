"""
Random search: streams, weights, redraws.
"""

from __future__ import annotations

import math
from collections import Counter

import pytest

from airflow_hpo.errors import SpaceExhaustedError
from airflow_hpo.model.blueprint import StrategySpec
from airflow_hpo.model.distribution import Categorical, Constant, Float, Int, Normal
from airflow_hpo.model.objective import Objective
from airflow_hpo.model.space import Parameter, Space
from airflow_hpo.model.trial import Trial, TrialState
from airflow_hpo.strategies import create_strategy
from airflow_hpo.strategies._draws import Tried
from airflow_hpo.strategies.base import Setting


def make(*, trials=100):
    """
    Return random search.
    """
    objective = Objective(metric="loss", direction="minimize")
    return create_strategy(StrategySpec(name="random"), Setting((objective,), trials))


def space_of(*constraints, when=None, **distributions):
    """
    Return a space; *when* gives conditions by the child's name.
    """
    return Space(
        parameters=tuple(
            Parameter(name=name, distribution=distribution, when=(when or {}).get(name, {}))
            for name, distribution in distributions.items()
        ),
        constraints=constraints,
    )


def values(suggestions, name):
    """
    Return the values of one parameter, `None` where it is not active.
    """
    return [suggestion.configuration.get(name) for suggestion in suggestions]


def test_known_values():
    """
    The streams are fixed for ever: an update must not change a study's trials.
    """
    space = space_of(
        rate=Float(low=1e-5, high=1e-1, log=True),
        layers=Int(low=1, high=8),
        kind=Categorical(choices=("a", "b", "c")),
    )

    found = make().suggest(space, [], 3, seed=7)

    assert [dict(item.configuration) for item in found] == [
        {"rate": pytest.approx(0.0001703162937458287), "layers": 7, "kind": "c"},
        {"rate": pytest.approx(0.00014678701797249624), "layers": 1, "kind": "c"},
        {"rate": pytest.approx(1.3534638573419242e-05), "layers": 5, "kind": "b"},
    ]


def test_an_inactive_parameter_does_not_shift_the_others():
    """
    Every parameter takes its number from the stream, active or not.
    """
    kinds, real = Categorical(choices=("a", "b")), Float(low=0, high=1)
    always = {"kind": ("a", "b")}
    both = space_of(kind=kinds, c=real, d=real, when={"c": always, "d": always})
    one = space_of(kind=kinds, c=real, d=real, when={"c": {"kind": ("a",)}, "d": always})

    without = make().suggest(both, [], 20, seed=1)
    found = make().suggest(one, [], 20, seed=1)

    assert values(found, "d") == values(without, "d")
    assert values(found, "c") == [
        value if kind == "a" else None
        for kind, value in zip(values(without, "kind"), values(without, "c"), strict=True)
    ]
    assert None in values(found, "c")


def test_a_constant_does_not_shift_the_other_values():
    """
    Fixing one parameter leaves the values of the others.
    """
    free = space_of(a=Float(low=0, high=1), b=Float(low=0, high=1))
    fixed = space_of(a=Constant(value=0.5), b=Float(low=0, high=1))

    assert values(make().suggest(free, [], 9, seed=2), "b") == values(
        make().suggest(fixed, [], 9, seed=2), "b"
    )


def test_trials_depend_on_their_number_only():
    """
    Trial 5 gets the same configuration whatever became of the ones before.
    """
    space = space_of(x=Float(low=0, high=1))
    batch = make().suggest(space, [], 6, seed=3)
    other = [Trial(number, {"x": number / 10}, TrialState.FAILED) for number in range(5)]

    (found,) = make().suggest(space, other, 1, seed=3)

    assert found.configuration == batch[5].configuration


def test_weights_are_kept():
    """
    A choice is drawn as often as its weight says, within five deviations.
    """
    space = space_of(
        kind=Categorical(choices=("a", "b", "c"), weights=(6, 3, 1)), x=Float(low=0, high=1)
    )
    count = 1000

    found = Counter(values(make(trials=count).suggest(space, [], count, seed=4), "kind"))

    for kind, share in (("a", 0.6), ("b", 0.3), ("c", 0.1)):
        deviation = math.sqrt(count * share * (1 - share))
        assert abs(found[kind] - count * share) < 5 * deviation


def test_constraints_leave_the_rest_evenly_likely():
    """
    Rejection favours no allowed value, within five deviations.
    """
    space = space_of(
        "a + b == 7", a=Int(low=1, high=6), b=Int(low=1, high=6), x=Float(low=0, high=1)
    )
    count = 600

    found = Counter(values(make(trials=count).suggest(space, [], count, seed=5), "a"))

    deviation = math.sqrt(count * (1 / 6) * (5 / 6))
    assert sorted(found) == [1, 2, 3, 4, 5, 6]
    assert all(abs(number - count / 6) < 5 * deviation for number in found.values())


def test_rare_configurations_of_a_wide_space_are_found_everywhere():
    """
    Where redrawing takes long, the beginning of the space is not preferred.
    """
    space = space_of(
        "a + b == c", a=Int(low=0, high=999), b=Int(low=0, high=999), c=Int(low=0, high=999)
    )

    found = make().suggest(space, [], 8, seed=6)

    assert len(found) == 8
    assert max(values(found, "a")) > 100


def test_numbers_of_a_foreign_history_are_recognised():
    """
    A history that writes 1 for 1.0 holds the same configuration.
    """
    space = space_of(x=Float(low=0, high=2, step=1))
    trials = [Trial(0, {"x": 1}), Trial(1, {"x": 2})]

    found = make().suggest(space, trials, 3, seed=1)

    assert values(found, "x") == [0.0]


def test_rounded_normal_is_used_up_without_hanging():
    """
    A normal parameter in wide steps has few values, though nobody counts them.
    """
    space = space_of(x=Normal(mean=0, deviation=1, step=2))

    found = make().suggest(space, [], 50, seed=8)

    assert {-2.0, 0.0, 2.0} <= set(values(found, "x"))
    assert len(found) == len(set(values(found, "x"))) < 10
    assert make().limit(space) is None


def test_impossible_after_a_history_is_still_told():
    """
    Earlier trials do not turn an impossible space into a used-up one.
    """
    space = space_of("x > 1", x=Float(low=0, high=1))

    with pytest.raises(SpaceExhaustedError, match="x > 1"):
        make().suggest(space, [Trial(0, {"x": 0.5})], 1, seed=1)


def test_limit_is_what_there_is():
    """
    It counts a small space, and says nothing where it cannot matter.
    """
    small = space_of("a != b", a=Int(low=1, high=3), b=Int(low=1, high=3))

    assert make().limit(small) == 6
    assert make(trials=6).limit(small) is None
    assert make().limit(space_of(x=Float(low=0, high=1))) is None
    assert make().limit(space_of(x=Int(low=0, high=10**12))) == 10**12 + 1


def test_what_was_tried_is_known_by_its_values():
    """
    Numbers count by value, choices by type as well, and absent is not null.
    """
    space = Space(
        parameters=(
            Parameter(name="x", distribution=Float(low=0, high=9)),
            Parameter(name="kind", distribution=Categorical(choices=(1, True, "1", None, [1]))),
        )
    )
    tried = Tried(
        space,
        [Trial(0, {"x": 1.0, "kind": 1}), Trial(1, {"x": 2.0}), Trial(2, {"x": 3, "other": 1})],
    )

    assert {"x": 1, "kind": 1} in tried
    assert {"x": 2.0} in tried
    assert {"x": 3, "other": 1} in tried
    for configuration in (
        *({"x": 1.0, "kind": kind} for kind in (True, "1", None, [1])),
        {"x": 2.0, "kind": None},
        {"x": 3.0},
    ):
        assert configuration not in tried
