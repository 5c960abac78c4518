"""
The items of a ``valohai.yaml``: which steps and tasks there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.dialects.valohai.keys import NOTE, STEP, TASK
from airflow_hpo.blueprint.problems import show
from airflow_hpo.blueprint.shapes import BROKEN

if TYPE_CHECKING:
    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.blueprint.problems import Problems
    from airflow_hpo.model.values import Value

__all__ = ["KINDS", "Item", "Items", "read_items"]

KINDS = ("step", "task", "endpoint", "pipeline", "blueprint", "deployment")
"""In the order in which one is taken where an item has several."""

_SHAPES = {"step": STEP, "task": TASK, "hpo": NOTE}


@dataclass(frozen=True)
class Item:
    """
    One item of the file.

    Args:
        keys: Its valid entries.

        path: Where it stands.

        given: Its entries as they are written.
    """

    keys: Mapping[str, Any]
    path: Path
    given: Mapping[str, Value]

    @property
    def name(self) -> str:
        """
        Its name, or that of the task which a note is about.
        """
        return str(self.keys.get("name") or self.keys.get("task") or "")

    def place(self, key: str) -> Path:
        """
        Return the path of *key*; its own where it has no such key.
        """
        return (*self.path, key) if key in self.given else self.path


@dataclass
class Items:
    """
    All items that matter here, by name.
    """

    steps: dict[str, Item] = field(default_factory=dict)
    tasks: dict[str, Item] = field(default_factory=dict)
    notes: dict[str, Item] = field(default_factory=dict)
    nameless: int = 0


def read_items(data: list[Value], problems: Problems) -> Items:
    """
    Return the steps, tasks and notes of *data*; everything else is said.
    """
    items = Items()
    by_kind = {"step": items.steps, "task": items.tasks, "hpo": items.notes}
    for index, entry in enumerate(data):
        kind = _kind(entry, (index,), problems)
        if kind is None:
            continue
        path = (index, kind)
        found = _SHAPES[kind].read(entry[kind], path, problems)
        if found is BROKEN:
            items.nameless += 1
            continue
        item = Item(found, path, entry[kind])
        if not item.name:
            items.nameless += 1
        elif item.name in by_kind[kind]:
            message = f"{show(item.name)} is there twice; the last one counts"
            problems.warn((*path, "task" if kind == "hpo" else "name"), message)
        # One without a name is read all the same, for its other problems.
        by_kind[kind][item.name or f"\0{index}"] = item
    return items


def _kind(entry: Value, path: Path, problems: Problems) -> str | None:
    """
    Return which of the three the item is; `None` for others, which are noted.
    """
    known = ", ".join(KINDS)
    if not isinstance(entry, dict):
        problems.error(path, f"must be a mapping with one of {known}, got {show(entry)}")
        return None
    kinds = [kind for kind in (*KINDS, "hpo") if kind in entry]
    for name in entry:
        if name not in kinds[:1]:
            what = "is passed over beside " + kinds[0] if kinds else "is passed over"
            problems.warn((*path, name), f"{what}; an item has one of {known}", at_key=True)
    if not kinds:
        return None
    if kinds[0] not in _SHAPES:
        problems.warn((*path, kinds[0]), "is not supported yet and passed over", at_key=True)
        return None
    return kinds[0]
