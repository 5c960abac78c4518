"""
A small, safe expression language for stop rules and constraints.

The grammar is the one Valohai documents for ``stop-condition``: names (dotted,
and dashed where written without spaces), numbers, strings, ``True``, ``False``,
``None``, tuples and sets of constants, one comparison at a time, ``and or not``,
``+ - * / //``, and the functions ``abs``, ``min``, ``max``. Nothing is ever
handed to ``eval``; there is no attribute access, no index, no call of anything
else. Comparisons are weakly typed: where types do not compare, both sides are
tried as numbers.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

__all__ = ["Expression", "Resolve"]

Resolve: TypeAlias = Callable[[str], Any]
"""Gives the value of a name, or raises `KeyError` where there is none."""

_MAX_LENGTH = 10_000
_MAX_DEPTH = 40

_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<string>'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")
      | (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
      | (?P<name>[^\W\d]\w*(?:[.-][^\W\d]\w*)*)
      | (?P<operator>//|<=|>=|==|!=|[<>+\-*/(){},])
    """,
    re.VERBOSE,
)

_WORDS = frozenset({"and", "or", "not", "in", "is", "True", "False", "None"})
_FUNCTIONS: Mapping[str, Callable[..., Any]] = {"abs": abs, "min": min, "max": max}

_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.In: lambda left, right: left in right,
    ast.NotIn: lambda left, right: left not in right,
    # Identity of numbers and strings is an accident of the interpreter: the
    # words are read as equality, which is what a person means by them.
    ast.Is: operator.eq,
    ast.IsNot: operator.ne,
}

_ARITHMETIC: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}

# What may go wrong with the values of a well-formed expression.
_VALUE_ERRORS = (KeyError, TypeError, ValueError, ZeroDivisionError, OverflowError)


@dataclass(frozen=True)
class Expression:
    """
    One parsed expression; make it with `parse`.

    Example:
        >>> rule = Expression.parse("val-loss < 0.1 and metadata.epoch >= 5")
        >>> sorted(rule.names())
        ['metadata.epoch', 'val-loss']
        >>> rule.holds({"val-loss": "0.05", "metadata.epoch": 7}.__getitem__)
        True
    """

    text: str
    _tree: ast.expr = field(repr=False, compare=False)
    _aliases: Mapping[str, str] = field(repr=False, compare=False)

    @classmethod
    def parse(cls, text: str) -> Expression:
        """
        Parse *text*.

        Raises:
            ValueError: If it is not in the grammar; the message says where.
        """
        if len(text) > _MAX_LENGTH:
            raise ValueError(
                f"an expression must have at most {_MAX_LENGTH} characters, got {len(text)}"
            )
        source, aliases = _plain_source(text)
        try:
            tree = ast.parse(source, mode="eval").body
        except (SyntaxError, RecursionError, MemoryError):
            raise ValueError(f"{text!r} is not a valid expression") from None
        _check(tree, text, depth=0)
        return cls(text, tree, aliases)

    def names(self) -> frozenset[str]:
        """
        Return every name that the expression asks for.
        """
        return frozenset(
            self._aliases[node.id]
            for node in ast.walk(self._tree)
            if isinstance(node, ast.Name) and node.id in self._aliases
        )

    def holds(self, resolve: Resolve) -> bool:
        """
        Return whether it is true; unknown names and wrong types make it false.
        """
        try:
            return bool(self._value(self._tree, resolve))
        except _VALUE_ERRORS:
            return False

    def _value(self, node: ast.expr, resolve: Resolve) -> Any:  # noqa: ANN401 - any JSON value
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name(id=alias):
                return resolve(self._aliases[alias])
            case ast.BoolOp(op=ast.And(), values=values):
                return all(self._value(value, resolve) for value in values)
            case ast.BoolOp(values=values):
                return any(self._value(value, resolve) for value in values)
            case ast.Compare(left=left, ops=[kind], comparators=[right]):
                return self._compared(left, kind, right, resolve)
            case ast.UnaryOp(op=kind, operand=operand):
                return self._unary(kind, operand, resolve)
            case ast.BinOp(left=left, op=kind, right=right):
                sides = _number(self._value(left, resolve)), _number(self._value(right, resolve))
                return _ARITHMETIC[type(kind)](*sides)
            case _:
                return self._grouped(node, resolve)

    def _grouped(self, node: ast.expr, resolve: Resolve) -> Any:  # noqa: ANN401 - any JSON value
        match node:
            case ast.Tuple(elts=items):
                return tuple(self._value(item, resolve) for item in items)
            case ast.Set(elts=items):
                return {self._value(item, resolve) for item in items}
            case ast.Call(func=ast.Name(id=name), args=arguments):
                values = [_number(self._value(item, resolve)) for item in arguments]
                return _FUNCTIONS[name](*values)
        raise TypeError(type(node).__name__)

    def _optional(self, node: ast.expr, resolve: Resolve) -> Any:  # noqa: ANN401 - any JSON value
        """
        Return the value of *node*; a name that is missing is `None`.
        """
        try:
            return self._value(node, resolve)
        except KeyError:
            if isinstance(node, ast.Name):
                return None
            raise

    def _unary(self, kind: ast.unaryop, operand: ast.expr, resolve: Resolve) -> Any:  # noqa: ANN401
        if isinstance(kind, ast.Not):
            return not self._optional(operand, resolve)
        value = _number(self._value(operand, resolve))
        return -value if isinstance(kind, ast.USub) else value

    def _compared(
        self, left: ast.expr, kind: ast.cmpop, right: ast.expr, resolve: Resolve
    ) -> bool:
        # ``missing is None`` is the one way to ask whether a name is there.
        value = self._optional if isinstance(kind, (ast.Is, ast.IsNot)) else self._value
        sides = value(left, resolve), value(right, resolve)
        compare = _COMPARISONS[type(kind)]
        try:
            return bool(compare(*sides))
        except TypeError:
            return bool(compare(float(sides[0]), float(sides[1])))


