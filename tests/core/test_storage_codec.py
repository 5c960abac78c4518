"""
Values survive being text.
"""

from __future__ import annotations

import json
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_hpo.storage import codec

_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=[])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(_values)
def test_values_come_back_as_they_were(value):
    """
    Whatever JSON can say survives, type, order, sign and NaN included.
    """
    assert repr(value) == repr(codec.parse(codec.dump(value)))


@given(_values)
def test_text_is_ascii_on_one_line(value):
    """
    No database has an encoding that cannot hold the text.
    """
    text = codec.dump(value)

    assert text.isascii()
    assert text.isprintable()


@given(st.dictionaries(st.text(), st.integers()))
def test_sorted_text_is_the_same_however_filled(mapping):
    """
    Equal mappings have equal text where keys are sorted.
    """
    backwards = dict(reversed(mapping.items()))

    assert codec.dump(mapping, sort_keys=True) == codec.dump(backwards, sort_keys=True)


def test_other_mappings_and_tuples_are_plain():
    """
    A read-only mapping is a mapping, and a tuple is a list.
    """
    assert codec.copy(MappingProxyType({"a": (1, MappingProxyType({}))})) == {"a": [1, {}]}


@pytest.mark.parametrize("kind", ["float32", "float64", "int64", "bool_"])
def test_numbers_of_numpy_become_plain(kind):
    """
    A scalar that came out of numpy is the number that it stands for.
    """
    numpy = pytest.importorskip("numpy")

    copied = codec.copy({"a": getattr(numpy, kind)(1)})

    assert json.dumps(copied) == json.dumps({"a": getattr(numpy, kind)(1).item()})


@pytest.mark.parametrize("value", [{1}, b"x", 1j, object(), {"a": [print]}])
def test_other_values_are_refused(value):
    """
    The message names the type and shows the value.
    """
    with pytest.raises(ValueError, match=r"values must be JSON-compatible, got \w+: "):
        codec.dump(value)


def test_arrays_are_refused():
    """
    An array is no scalar; nobody knows whether a list was meant.
    """
    numpy = pytest.importorskip("numpy")

    with pytest.raises(ValueError, match="JSON-compatible, got ndarray"):
        codec.dump({"a": numpy.zeros(3)})
