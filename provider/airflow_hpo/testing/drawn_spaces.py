"""
Hypothesis strategies that make search spaces, and configurations of them.
"""

from __future__ import annotations

import re
from typing import Any

from hypothesis import strategies as st

from airflow_hpo.blueprint.template import ALL_PARAMETERS
from airflow_hpo.model.distribution import (
    Categorical,
    Constant,
    Distribution,
    Float,
    Int,
    LogNormal,
    Normal,
)
from airflow_hpo.model.space import Parameter, Space
from airflow_hpo.model.values import Value, canonical
from airflow_hpo.testing.drawn import NUMBERS, POSITIVE, WORDS, Draw, values

__all__ = ["configurations", "distributions", "spaces"]

# Plain names mostly, so that expressions can name them; others to be hard on quoting.
_names = st.from_regex(r"[a-z][a-z_]{0,7}", fullmatch=True) | WORDS.filter(
    lambda text: re.fullmatch(r"[^\s{}:]+", text) is not None
)


@st.composite
def _floats(draw: Draw[Any]) -> Float:
    log = draw(st.booleans())
    low, high = sorted(draw(st.tuples(*[POSITIVE if log else NUMBERS] * 2)))
    parts = draw(st.none() | st.integers(1, 50))
    step = (high - low) / parts if parts and high > low else None
    anchor = draw(st.sampled_from(["low", "zero"])) if step else "low"
    return Float(low=low, high=high, step=step or None, log=log, anchor=anchor)


@st.composite
def _ints(draw: Draw[Any]) -> Int:
    log = draw(st.booleans())
    low, high = sorted(draw(st.tuples(*[st.integers(1 if log else -1000, 1000)] * 2)))
    return Int(low=low, high=high, step=draw(st.integers(1, 20)), log=log)


@st.composite
def _choices(draw: Draw[Any]) -> Categorical:
    choices = draw(st.lists(values(), min_size=1, max_size=5, unique_by=canonical))
    shares = st.lists(st.floats(0.01, 9), min_size=len(choices), max_size=len(choices))
    weights = draw(st.none() | shares)
    return Categorical(choices=tuple(choices), weights=None if weights is None else tuple(weights))


def distributions() -> st.SearchStrategy[Distribution]:
    """
    Return a strategy of distributions of every kind.
    """
    step = st.none() | st.floats(0.001, 10)
    narrow = st.floats(0.001, 10)
    return st.one_of(
        _floats(),
        _ints(),
        _choices(),
        st.builds(Normal, mean=NUMBERS, deviation=POSITIVE, step=step),
        st.builds(LogNormal, mean=st.floats(-10, 10), deviation=narrow, step=step),
        st.builds(Constant, value=values()),
    )


@st.composite
def spaces(draw: Draw[Any]) -> Space:
    """
    Return a strategy of spaces with conditions and constraints.
    """
    names = draw(st.lists(_names, min_size=1, max_size=5, unique=True))
    names = [name for name in names if name != ALL_PARAMETERS] or ["x"]
    parameters: list[Parameter] = []
    for name in names:
        distribution = draw(distributions() if parameters else _floats() | _ints() | _choices())
        when = {}
        if parameters and draw(st.integers(0, 3)) == 0:
            parent = draw(st.sampled_from(parameters))
            units = draw(st.lists(st.floats(0, 1), min_size=1, max_size=2))
            when[parent.name] = tuple(parent.distribution.from_unit(unit) for unit in units)
        parameters.append(Parameter(name=name, distribution=distribution, when=when))
    return Space(
        parameters=tuple(draw(st.permutations(parameters))),
        constraints=draw(_constraints(parameters)),
    )


@st.composite
def _constraints(draw: Draw[Any], parameters: list[Parameter]) -> tuple[str, ...]:
    plain = [item.name for item in parameters if re.fullmatch("[a-z][a-z_]*", item.name)]
    plain = [name for name in plain if name not in {"and", "or", "not", "in", "is"}]
    if not plain:
        return ()
    name = st.sampled_from(plain)
    rule = st.builds("{} {} {}".format, name, st.sampled_from(["<", ">=", "!=", "in"]), name)
    return tuple(draw(st.lists(rule, max_size=2)))


@st.composite
def configurations(draw: Draw[Any], space: Space) -> dict[str, Value]:
    """
    Return a strategy of configurations of *space*, constraints left aside.
    """
    found = {
        parameter.name: parameter.distribution.from_unit(draw(st.floats(0, 1)))
        for parameter in space.parameters
    }
    return space.arrange(found)
