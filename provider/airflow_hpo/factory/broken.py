"""
BAD BLUEPRINTS -> IMPORT ERRORS, in a way that leaves the good ones alone.

Airflow keys import errors by file, and one that is keyed by the loader's own
path takes every DAG of the loader out of the UI. So a bad file is carried by a
DAG that breaks at the right moment:

* Where the DAG processor parses, it breaks when it is serialised, under the bad
  file's own path: that is what the UI lists, and the good DAGs stay.
* In a plain ``DagBag``, which nobody writes into Airflow's database, it breaks
  when it is bagged; such a bag knows no other key than the loader's path.
* Where a whole bundle is parsed for another purpose (``airflow dags
  reserialize``, ``dag.test()``), either would do harm: it stays out of the bag.
  The same text has been given as a warning by then.

Airflow clears errors of paths that are no DAG files each time it refreshes the
bundle (five minutes by default); the next parse brings those back that are
still true. So a repaired file may be listed until the next refresh.
"""

from __future__ import annotations

import os
from traceback import walk_stack
from typing import TYPE_CHECKING

from airflow.exceptions import AirflowClusterPolicySkipDag, SerializationError
from airflow.sdk import DAG

from airflow_hpo.errors import BlueprintError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from airflow_hpo.errors import Problem

__all__ = ["carriers"]

_PROCESSOR = "airflow.dag_processing.processor"


class _BrokenDag(DAG):
    """
    Carries the problems of one bad file to where Airflow shows import errors.
    """

    def carry(self, path: Path, own: BlueprintError, every: BlueprintError) -> None:
        """
        Take the file at *path*, its *own* problems, and *every* file's.
        """
        self._hpo_path, self._hpo_own, self._hpo_every = path, own, every
        self._hpo_doomed = False

    def validate(self) -> None:
        """
        Break now, or make ready to break later.
        """
        root = _bundle_root(self)
        if root is None:
            raise self._hpo_every
        if not _in_processor():
            raise AirflowClusterPolicySkipDag("its blueprint cannot be used")
        self.fileloc = os.path.relpath(self._hpo_path, root)
        self.relative_fileloc = self.fileloc
        self._hpo_doomed = True

    def get_serialized_fields(self) -> frozenset[str]:  # type: ignore[override]
        """
        Break, where it was made ready to.
        """
        if self._hpo_doomed:
            raise SerializationError(str(self._hpo_own))
        fields: frozenset[str] = DAG.get_serialized_fields()  # type: ignore[no-untyped-call]
        return fields


def carriers(problems: Mapping[Path, Sequence[Problem]]) -> dict[str, DAG]:
    """
    Return DAGs that end as import errors, one a bad file.
    """
    every = BlueprintError(problem for each in problems.values() for problem in each)
    found: dict[str, DAG] = {}
    for index, (path, own) in enumerate(problems.items()):
        # Policies of a cluster often ask for tags and a description.
        dag = _BrokenDag(
            f"hpo.broken.{index}", tags=["hpo"], description="broken", auto_register=False
        )
        dag.carry(path, BlueprintError(own), every)
        found[dag.dag_id] = dag
    return found


def _bundle_root(dag: DAG) -> str | None:
    """
    Return the folder of the bundle that is being parsed; `None` without one.
    """
    relative = dag.relative_fileloc
    if relative is None or relative == dag.fileloc or not dag.fileloc.endswith(relative):
        return None
    return dag.fileloc[: -len(relative)]


def _in_processor() -> bool:
    """
    Return whether the DAG processor is who parses.
    """
    return any(frame.f_globals.get("__name__") == _PROCESSOR for frame, _ in walk_stack(None))
