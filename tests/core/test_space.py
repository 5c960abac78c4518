"""
Spaces: conditions, constraints, and how many configurations there are.
"""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from airflow_hpo.model.distribution import Categorical, Constant, Float, Int
from airflow_hpo.model.space import Parameter, Space
from airflow_hpo.model.values import canonical, derive_seed, same_value
from airflow_hpo.testing.drawn_spaces import configurations, spaces


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


def count(space):
    """
    Count the configurations of a small space one by one.
    """
    axes = [parameter.distribution.values() for parameter in space.parameters]
    names = [parameter.name for parameter in space.parameters]
    return len(
        {
            canonical(space.arrange(dict(zip(names, values, strict=True))))
            for values in product(*axes)
        }
    )


@st.composite
def small_spaces(draw):
    """
    Return a space of few values, each parameter with one parent at most.
    """
    parameters = []
    for name in "abcd"[: draw(st.integers(1, 4))]:
        size = draw(st.integers(1, 4))
        distribution = draw(
            st.sampled_from(
                [
                    Int(low=1, high=size),
                    Categorical(choices=tuple(range(1, size + 1))),
                    Float(low=1, high=size, step=1),
                    Constant(value=1),
                ]
            )
        )
        when = {}
        if parameters and draw(st.booleans()):
            parent = draw(st.sampled_from(parameters))
            values = parent.distribution.values()
            chosen = st.lists(st.sampled_from(values), min_size=1, unique=True)
            when = {parent.name: tuple(draw(chosen))}
        parameters.append(Parameter(name=name, distribution=distribution, when=when))
    return Space(parameters=tuple(draw(st.permutations(parameters))))


@settings(max_examples=200, deadline=None)
@given(space=small_spaces())
def test_the_size_is_what_counting_gives(space):
    """
    With one parent each, the size is the exact number of configurations.
    """
    assert space.size() == count(space)


def test_the_size_is_never_too_small():
    """
    With several parents, or constraints, there may be fewer than the size, never more.
    """
    two = Int(low=1, high=2)
    space = space_of("a <= b", a=two, b=two, c=two, when={"c": {"a": (1,), "b": (2,)}})

    assert count(space) <= space.size()
    assert space_of(x=Float(low=0, high=1)).size() is None
    assert space_of(x=Int(low=0, high=10**12), y=two).size() == 2 * (10**12 + 1)
    assert space_of().size() == 1


@settings(max_examples=150, deadline=None)
@given(data=st.data(), space=spaces())
def test_arranged_configurations_are_allowed(data, space):
    """
    A value for every parameter arranges into a configuration with nothing wrong in it.
    """
    configuration = data.draw(configurations(space))

    assert [text for text in space.problems(configuration) if "constraint" not in text] == []
    assert list(configuration) == [name for name in space.by_name if name in configuration]
    assert same_value(space.arrange(configuration), configuration)
    assert space.satisfies_constraints(configuration) == (not list(space.problems(configuration)))


@settings(max_examples=150, deadline=None)
@given(space=spaces())
def test_spaces_survive_json(space):
    """
    Written to JSON and read again, a space is the same.
    """
    assert Space.model_validate_json(space.model_dump_json()) == space
    assert Space.model_validate(space.model_dump(mode="json")) == space


def test_conditions():
    """
    A child is there where its parents are and have one of the named values.
    """
    space = space_of(
        nesterov=Categorical(choices=(True, False)),
        momentum=Float(low=0, high=1),
        optimizer=Categorical(choices=("sgd", "adam")),
        when={"momentum": {"optimizer": ("sgd",)}, "nesterov": {"momentum": (0.5,)}},
    )
    full = {"optimizer": "sgd", "momentum": 0.5, "nesterov": True}

    assert [item.name for item in space.sampling_order] == ["optimizer", "momentum", "nesterov"]
    assert space.arrange(full) == full
    assert space.arrange({**full, "momentum": 0.4}) == {"optimizer": "sgd", "momentum": 0.4}
    assert space.arrange({**full, "optimizer": "adam"}) == {"optimizer": "adam"}
    assert list(space.problems({"optimizer": "adam", "momentum": 0.1})) == [
        "momentum is given but not active"
    ]
    assert list(space.problems({"optimizer": "sgd", "momentum": 2, "x": 1})) == [
        "x is no parameter of this space",
        "momentum cannot be 2",
    ]
    assert list(space.problems({"optimizer": "sgd"})) == ["momentum has no value"]


def test_conditions_go_by_the_parents_type():
    """
    Waiting for 0 of a float is waiting for 0.0.
    """
    space = space_of(
        rate=Float(low=0, high=1), child=Int(low=1, high=2), when={"child": {"rate": (0,)}}
    )

    assert canonical(space.by_name["child"].when["rate"]) == "[0.0]"
    assert space.arrange({"rate": 0, "child": 1}) == {"rate": 0.0, "child": 1}


def test_constraints_pass_over_inactive_parameters():
    """
    A constraint says nothing about configurations without one of its parameters.
    """
    space = space_of(
        "momentum < 0.5",
        optimizer=Categorical(choices=("sgd", "adam")),
        momentum=Float(low=0, high=1),
        when={"momentum": {"optimizer": ("sgd",)}},
    )

    assert space.satisfies_constraints({"optimizer": "adam"})
    assert not space.satisfies_constraints({"optimizer": "sgd", "momentum": 0.7})
    assert list(space.problems({"optimizer": "sgd", "momentum": 0.7})) == [
        "constraint 'momentum < 0.5' does not hold"
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"when": {"a": {"c": (1,)}}}, "a depends on c, which is no parameter"),
        ({"when": {"a": {"b": (3,)}}}, "a waits for b to be 3, a value that it never takes"),
        ({"when": {"a": {"b": ()}}}, "a condition must name a value, got none of b"),
        ({"when": {"a": {"b": (1,)}, "b": {"a": (1,)}}}, "must not run in a circle"),
        ({"when": {"a": {"a": (1,)}}}, "must not run in a circle"),
    ],
)
def test_conditions_that_cannot_be_are_refused(arguments, message):
    """
    Parents exist, take the values that are waited for, and do not wait for their children.
    """
    with pytest.raises(ValidationError, match=message):
        space_of(a=Int(low=1, high=2), b=Int(low=1, high=2), **arguments)


def test_names_are_unique_and_plain():
    """
    A name is there once, and can stand in braces.
    """
    parameter = Parameter(name="a", distribution=Int(low=1, high=2))

    with pytest.raises(ValidationError, match="must be unique, got a twice"):
        Space(parameters=(parameter, parameter))
    for name in ("", "a b", "a{", "a:b", "a\n"):
        with pytest.raises(ValidationError, match="no white space, brace or colon"):
            Parameter(name=name, distribution=Int(low=1, high=2))


def test_constraints_name_parameters():
    """
    A constraint over something else is refused.
    """
    with pytest.raises(ValidationError, match="names c, which is no parameter"):
        space_of("a < c", a=Int(low=1, high=2))
    with pytest.raises(ValidationError, match="not a valid expression"):
        space_of("a <", a=Int(low=1, high=2))


def test_seeds_depend_on_nothing_else():
    """
    Derived seeds are fixed for ever, and differ by purpose.
    """
    assert derive_seed(7, "random", 3) == derive_seed(7, "random", 3) == 5284195150499722151
    assert len({derive_seed(7, "random", number) for number in range(1000)}) == 1000
    assert derive_seed(7, "a", "b") != derive_seed(7, "ab")
