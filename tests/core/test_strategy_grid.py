"""
Grid search: its order, where it continues, and that it is lazy.
"""

from __future__ import annotations

import pytest

from airflow_hpo.errors import SpaceExhaustedError
from airflow_hpo.model.blueprint import StrategySpec
from airflow_hpo.model.distribution import Categorical, Constant, Float, Int, Normal
from airflow_hpo.model.objective import Objective
from airflow_hpo.model.space import Parameter, Space
from airflow_hpo.model.trial import Trial, TrialState
from airflow_hpo.strategies import create_strategy
from airflow_hpo.strategies.base import Setting


def make(**options):
    """
    Return grid search.
    """
    objective = Objective(metric="loss", direction="minimize")
    spec = StrategySpec(name="grid", options=options)
    return create_strategy(spec, Setting((objective,), 100))


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


def rows(suggestions):
    """
    Return the values of each suggestion, in order.
    """
    return [tuple(suggestion.configuration.values()) for suggestion in suggestions]


def trials_of(suggestions, *, start=0, state=TrialState.COMPLETE):
    """
    Return finished trials of *suggestions*.
    """
    return [
        Trial(start + place, item.configuration, state, sampler=item.sampler, values=(0.0,))
        for place, item in enumerate(suggestions)
    ]


SMALL = space_of(
    kind=Categorical(choices=("b", "a")),
    drop=Float(low=0, high=0.2, step=0.1),
    fixed=Constant(value=1),
)


def test_first_parameter_is_slowest():
    """
    All combinations come in the order in which a person would write them.
    """
    found = make().suggest(SMALL, [], 99, seed=1)

    assert rows(found) == [
        ("b", 0.0, 1),
        ("b", 0.1, 1),
        ("b", 0.2, 1),
        ("a", 0.0, 1),
        ("a", 0.1, 1),
        ("a", 0.2, 1),
    ]
    assert {suggestion.sampler for suggestion in found} == {"grid"}


def test_children_take_part_where_they_are_active():
    """
    A child stands where it was written, but behind its parent.
    """
    space = space_of(
        momentum=Float(low=0, high=1, step=1),
        kind=Categorical(choices=("sgd", "adam")),
        layers=Int(low=1, high=2),
        when={"momentum": {"kind": ("sgd",)}},
    )

    found = make().suggest(space, [], 99, seed=1)

    assert [dict(item.configuration) for item in found] == [
        {"momentum": 0.0, "kind": "sgd", "layers": 1},
        {"momentum": 0.0, "kind": "sgd", "layers": 2},
        {"momentum": 1.0, "kind": "sgd", "layers": 1},
        {"momentum": 1.0, "kind": "sgd", "layers": 2},
        {"kind": "adam", "layers": 1},
        {"kind": "adam", "layers": 2},
    ]


def test_constraints_filter():
    """
    What breaks a constraint is passed over; the order stays.
    """
    space = space_of("a < b", a=Int(low=1, high=3), b=Int(low=1, high=3))

    assert rows(make().suggest(space, [], 99, seed=1)) == [(1, 2), (1, 3), (2, 3)]


def test_continues_behind_the_history():
    """
    Asking in pieces gives the same as asking at once.
    """
    trials = []
    for _ in range(4):
        trials += trials_of(make().suggest(SMALL, trials, 2, seed=1), start=len(trials))

    assert [tuple(trial.configuration.values()) for trial in trials] == rows(
        make().suggest(SMALL, [], 99, seed=1)
    )


def test_what_was_tried_as_a_point_is_passed_over():
    """
    It does not matter who tried a configuration, nor what became of it.
    """
    trials = [
        Trial(0, {"kind": "b", "drop": 0.1, "fixed": 1}, TrialState.FAILED, sampler="point"),
        Trial(1, {"kind": "a", "drop": 0.2, "fixed": 1}, TrialState.RUNNING, sampler="point"),
    ]

    found = make().suggest(SMALL, trials, 99, seed=1)

    assert rows(found) == [("b", 0.0, 1), ("b", 0.2, 1), ("a", 0.0, 1), ("a", 0.1, 1)]


def test_gaps_before_the_last_trial_are_filled():
    """
    What an edited history has left out comes at the end.
    """
    last = Trial(0, {"kind": "a", "drop": 0.0, "fixed": 1}, sampler="grid")

    found = make().suggest(SMALL, [last], 99, seed=1)

    assert rows(found) == [
        ("a", 0.1, 1),
        ("a", 0.2, 1),
        ("b", 0.0, 1),
        ("b", 0.1, 1),
        ("b", 0.2, 1),
    ]


