"""
The settings of one file, wherever in it they stand.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.dialects.clearml.keys import FILE, KWARGS, OPT, SPACES, STORED
from airflow_hpo.blueprint.dialects.own import OWN, own_of
from airflow_hpo.blueprint.problems import show
from airflow_hpo.blueprint.shapes import BROKEN, Anything

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.blueprint.problems import Problems
    from airflow_hpo.blueprint.records import Record
    from airflow_hpo.model.values import Value

__all__ = ["OPTIMIZERS", "Settings", "read_settings"]

OPTIMIZERS = {
    "RandomSearch": "random",
    "GridSearch": "grid",
    "OptimizerOptuna": "tpe",
    "OptimizerBOHB": "bohb",
}
"""ClearML's own classes, and the strategies that do the same."""

_KWARGS = "optimizer_kwargs"

# Those that hold settings, or are read by themselves.
_HOLDERS = frozenset({OWN, STORED, _KWARGS})

_REQUIRED = {
    "objective_metric_title": "write objective_metric_title: accuracy",
    "objective_metric_series": "write objective_metric_series: accuracy",
}


@dataclass
class Settings:
    """
    What a file says, apart from its parameters.

    Args:
        values: Valid ones by name; `None` is left out.

        places: Of all that were given, valid or not.

        own: Our own section.

        options: What ``optimizer_kwargs`` has for an optimizer of one's own.
    """

    values: dict[str, Any] = field(default_factory=dict)
    places: dict[str, Path] = field(default_factory=dict)
    own: Mapping[str, Any] = field(default_factory=dict)
    options: dict[str, Value] = field(default_factory=dict)

    def get(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - as its shape has it
        """
        Return the setting called *name*, or *default* where it has none.
        """
        return self.values.get(name, default)

    def place(self, name: str) -> Path:
        """
        Return where *name* stands, or where it would.
        """
        return self.places.get(name, (name,))

    @property
    def optimizer(self) -> str:
        """
        The name of the optimizer's class, without ClearML's modules.
        """
        name = str(self.get("optimizer_class", "RandomSearch"))
        return name.rpartition(".")[2] if is_of_clearml(name) else name

    @property
    def space(self) -> str:
        """
        The key under which the parameters are.
        """
        return next((name for name in SPACES if name in self.places), SPACES[0])


def is_of_clearml(name: str) -> bool:
    """
    Return whether *name* is a class of ClearML's, with or without its module.
    """
    module, _, bare = name.rpartition(".")
    return bare in OPTIMIZERS and (not module or "automation" in module.split("."))


def read_settings(data: Mapping[str, Value], problems: Problems) -> Settings:
    """
    Return what *data* says, or note what is wrong with it.
    """
    found = Settings()
    for given, path, record in _sections(data, problems):
        known = given
        if record is KWARGS and found.optimizer not in OPTIMIZERS:
            known = {name: value for name, value in given.items() if name in record.keys}
            _keep_options(given, path, found, problems)
        _keep(known, record.read(known, path, problems), path, found, problems)
    for name, hint in _REQUIRED.items():
        if name not in found.places:
            problems.error((name,), "must be given", hint=hint, at_key=True)
    return found


def _keep_options(
    given: Mapping[str, Value], path: Path, found: Settings, problems: Problems
) -> None:
    """
    Keep what an optimizer of one's own is given as its options.
    """
    for name, value in given.items():
        if name not in KWARGS.keys:
            read = Anything().read(value, (*path, name), problems)
            found.options |= {} if read is BROKEN else {name: read}


def _sections(
    data: Mapping[str, Value], problems: Problems
) -> Iterator[tuple[Mapping[str, Value], Path, Record]]:
    """
    Yield each mapping of settings, its path and what may be in it.
    """
    yield data, (), FILE
    stored = data.get(STORED, {})
    if isinstance(stored, dict):
        yield stored, (STORED,), OPT
    else:
        problems.error((STORED,), f"must be a mapping, got {show(stored)}")
        stored = {}
    for holder, path in ((data, ()), (stored, (STORED,))):
        more = holder.get(_KWARGS)
        if isinstance(more, dict):
            yield more, (*path, _KWARGS), KWARGS
        elif more is not None:
            problems.error((*path, _KWARGS), f"must be a mapping, got {show(more)}")


def _keep(
    given: Mapping[str, Value],
    read: Mapping[str, Any],
    path: Path,
    found: Settings,
    problems: Problems,
) -> None:
    found.own = own_of(read) or found.own
    for name in given:
        if name in _HOLDERS:
            continue
        if name in found.places:
            problems.error((*path, name), f"{name} must be given once, got it again", at_key=True)
            continue
        found.places[name] = (*path, name)
        if read.get(name) is not None:
            found.values[name] = read[name]
