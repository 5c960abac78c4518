"""
The parameters of a task: what varies, what is fixed, what is left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.dialects.base import build
from airflow_hpo.blueprint.dialects.valohai.commands import Filling
from airflow_hpo.blueprint.dialects.valohai.draws import distribution_of
from airflow_hpo.blueprint.dialects.valohai.values import Variant, check_rules, expand, unique
from airflow_hpo.blueprint.problems import show
from airflow_hpo.blueprint.shapes import BROKEN
from airflow_hpo.model.distribution import Categorical, Constant, Distribution
from airflow_hpo.model.registry import did_you_mean
from airflow_hpo.model.space import Parameter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_hpo.blueprint.dialects.valohai.declared import Declared
    from airflow_hpo.blueprint.dialects.valohai.items import Item
    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.blueprint.problems import Problems
    from airflow_hpo.model.values import Value

__all__ = ["Axes", "add_defaults", "read_axes", "read_sets"]


@dataclass
class Axes:
    """
    What a task does with its step's parameters.

    Args:
        distributions: By name; constants are among them.

        values: Of those whose values are listed, in their order.

        broken: Names of those that were refused.

        places: Where each stands.
    """

    distributions: dict[str, Distribution] = field(default_factory=dict)
    values: dict[str, list[Value]] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    places: dict[str, Path] = field(default_factory=dict)

    def put(self, name: str, values: Sequence[Value]) -> None:
        """
        Let parameter *name* take *values*; with one value it is a constant.
        """
        self.values[name] = list(values)
        several = unique(values)
        self.distributions[name] = (
            Categorical(choices=tuple(several)) if len(several) > 1 else Constant(value=several[0])
        )

    def fillings(self, declared: Mapping[str, Declared]) -> dict[str, Filling]:
        """
        Return what commands are filled in with, in the step's order.
        """
        found = {}
        for name, parameter in declared.items():
            distribution = self.distributions.get(name)
            if isinstance(distribution, Constant):
                found[name] = Filling(parameter, distribution.value)
            else:
                searched = distribution is not None or name in self.broken
                found[name] = Filling(parameter, is_searched=searched)
        return found

    def parameters(
        self, declared: Mapping[str, Declared], problems: Problems
    ) -> dict[str, Parameter]:
        """
        Return the space's parameters, in the step's order.
        """
        found = {}
        for name in declared:
            if name in self.distributions:
                values = {"name": name, "distribution": self.distributions[name]}
                parameter = build(Parameter, values, self.places[name], problems)
                if parameter is None:
                    self.broken.add(name)
                else:
                    found[name] = parameter
        return found


def read_axes(
    task: Item, declared: Mapping[str, Declared], problems: Problems, *, listed: bool, known: bool
) -> Axes:
    """
    Return the axes of *task*; parameters it does not mention have no part yet.

    Args:
        task: Has the axes.

        declared: The step's parameters, by name.

        problems: Gets what is wrong.

        listed: Whether all values are to be listed, those drawn by chance too.

        known: Whether all of the step's parameters could be read.
    """
    axes = Axes()
    for index, keys in enumerate(task.keys.get("parameters", [])):
        if keys is BROKEN:
            _mark_broken(task, index, declared, axes)
            continue
        path = (*task.path, "parameters", index)
        name = keys["name"]
        if name not in declared:
            if known:
                hint = did_you_mean(name, declared)
                message = f"must be a parameter of the step, got {show(name)}"
                problems.error((*path, "name"), message, hint=hint)
            continue
        if name in axes.places:
            problems.error((*path, "name"), f"{show(name)} must not be there twice")
        axes.places[name] = path
        variant = Variant(declared[name], keys["style"], keys["rules"], path)
        if (
            problems.touches(variant.place)
            or not check_rules(variant, problems)
            or not _read_axis(variant, axes, problems, listed=listed)
        ):
            axes.broken.add(name)
    return axes


def _mark_broken(task: Item, index: int, declared: Mapping[str, Declared], axes: Axes) -> None:
    """
    Remember the name of a parameter whose rules were refused.
    """
    given: Any = task.given["parameters"]
    name = given[index].get("name") if isinstance(given[index], dict) else None
    if isinstance(name, str) and name in declared:
        axes.places[name] = (*task.path, "parameters", index)
        axes.broken.add(name)


def _read_axis(variant: Variant, axes: Axes, problems: Problems, *, listed: bool) -> bool:
    name, draw = variant.declared.name, None
    if variant.style == "random" and variant.distribution != "categorical":
        before = problems.errors
        drawn = distribution_of(variant, problems)
        if drawn is None or problems.errors > before:
            return False
        if not listed:
            axes.distributions[name] = drawn
            if "seed" in variant.rules:
                path = (*variant.place, "seed")
                problems.warn(path, "has no effect where each execution draws", at_key=True)
            return True
        draw = drawn.from_unit
    values = expand(variant, problems, draw=draw)
    if values is None:
        return False
    if variant.declared.multiple and len(values) == 1:
        values = [values]  # a constant is a list of one
    axes.put(name, values)
    return True


def add_defaults(
    axes: Axes, task: Item, declared: Mapping[str, Declared], problems: Problems
) -> None:
    """
    Fix parameters that *task* does not mention at the step's defaults.
    """
    for name, parameter in declared.items():
        if name in axes.distributions or name in axes.broken:
            continue
        axes.places.setdefault(name, parameter.path)
        default = parameter.keys.get("default")
        if parameter.kind == "flag":
            continue
        if default is None:
            if not parameter.is_optional:
                message = f"must give a value to {name}, which has no default and is not optional"
                problems.error(task.place("parameters"), message, at_key=True)
                axes.broken.add(name)
            continue
        value = _default(parameter, default, problems)
        if value is None:
            axes.broken.add(name)
        else:
            axes.distributions[name] = Constant(value=value)


def _default(parameter: Declared, default: Value, problems: Problems) -> Value | None:
    """
    Return the default in the declared type, or note why it has none.
    """
    several = default if isinstance(default, list) else [default]
    path = (*parameter.path, "default")
    if isinstance(default, list) and not parameter.multiple:
        problems.error(path, f"must be a single value, got {show(default)}")
        return None
    values = []
    for item in several:
        try:
            value = parameter.cast(item)
        except ValueError as error:
            problems.error(path, str(error))
            return None
        objection = parameter.objection(value)
        if objection is not None:
            problems.warn(path, objection)
        values.append(value)
    return values if parameter.multiple else values[0]


def read_sets(
    task: Item, declared: Mapping[str, Declared], axes: Axes, problems: Problems, *, known: bool
) -> list[dict[str, Value]] | None:
    """
    Return the configurations of a manual search; `axes` gets their values.

    Keys that a set lacks have the step's default, or the one value that
    ``parameters`` gives them.
    """
    before = problems.errors
    given = {
        index: item
        for index, item in enumerate(task.keys["parameter-sets"])
        if item  # one that was refused, or an empty one, is no execution
    }
    path = (*task.path, "parameter-sets")
    sets = [
        _read_set(item, declared, (*path, index), problems, known=known)
        for index, item in given.items()
    ]
    _check_fixed(axes, problems)
    names = [name for name in declared if any(name in item for item in given.values())]
    if problems.touches(path) or problems.errors > before:
        axes.broken.update(names)
        return None
    for name in names:
        if not _complete_column(name, declared[name], sets, axes, problems, task=task):
            axes.broken.add(name)
    return None if problems.errors > before else sets


def _check_fixed(axes: Axes, problems: Problems) -> None:
    for name, values in axes.values.items():
        if len(values) > 1:
            message = "must have one value beside parameter-sets"
            problems.error(axes.places[name], f"{message}, got {len(values)}")


def _read_set(
    given: Mapping[str, Value],
    declared: Mapping[str, Declared],
    path: Path,
    problems: Problems,
    *,
    known: bool,
) -> dict[str, Value]:
    found = {}
    for name, value in given.items():
        here = (*path, name)
        if name not in declared:
            if known:
                hint = did_you_mean(name, declared)
                message = f"must be a parameter of the step, got {show(name)}"
                problems.error(here, message, hint=hint, at_key=True)
            continue
        if isinstance(value, list) and declared[name].multiple:
            problems.error(here, "several values in a set are not supported yet")
            continue
        try:
            found[name] = declared[name].cast(value)
        except ValueError as error:
            problems.error(here, str(error))
            continue
        objection = declared[name].objection(found[name])
        if objection is not None:
            problems.error(here, objection)
    return found


def _complete_column(
    name: str,
    parameter: Declared,
    sets: list[dict[str, Value]],
    axes: Axes,
    problems: Problems,
    *,
    task: Item,
) -> bool:
    """
    Fill the gaps of one parameter, and tell *axes* its values.
    """
    path = task.place("parameter-sets")
    axes.places[name] = path
    fixed = axes.values.get(name, [None])[0]
    default = parameter.keys.get("default")
    if fixed is None and default is not None and not isinstance(default, list):
        fixed = False if parameter.kind == "flag" else _default(parameter, default, problems)
    elif fixed is None and parameter.kind == "flag":
        fixed = False
    fixed = fixed[0] if isinstance(fixed, list) else fixed
    for configuration in sets:
        if name not in configuration and fixed is None:
            message = f"{name} must be in every set: it has no default"
            problems.error(path, message, at_key=True)
            return False
        configuration.setdefault(name, fixed)
    values = [configuration[name] for configuration in sets]
    if parameter.multiple:
        values = values if len(unique(values)) > 1 else [[values[0]]]
        if len(values) == 1:
            for configuration in sets:
                configuration[name] = values[0]
    axes.put(name, values)
    return True
