"""
The search space of a sweep: parameters, and parameters in parameters.

A parameter that holds others stands for a mapping: its parts are searched as
``optimizer.lr``, and the program is given the mapping as a whole.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from airflow_hpo.blueprint.dialects.base import build
from airflow_hpo.blueprint.dialects.wandb.distributions import read_distribution
from airflow_hpo.blueprint.problems import show
from airflow_hpo.model.space import Parameter

if TYPE_CHECKING:
    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.blueprint.problems import Problems
    from airflow_hpo.model.values import Value

__all__ = ["Found", "Tree", "read_space"]

Tree: TypeAlias = "dict[str, str | Tree]"
"""By a program's name of it: the parameter, or the parts of a mapping."""

_NESTED = "parameters"

# What is a name for us, and can be written between quotes in a command.
_NAME = re.compile(r"[^\s{}:'\"\\]+")


@dataclass
class Found:
    """
    The parameters of a file.

    Args:
        parameters: By name, in the file's order.

        broken: Names of those that were refused.

        tree: What a program is given.

        whole: Names of those whose floats are whole numbers for a program.
    """

    parameters: dict[str, Parameter] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    tree: Tree = field(default_factory=dict)
    whole: set[str] = field(default_factory=set)


def read_space(items: Value, path: Path, problems: Problems, *, grid: bool) -> Found:
    """
    Return all parameters of a file, or note why there are none.

    Args:
        items: W&B's mapping of them.

        path: Where it stands.

        problems: Gets what is wrong.

        grid: Whether every value is tried.
    """
    reader = _Reader(problems, is_grid=grid)
    reader.read(items, path, "", reader.found.tree)
    return reader.found


class _Reader:
    """
    Walks the mapping and what is nested in it.
    """

    def __init__(self, problems: Problems, *, is_grid: bool) -> None:
        self.found = Found()
        self._problems = problems
        self._is_grid = is_grid

    def read(self, items: Value, path: Path, prefix: str, tree: Tree) -> None:
        """
        Read one mapping of parameters, whose names begin with *prefix*.
        """
        if not isinstance(items, dict):
            hint = "write {lr: {min: 0.001, max: 0.1}}"
            message = f"must be a mapping of names to parameters, got {show(items)}"
            self._problems.error(path, message, hint=hint)
            return
        if not items:
            self._problems.error(path, "must have a parameter, got none")
        for name, item in items.items():
            self._read_one(name, item, (*path, name), prefix, tree)

    def _read_one(self, name: str, item: Value, path: Path, prefix: str, tree: Tree) -> None:
        full = f"{prefix}{name}"
        if _NAME.fullmatch(name) is None:
            message = "must be a name without white space, quotes, braces, colons and backslashes"
            self._problems.error(path, f"{message}, got {show(name)}", at_key=True)
        elif not isinstance(item, dict):
            self._problems.error(path, f"must be a mapping, got {show(item)}", hint=_meant(item))
            self.found.broken.add(full)
        elif _NESTED in item:
            self._read_nested(item, path, full, tree.setdefault(name, {}))
        else:
            tree[name] = full
            self._read_leaf(item, path, full)

    def _read_nested(self, item: dict[str, Value], path: Path, full: str, tree: str | Tree) -> None:
        for other in item.keys() - {_NESTED}:
            message = f"must stand alone beside {_NESTED}, got {other}"
            self._problems.error((*path, other), message, at_key=True)
        if isinstance(tree, dict):
            self.read(item[_NESTED], (*path, _NESTED), f"{full}.", tree)

    def _read_leaf(self, item: dict[str, Value], path: Path, full: str) -> None:
        self._problems.relocate({("space", full): path})
        if full in self.found.parameters or full in self.found.broken:
            message = f"names must be unique, got {full} again"
            self._problems.error(path, message, at_key=True)
            return
        drawn = read_distribution(item, path, self._problems, grid=self._is_grid)
        values = None if drawn is None else {"name": full, "distribution": drawn.distribution}
        parameter = None if values is None else build(Parameter, values, path, self._problems)
        if drawn is None or parameter is None:
            self.found.broken.add(full)
            return
        self.found.parameters[full] = parameter
        if drawn.is_whole:
            self.found.whole.add(full)


def _meant(item: Value) -> str:
    return f"write {{{'values' if isinstance(item, list) else 'value'}: {show(item)}}}"
