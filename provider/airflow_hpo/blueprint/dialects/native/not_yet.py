"""
What the native dialect already reads but nothing yet does: refused, not ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from airflow_hpo.model.values import Value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.blueprint.problems import Problems

__all__ = ["NOT_YET", "NotYet", "refuse_not_yet"]

NotYet: TypeAlias = Mapping[str, tuple[str, Callable[[Value], bool]]]
"""By dotted path (``*`` is any index): what it is, and which values ask for it."""


def _given(_value: Value) -> bool:
    return True


NOT_YET: NotYet = {
    "dag.warm_start": ("a warm start", _given),
    "dag.champion": ("publishing a champion", _given),
    "dag.approve": ("asking for approval", lambda value: value is True),
}
"""What is not built yet; who builds it takes its line out."""


def refuse_not_yet(data: Mapping[str, Value], not_yet: NotYet, problems: Problems) -> None:
    """
    Note everything in *data* that is not built yet, unless it is wrong anyway.
    """
    for pattern, (what, asks) in not_yet.items():
        for path, value in _matching(data, pattern.split("."), ()):
            if not problems.touches(path) and asks(value):
                problems.error(path, f"{what} is not supported yet", at_key=True)


def _matching(data: Value, parts: list[str], path: Path) -> Iterator[tuple[Path, Value]]:
    if not parts:
        yield path, data
    elif parts[0] == "*" and isinstance(data, list):
        for index, item in enumerate(data):
            yield from _matching(item, parts[1:], (*path, index))
    elif isinstance(data, dict) and parts[0] in data:
        yield from _matching(data[parts[0]], parts[1:], (*path, parts[0]))
