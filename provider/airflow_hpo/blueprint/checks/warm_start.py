"""
Checks of a warm start: whether it can be had, and whether the strategy can use it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from airflow_hpo.blueprint.problems import show
from airflow_hpo.strategies.support import able_to, lacks

if TYPE_CHECKING:
    from airflow_hpo.blueprint.checks.draft import Draft
    from airflow_hpo.blueprint.problems import Problems
    from airflow_hpo.model.blueprint import Source
    from airflow_hpo.model.warm_start import WarmStartSource

__all__ = ["check_warm_start"]

_SUFFIXES = (".csv", ".json", ".jsonl", ".ndjson")

_SCHEMES = ("sqlite", "postgresql")


def check_warm_start(draft: Draft, source: Source, problems: Problems) -> None:
    """
    Note what keeps the warm start from being of use.
    """
    warm_start = draft.warm_start
    if warm_start is None:
        return
    wanted = warm_start.source
    if wanted.file:
        _check_file(wanted.file, source, problems)
    else:
        _check_study(wanted, draft, problems)
    if warm_start.use == "history":
        _check_strategy(draft, problems)


def _check_file(file: str, source: Source, problems: Problems) -> None:
    path = ("warm_start", "from", "file")
    if Path(file).suffix.lower() not in _SUFFIXES:
        problems.error(path, f"must end in {', '.join(_SUFFIXES)}, got {show(file)}")
        return
    if not source.file or source.file.startswith("<") or Path(file).is_absolute():
        return  # it may lie where the study runs, and only there
    if not (Path(source.file).absolute().parent / file).is_file():
        problems.error(path, f"must be a file beside the blueprint, got {show(file)}")


def _check_study(wanted: WarmStartSource, draft: Draft, problems: Problems) -> None:
    path = ("warm_start", "from")
    if wanted.storage is None and wanted.study == draft.study:
        problems.error(path, f"must be another study, got {show(wanted.study)} itself")
    if wanted.study == "previous":
        hint = "write dag: {warm_start: ...}"
        problems.error(path, "must be a study's name, got previous, a DAG's run", hint=hint)
    if wanted.storage is None:
        return
    parts = urlsplit(wanted.storage)
    if parts.scheme.partition("+")[0] not in _SCHEMES:
        known = " or ".join(f"{scheme}://" for scheme in _SCHEMES)
        message = f"must be a URL that begins with {known}, got {show(parts.scheme)}"
        problems.error((*path, "storage"), message)
    elif parts.password is not None:
        problems.error(
            (*path, "storage"),
            "must have no password: blueprints are kept and shown",
            hint="leave it out, and put it into ~/.pgpass or PGPASSWORD",
        )


def _check_strategy(draft: Draft, problems: Problems) -> None:
    name = "" if draft.strategy is None else draft.strategy.name
    if lacks(name, "history"):
        able = ", ".join(able_to("history"))
        problems.error(
            ("warm_start",),
            f"strategy {name} cannot learn from a history; these can: {able}",
            hint="write as: points",
            at_key=True,
        )
