"""
Paths to values of a document, and where they stand in the text.
"""

from __future__ import annotations

from typing import Any, TypeAlias

__all__ = ["Mark", "Marks", "Path", "Place", "dotted", "place_of"]

Path: TypeAlias = "tuple[str | int, ...]"
"""Keys and list indexes that lead to a value."""

Place: TypeAlias = "tuple[int, int]"
"""Line and column, both counted from 1."""

Mark: TypeAlias = Any
"""PyYAML's mark, of whichever parser: has ``line`` and ``column`` from 0."""

Marks: TypeAlias = "dict[str | int, tuple[Mark, Mark]]"
"""Where the key and the value of each entry of one container begin."""


def dotted(path: Path) -> str:
    """
    Return *path* as people read it.

    Example:
        >>> dotted(("points", 0, "lr"))
        'points.0.lr'
    """
    return ".".join(map(str, path))


def place_of(mark: Mark) -> Place:
    """
    Return where *mark* is, as people count.
    """
    return mark.line + 1, mark.column + 1
