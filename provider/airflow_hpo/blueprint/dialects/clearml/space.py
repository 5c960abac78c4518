"""
The search space: a list of ranges and of sets of combinations.

A set (ClearML's ``ParameterSet``) becomes a choice of the combination and
parameters that wait for it. A name that has other values in each combination
stands for as many parameters, ``NAME@1``, ``NAME@2`` ..., of which one is active.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.dialects.base import build
from airflow_hpo.blueprint.dialects.clearml.ranges import RANGES, read_range
from airflow_hpo.blueprint.problems import show
from airflow_hpo.blueprint.shapes import BROKEN, Anything
from airflow_hpo.model.distribution import Categorical, Constant, Distribution
from airflow_hpo.model.registry import did_you_mean
from airflow_hpo.model.space import Parameter
from airflow_hpo.model.values import canonical

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.blueprint.problems import Problems
    from airflow_hpo.model.values import Value

__all__ = ["Found", "external_name", "read_space"]

_SET = "ParameterSet"
_CLASSES = (*RANGES, _SET)
_COMBINATIONS = ("values", "parameter_combinations")
_SET_KEYS = {"type", "name", *_COMBINATIONS}

_SELECTOR = "parameter_set"

# So many combinations a set may have, and a name be in.
_MOST = 1000

# One of the parameters that stand for one name.
_VARIANT = re.compile(r"@[0-9]+\Z")

_Conditions = dict[str, tuple[Any, ...]]


def external_name(name: str) -> str:
    """
    Return what the training code calls the parameter *name*.

    Example:
        >>> external_name("Args/lr@2"), external_name("Args/lr")
        ('Args/lr', 'Args/lr')
    """
    return _VARIANT.sub("", name)


@dataclass(frozen=True)
class _Occurrence:
    """
    One place that gives a name a distribution.

    Args:
        name: As the trial knows it.

        distribution: `None` where it was refused.

        when: The combinations in which it counts, by their set's selector.
    """

    name: str
    distribution: Distribution | None
    when: _Conditions
    path: Path

    def excludes(self, other: _Occurrence) -> bool:
        """
        Return whether the two never count at the same time.
        """
        return any(
            not set(self.when[selector]) & set(other.when[selector])
            for selector in self.when.keys() & other.when.keys()
        )


@dataclass
class Found:
    """
    The parameters of a file.

    Args:
        parameters: By name, in the file's order.

        broken: Names of those that were refused.

        variants: For each name that the trial knows, the parameters that have
            its value, one of which is active at most.

        selectors: Those that say which combination of a set it is.
    """

    parameters: dict[str, Parameter] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    variants: dict[str, list[str]] = field(default_factory=dict)
    selectors: list[str] = field(default_factory=list)


def read_space(items: Value, path: Path, problems: Problems, *, grid: bool) -> Found:
    """
    Return all parameters of a file, or note why there are none.

    Args:
        items: ClearML's list of them.

        path: Where it stands.

        problems: Gets what is wrong.

        grid: Whether every value is tried.
    """
    if not isinstance(items, list):
        hint = "write [{type: ..., name: ...}]" if isinstance(items, dict) else None
        problems.error(path, f"must be a list of parameters, got {show(items)}", hint=hint)
        return Found()
    if not items:
        problems.error(path, "must have a parameter, got none")
    reader = _Reader(problems, is_grid=grid)
    for index, item in enumerate(items):
        reader.read(item, (*path, index), {}, key=None)
    return reader.found()


class _Reader:
    """
    Collects what is given which name, and under which conditions.
    """

    def __init__(self, problems: Problems, *, is_grid: bool) -> None:
        self._problems = problems
        self._is_grid = is_grid
        self._occurrences: list[_Occurrence] = []
        self._selectors: dict[str, Parameter] = {}
        self._places: dict[str, Path] = {}

    def read(self, item: Value, path: Path, when: _Conditions, *, key: str | None) -> None:
        """
        Read one parameter or set; *key* is what it stands under, in a set.
        """
        kind = item.get("type") if isinstance(item, dict) else None
        if kind == _SET:
            self._read_set(item, path, when)
            return
        if not isinstance(kind, str) or kind not in RANGES:
            self._refuse(item, kind, path)
            return
        name = self._name(item, path, key)
        distribution = read_range(item, path, self._problems, grid=self._is_grid)
        if name is not None:
            self._occurrences.append(_Occurrence(name, distribution, when, path))

    def _refuse(self, item: Value, kind: Value, path: Path) -> None:
        form = f"{{type: {next(iter(RANGES))}, name: ..., ...}}"
        if not isinstance(item, dict):
            self._problems.error(path, f"must be a mapping {form}, got {show(item)}")
        elif "type" not in item:
            self._problems.error(path, "type must be given", hint=f"write {form}", at_key=True)
        else:
            bare = str(kind).rpartition(".")[2]
            hint = f"write {bare}" if bare in _CLASSES else did_you_mean(kind, _CLASSES)
            message = f"must be one of {', '.join(_CLASSES)}, got {show(kind)}"
            self._problems.error((*path, "type"), message, hint=hint)

    def _name(self, item: Mapping[str, Value], path: Path, key: str | None) -> str | None:
        given = item.get("name")
        if given is None and key is not None:
            return key
        if given is None:
            self._problems.error(path, "name must be given", at_key=True)
            return None
        if not isinstance(given, str) or not given:
            return None  # noted with the rest of the range
        if key is not None and given != key:
            message = f"is passed under its own name, as in ClearML, which is {show(given)}"
            self._problems.warn(path, message, hint=f"write {given} instead of {key}", at_key=True)
        return given

    def _read_set(self, item: Mapping[str, Value], path: Path, when: _Conditions) -> None:
        for name in item.keys() - _SET_KEYS:
            known = ", ".join(sorted(_SET_KEYS))
            message = f"unknown key; the keys here are {known}"
            self._problems.error((*path, name), message, at_key=True)
        given = [name for name in _COMBINATIONS if name in item]
        if len(given) != 1:
            got = " and ".join(given) or "none"
            message = f"one of {' and '.join(_COMBINATIONS)} must be given, got {got}"
            self._problems.error(path, message, at_key=True)
            return
        place = (*path, given[0])
        combinations = item[given[0]]
        if not isinstance(combinations, list) or not 0 < len(combinations) <= _MOST:
            message = f"must be a list of 1 to {_MOST} combinations, got {show(combinations)}"
            self._problems.error(place, message)
            return
        self._read_combinations(combinations, place, when)

    def _read_combinations(self, combinations: list[Value], path: Path, when: _Conditions) -> None:
        selector = None
        if len(combinations) > 1:
            selector = self._add_selector(len(combinations), path, when)
        for index, combination in enumerate(combinations):
            here = (*path, index)
            inner = when if selector is None else {**when, selector: (index + 1,)}
            if not isinstance(combination, dict) or not combination:
                message = f"must be a mapping of names to values, got {show(combination)}"
                self._problems.error(here, message)
                continue
            for key, value in combination.items():
                self._read_member(key, value, (*here, key), inner)

    def _read_member(self, key: str, value: Value, path: Path, when: _Conditions) -> None:
        if isinstance(value, dict) and "type" in value:
            self.read(value, path, when, key=key)
            return
        read = Anything().read(value, path, self._problems)
        distribution = None if read is BROKEN else Constant(value=value)
        self._occurrences.append(_Occurrence(key, distribution, when, path))

    def _add_selector(self, count: int, path: Path, when: _Conditions) -> str:
        number = len(self._selectors) + 1
        name = _SELECTOR if number == 1 else f"{_SELECTOR}_{number}"
        choices = Categorical(choices=tuple(range(1, count + 1)))
        self._selectors[name] = Parameter(name=name, distribution=choices, when=when)
        self._places[name] = path
        return name

    def found(self) -> Found:
        """
        Return the parameters that all of it comes to.
        """
        found = Found(parameters=dict(self._selectors), selectors=list(self._selectors))
        by_name: dict[str, list[_Occurrence]] = {}
        for occurrence in self._occurrences:
            by_name.setdefault(occurrence.name, []).append(occurrence)
        for name, occurrences in by_name.items():
            if not self._is_one_at_a_time(name, occurrences):
                found.broken.add(name)
                continue
            for full, occurrence in self._named(_merged(occurrences, self._selectors)):
                self._keep(full, occurrence, found)
                found.variants.setdefault(name, []).append(full)
        for name, place in self._places.items():
            self._problems.relocate({("space", name): place})
            self._problems.relocate({("space", name, "step"): (*place, "step_size")})
        return found

    def _is_one_at_a_time(self, name: str, occurrences: list[_Occurrence]) -> bool:
        """
        Return whether at most one of *occurrences* counts; notes where not.
        """
        if name in self._selectors:
            message = f"{name} is the name of the choice of a set"
            self._problems.error(occurrences[0].path, message, hint="give it another name")
            return False
        if external_name(name) != name:
            message = f"a name must not end in @ and a number, got {name}"
            self._problems.error(occurrences[0].path, message)
            return False
        if len(occurrences) > _MOST:
            message = f"a name must be in {_MOST} combinations at most, got {len(occurrences)}"
            self._problems.error(occurrences[_MOST].path, message)
            return False
        for index, later in enumerate(occurrences):
            if any(not later.excludes(earlier) for earlier in occurrences[:index]):
                message = f"names must be unique, got {name} again"
                self._problems.error(later.path, message, at_key=True)
                return False
        return True

    def _named(self, occurrences: list[_Occurrence]) -> Iterator[tuple[str, _Occurrence]]:
        if len(occurrences) == 1:
            yield occurrences[0].name, occurrences[0]
            return
        for number, occurrence in enumerate(occurrences, 1):
            yield f"{occurrence.name}@{number}", occurrence

    def _keep(self, full: str, occurrence: _Occurrence, found: Found) -> None:
        path = occurrence.path
        self._places[full] = path
        parameter = None
        if occurrence.distribution is not None:
            values = {
                "name": full,
                "distribution": occurrence.distribution,
                "when": occurrence.when,
            }
            parameter = build(Parameter, values, path, self._problems)
        if parameter is None:
            found.broken.add(full)
        else:
            found.parameters[full] = parameter


def _merged(
    occurrences: list[_Occurrence], selectors: Mapping[str, Parameter]
) -> list[_Occurrence]:
    """
    Return *occurrences* without those that only repeat another combination's.

    What is the same in some combinations is one parameter; what is the same in
    all of a set's does not wait for that set.
    """
    alike: dict[str, _Occurrence] = {}
    for later in occurrences:
        label = _label(later)
        alike[label] = _joined(alike[label], later) if label in alike else later
    return [
        replace(
            item,
            when={
                name: values
                for name, values in item.when.items()
                if len(values) < (selectors[name].distribution.size() or 0)
            },
        )
        for item in alike.values()
    ]


def _label(occurrence: _Occurrence) -> str:
    """
    Return a text that is equal for those that differ in their last condition alone.
    """
    found = occurrence.distribution
    data = None if found is None else found.model_dump(mode="json")
    outer = list(occurrence.when.items())[:-1]
    last = list(occurrence.when)[-1:]
    unlike = occurrence.path if found is None else ()
    return canonical([data, outer, last, unlike])


def _joined(one: _Occurrence, other: _Occurrence) -> _Occurrence:
    name = next(reversed(one.when))
    values = tuple(dict.fromkeys((*one.when[name], *other.when[name])))
    return replace(one, when={**one.when, name: values})
