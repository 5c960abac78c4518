"""
A search space as HyperOpt lays it out: what hangs below which choice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from airflow_hpo.model.distribution import Constant
from airflow_hpo.model.registry import did_you_mean
from airflow_hpo.model.scale import is_number, stepped
from airflow_hpo.model.values import Configuration, Value, canonical
from airflow_hpo.strategies._hyperopt_expressions import Expression
from airflow_hpo.strategies._hyperopt_rules import expression_of

if TYPE_CHECKING:
    from airflow_hpo.model.space import Space

__all__ = ["Layout", "layout_problems"]


def layout_problems(
    space: Space, *, expressions: Mapping[str, str], labels: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """
    Yield what is wrong with these options for *space*: where, and what.
    """
    for option, given in (("expressions", expressions), ("labels", labels)):
        for name in given:
            if name not in space.by_name:
                hint = did_you_mean(name, space.by_name)
                message = f"{name} is no parameter of this space" + (f"; {hint}" if hint else "")
                yield f"{option}.{name}", message
            elif option == "expressions":
                yield from _misfits(space, name, given[name])
    used: dict[str, str] = {}
    for name in space.by_name:
        label = labels.get(name, name)
        if label in used:
            yield "labels", f"labels must be different, got {label!r} for {used[label]} and {name}"
        used[label] = name


def _misfits(space: Space, name: str, expression: str) -> Iterator[tuple[str, str]]:
    try:
        expression_of(space.by_name[name].distribution, expression)
    except ValueError as error:
        yield f"expressions.{name}", str(error)


class Layout:
    """
    Which expression stands for each parameter, and where it stands.

    A parameter that waits for values of a choice hangs below these options,
    where HyperOpt draws it only if one of them is drawn. HyperOpt has nothing
    for other conditions (on numbers, on two choices at once): such a parameter
    stands beside its parents, is always drawn, and dropped where it is not
    active. No algorithm is shown a value of it from a trial where it was not.

    Args:
        space: What is searched.

        expressions: Wanted ones, by parameter; the others by the distribution.

        labels: What HyperOpt calls a parameter, where that is not its name.

    Attributes:
        expressions: Of each parameter with several values.

        fixed: Values of the others.

        labels: Of each parameter with an expression.

        roots: The parameters that hang below nothing.

        branches: For each place of a choice, what hangs below that option.
    """

    def __init__(
        self, space: Space, *, expressions: Mapping[str, str], labels: Mapping[str, str]
    ) -> None:
        self.space = space
        self.expressions: dict[str, Expression] = {}
        self.fixed: dict[str, Value] = {}
        for parameter in space.parameters:
            found = expression_of(parameter.distribution, expressions.get(parameter.name))
            if found is not None:
                self.expressions[parameter.name] = found
            elif not isinstance(parameter.distribution, Constant):
                self.fixed[parameter.name] = parameter.distribution.from_unit(0.5)
        self._order = {item.name: place for place, item in enumerate(space.sampling_order)}
        self.labels = {name: labels.get(name, name) for name in self.expressions}
        self.roots: list[str] = []
        self.branches: dict[str, list[list[str]]] = {
            name: [[] for _ in range(expression.options)]
            for name, expression in self.expressions.items()
        }
        for name in self.expressions:
            self._hang(name)
        self._noise = {
            name: expression.noise
            for name, expression in self.expressions.items()
            if expression.noise is not None
        }

    def _hang(self, name: str) -> None:
        when = self.space.by_name[name].when
        # With several parents, the one behind which all the others are known.
        parent = max(when, key=self._order.__getitem__, default=None)
        if parent is None or not self._hangs_below(name, parent):
            self.roots.append(name)
            return
        for value in when[parent]:
            place = self._place(parent, value)
            if place is not None:
                self.branches[parent][place].append(name)

    def _hangs_below(self, name: str, parent: str) -> bool:
        expression = self.expressions.get(parent)
        if expression is None or not expression.options:
            return False
        when = self.space.by_name[name].when
        return all(
            other == parent or self._implies(parent, other, values)
            for other, values in when.items()
        )

    def _implies(self, name: str, other: str, values: tuple[Value, ...]) -> bool:
        """
        Return whether *other* has one of *values* wherever *name* is active.
        """
        when = self.space.by_name[name].when
        if other in when:
            return set(map(canonical, when[other])) <= set(map(canonical, values))
        return any(self._implies(parent, other, values) for parent in when)

    def _place(self, parent: str, value: Value) -> int | None:
        try:
            return int(self.expressions[parent].show(value))
        except ValueError:  # an option of weight zero
            return None

    @property
    def is_noisy(self) -> bool:
        """
        Whether values carry the binary noise of HyperOpt's rounding.
        """
        return bool(self._noise)

    def plain(self, configuration: Configuration) -> dict[str, Value]:
        """
        Return *configuration* without binary noise, for comparing.
        """
        found = dict(configuration)
        for name, step in self._noise.items():
            value: Value = found.get(name)
            if is_number(value):
                found[name] = stepped(0.0, step, round(value / step))
        return found
