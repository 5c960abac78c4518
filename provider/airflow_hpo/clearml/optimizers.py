"""
ClearML's optimizer classes: names that stand for strategies.
"""

from __future__ import annotations

__all__ = [
    "GridSearch",
    "OptimizerBOHB",
    "OptimizerOptuna",
    "RandomSearch",
    "SearchStrategy",
]


class SearchStrategy:
    """
    The base of ClearML's optimizer classes.

    They are handed over, never made: what they would do, a strategy does. One
    of one's own is a strategy too, not derived from this.
    """


class RandomSearch(SearchStrategy):
    """
    The strategy ``random``.
    """


class GridSearch(SearchStrategy):
    """
    The strategy ``grid``.
    """


class OptimizerOptuna(SearchStrategy):
    """
    The strategy ``tpe``, or what ``optuna_sampler`` names.
    """


class OptimizerBOHB(SearchStrategy):
    """
    The strategy ``bohb``.
    """