def test_grid_trial_of_another_space_is_no_place_to_continue():
    """
    Where the last grid trial is not of this space, the grid begins anew.
    """
    last = Trial(0, {"kind": "c", "drop": 0.5}, sampler="grid")

    assert rows(make().suggest(SMALL, [last], 2, seed=1)) == [("b", 0.0, 1), ("b", 0.1, 1)]


HUGE = space_of(**{name: Int(low=0, high=9999) for name in "abc"})


@pytest.mark.parametrize("order", ["sequential", "shuffled"])
def test_huge_grid_is_not_listed(order):
    """
    Five of 10^12 combinations cost next to nothing, with a long history too.
    """
    grid = make(order=order)
    trials = trials_of(grid.suggest(HUGE, [], 3000, seed=1))

    found = grid.suggest(HUGE, trials, 5, seed=1)

    assert len(set(rows(found))) == 5
    assert not set(rows(found)) & {tuple(trial.configuration.values()) for trial in trials}


def test_wide_ranges_are_not_listed():
    """
    A float with 10^12 steps is looked at step by step, exactly.
    """
    space = space_of(x=Float(low=0, high=1e5, step=1e-7), y=Int(low=-(10**18), high=10**18))
    last = {"x": 12345.6789012, "y": 10**18}

    found = make().suggest(space, trials_of(make().suggest(space, [], 2, seed=1)), 2, seed=1)
    later = make().suggest(space, [Trial(0, last, sampler="grid")], 1, seed=1)

    assert rows(found) == [(0.0, 2 - 10**18), (0.0, 3 - 10**18)]
    assert rows(later) == [(12345.6789013, -(10**18))]


def test_shuffled_order_is_drawn_by_the_seed():
    """
    The same seed goes the same way, in pieces or at once; another one differs.
    """
    space = space_of(a=Int(low=1, high=9), b=Int(low=1, high=9))
    grid = make(order="shuffled")

    whole = grid.suggest(space, [], 99, seed=1)
    first = grid.suggest(space, [], 30, seed=1)
    rest = grid.suggest(space, trials_of(first), 99, seed=1)

    assert rows(first) + rows(rest) == rows(whole)
    assert sorted(rows(whole)) == rows(make().suggest(space, [], 99, seed=1))
    assert rows(whole) != rows(grid.suggest(space, [], 99, seed=2))


def test_huge_shuffled_grid_is_even():
    """
    Neither weights nor a logarithmic scale count: a grid's values are equal.
    """
    space = space_of(
        n=Int(low=1, high=10**6, log=True),
        kind=Categorical(choices=("a", "b", "never"), weights=(1, 999, 0)),
    )

    found = rows(make(order="shuffled").suggest(space, [], 200, seed=1))

    # Each of these is binomial with 200 draws: five deviations are 36.
    assert abs(sum(n > 500_000 for n, _ in found) - 100) < 36
    assert abs(sum(kind == "a" for _, kind in found) - 100) < 36


def test_uncountable_parameters_are_named():
    """
    A grid over real numbers is refused with the names of the parameters.
    """
    space = space_of(x=Float(low=0, high=1), y=Int(low=0, high=1), z=Normal(mean=0, deviation=1))

    with pytest.raises(ValueError, match="a grid must be countable, got x, z"):
        make().suggest(space, [], 1, seed=1)


@pytest.mark.parametrize("order", ["sequential", "shuffled"])
def test_search_for_an_allowed_combination_ends(order):
    """
    Where constraints leave next to nothing of a huge grid, the ask gives up.
    """
    names = "abc"
    space = space_of("a + b + c == 29997", **{name: Int(low=0, high=9999) for name in names})

    with pytest.raises(SpaceExhaustedError, match="a \\+ b \\+ c == 29997"):
        make(order=order).suggest(space, [], 1, seed=1)


def test_what_was_found_before_giving_up_is_kept():
    """
    A batch that finds some allowed combinations and then only forbidden ones.
    """
    space = space_of("a + b + c <= 1", **{name: Int(low=0, high=99_999_999) for name in "abc"})

    found = make().suggest(space, [], 5, seed=1)

    assert rows(found) == [(0, 0, 0), (0, 0, 1)]


def test_huge_shuffled_grid_keeps_constants_and_constraints():
    """
    Drawing from a grid too big to be shuffled leaves the space as it is.
    """
    space = space_of(
        "a <= b", a=Int(low=0, high=999), b=Int(low=0, high=999), fixed=Constant(value="x")
    )

    found = make(order="shuffled").suggest(space, [], 20, seed=1)

    assert len(found) == 20
    assert all(list(space.problems(item.configuration)) == [] for item in found)


def test_unknown_order_is_refused():
    """
    The message lists the orders there are.
    """
    with pytest.raises(ValueError, match="'sequential' or 'shuffled'"):
        make(order="random")
