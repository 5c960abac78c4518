"""
Every pruner of the table keeps the contract, whatever is added to it.
"""

from __future__ import annotations

from airflow_hpo.pruners import PRUNERS
from airflow_hpo.testing.pruners import PrunerContract


class TestEveryPruner(PrunerContract):
    """
    The shipped suite, over all names.
    """

    names = PRUNERS.names()
