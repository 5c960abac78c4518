"""
Import once what every task needs, in the process that tasks are forked from.

A task of the LocalExecutor is a fork of the scheduler's worker, and each parse
of a DAG file a fork of the DAG processor. What those parents have imported is
there in the child, for nothing; what they have not, every child imports again:
some 150 ms of processor time a task for this package. Airflow itself freezes the
garbage collector around the fork so that such pages stay shared.

Only these two processes pay, at their start; engines such as Optuna are left
out, as few tasks need them. ``[hpo] preload = False`` turns it off.
"""

from __future__ import annotations

import importlib
import logging

from airflow.listeners import hookimpl

__all__ = ["on_starting", "preload"]

_log = logging.getLogger(__name__)

_PARENTS = frozenset({"SchedulerJob", "DagProcessorJob"})

# What tasks import by name, beyond what parsing a blueprint brings.
_MODULES = (
    "airflow_hpo.driver",
    "airflow_hpo.factory.dag",
    "airflow_hpo.factory.discover",
    "airflow_hpo.metrics.json_lines",
    "airflow_hpo.operators.evaluate",
    "airflow_hpo.operators.report",
    "airflow_hpo.operators.suggest",
    "airflow_hpo.operators.trial",
    "airflow_hpo.runners.subprocess",
    "airflow_hpo.storage.sql",
    "airflow_hpo.strategies.random",
)

# Parsing it loads the tables' entries that most blueprints name.
_EXAMPLE = """\
hpo: 1
name: preload
objective: {metric: y, direction: minimize}
space: {x: {float: [0, 1]}, z: {choice: [a, b]}}
budget: {trials: 1}
stop: [{metric: y, at_most: 0}]
trial: {command: "true {x} {z}"}
"""


@hookimpl
def on_starting(component: object) -> None:
    """
    Preload where *component* is a process that tasks or parses are forked from.
    """
    # Every process that starts calls this, tasks included, and not all with a job.
    if getattr(component, "job_type", None) not in _PARENTS:
        return
    from airflow_hpo.hooks.compat import conf

    if not conf.getboolean("hpo", "preload", fallback=True):
        return
    try:
        preload()
    except Exception:  # noqa: BLE001 - see below
        # A scheduler must start whatever is wrong with a provider: the tasks
        # will meet the same error, and show it where it belongs.
        _log.exception("airflow_hpo could not be preloaded")


def preload() -> None:
    """
    Import what the tasks of a usual blueprint import.
    """
    for name in _MODULES:
        importlib.import_module(name)
    from airflow_hpo.blueprint import parse_blueprints
    from airflow_hpo.factory.dag import build_dag

    for blueprint in parse_blueprints(_EXAMPLE):
        build_dag(blueprint)