def _number(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """
    Return *value* for arithmetic: text is read as a number or refused.

    Text never reaches ``*`` or ``+``: repeating a string is how a short
    expression fills the memory.
    """
    if isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return float(value)
    raise TypeError(f"not a number: {value!r}")


def _plain_source(text: str) -> tuple[str, dict[str, str]]:
    """
    Return Python source with every name replaced, and what stands for what.

    Dotted and dashed names, and Python's own keywords, are names here; as
    aliases they go through Python's parser untouched.
    """
    aliases: dict[str, str] = {}
    parts: list[str] = []
    position = 0
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None or "\n" in token.group():
            raise ValueError(
                f"{text!r} is not a valid expression: {text[position]!r} "
                f"at character {position + 1} is not allowed"
            )
        position = token.end()
        parts.extend(_python_words(token, text, aliases))
    return "".join(parts).strip(), aliases


def _python_words(token: re.Match[str], text: str, aliases: dict[str, str]) -> list[str]:
    word = token.group()
    if token.lastgroup != "name" or word in _WORDS:
        return [word]
    if word in _FUNCTIONS and text[token.end() :].lstrip().startswith("("):
        return [word]
    alias = next((key for key, name in aliases.items() if name == word), f"n{len(aliases)}_")
    aliases[alias] = word
    return [alias]


_SIMPLE = (ast.Constant, ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Tuple, ast.Set)


def _check(node: ast.expr, text: str, *, depth: int) -> None:
    """
    Refuse every node that is not in the grammar.
    """
    problem = _problem(node)
    if depth > _MAX_DEPTH:
        problem = f"is nested deeper than {_MAX_DEPTH} levels"
    if problem is not None:
        raise ValueError(f"{text!r} is not a valid expression: it {problem}")
    children: list[ast.expr] = [
        child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)
    ]
    for child in node.args if isinstance(node, ast.Call) else children:
        _check(child, text, depth=depth + 1)


def _problem(node: ast.expr) -> str | None:
    match node:
        case ast.Compare(ops=operators) if len(operators) > 1:
            return "chains comparisons; write them with and"
        case ast.BinOp(op=kind) if type(kind) not in _ARITHMETIC:
            return f"uses the operator {type(kind).__name__}"
        case ast.Call(func=ast.Name(id=name), args=[_, *_], keywords=[]) if name in _FUNCTIONS:
            return None
        case ast.Call():
            return f"calls something other than {', '.join(_FUNCTIONS)}"
        case ast.Name():
            return None
        case _ if isinstance(node, _SIMPLE):
            return None
    return f"uses {type(node).__name__}, which is not in the grammar"
