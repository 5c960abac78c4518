"""
Floats with steps, counted from the lower bound or from zero.
"""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_hpo.model.distribution import Float


@st.composite
def rounded(draw):
    """
    Floats whose steps are counted from zero.
    """
    log = draw(st.booleans())
    low = draw(st.sampled_from([0.05, 0.15, 0.5, 1, 2.5] if log else [-7.3, -1, 0, 0.15, 1, 2.5]))
    high = low + draw(st.sampled_from([0, 0.1, 0.7, 1, 9, 40.5]))
    step = draw(st.sampled_from([0.1, 0.3, 0.7, 1, 4, 100]))
    return Float(low=low, high=high, step=step, log=log, anchor="zero")


@given(rounded(), st.floats(0, 1))
def test_zero_is_the_anchor_of_rounding(distribution, unit):
    """
    A number between the bounds is drawn and rounded to a multiple of the step.
    """
    low, high, step = distribution.low, distribution.high, distribution.step
    if distribution.log:
        number = math.exp(math.log(low) + unit * (math.log(high) - math.log(low)))
    else:
        number = low + unit * (high - low)
    value = distribution.from_unit(unit)

    assert abs(value - number) <= step / 2 * (1 + 1e-9)
    assert math.isclose(value / step, round(value / step), abs_tol=1e-9)
    assert value in distribution.values()
    assert distribution.contains(value)


@given(rounded())
def test_each_value_has_its_place(distribution):
    """
    What a value's place stands for is the value; what lies beside the grid has none.
    """
    values, step = distribution.values(), distribution.step

    assert distribution.size() == len(values) == len(set(values))
    assert list(values) == sorted(values)
    assert [distribution.from_unit(distribution.to_unit(value)) for value in values] == list(values)
    assert not distribution.contains(values[0] - step)
    assert not distribution.contains(values[-1] + step)
    assert not distribution.contains(values[0] + step / 3)


def test_outer_values_are_as_likely_as_their_part():
    """
    Of 1 to 10 in steps of 4, a ninth is rounded to 0 and four ninths each to 4 and to 8.
    """
    distribution = Float(low=1, high=10, step=4, anchor="zero")
    drawn = [distribution.from_unit((place + 0.5) / 900) for place in range(900)]

    assert [drawn.count(value) for value in (0.0, 4.0, 8.0)] == [100, 400, 400]


def test_a_bound_alone_is_no_stretch():
    """
    A multiple to which only a bound itself would be rounded is none of the values.
    """
    assert Float(low=0.5, high=1.5, step=1, anchor="zero").values() == (1.0,)
    assert Float(low=5, high=5, step=2, anchor="zero").values() == (4.0,)


def test_values_with_binary_noise_are_values():
    """
    Three times 0.1, as a program computes it, is 0.3.
    """
    distribution = Float(low=0, high=1, step=0.1, anchor="zero")

    assert 3 * 0.1 != 0.3
    assert distribution.contains(3 * 0.1)
    assert distribution.values()[3] == 0.3


def test_the_lower_bound_is_the_usual_anchor():
    """
    Without saying so, steps are counted from the lower bound and never leave the bounds.
    """
    distribution = Float(low=0.15, high=0.5, step=0.1)

    assert distribution.anchor == "low"
    assert distribution.values() == (0.15, 0.25, 0.35, 0.45)


def test_an_anchor_needs_a_step():
    """
    There is nothing to count where there is no step.
    """
    with pytest.raises(ValueError, match="anchor must be low where there is no step, got zero"):
        Float(low=0, high=1, anchor="zero")
