"""
FOLDER -> DAGS: every blueprint in a folder becomes a DAG.
"""

from __future__ import annotations

import gc
import logging
import os
import re
import warnings
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import get_parsing_context

from airflow_hpo.blueprint import load_blueprints
from airflow_hpo.errors import BlueprintError, Problem
from airflow_hpo.factory.dag import build_dag

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, MutableMapping

    from airflow.sdk import DAG

    from airflow_hpo.model.blueprint import Blueprint

__all__ = ["blueprint_files", "discover"]

_SUFFIXES = frozenset({".yaml", ".yml", ".json"})

_log = logging.getLogger(__name__)


def discover(
    folder: str | Path = "blueprints",
    *,
    file: str | Path | None = None,
    namespace: MutableMapping[str, Any] | None = None,
) -> dict[str, DAG]:
    """
    Return a DAG for every blueprint in *folder*, and publish them.

    A file that cannot be used hides no other: its problems become an import
    error that names file, line and rule, see `airflow_hpo.factory.broken`.

    In a task's process Airflow says which DAG it is about; then only the
    blueprint of that DAG is read.

    Args:
        folder: Searched with its folders; hidden ones are left out.

        file:
            The Python file that calls, usually ``__file__``: a relative
            *folder* stands beside it. By default what *namespace* calls so.

        namespace: Where Airflow finds DAGs, usually ``globals()``.

    Raises:
        FileNotFoundError: If there is no such folder.

        BlueprintError: In a task's process, if the DAG's blueprint has
            problems by now.
    """
    space: MutableMapping[str, Any] = {} if namespace is None else namespace
    root = _root(Path(folder), file or space.get("__file__"))
    search = _Search(root)
    wanted = get_parsing_context().dag_id
    if wanted is not None:
        search.find(wanted)
    else:
        with _no_collection():
            search.collect(blueprint_files(root))
        search.tell(space)
    # No blueprint's name can be the name of something else in the namespace.
    space.update({f"hpo:{dag_id}": dag for dag_id, dag in search.dags.items()})
    return search.dags


def blueprint_files(folder: Path) -> list[Path]:
    """
    Return the files in *folder* that may be blueprints, in the order they count.
    """
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(parent, name)
            for name in names
            if not name.startswith(".") and Path(name).suffix.lower() in _SUFFIXES
        ]
    return sorted(found, key=lambda path: path.relative_to(folder).parts)


@contextmanager
def _no_collection() -> Iterator[None]:
    """
    Let no memory be searched for garbage meanwhile.

    DAGs are many objects that all stay: the search would cost a third of the
    time, and find nothing.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _root(folder: Path, file: str | Path | None) -> Path:
    root = folder.expanduser()
    if not root.is_absolute() and file is not None:
        root = Path(file).parent / root
    if not root.is_dir():
        raise FileNotFoundError(f"the folder of blueprints must exist, got {str(root)!r}")
    return root.absolute()


class _Search:
    """
    What was found so far: DAGs by id, and the problems of files.
    """

    def __init__(self, root: Path) -> None:
        self.dags: dict[str, DAG] = {}
        self._root = root
        self._made_by: dict[str, Path] = {}
        self._problems: dict[Path, tuple[Problem, ...]] = {}
        self._warned: list[Problem] = []

    def collect(self, paths: Iterable[Path]) -> None:
        """
        Make the DAGs of all *paths*.
        """
        for path in paths:
            for blueprint in self._parse(path):
                self._make(path, blueprint)

    def find(self, dag_id: str) -> None:
        """
        Make the DAG called *dag_id*, reading as few files as possible.

        Raises:
            BlueprintError: If it was not found and files have problems.
        """
        for path in _likely_first(blueprint_files(self._root), dag_id):
            for blueprint in self._parse(path):
                if blueprint.dag_id == dag_id and dag_id not in self._made_by:
                    self._make(path, blueprint)
            if dag_id in self._made_by:
                return
        if self._problems:
            raise BlueprintError(each for own in self._problems.values() for each in own)

    def tell(self, space: MutableMapping[str, Any]) -> None:
        """
        Let Airflow show the problems, and log the warnings.
        """
        for problem in self._warned:
            _log.warning("%s", problem)
        if not self._problems:
            return
        from airflow_hpo.factory.broken import carriers

        for own in self._problems.values():
            error = BlueprintError(own)
            _log.error("%s", error)
            warnings.warn(str(error), stacklevel=3)
        space.update(carriers(self._problems))

    def _parse(self, path: Path) -> Iterator[Blueprint]:
        warned: list[Problem] = []
        try:
            yield from load_blueprints(path, problems=warned)
        except BlueprintError as error:
            self._note(path, *error.problems)
        except OSError as error:
            self._note(path, Problem("", f"the file must be readable, got {error}"))
        self._warned += [replace(problem, file=self._shown(path)) for problem in warned]

    def _make(self, path: Path, blueprint: Blueprint) -> None:
        dag_id = blueprint.dag_id
        if dag_id in self._made_by:
            other = self._shown(self._made_by[dag_id])
            message = f"a DAG's id must belong to one blueprint, got {dag_id!r}, which {other} has"
            self._note(path, Problem("name", message, line=_line(blueprint)))
            return
        try:
            self.dags[dag_id] = build_dag(blueprint)
        except BlueprintError as error:
            self._note(path, *error.problems)
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, the other files must load
            message = (
                f"Airflow must be able to make a DAG of it, got {type(error).__name__}: {error}"
            )
            self._note(path, Problem("dag", message, line=_line(blueprint)))
            return
        self._made_by[dag_id] = path

    def _note(self, path: Path, *problems: Problem) -> None:
        shown = tuple(replace(problem, file=self._shown(path)) for problem in problems)
        self._problems[path] = self._problems.get(path, ()) + shown

    def _shown(self, path: Path) -> str:
        """
        Return *path* as people know it: from the loader's folder on.
        """
        return str(path.relative_to(self._root.parent))


def _line(blueprint: Blueprint) -> int:
    """
    Return the line that names the DAG; 0 where none does.
    """
    lines = blueprint.source.text.splitlines()
    return next((number for number, line in enumerate(lines, 1) if blueprint.dag_id in line), 0)


def _likely_first(paths: list[Path], dag_id: str) -> Iterator[Path]:
    """
    Yield the files that name *dag_id* first: nearly always it is one of them.
    """
    name = re.compile(rf"(?<![\w.-]){re.escape(dag_id)}(?![\w.-])".encode())
    rest = []
    for path in paths:
        try:
            named = name.search(path.read_bytes()) is not None
        except OSError:
            named = False
        if named:
            yield path
        else:
            rest.append(path)
    yield from rest
