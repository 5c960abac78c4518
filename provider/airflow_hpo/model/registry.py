"""
Lazy name tables: ``name -> "module:object"``, open to third parties.

A variant (dialect, strategy, runner, metric format) is one line in such a
table; nothing is imported before its name is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache, cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any

__all__ = ["Table", "did_you_mean"]


def did_you_mean(word: object, names: Iterable[str]) -> str | None:
    """
    Return a hint with the name nearest to *word*; `None` if none is near.

    Example:
        >>> did_you_mean("maximise", ["minimize", "maximize"])
        "did you mean 'maximize'?"
        >>> did_you_mean("max", ["minimize", "maximize"])
        "did you mean 'maximize'?"
    """
    text = str(word)[:_LONGEST_NAME].lower().replace("-", "_")
    by_text = {name.lower().replace("-", "_"): name for name in names}
    near = get_close_matches(text, by_text, n=1, cutoff=0.6)
    # A word that was cut short is far from the whole one, but meant.
    near = near or [
        name
        for name in by_text
        if min(len(text), len(name)) >= _SHORTEST_PART
        and (name.startswith(text) or text.startswith(name))
    ]
    return f"did you mean {by_text[near[0]]!r}?" if near else None


# So many letters make a word that was cut short, or drawn out.
_SHORTEST_PART = 3

# Finding near names takes time by the square of the length.
_LONGEST_NAME = 100


@dataclass(frozen=True)
class Table:
    """
    The variants of one kind.

    Args:
        kind: What the entries are, in the singular: ``strategy``.

        entries: Our own, name to ``module:object``.

        group: Entry-point group in which other distributions add theirs.
    """

    kind: str
    entries: Mapping[str, str]
    group: str

    @cached_property
    def _foreign(self) -> Mapping[str, EntryPoint]:
        # Reading the metadata of every distribution takes some 50 ms, so it
        # waits until a name is asked for that is not ours.
        return {entry.name: entry for entry in entry_points(group=self.group)}

    def __contains__(self, name: str) -> bool:
        """
        Return whether *name* can be loaded; an import path counts.
        """
        return name in self.entries or ":" in name or name in self._foreign

    def names(self) -> tuple[str, ...]:
        """
        Return every name, ours first.
        """
        return (*self.entries, *sorted(set(self._foreign) - set(self.entries)))

    def load(self, name: str) -> Any:  # noqa: ANN401 - whatever the entry names
        """
        Import and return the variant called *name*.

        Raises:
            ValueError: If there is no such name; the message lists them.
        """
        if name in self.entries:
            return _load(self.entries[name])
        if ":" in name:
            return _load(name)
        if name in self._foreign:
            return self._foreign[name].load()
        known = ", ".join(self.names())
        raise ValueError(f"{self.kind} must be one of {known}, got {name!r}")


@cache
def _load(path: str) -> Any:  # noqa: ANN401 - whatever the path names
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)
