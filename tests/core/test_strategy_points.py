"""
Points and manual search: what a person asks for is what is tried.
"""

from __future__ import annotations

import pytest

from airflow_hpo.errors import BlueprintError, SpaceExhaustedError
from airflow_hpo.model.blueprint import StrategySpec
from airflow_hpo.model.distribution import Categorical, Constant, Float, Int
from airflow_hpo.model.objective import Objective
from airflow_hpo.model.space import Parameter, Space
from airflow_hpo.model.trial import Trial, TrialState
from airflow_hpo.strategies import create_strategy
from airflow_hpo.strategies.base import Setting, Strategy

SPACE = Space(
    parameters=(
        Parameter(name="rate", distribution=Float(low=0, high=1)),
        Parameter(name="layers", distribution=Int(low=1, high=9)),
        Parameter(name="kind", distribution=Categorical(choices=("sgd", "adam"))),
        Parameter(name="momentum", distribution=Float(low=0, high=1), when={"kind": ("sgd",)}),
        Parameter(name="epochs", distribution=Constant(value=10)),
    ),
    constraints=("rate * layers <= 6",),
)
FULL = {"rate": 0.5, "layers": 3, "kind": "sgd", "momentum": 1, "epochs": 10}


def make(name="random", *, points=(), **options):
    """
    Return a strategy that tries *points* first.
    """
    objective = Objective(metric="loss", direction="minimize")
    setting = Setting((objective,), 100, startup_trials=4)
    return create_strategy(StrategySpec(name=name, options=options), setting, points)


def follow(trials, suggestions):
    """
    Return the history in which *suggestions* wait behind *trials*.
    """
    return [
        *trials,
        *(
            Trial(len(trials) + place, item.configuration, sampler=item.sampler)
            for place, item in enumerate(suggestions)
        ),
    ]


def test_points_come_first_then_the_strategy():
    """
    Trial n is the n-th point; what follows is what the strategy would suggest.
    """
    points = ({"layers": 7}, FULL)

    found = make(points=points).suggest(SPACE, [], 5, seed=1)
    alone = make().suggest(SPACE, [], 5, seed=1)

    assert isinstance(make(points=points), Strategy)
    assert [item.sampler for item in found] == ["point", "point", *["random"] * 3]
    assert found[0].configuration["layers"] == 7
    # Values in the parameters' types, in the user's order, constants added.
    assert list(found[1].configuration.items()) == list({**FULL, "momentum": 1.0}.items())
    assert type(found[1].configuration["momentum"]) is float
    assert found[2:] == alone[2:]


def test_missing_values_are_those_of_that_trials_stream():
    """
    What a point leaves out is what random search draws for that number.
    """
    (alone,) = make().suggest(SPACE, [], 1, seed=1)
    given = dict(list(alone.configuration.items())[:2])

    (found,) = make(points=[given]).suggest(SPACE, [], 1, seed=1)

    assert found.configuration == alone.configuration


@pytest.mark.parametrize("name", ["random", "tpe"])
def test_points_one_by_one(name):
    """
    Asking one by one gives what asking for a batch gives.
    """
    points = ({"layers": 7}, FULL, {"kind": "adam"}, {})

    together = make(name, points=points).suggest(SPACE, [], 7, seed=2)
    trials = []
    for _ in range(7):
        trials = follow(trials, make(name, points=points).suggest(SPACE, trials, 1, seed=2))

    assert [item.configuration for item in together] == [item.configuration for item in trials]


def test_inactive_values_are_dropped():
    """
    A value for a parameter that is not active is passed over.
    """
    point = {"rate": 0.5, "layers": 3, "kind": "adam", "momentum": 0.3}

    (found,) = make(points=[point]).suggest(SPACE, [], 1, seed=1)

    assert found.configuration == {"rate": 0.5, "layers": 3, "kind": "adam", "epochs": 10}


def test_missing_values_satisfy_the_constraints():
    """
    What is drawn beside a point's values keeps the configuration allowed.
    """
    points = [{"layers": 9, "kind": "adam"}] * 20

    found = make(points=points).suggest(SPACE, [], 20, seed=3)

    assert [item.sampler for item in found] == ["point"] * 20
    assert all(list(SPACE.problems(item.configuration)) == [] for item in found)
    assert len({item.configuration["rate"] for item in found}) == 20


def test_what_was_tried_is_not_tried_again():
    """
    A repeated point counts once; one that the history holds is left out.
    """
    twice = make(points=[FULL, dict(reversed(FULL.items())), {"layers": 2}])
    tried = [Trial(0, {**FULL, "momentum": 1.0}, TrialState.COMPLETE, values=(0.0,))]

    found = twice.suggest(SPACE, [], 3, seed=1)
    again = make(points=[{"layers": 2}, FULL]).suggest(SPACE, tried, 2, seed=1)

    assert [item.sampler for item in found] == ["point", "point", "random"]
    assert found[1].configuration["layers"] == 2
    assert [item.sampler for item in again] == ["random", "random"]


