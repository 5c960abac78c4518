"""
One real Airflow for all end-to-end tests.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_hpo.testing.stack import Stack

_HERE = Path(__file__).parent
_ROOT = _HERE.parents[1]
_RUN_TIMEOUT_S = 300

collect_ignore = ["celery_dags", "crash_dags", "dags"]
if importlib.util.find_spec("airflow") is None:
    collect_ignore_glob = ["test_*"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    Mark the tests of this folder.
    """
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker("e2e")
            item.add_marker("airflow")
            item.add_marker("slow")


@pytest.fixture(scope="session", name="stack")
def _stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """
    A real Airflow with the checkout's DAGs and those in this folder.
    """
    root = tmp_path_factory.mktemp("an airflow")
    shutil.copytree(_ROOT / "dags", root / "dags")
    shutil.copytree(_HERE / "dags", root / "dags", dirs_exist_ok=True)
    with Stack(root / "home", root / "dags", parallelism=2) as stack:
        yield stack


@pytest.fixture(scope="session", name="run_dag")
def _run_dag(stack: Stack) -> Callable[..., str]:
    """
    Runs a DAG to its end, well or else with the logs of what failed; returns the run's id.
    """

    def run(dag_id: str, conf: dict[str, Any] | None = None) -> str:
        stack.wait_for_dag(dag_id)
        run_id = stack.trigger(dag_id, conf)
        state = stack.wait(dag_id, run_id, timeout=_RUN_TIMEOUT_S, interval=0.5)
        if state != "success":
            failed = [t for t in stack.task_instances(dag_id, run_id) if t["state"] == "failed"]
            logs = ["\n".join([task["task_id"], *stack.log(task)]) for task in failed]
            pytest.fail("\n\n".join([f"{dag_id} ended as {state}", *logs]))
        return run_id

    return run
