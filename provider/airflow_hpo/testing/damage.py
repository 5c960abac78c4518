"""
Good files with something odd in them: every dialect reads them, or says where they are wrong.
"""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from airflow_hpo.blueprint import check_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.errors import Problem

__all__ = ["changed", "changed_files", "check_told", "odd_values", "paths"]

# All of these end a line for YAML.
_ENDS = "\n\r\x85\u2028\u2029"


def odd_values(*words: Any) -> st.SearchStrategy[Any]:
    """
    Return values of every kind, and *words*, which mean something in a dialect.
    """
    return st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=8),
        st.sampled_from([*words, 10**400, 1e308]),
        st.lists(st.integers() | st.text(max_size=3), max_size=3),
        st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=3), max_size=3),
    )


def paths(data: Any, path: Path = ()) -> Iterator[Path]:
    """
    Yield the path of every value in *data*, its own first.
    """
    yield path
    items: Any = enumerate(data) if isinstance(data, list) else ()
    for key, value in data.items() if isinstance(data, dict) else items:
        yield from paths(value, (*path, key))


def changed(data: Any, path: Path, *, action: str, value: Any) -> Any:
    """
    Return *data* with one value replaced, removed, or given a neighbour.

    Args:
        data: Any JSON value; it is left alone.

        path: Of the value.

        action: ``replace``, ``remove``, or ``add`` (a key that is spelled alike).

        value: What is put there.
    """
    if not path:
        return value
    data = parent = copy.deepcopy(data)
    for part in path[:-1]:
        parent = parent[part]
    if action == "remove":
        del parent[path[-1]]
    elif action == "add" and isinstance(parent, dict):
        parent[f"{path[-1]}s"] = value
    else:
        parent[path[-1]] = value
    return data


@st.composite
def changed_files(
    draw: st.DrawFn,
    bases: Sequence[Any],
    values: st.SearchStrategy[Any],
    actions: Sequence[str] = ("replace", "add"),
) -> str:
    """
    Return one of *bases*, of which one value was changed, as JSON.
    """
    base = draw(st.sampled_from(bases))
    path = draw(st.sampled_from(list(paths(base))))
    return json.dumps(
        changed(base, path, action=draw(st.sampled_from(actions)), value=draw(values))
    )


def check_told(text: str | bytes) -> tuple[Problem, ...]:
    """
    Return the problems of *text*, and require that each has a place within it.
    """
    problems = check_text(text, file="damaged.yaml")
    plain = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    lines = 1 + sum(map(plain.count, _ENDS))
    for problem in problems:
        assert 1 <= problem.line <= lines + 1, problem
        assert problem.column >= 1, problem
        assert problem.message, problem
    return problems