def test_grid_passes_over_points():
    """
    What a point has tried is not tried again by the grid behind it.
    """
    space = Space(parameters=(Parameter(name="x", distribution=Int(low=1, high=3)),))
    grid = make("grid", points=[{"x": 2}])

    found = grid.suggest(space, [], 9, seed=1)

    assert [(item.configuration["x"], item.sampler) for item in found] == [
        (2, "point"),
        (1, "grid"),
        (3, "grid"),
    ]
    assert grid.limit(space) == 3


def test_limit_of_points_and_strategy():
    """
    Points add to what a strategy can try, but not to what a space has.
    """
    endless = Space(parameters=(Parameter(name="x", distribution=Float(low=0, high=1)),))
    points = [{"rate": 0.5}, {"rate": 0.25}]

    assert make(points=points).limit(SPACE) is None
    assert make("manual", points=[{"x": 0.1}], configurations=[{"x": 0.2}]).limit(endless) == 2


def test_points_of_a_used_up_space_are_no_error():
    """
    Where everything was tried, neither point nor strategy has anything left.
    """
    space = Space(parameters=(Parameter(name="x", distribution=Int(low=1, high=1)),))
    tried = [Trial(0, {"x": 1}, TrialState.COMPLETE, values=(0.0,))]

    assert make(points=[{}, {"x": 1}]).suggest(space, tried, 3, seed=1) == []


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ({"layer": 3}, "points.1: layer is no parameter of this space; did you mean 'layers'"),
        ({"rate": 2}, "points.1: rate cannot be 2"),
        ({"epochs": 11}, "points.1: epochs cannot be 11"),
        ({**FULL, "rate": 0.9, "layers": 9}, r"points.1: constraint 'rate \* layers <= 6'"),
    ],
    ids=str,
)
def test_points_outside_the_space_are_named(point, message):
    """
    The error says which point it is and what is wrong with it.
    """
    with pytest.raises(BlueprintError, match=message):
        make(points=[FULL, point]).suggest(SPACE, [], 1, seed=1)


def test_point_that_no_configuration_can_complete_is_told():
    """
    Where the values given leave nothing that satisfies the constraints, it says so.
    """
    space = Space(
        parameters=(
            Parameter(name="a", distribution=Int(low=1, high=9)),
            Parameter(name="b", distribution=Int(low=1, high=9)),
        ),
        constraints=("a + b <= 9",),
    )

    with pytest.raises(SpaceExhaustedError, match="no configuration with a=9 satisfies"):
        make(points=[{"a": 1}, {"a": 9}]).suggest(space, [], 2, seed=1)


def test_manual_tries_the_list_in_order():
    """
    Constants are added, inactive values dropped, repetitions passed over.
    """
    rows = [
        {"rate": 0.5, "layers": 3, "kind": "adam", "momentum": 0.5},
        {"rate": 0.1, "layers": 9, "kind": "sgd", "momentum": 0.5, "epochs": 10},
        {"layers": 3, "rate": 0.5, "kind": "adam"},
        {"rate": 0, "layers": 1, "kind": "adam"},
    ]
    manual = make("manual", configurations=rows)

    found = manual.suggest(SPACE, [], 9, seed=1)
    rest = manual.suggest(SPACE, follow([], found[:1]), 1, seed=1)

    assert [item.configuration["rate"] for item in found] == [0.5, 0.1, 0.0]
    assert found[0].configuration == {"rate": 0.5, "layers": 3, "kind": "adam", "epochs": 10}
    assert {item.sampler for item in found} == {"manual"}
    assert rest == found[1:2]
    assert manual.limit(SPACE) == 3
    assert make("manual", points=[{"layers": 5}], configurations=rows).limit(SPACE) == 4


def test_every_wrong_configuration_is_named():
    """
    All problems come at once, each with its place in the list.
    """
    rows = [
        {"rate": 0.5, "layers": 3, "kind": "adam"},
        {"rate": 5, "layers": 3, "kind": "adam"},
        {"rate": 0.5, "layers": 3, "kind": "sgd"},
        {"rate": 0.5, "layers": 3, "kind": "adam", "epochs": 11},
        {"rate": 0.9, "layers": 9, "kind": "adam"},
    ]

    with pytest.raises(BlueprintError) as caught:
        make("manual", configurations=rows).suggest(SPACE, [], 1, seed=1)

    assert [(problem.path[-1], problem.message) for problem in caught.value.problems] == [
        ("1", "rate cannot be 5"),
        ("2", "momentum has no value"),
        ("3", "epochs cannot be 11"),
        ("4", "constraint 'rate * layers <= 6' does not hold"),
    ]
    assert caught.value.problems[0].path == "strategy.options.configurations.1"


@pytest.mark.parametrize("configurations", [[], None, [3]])
def test_manual_needs_a_list(configurations):
    """
    An empty list, none at all, or a list of something else is refused.
    """
    options = {} if configurations is None else {"configurations": configurations}

    with pytest.raises(ValueError, match="configurations"):
        make("manual", **options)
