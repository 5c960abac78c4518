"""
Distributions map the unit interval to their values and back.
"""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from airflow_hpo.model.distribution import (
    Categorical,
    Constant,
    Distribution,
    Float,
    Int,
    LogNormal,
    Normal,
)
from airflow_hpo.model.values import canonical, same_value
from airflow_hpo.testing.drawn_spaces import distributions

UNITS = st.floats(0, 1)
MANY = settings(max_examples=400, deadline=None)
FINITE = st.floats(allow_nan=False, allow_infinity=False)


@MANY
@given(distribution=distributions(), unit=UNITS)
def test_what_is_drawn_is_contained(distribution, unit):
    """
    Whatever the unit interval gives is a value of the distribution, of its type.
    """
    value = distribution.from_unit(unit)

    assert distribution.contains(value)
    assert same_value(distribution.cast(value), value)
    assert distribution.from_unit(unit) == value


@MANY
@given(distribution=distributions(), unit=UNITS)
def test_there_and_back(distribution, unit):
    """
    A value's place in the unit interval gives the value again.
    """
    value = distribution.from_unit(unit)
    place = distribution.to_unit(value)
    again = distribution.from_unit(place)

    assert 0 <= place <= 1
    if distribution.size() is not None:
        assert same_value(again, value)
    elif distribution.step is None:
        spread = distribution.from_unit(1.0) - distribution.from_unit(0.0)
        assert math.isclose(again, value, rel_tol=1e-6, abs_tol=1e-6 * spread)


@MANY
@given(distribution=distributions(), units=st.tuples(UNITS, UNITS))
def test_order_is_kept(distribution, units):
    """
    Of numbers, a higher place gives a value at least as high.
    """
    assume(not isinstance(distribution, (Categorical, Constant)))
    low, high = sorted(units)

    assert distribution.from_unit(low) <= distribution.from_unit(high)


@MANY
@given(low=FINITE, high=FINITE, unit=UNITS)
@example(low=-1.7e308, high=1.7e308, unit=0.0)
@example(low=-1.7e308, high=1.7e308, unit=1.0)
@example(low=0.0, high=5e-324, unit=0.5)
@example(low=1e300, high=math.nextafter(1e300, math.inf), unit=0.5)
def test_floats_of_any_magnitude(low, high, unit):
    """
    Bounds may be as far apart, or as close together, as floats can be.
    """
    low, high = min(low, high), max(low, high)
    for log in (False, True) if low > 0 else (False,):
        distribution = Float(low=low, high=high, log=log)
        value = distribution.from_unit(unit)

        assert low <= value <= high
        assert 0 <= distribution.to_unit(value) <= 1


@pytest.mark.parametrize(
    "distribution",
    [
        Float(low=0, high=1, step=0.1),
        Float(low=0.05, high=1, step=0.3),
        Float(low=1, high=100, step=1, log=True),
        Float(low=-1, high=1, step=0.25, anchor="zero"),
        Float(low=3, high=3),
        Int(low=-5, high=17, step=4),
        Int(low=1, high=1000, log=True),
        Int(low=7, high=7),
        Categorical(choices=("a", 1, 1.0, True, None, [1], {"a": 1})),
        Categorical(choices=("a", "b", "c"), weights=(1, 2, 5)),
        Constant(value="x"),
    ],
    ids=repr,
)
def test_every_value_can_be_drawn(distribution):
    """
    The values are as many as said, all different, and each is found in its own place.
    """
    found = distribution.values()

    assert len(found) == distribution.size()
    assert len({canonical(value) for value in found}) == len(found)
    for value in found:
        assert same_value(distribution.from_unit(distribution.to_unit(value)), value)


@pytest.mark.parametrize(
    ("distribution", "shares"),
    [
        (Int(low=0, high=3), [0.25, 0.25, 0.25, 0.25]),
        (Float(low=0, high=1, step=0.5), [1 / 3, 1 / 3, 1 / 3]),
        (Categorical(choices=("a", "b"), weights=(3, 1)), [0.75, 0.25]),
        (Categorical(choices=("a", "b", "c"), weights=(0, 1, 0)), [0, 1, 0]),
        # Widths of the stretch that belongs to each on a log scale, half a step around.
        (
            Int(low=1, high=4, log=True),
            [math.log(x) / math.log(9) for x in (3, 5 / 3, 7 / 5, 9 / 7)],
        ),
    ],
    ids=repr,
)
def test_how_likely_values_are(distribution, shares):
    """
    An even grid of the unit interval meets each value as often as it is likely.
    """
    count = 20_000
    found = [distribution.from_unit((index + 0.5) / count) for index in range(count)]

    for value, share in zip(distribution.values(), shares, strict=True):
        assert found.count(value) / count == pytest.approx(share, abs=2 / count)


