"""
Every strategy of the table keeps the contract, whatever is added to it.
"""

from __future__ import annotations

from airflow_hpo.strategies import STRATEGIES
from airflow_hpo.testing.strategies import StrategyContract


class TestEveryStrategy(StrategyContract):
    """
    The shipped suite, over all names.
    """

    names = STRATEGIES.names()
