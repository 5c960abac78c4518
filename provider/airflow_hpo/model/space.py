"""
The search space: named distributions, conditions and constraints.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING

from pydantic import Field, field_validator, model_validator

from airflow_hpo.model.base import Document
from airflow_hpo.model.distribution import Constant, Distribution
from airflow_hpo.model.expression import Expression
from airflow_hpo.model.values import Configuration, Value, canonical

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Parameter", "Space"]

_NAME = re.compile(r"[^\s{}:]+")


class Parameter(Document):
    """
    One named dimension of the search space.

    Args:
        name: Unique within the space; no white space, braces or colons.

        distribution: The values it may take.

        when:
            Active only if each named parent is active and has one of the
            listed values; empty for always active.

        default:
            At most one value: what trials that were made before the parameter
            was there, or elsewhere, count as having had.
    """

    name: str
    distribution: Distribution
    when: dict[str, tuple[Value, ...]] = Field(default_factory=dict)
    default: tuple[Value, ...] = Field(default=(), max_length=1)

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if _NAME.fullmatch(name) is None:
            raise ValueError(
                f"a parameter's name must have no white space, brace or colon, got {name!r}"
            )
        return name

    @field_validator("when")
    @classmethod
    def _some_values(cls, when: dict[str, tuple[Value, ...]]) -> dict[str, tuple[Value, ...]]:
        never = [parent for parent, values in when.items() if not values]
        if never:
            raise ValueError(f"a condition must name a value, got none of {never[0]}")
        return when

    @model_validator(mode="after")
    def _possible_default(self) -> Parameter:
        wrong = [value for value in self.default if not self.distribution.contains(value)]
        if wrong:
            raise ValueError(f"default must be a value that it takes, got {wrong[0]!r}")
        return self

    @property
    def is_constant(self) -> bool:
        """
        Whether it is handed to the trial but not searched.
        """
        return isinstance(self.distribution, Constant)

    def is_active(self, configuration: Configuration) -> bool:
        """
        Return whether it is active, given the values of its parents.
        """
        return all(
            parent in configuration
            and canonical(configuration[parent]) in {canonical(value) for value in values}
            for parent, values in self.when.items()
        )


class Space(Document):
    """
    All allowed configurations: parameters, their conditions, constraints.

    Args:
        parameters: In the order the user wrote them.

        constraints:
            Expressions over parameters that must hold. One that names an
            inactive parameter says nothing about that configuration.
    """

    parameters: tuple[Parameter, ...] = ()
    constraints: tuple[str, ...] = ()

    @field_validator("parameters")
    @classmethod
    def _typed_conditions(cls, parameters: tuple[Parameter, ...]) -> tuple[Parameter, ...]:
        # A child that waits for 0 of a float must be active at 0.0.
        kinds = {parameter.name: parameter.distribution for parameter in parameters}
        return tuple(_typed(parameter, kinds) for parameter in parameters)

    @model_validator(mode="after")
    def _consistent(self) -> Space:
        names = [parameter.name for parameter in self.parameters]
        if len(self.by_name) < len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise ValueError(f"parameter names must be unique, got {', '.join(twice)} twice")
        for parameter in self.parameters:
            self._check_parents(parameter)
        _ = self.sampling_order  # raises where conditions run in a circle
        for expression in self.expressions:
            unknown = sorted(expression.names() - self.by_name.keys())
            if unknown:
                raise ValueError(
                    f"constraint {expression.text!r} names {', '.join(unknown)}, "
                    "which is no parameter"
                )
        return self

    def _check_parents(self, parameter: Parameter) -> None:
        for parent, values in parameter.when.items():
            if parent not in self.by_name:
                raise ValueError(f"{parameter.name} depends on {parent}, which is no parameter")
            distribution = self.by_name[parent].distribution
            wrong = [value for value in values if not distribution.contains(value)]
            if wrong:
                raise ValueError(
                    f"{parameter.name} waits for {parent} to be {wrong[0]!r}, "
                    "a value that it never takes"
                )

    @cached_property
    def by_name(self) -> Mapping[str, Parameter]:
        """
        The parameters by their name, in the user's order.
        """
        return {parameter.name: parameter for parameter in self.parameters}

    @cached_property
    def expressions(self) -> tuple[Expression, ...]:
        """
        The constraints, parsed.
        """
        return tuple(Expression.parse(text) for text in self.constraints)

    @cached_property
    def sampling_order(self) -> tuple[Parameter, ...]:
        """
        The parameters, parents before children, else in the user's order.
        """
        placed: dict[str, Parameter] = {}
        waiting = list(self.parameters)
        while waiting:
            ready = [
                parameter
                for parameter in waiting
                if all(parent in placed for parent in parameter.when)
            ]
            if not ready:
                names = ", ".join(parameter.name for parameter in waiting)
                raise ValueError(f"conditions must not run in a circle, got one among {names}")
            placed.update((parameter.name, parameter) for parameter in ready)
            waiting = [parameter for parameter in waiting if parameter.name not in placed]
        return tuple(placed.values())

    @cached_property
    def tunable(self) -> tuple[Parameter, ...]:
        """
        The parameters that are searched, in the user's order.
        """
        return tuple(parameter for parameter in self.parameters if not parameter.is_constant)

    def arrange(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """
        Return the configuration that *values* stand for.

        Inactive parameters are dropped, constants added, values cast to their
        distribution's type, and the user's order restored. A value that is
        missing stays missing: `problems` names it.
        """
        found: dict[str, Value] = {}
        for parameter in self.sampling_order:
            if not parameter.is_active(found):
                continue
            if isinstance(parameter.distribution, Constant):
                found[parameter.name] = parameter.distribution.value
            elif parameter.name in values:
                value = values[parameter.name]
                valid = parameter.distribution.contains(value)
                found[parameter.name] = parameter.distribution.cast(value) if valid else value
        return {name: found[name] for name in self.by_name if name in found}

    def problems(self, configuration: Configuration) -> Iterator[str]:
        """
        Yield what is wrong with *configuration*; nothing if it is allowed.
        """
        for name in configuration:
            if name not in self.by_name:
                yield f"{name} is no parameter of this space"
        for parameter in self.parameters:
            yield from _parameter_problems(parameter, configuration)
        for expression in self.expressions:
            if not _holds(expression, configuration):
                yield f"constraint {expression.text!r} does not hold"

    def satisfies_constraints(self, configuration: Configuration) -> bool:
        """
        Return whether every constraint holds for *configuration*.
        """
        return all(_holds(expression, configuration) for expression in self.expressions)

    def size(self) -> int | None:
        """
        Return how many configurations there are at most; `None` if uncountable.

        Conditions are counted exactly where a parameter has one parent, and
        constraints are not counted: the true number may be smaller, never
        larger.
        """
        total = 1
        children = self._children()
        for parameter in self.parameters:
            if not parameter.when:
                count = self._branch_size(parameter, children)
                if count is None:
                    return None
                total *= count
        return total

    def _children(self) -> Mapping[str, list[Parameter]]:
        """
        Return what hangs below each parameter: of several parents, below the
        last one in sampling order.
        """
        places = {parameter.name: place for place, parameter in enumerate(self.sampling_order)}
        found: dict[str, list[Parameter]] = {}
        for child in self.parameters:
            if child.when:
                parent = max(child.when, key=places.__getitem__)
                found.setdefault(parent, []).append(child)
        return found

    def _branch_size(
        self, parameter: Parameter, children: Mapping[str, list[Parameter]]
    ) -> int | None:
        """
        Count the values of *parameter*, each times what hangs below it.
        """
        count = parameter.distribution.size()
        if count is None:
            return None
        # Only the values that a child waits for differ from the rest, so that
        # a wide range is counted without being listed.
        below: dict[str, int] = {}
        for child in children.get(parameter.name, ()):
            size = self._branch_size(child, children)
            if size is None:
                return None
            for label in {canonical(value) for value in child.when[parameter.name]}:
                below[label] = below.get(label, 1) * size
        return count - len(below) + sum(below.values())


def _typed(parameter: Parameter, kinds: Mapping[str, Distribution]) -> Parameter:
    """
    Return *parameter* with the values it waits for in their parents' types.
    """
    when = {
        parent: tuple(
            kinds[parent].cast(value)
            if parent in kinds and kinds[parent].contains(value)
            else value
            for value in values
        )
        for parent, values in parameter.when.items()
    }
    return parameter if not when else parameter.model_copy(update={"when": when})


def _parameter_problems(parameter: Parameter, configuration: Configuration) -> Iterator[str]:
    name = parameter.name
    if not parameter.is_active(configuration):
        if name in configuration:
            yield f"{name} is given but not active"
        return
    if name not in configuration:
        yield f"{name} has no value"
    elif not parameter.distribution.contains(configuration[name]):
        yield f"{name} cannot be {configuration[name]!r}"


def _holds(expression: Expression, configuration: Configuration) -> bool:
    if not expression.names() <= configuration.keys():
        return True  # it names an inactive parameter
    return expression.holds(configuration.__getitem__)
