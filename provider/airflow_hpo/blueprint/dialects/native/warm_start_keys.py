"""
Keys of a warm start: where it comes from, and what becomes of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.dialects.base import build
from airflow_hpo.blueprint.records import Key, Record, one_of
from airflow_hpo.blueprint.shapes import Either, OneOf, Text, Whole
from airflow_hpo.model.warm_start import WarmStart, WarmStartSource

if TYPE_CHECKING:
    from airflow_hpo.blueprint.problems import Problems

__all__ = ["WARM_START", "read_warm_start"]

_STUDY = Text(examples=("digits-2026-01",))

_SOURCE = Record(
    {
        "study": Key(_STUDY, "Another study, by its name."),
        "storage": Key(
            Text(examples=("postgresql://db.example/studies",)),
            "Where that study's journal is, if not where this one's is: a URL without a password.",
        ),
        "file": Key(
            Text(examples=("trials.csv",)),
            "CSV, JSON or JSON lines, relative to the blueprint's own folder.",
        ),
    },
    foreign={"path": "write file", "csv": "write file", "url": "write storage"},
    main="study",
    together=one_of("study", "file"),
)

WARM_START = Record(
    {
        "from": Key(
            Either(text=_STUDY, other=_SOURCE),
            "A study's name, or a mapping with study or file.",
            required=True,
            example="{study: ...}",
        ),
        "trials": Key(Whole(least=1), "The best so many; all by default."),
        "as": Key(
            OneOf(("history", "points")),
            "history shows them to the strategy as they ended; points has them tried again.",
        ),
    },
    foreign={"study": "write from: {study: ...}", "file": "write from: {file: ...}"},
    main="from",
)


def read_warm_start(keys: Mapping[str, Any] | None, problems: Problems) -> WarmStart | None:
    """
    Return the warm start that *keys* describe; `None` for none, or a wrong one.
    """
    if keys is None:
        return None
    given = keys["from"]
    values = {"study": given} if isinstance(given, str) else given
    source = build(WarmStartSource, values, ("warm_start", "from"), problems)
    if source is None:
        return None
    more = {name: keys[key] for key, name in (("trials", "trials"), ("as", "use")) if key in keys}
    return build(WarmStart, {"source": source, **more}, ("warm_start",), problems)
