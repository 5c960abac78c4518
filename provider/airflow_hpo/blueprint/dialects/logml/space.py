"""
Parameters: what is searched of each step, and what ``functions`` fixes.

They are called ``STEP.NAME``, always: a name does not change when another
step gets a parameter of that name too.
"""

from __future__ import annotations

import keyword
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.dialects.base import build
from airflow_hpo.blueprint.dialects.logml.expressions import read_expression
from airflow_hpo.blueprint.dialects.logml.keys import (
    DATASET_STEPS,
    FUNCTIONS,
    SEARCH,
    STEP_HINTS,
    STEPS,
)
from airflow_hpo.blueprint.problems import show
from airflow_hpo.blueprint.shapes import BROKEN, Anything
from airflow_hpo.model.distribution import Constant
from airflow_hpo.model.registry import did_you_mean
from airflow_hpo.model.space import Parameter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.blueprint.problems import Problems
    from airflow_hpo.model.values import Value

__all__ = ["Found", "read_parameters"]

_SPACE = (SEARCH, "space")


@dataclass
class Found:
    """
    The parameters of a file.

    Args:
        parameters: By their full name, those that are searched first.

        broken: Names of those that were refused.

        expressions: For HyperOpt's strategies: what is no uniformint.

        names: The bare name of each that is searched, by its full name.

        searched: For each step, the names that its section holds.
    """

    parameters: dict[str, Parameter] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    expressions: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    searched: dict[str, set[str]] = field(default_factory=dict)

    @property
    def labels(self) -> dict[str, str]:
        """
        What Log(ML) calls the parameters for HyperOpt, which draws in this order.

        Log(ML) refuses a bare name in two steps; here these have full names.
        """
        count = Counter(self.names.values())
        return {full: name for full, name in self.names.items() if count[name] == 1}

    @property
    def makes_datasets(self) -> bool:
        """
        Whether each trial has a dataset of its own.
        """
        return any(self.searched.get(step) for step in DATASET_STEPS)


def read_parameters(data: Mapping[str, Value], problems: Problems) -> Found:
    """
    Return all parameters of the file, or note why not.
    """
    found = Found()
    functions = data.get("functions")
    problems.relocate({("space",): _SPACE})
    for step, path, name, value in _searched(data[SEARCH].get("space"), problems):
        found.searched.setdefault(step, set()).add(name)
        _read_searched(f"{step}.{name}", name, value, path, found, problems)
    if isinstance(functions, dict):
        _compare(functions, found, problems)
        _read_fixed(functions, found, problems)
    elif functions is not None:
        problems.error(("functions",), f"must be a mapping, got {show(functions)}")
    return found


def _searched(space: Value, problems: Problems) -> Iterator[tuple[str, Path, str, Value]]:
    """
    Yield step, path, name and expression of each searched parameter.
    """
    if not isinstance(space, dict):
        if space is not None:
            message = f"must be a mapping of steps to parameters, got {show(space)}"
            problems.error(_SPACE, message)
        return
    for step, section in space.items():
        path = (*_SPACE, step)
        if step not in STEPS:
            message = f"must be a step that is tuned ({', '.join(STEPS)}), got {show(step)}"
            near = None if step in FUNCTIONS else did_you_mean(step, STEPS)
            hint = STEP_HINTS.get(step, near)
            problems.error(path, message, hint=hint, at_key=True)
        elif section is not None and not isinstance(section, dict):
            message = f"must be a mapping of parameters to lists, got {show(section)}"
            problems.error(path, message)
        else:
            for name, value in (section or {}).items():
                yield step, (*path, name), name, value


def _read_searched(
    full: str, name: str, value: Value, path: Path, found: Found, problems: Problems
) -> None:
    problems.relocate({("space", full): path})
    distribution = read_expression(value, path, problems)
    if not _is_argument(name, path, problems) or distribution is None:
        found.broken.add(full)
        return
    if value[0] == "randint":
        found.expressions[full] = "randint"
    found.names[full] = name
    _keep(full, distribution, path, found, problems)


def _is_argument(name: str, path: Path, problems: Problems) -> bool:
    if name.isidentifier() and not keyword.iskeyword(name) and name != "enable":
        return True
    message = f"must be the name of a function's argument, got {show(name)}"
    problems.error(path, message, at_key=True)
    return False


def _keep(full: str, distribution: Any, path: Path, found: Found, problems: Problems) -> None:  # noqa: ANN401
    values = {"name": full, "distribution": distribution}
    parameter = build(Parameter, values, path, problems)
    if parameter is None:
        found.broken.add(full)
    else:
        found.parameters[full] = parameter


def _compare(functions: Mapping[str, Value], found: Found, problems: Problems) -> None:
    """
    Warn of parameters that the functions' own sections do not have.
    """
    for step, names in found.searched.items():
        section = functions.get(step)
        given = section if isinstance(section, dict) else {}
        if given.get("enable") is False:
            message = f"has no effect: functions.{step} is switched off"
            problems.warn((*_SPACE, step), message, at_key=True)
        for name in sorted(names - given.keys()):
            if f"{step}.{name}" in found.broken:
                continue
            problems.warn(
                (*_SPACE, step, name),
                f"should be a parameter of functions.{step}, got {show(name)}",
                hint=did_you_mean(name, given),
                at_key=True,
            )


def _read_fixed(functions: Mapping[str, Value], found: Found, problems: Problems) -> None:
    for step, section in functions.items():
        path = ("functions", step)
        if step not in FUNCTIONS:
            hint = STEP_HINTS.get(step) or did_you_mean(step, FUNCTIONS)
            message = f"is no function of Log(ML), which passes over it, got {show(step)}"
            problems.warn(path, message, hint=hint, at_key=True)
        elif isinstance(section, dict):
            for name, value in section.items():
                if name != "enable" and name not in found.searched.get(step, ()):
                    _read_one(f"{step}.{name}", name, value, (*path, name), found, problems)
        elif section is not None:
            problems.error(path, f"must be a mapping of parameters, got {show(section)}")


def _read_one(
    full: str, name: str, value: Value, path: Path, found: Found, problems: Problems
) -> None:
    problems.relocate({("space", full): path})
    given = Anything().read(value, path, problems)
    if not _is_argument(name, path, problems) or given is BROKEN:
        found.broken.add(full)
        return
    _keep(full, Constant(value=value), path, found, problems)
