"""
The names of ``clearml.automation``.
"""

from __future__ import annotations

from airflow_hpo.clearml.optimizer import HyperParameterOptimizer
from airflow_hpo.clearml.optimizers import GridSearch, RandomSearch
from airflow_hpo.clearml.parameters import (
    DiscreteParameterRange,
    LogUniformParameterRange,
    Parameter,
    ParameterSet,
    RandomSeed,
    UniformIntegerParameterRange,
    UniformParameterRange,
)

__all__ = [
    "DiscreteParameterRange",
    "GridSearch",
    "HyperParameterOptimizer",
    "LogUniformParameterRange",
    "Parameter",
    "ParameterSet",
    "RandomSearch",
    "RandomSeed",
    "UniformIntegerParameterRange",
    "UniformParameterRange",
]