def test_normal_quantiles():
    """
    The middle is the mean, and 84 % lie below one deviation above it.
    """
    assert Normal(mean=64, deviation=16).from_unit(0.5) == 64
    assert Normal(mean=64, deviation=16).from_unit(0.8413447460685429) == pytest.approx(80)
    assert Normal(mean=64, deviation=16, step=8).from_unit(0.9) == 88
    assert LogNormal(mean=0, deviation=1).from_unit(0.5) == 1
    assert LogNormal(mean=0, deviation=1).to_unit(0) == 0


def test_steps_have_no_binary_noise():
    """
    Stepped values are what a person would write.
    """
    assert Float(low=0, high=1, step=0.1).values() == (
        0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0
    )  # fmt: skip


@pytest.mark.parametrize(
    ("distribution", "inside", "outside"),
    [
        (Float(low=0, high=1), [0, 0.3, 1], [-0.1, 1.1, "0.5", True, None, math.nan, 10**400]),
        (Float(low=0, high=1, step=0.1), [0.3, 0.30000000000000004], [0.35, 1.05]),
        (Int(low=2, high=8, step=3), [2, 5, 8.0], [3, 9, 5.5, "5", True, math.inf]),
        (Categorical(choices=(1, "a")), [1, "a"], [1.0, True, "b", None]),
        (Normal(mean=0, deviation=1), [0, -1e9], ["0", math.inf, True]),
        (Normal(mean=0, deviation=1, step=0.5), [1.5, -3], [0.3]),
        (LogNormal(mean=0, deviation=1), [0, 2.5], [-1, math.nan]),
        (Constant(value=1), [1], [1.0, True, 2]),
    ],
    ids=repr,
)
def test_what_is_contained(distribution, inside, outside):
    """
    Values of the distribution are told from others, types included.
    """
    assert [distribution.contains(value) for value in inside] == [True] * len(inside)
    assert [distribution.contains(value) for value in outside] == [False] * len(outside)


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (Float, {"low": 2, "high": 1}, "low must not exceed high, got low=2, high=1"),
        (Float, {"low": 0, "high": 1, "log": True}, "low must be above 0 where log is true, got 0"),
        (Float, {"low": 0, "high": 1, "step": 0}, "step must be above 0, got 0"),
        (Float, {"low": 0, "high": 1, "step": 1e-17}, "step must divide the range into fewer"),
        (Float, {"low": 0, "high": math.inf}, "finite"),
        (Int, {"low": 2, "high": 1}, "low must not exceed high"),
        (Int, {"low": 0, "high": 2**63}, "must fit into 64 bits"),
        (Int, {"low": 0, "high": 1.5}, "fractional part"),
        (Categorical, {"choices": ()}, "at least 1 item"),
        (Categorical, {"choices": ("a", "a")}, 'must be different, got "a" more than once'),
        (Categorical, {"choices": ("a",), "weights": (1, 2)}, "got 2 weights for 1 choices"),
        (Categorical, {"choices": ("a",), "weights": (0,)}, "not be negative nor all zero"),
        (Normal, {"mean": 0, "deviation": 0}, "greater than 0"),
        (Normal, {"mean": 1e308, "deviation": 1e308}, "must leave all values finite"),
        (LogNormal, {"mean": 800, "deviation": 1}, "of the natural logarithm"),
    ],
)
def test_what_no_value_fits_is_refused(kind, arguments, message):
    """
    The message has the rule and what was got.
    """
    with pytest.raises(ValidationError, match=message):
        kind(**arguments)


@MANY
@given(distribution=distributions())
def test_distributions_survive_json(distribution):
    """
    Written to JSON and read again, a distribution is the same one.
    """
    text = distribution.model_dump_json()

    again = TypeAdapter(Distribution).validate_python(json.loads(text))

    assert again == distribution
    assert type(again) is type(distribution)
    assert again.model_dump_json() == text
