"""
What is refused before anything runs, and how much there is to try.
"""

from __future__ import annotations

import pytest

from airflow_hpo.model.blueprint import StrategySpec
from airflow_hpo.model.distribution import Categorical, Float, Int, LogNormal, Normal
from airflow_hpo.model.objective import Objective
from airflow_hpo.model.space import Parameter, Space
from airflow_hpo.strategies import PLANNED, STRATEGIES
from airflow_hpo.strategies._lattice import Lattice
from airflow_hpo.strategies.base import Options, Setting, Support
from airflow_hpo.strategies.support import exhaustible, strategy_problems, unsupported

OBJECTIVE = Objective(metric="loss", direction="minimize")
SETTING = Setting((OBJECTIVE,), 100)


class Poor:
    """
    A third party's strategy that can do next to nothing.
    """

    options_class = Options
    support = Support(**dict.fromkeys((*Support.model_fields.keys() - {"note", "extra"},), False))


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


RICH = space_of(
    "n <= 3",
    x=Float(low=0, high=1),
    s=Float(low=0, high=1, step=0.5),
    n=Int(low=1, high=9),
    c=Categorical(choices=("a", "b")),
    z=Normal(mean=0, deviation=1),
    l=LogNormal(mean=0, deviation=1),
    when={"s": {"c": ("a",)}},
)


@pytest.fixture
def poor(monkeypatch):
    """
    Put the poor strategy into the table, as another distribution would.
    """
    monkeypatch.setattr(type(STRATEGIES), "load", lambda _self, _name: Poor)
    return "poor"


@pytest.mark.parametrize("name", ["random", "tpe", "manual"])
@pytest.mark.parametrize("mode", ["batch", "async"])
def test_anything_goes(name, mode):
    """
    These search every kind of space, in any mode, for several objectives.
    """
    assert unsupported(name, space=RICH, objectives=[OBJECTIVE] * 2, mode=mode) == []


def test_grid_names_what_it_cannot_list():
    """
    Real numbers are named, with or without a distribution of their own.
    """
    assert unsupported("grid", space=RICH, objectives=[OBJECTIVE], mode="batch") == [
        "strategy grid cannot search normally distributed, got z, l",
        "strategy grid cannot search a float without step, got x",
    ]


def test_every_ability_has_its_message(poor):
    """
    Nothing that a strategy cannot do is passed over in silence.
    """
    several = [OBJECTIVE] * 2
    batch = unsupported(poor, space=RICH, objectives=several, mode="batch")

    assert [message.removeprefix("strategy poor cannot ") for message in batch] == [
        "search a float, got x, s",
        "search an int, got n",
        "search a choice, got c",
        "search normally distributed, got z, l",
        "search a float without step, got x",
        "search conditional parameters, got s",
        "keep constraints, got n <= 3",
        "optimise several objectives, got 2",
        "run in batches, got mode batch",
    ]
    assert (
        "run without batches, got mode async"
        in unsupported(poor, space=RICH, objectives=several, mode="async")[-1]
    )


@pytest.mark.parametrize("name", sorted(PLANNED - set(STRATEGIES.names())))
def test_planned_names_are_no_typing_errors(name):
    """
    A name that is documented but not built says so.
    """
    messages = unsupported(name, space=RICH, objectives=[OBJECTIVE], mode="batch")

    assert messages == [f"strategy {name} is not available in this version"]


@pytest.mark.parametrize("name", ["bayes", "no_such.module:Strategy", "json:NoStrategy"])
def test_unknown_names_are_told(name):
    """
    A wrong name, module or attribute is one message, not a crash.
    """
    messages = unsupported(name, space=RICH, objectives=[OBJECTIVE], mode="batch")
    problems = strategy_problems(StrategySpec(name=name), SETTING, space=RICH)

    assert len(messages) == len(problems) == 1
    assert problems[0].path == "strategy.name"


