"""
Checks of what is chosen by name, and of its own options.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from airflow_hpo.model.explain import flaws
from airflow_hpo.model.registry import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.blueprint.problems import Problems
    from airflow_hpo.model.registry import Table
    from airflow_hpo.model.values import Value

__all__ = ["check_options", "load_named"]


def load_named(
    name: str,
    *,
    table: Table,
    planned: Collection[str],
    path: Path,
    problems: Problems,
    elsewhere: Mapping[str, str] | None = None,
) -> Any:  # noqa: ANN401 - the variant's class
    """
    Return the variant called *name*, or note why there is none.

    *elsewhere* has names of other tools, in lower case without dashes, with
    what to write instead.
    """
    kind = table.kind
    if name not in table.entries and name in planned:
        problems.error(path, f"{kind} {name} is not supported yet")
        return None
    if name not in table:
        known = table.names()
        meant = (elsewhere or {}).get(name.lower().replace("-", "").replace("_", ""))
        hint = meant or did_you_mean(name, [*known, *planned]) or f"names are {', '.join(known)}"
        problems.error(path, f"must be the name of a {kind}, got {name!r}", hint=hint)
        return None
    try:
        variant = table.load(name)
    except Exception as error:  # noqa: BLE001 - other people's modules may raise anything
        problems.error(path, f"{kind} {name} cannot be loaded: {error}")
        return None
    if not isinstance(getattr(variant, "options_class", None), type):
        problems.error(path, f"must name a {kind}, got {name!r}")
        return None
    return variant


def check_options(
    model: type[BaseModel], options: Mapping[str, Value], *, path: Path, problems: Problems
) -> BaseModel | None:
    """
    Return *options* validated, or note what is wrong with them.
    """
    try:
        return model.model_validate(dict(options))
    except ValidationError as error:
        for flaw in flaws(error, model):
            here = (*path, *_existing(options, flaw.path))
            problems.error(here, flaw.message, hint=flaw.hint, at_key=flaw.of_key)
    return None


def _existing(options: Any, path: Path) -> Path:  # noqa: ANN401 - any value
    """
    Return as much of *path* as there is: pydantic names alternatives in it too.
    """
    found: list[str | int] = []
    for part in path:
        try:
            options = options[part]
        except (KeyError, IndexError, TypeError):
            return tuple(found) or path[:1]
        found.append(part)
    return tuple(found)
