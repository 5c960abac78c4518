"""
Expressions and statements: what the parser makes, what a rendering walks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

__all__ = [
    "Binary",
    "Block",
    "Choice",
    "Compare",
    "Const",
    "Data",
    "Expression",
    "Filter",
    "For",
    "If",
    "Item",
    "ListOf",
    "Logic",
    "MapOf",
    "Name",
    "Output",
    "Range",
    "Set",
    "Slice",
    "Statement",
    "Test",
    "Unary",
    "walk",
]


@dataclass(frozen=True, slots=True)
class Expression:
    """
    Something that has a value.
    """


@dataclass(frozen=True, slots=True)
class Const(Expression):
    """
    A number, a text, a truth value or none.
    """

    value: Any


@dataclass(frozen=True, slots=True)
class Name(Expression):
    """
    A parameter, or what ``for`` and ``set`` made.
    """

    name: str


@dataclass(frozen=True, slots=True)
class Item(Expression):
    """
    ``base[index]``; ``base.index`` where *index* is a text.
    """

    base: Expression
    index: Expression


@dataclass(frozen=True, slots=True)
class Slice(Expression):
    """
    ``base[start:stop]``.
    """

    base: Expression
    start: Expression | None
    stop: Expression | None


@dataclass(frozen=True, slots=True)
class Unary(Expression):
    """
    ``-x``, ``+x`` or ``not x``.
    """

    op: str
    operand: Expression


@dataclass(frozen=True, slots=True)
class Binary(Expression):
    """
    Arithmetic, or ``~`` that joins texts.
    """

    op: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Logic(Expression):
    """
    ``and``, ``or``.
    """

    op: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Compare(Expression):
    """
    ``a < b <= c``; ``in`` and ``not in`` as well.
    """

    first: Expression
    rest: tuple[tuple[str, Expression], ...]


@dataclass(frozen=True, slots=True)
class Choice(Expression):
    """
    ``yes if condition else no``.
    """

    condition: Expression
    yes: Expression
    no: Expression | None


@dataclass(frozen=True, slots=True)
class ListOf(Expression):
    """
    A list, or a tuple, which is one too.
    """

    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class MapOf(Expression):
    """
    A mapping.
    """

    pairs: tuple[tuple[Expression, Expression], ...]


@dataclass(frozen=True, slots=True)
class Filter(Expression):
    """
    ``value | name(arguments)``.
    """

    name: str
    value: Expression
    arguments: tuple[Expression, ...] = ()
    named: tuple[tuple[str, Expression], ...] = ()


@dataclass(frozen=True, slots=True)
class Test(Expression):
    """
    ``value is name`` or ``value is not name``.
    """

    __test__ = False  # not one of pytest's

    name: str
    value: Expression
    argument: Expression | None
    negated: bool


@dataclass(frozen=True, slots=True)
class Range(Expression):
    """
    ``range(...)``, the only call there is.
    """

    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Statement:
    """
    Something that writes, or changes what is known.
    """


@dataclass(frozen=True, slots=True)
class Block(Statement):
    """
    Statements in order.
    """

    body: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Data(Statement):
    """
    Text outside of tags.
    """

    text: str


@dataclass(frozen=True, slots=True)
class Output(Statement):
    """
    ``{{ value }}``.
    """

    value: Expression


@dataclass(frozen=True, slots=True)
class If(Statement):
    """
    ``if``; an ``elif`` stands as another one in *no*.
    """

    condition: Expression
    yes: Block
    no: Block


@dataclass(frozen=True, slots=True)
class For(Statement):
    """
    ``for targets in values``; *no* where there are none.
    """

    targets: tuple[str, ...]
    values: Expression
    body: Block
    no: Block


@dataclass(frozen=True, slots=True)
class Set(Statement):
    """
    ``set name = value``, or everything up to ``endset``.
    """

    name: str
    value: Expression | Block


def walk(node: Any) -> Iterator[Expression | Statement]:  # noqa: ANN401 - a node or its parts
    """
    Yield *node* and all nodes below it.
    """
    if isinstance(node, (tuple, list)):
        for part in node:
            yield from walk(part)
    elif is_dataclass(node) and isinstance(node, (Expression, Statement)):
        yield node
        for each in fields(node):
            yield from walk(getattr(node, each.name))
