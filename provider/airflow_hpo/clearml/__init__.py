"""
ClearML's classes for hyper-parameter optimisation, without ClearML.

A script that optimises with ClearML runs after its import lines were changed::

    from airflow_hpo.clearml import Task
    from airflow_hpo.clearml.automation import (
        DiscreteParameterRange, HyperParameterOptimizer, UniformIntegerParameterRange
    )
    from airflow_hpo.clearml.automation.optuna import OptimizerOptuna

Trials run on this machine; `HyperParameterOptimizer.write` makes a file of the
study that becomes a DAG. Runs without Airflow.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_hpo.clearml.logger import Logger as Logger
    from airflow_hpo.clearml.optimizer import HyperParameterOptimizer as HyperParameterOptimizer
    from airflow_hpo.clearml.optimizers import GridSearch as GridSearch
    from airflow_hpo.clearml.optimizers import OptimizerBOHB as OptimizerBOHB
    from airflow_hpo.clearml.optimizers import OptimizerOptuna as OptimizerOptuna
    from airflow_hpo.clearml.optimizers import RandomSearch as RandomSearch
    from airflow_hpo.clearml.parameters import DiscreteParameterRange as DiscreteParameterRange
    from airflow_hpo.clearml.parameters import LogUniformParameterRange as LogUniformParameterRange
    from airflow_hpo.clearml.parameters import Parameter as Parameter
    from airflow_hpo.clearml.parameters import ParameterSet as ParameterSet
    from airflow_hpo.clearml.parameters import RandomSeed as RandomSeed
    from airflow_hpo.clearml.parameters import (
        UniformIntegerParameterRange as UniformIntegerParameterRange,
    )
    from airflow_hpo.clearml.parameters import UniformParameterRange as UniformParameterRange
    from airflow_hpo.clearml.tasks import Task as Task
    from airflow_hpo.clearml.tasks import TaskTypes as TaskTypes

_MODULES = {
    "DiscreteParameterRange": "parameters",
    "GridSearch": "optimizers",
    "HyperParameterOptimizer": "optimizer",
    "LogUniformParameterRange": "parameters",
    "Logger": "logger",
    "OptimizerBOHB": "optimizers",
    "OptimizerOptuna": "optimizers",
    "Parameter": "parameters",
    "ParameterSet": "parameters",
    "RandomSearch": "optimizers",
    "RandomSeed": "parameters",
    "Task": "tasks",
    "TaskTypes": "tasks",
    "UniformIntegerParameterRange": "parameters",
    "UniformParameterRange": "parameters",
}
__all__ = [
    "DiscreteParameterRange",
    "GridSearch",
    "HyperParameterOptimizer",
    "LogUniformParameterRange",
    "Logger",
    "OptimizerBOHB",
    "OptimizerOptuna",
    "Parameter",
    "ParameterSet",
    "RandomSearch",
    "RandomSeed",
    "Task",
    "TaskTypes",
    "UniformIntegerParameterRange",
    "UniformParameterRange",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    """
    Load *name* when it is asked for: a trial that reports a metric needs no optimiser.
    """
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
