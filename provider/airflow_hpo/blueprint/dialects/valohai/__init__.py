"""
The dialect of ``valohai.yaml``: every task of the file becomes a blueprint.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_hpo.blueprint.checks import complete
from airflow_hpo.blueprint.dialects.base import source_of
from airflow_hpo.blueprint.dialects.valohai.items import KINDS, read_items
from airflow_hpo.blueprint.dialects.valohai.tasks import check_slugs, read_task, slug
from airflow_hpo.blueprint.problems import show
from airflow_hpo.model.registry import did_you_mean

if TYPE_CHECKING:
    from airflow_hpo.blueprint.dialects.valohai.items import Item, Items
    from airflow_hpo.blueprint.document import Document
    from airflow_hpo.blueprint.problems import Problems
    from airflow_hpo.model.blueprint import Blueprint

__all__ = ["ValohaiDialect"]


class ValohaiDialect:
    """
    Reads a list of steps, tasks and other items of Valohai's.

    An item of our own, ``- hpo: {task: NAME}``, may say what Valohai has no
    key for; Valohai passes it over.
    """

    name = "valohai"

    def claims(self, document: Document) -> bool:
        """
        Return whether the file is a list with items of Valohai's.
        """
        data = document.data
        return isinstance(data, list) and any(
            isinstance(item, dict) and any(kind in item for kind in KINDS) for item in data
        )

    def parse(self, document: Document, problems: Problems) -> tuple[Blueprint, ...]:
        """
        Return one blueprint per task of *document*, in its order.
        """
        items = read_items(document.data, problems)
        if not items.tasks and not problems.errors:
            hint = "write an item - task: with name, step and parameters"
            problems.error((), "must hold a task, got none", hint=hint)
        _check_notes(items, problems)
        found: list[Blueprint] = []
        names: dict[str, str] = {}
        for task in items.tasks.values():
            if task.name:
                check_slugs(names, task, problems)
                names.setdefault(slug(task.name), task.name)
            step = _step(task, items, problems)
            if step is None:
                continue
            draft = read_task(task, step, items.notes.get(task.name), problems)
            if draft is not None:
                blueprint = complete(draft, problems, source_of(document, self.name))
                found += [] if blueprint is None else [blueprint]
        # Tasks of one step come upon the same problems of it.
        problems.found[:] = dict.fromkeys(problems.found)
        return tuple(found)


def _check_notes(items: Items, problems: Problems) -> None:
    for name, note in items.notes.items():
        if name not in items.tasks and not items.nameless:
            hint = did_you_mean(name, items.tasks)
            message = f"must be the name of a task, got {show(name)}"
            problems.error((*note.path, "task"), message, hint=hint)


def _step(task: Item, items: Items, problems: Problems) -> Item | None:
    name = task.keys.get("step")
    if name is None:
        return None
    if name not in items.steps and not items.nameless:
        hint = did_you_mean(name, items.steps)
        message = f"must be the name of a step, got {show(name)}"
        problems.error((*task.path, "step"), message, hint=hint)
    return items.steps.get(name)
