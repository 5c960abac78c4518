"""
Nodes + values -> pieces: the template's own text, and values that are quoted later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from airflow_hpo.blueprint.jinja import nodes
from airflow_hpo.blueprint.jinja.nodes import Expression, Statement
from airflow_hpo.blueprint.jinja.operations import (
    FILTERS,
    TESTS,
    Author,
    Undefined,
    binary,
    compare,
    item_of,
    text_of,
)
from airflow_hpo.model.values import Value

__all__ = ["PARAMS", "pieces"]

PARAMS = "params"
"""The name that stands for all parameters, unless one is called so."""

# What a command needs, many times over.
_MOST_STEPS = 50_000
_MOST_CHARACTERS = 1_000_000


def pieces(block: nodes.Block, values: Mapping[str, Value]) -> list[str]:
    """
    Return what the template writes for *values*; its own text as `Author`.

    Raises:
        ValueError: If an expression has no value, or the template has no end.
    """
    scope = _Scope({PARAMS: dict(values), **values})
    scope.run(block)
    return scope.written


@dataclass
class _Scope:
    """
    What is known while a template is rendered, and what it has written.
    """

    values: dict[str, Value]
    written: list[str] = field(default_factory=list)
    steps: int = 0
    characters: int = 0

    def write(self, text: str) -> None:
        self.characters += len(text)
        if self.characters > _MOST_CHARACTERS:
            raise ValueError(f"a command must have at most {_MOST_CHARACTERS} characters")
        if text:
            self.written.append(text)

    def run(self, statement: Statement) -> None:
        self.step()
        self._statements[type(statement)](self, statement)

    def value(self, expression: Expression) -> Value:
        self.step()
        return self._expressions[type(expression)](self, expression)

    def step(self) -> None:
        self.steps += 1
        if self.steps > _MOST_STEPS:
            raise ValueError(f"a template must end within {_MOST_STEPS} steps")

    def _block(self, node: nodes.Block) -> None:
        for statement in node.body:
            self.run(statement)

    def _data(self, node: nodes.Data) -> None:
        self.write(Author(node.text))

    def _output(self, node: nodes.Output) -> None:
        value = self.value(node.value)
        self.write(value if isinstance(value, Author) else text_of(value))

    def _if(self, node: nodes.If) -> None:
        self.run(node.yes if self.value(node.condition) else node.no)

    def _for(self, node: nodes.For) -> None:
        values = self.value(node.values)
        if isinstance(values, (Undefined, type(None))):
            values = []
        if not isinstance(values, (list, str, dict)):
            raise ValueError(f"for needs a list, got {values!r}")  # noqa: TRY004
        outside = dict(self.values)
        items = list(values)
        for index, item in enumerate(items):
            self.values = {**outside, **_bound(node.targets, item), "loop": _loop(index, items)}
            self.run(node.body)
        self.values = outside
        if not items:
            self.run(node.no)

    def _set(self, node: nodes.Set) -> None:
        if isinstance(node.value, Expression):
            self.values[node.name] = self.value(node.value)
            return
        outside, self.written = self.written, []
        self.run(node.value)
        inside, self.written = self.written, outside
        text = "".join(inside)
        own = all(isinstance(piece, Author) for piece in inside)
        self.values[node.name] = Author(text) if own else text

    def _const(self, node: nodes.Const) -> Value:
        return node.value

    def _name(self, node: nodes.Name) -> Value:
        return self.values.get(node.name, Undefined(node.name))

    def _item(self, node: nodes.Item) -> Value:
        return item_of(self.value(node.base), self.value(node.index))

    def _slice(self, node: nodes.Slice) -> Value:
        base = self.value(node.base)
        ends = [None if end is None else self.value(end) for end in (node.start, node.stop)]
        if not isinstance(base, (list, str)) or not all(
            end is None or isinstance(end, int) for end in ends
        ):
            raise ValueError("a slice needs a list or text and whole numbers")
        return base[ends[0] : ends[1]]

    def _unary(self, node: nodes.Unary) -> Value:
        value = self.value(node.operand)
        if node.op == "not":
            return not value
        return binary("-" if node.op == "-" else "+", 0, value)

    def _binary(self, node: nodes.Binary) -> Value:
        return binary(node.op, self.value(node.left), self.value(node.right))

    def _logic(self, node: nodes.Logic) -> Value:
        left = self.value(node.left)
        return self.value(node.right) if bool(left) == (node.op == "and") else left

    def _compare(self, node: nodes.Compare) -> bool:
        left = self.value(node.first)
        for op, other in node.rest:
            right = self.value(other)
            if not compare(op, left, right):
                return False
            left = right
        return True

    def _choice(self, node: nodes.Choice) -> Value:
        if self.value(node.condition):
            return self.value(node.yes)
        return Undefined("the other case") if node.no is None else self.value(node.no)

    def _list(self, node: nodes.ListOf) -> list[Value]:
        return [self.value(item) for item in node.items]

    def _map(self, node: nodes.MapOf) -> dict[Value, Value]:
        found = {}
        for key, value in node.pairs:
            name = self.value(key)
            if not isinstance(name, (str, int, float)):
                raise ValueError(f"a key must be text or a number, got {name!r}")  # noqa: TRY004
            found[name] = self.value(value)
        return found

    def _filter(self, node: nodes.Filter) -> Value:
        value = self.value(node.value)
        arguments = [self.value(argument) for argument in node.arguments]
        named = {name: self.value(argument) for name, argument in node.named}
        try:
            return FILTERS[node.name](value, *arguments, **named)
        except (TypeError, OverflowError):
            raise ValueError(f"the filter {node.name} does not take these arguments") from None

    def _test(self, node: nodes.Test) -> bool:
        value = self.value(node.value)
        arguments = () if node.argument is None else (self.value(node.argument),)
        return bool(TESTS[node.name].holds(value, *arguments)) is not node.negated

    def _range(self, node: nodes.Range) -> list[Value]:
        numbers = [self.value(argument) for argument in node.arguments]
        if not all(type(number) is int for number in numbers):
            raise ValueError(f"range needs whole numbers, got {numbers}")
        try:
            found = range(*numbers)
            size = len(found)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(f"range must be range(stop) or the like, got {numbers}") from None
        if size > _MOST_STEPS:
            raise ValueError(f"a range must have at most {_MOST_STEPS} numbers, got {size}")
        return list(found)

    _statements: ClassVar[dict[type, Callable[[_Scope, Any], None]]] = {
        nodes.Block: _block,
        nodes.Data: _data,
        nodes.Output: _output,
        nodes.If: _if,
        nodes.For: _for,
        nodes.Set: _set,
    }
    _expressions: ClassVar[dict[type, Callable[[_Scope, Any], Any]]] = {
        nodes.Const: _const,
        nodes.Name: _name,
        nodes.Item: _item,
        nodes.Slice: _slice,
        nodes.Unary: _unary,
        nodes.Binary: _binary,
        nodes.Logic: _logic,
        nodes.Compare: _compare,
        nodes.Choice: _choice,
        nodes.ListOf: _list,
        nodes.MapOf: _map,
        nodes.Filter: _filter,
        nodes.Test: _test,
        nodes.Range: _range,
    }


def _bound(targets: tuple[str, ...], item: Value) -> dict[str, Value]:
    if len(targets) == 1:
        return {targets[0]: item}
    if not isinstance(item, list) or len(item) != len(targets):
        raise ValueError(f"for {', '.join(targets)} needs as many values, got {item!r}")
    return dict(zip(targets, item, strict=True))


def _loop(index: int, items: list[Value]) -> dict[str, Value]:
    length = len(items)
    return {
        "index": index + 1,
        "index0": index,
        "revindex": length - index,
        "revindex0": length - index - 1,
        "first": index == 0,
        "last": index == length - 1,
        "length": length,
    }
