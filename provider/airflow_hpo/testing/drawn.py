"""
Hypothesis strategies that make texts, numbers and values of every kind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from hypothesis import strategies as st

from airflow_hpo.model.values import Value

__all__ = ["COUNTS", "NUMBERS", "POSITIVE", "TEXTS", "WORDS", "Draw", "values"]

_T = TypeVar("_T")
Draw = Callable[[st.SearchStrategy[_T]], _T]

# Anything but halves of characters, which no file can hold.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
WORDS = TEXTS.filter(bool)
NUMBERS = st.floats(-1e9, 1e9)
POSITIVE = st.floats(1e-6, 1e9)
COUNTS = st.integers(1, 1000)


def values() -> st.SearchStrategy[Value]:
    """
    Return a strategy of anything that a parameter may be.
    """
    numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    scalars = st.none() | st.booleans() | numbers | TEXTS
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
        max_leaves=5,
    )