def test_near_misses_get_a_hint():
    """
    The nearest name is offered, for strategies and for their options.
    """
    (name,) = strategy_problems(StrategySpec(name="gird"), SETTING, space=RICH)
    spec = StrategySpec(name="grid", options={"ordr": "shuffled"})
    (option,) = strategy_problems(spec, SETTING, space=RICH)

    assert name.hint == "did you mean 'grid'?"
    assert (option.path, option.message) == (
        "strategy.options.ordr",
        "unknown key; the keys here are order",
    )
    assert option.hint == "did you mean 'order'?"


def test_options_configurations_and_points_are_checked_together():
    """
    All that is wrong is told at once, each with its place.
    """
    space = space_of(layers=Int(low=1, high=9))
    spec = StrategySpec(name="manual", options={"configurations": [{"layers": 1}, {"layers": 0}]})

    problems = strategy_problems(spec, SETTING, space=space, points=[{"layers": 1}, {"layer": 1}])

    assert [(problem.path, problem.message) for problem in problems] == [
        ("strategy.options.configurations.1", "layers cannot be 0"),
        ("points.1", "layer is no parameter of this space; did you mean 'layers'?"),
    ]


def test_a_good_specification_has_no_problem():
    """
    Defaults are fine for every strategy that needs no option.
    """
    for name in ("random", "grid", "tpe"):
        assert strategy_problems(StrategySpec(name=name), SETTING, space=RICH) == []


@pytest.mark.parametrize(
    ("space", "count"),
    [
        (space_of(), 1),
        (space_of(x=Float(low=0, high=1)), None),
        (space_of(x=Float(low=1, high=1)), 1),
        (space_of(x=Float(low=0, high=0.3, step=0.1)), 4),
        (space_of("1 > 2", x=Int(low=0, high=1)), 0),
        (space_of("x > 2", x=Int(low=0, high=1)), 0),
        (space_of("x > 2", x=Int(low=0, high=1), y=Int(low=0, high=10**15)), 0),
        (space_of("a != b", a=Int(low=1, high=9), b=Int(low=1, high=9)), 72),
        # Only what is tied together is walked; the rest is multiplied.
        (
            space_of(
                "a != b", a=Int(low=1, high=9), b=Int(low=1, high=9), c=Int(low=1, high=10**12)
            ),
            72 * 10**12,
        ),
        (space_of("a != b", a=Int(low=1, high=10**9), b=Int(low=1, high=10**9)), None),
        (space_of(c=Categorical(choices=("a", "b", "c"), weights=(1, 0, 1))), 2),
        (
            space_of(
                c=Categorical(choices=("a", "b", "c"), weights=(1, 0, 1)),
                n=Int(low=1, high=5),
                when={"n": {"c": ("a", "b")}},
            ),
            6,
        ),
        # A child with two parents is there for one pair of values only.
        (
            space_of(
                a=Int(low=1, high=3),
                b=Int(low=1, high=3),
                n=Int(low=1, high=5),
                when={"n": {"a": (1,), "b": (1,)}},
            ),
            13,
        ),
        (
            space_of(a=Int(low=0, high=10**12), n=Int(low=1, high=5), when={"n": {"a": (3, 4)}}),
            10**12 + 9,
        ),
    ],
)
def test_configurations_are_counted_exactly(space, count):
    """
    The number is exact, or there is none.
    """
    assert exhaustible(space) == count


def test_an_endless_space_is_not_walked():
    """
    Who walks over real numbers is told so at once.
    """
    lattice = Lattice(space_of(x=Float(low=0, high=1)))

    with pytest.raises(ValueError, match="the space must be countable"):
        next(lattice.walk())


def test_a_walk_begins_behind_a_configuration_of_its_own():
    """
    A configuration that the walk does not come by is refused as a start.
    """
    space = space_of(
        c=Categorical(choices=("a", "b"), weights=(1, 0)), s=Float(low=0, high=1, step=0.5)
    )

    for wrong in ({"c": "b", "s": 0.5}, {"c": "a", "s": 7.0}):
        with pytest.raises(ValueError, match=r"is (none of|out of range)"):
            next(Lattice(space).walk(after=wrong))
