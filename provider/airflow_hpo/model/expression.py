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
import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, ClassVar, TypeAlias

__all__ = ["Expression", "Resolve"]

Resolve: TypeAlias = Callable[[str], Any]
"""Gives the value of a name, or raises `KeyError` where there is none."""

_MAX_LENGTH = 10_000
_MAX_DEPTH = 40

# So much of an expression is shown in messages.
_SHOWN = 120

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

# Which way a comparison's two sides have to go for it to hold.
_SIGNS: Mapping[type[ast.cmpop], float] = {ast.Lt: 1.0, ast.LtE: 1.0, ast.Gt: -1.0, ast.GtE: -1.0}

# As far from holding as what only just does not hold.
_LEAST = 1e-9

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
        return _parsed(text)

    def names(self) -> frozenset[str]:
        """
        Return every name that the expression asks for.
        """
        return self._names

    @cached_property
    def _names(self) -> frozenset[str]:
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

    def violation(self, resolve: Resolve) -> float:
        """
        Return how far it is from being true: 0 or less where it is.

        The distance is that of a comparison's two sides; of several joined by
        *and* the farthest counts, by *or* the nearest. Where there is no such
        number, it is 1 if it is not true.

        Example:
            >>> rule = Expression.parse("latency <= 20 and size < 3")
            >>> rule.violation({"latency": 25, "size": 1}.__getitem__)
            5.0
            >>> rule.violation({"latency": 16, "size": 1}.__getitem__)
            -2.0
        """
        try:
            found = float(self._distance(self._tree, resolve))
        except _VALUE_ERRORS:
            found = math.nan
        if self.holds(resolve):
            return min(found, 0.0) if math.isfinite(found) else 0.0
        return max(found, _LEAST) if math.isfinite(found) else 1.0

    def _distance(self, node: ast.AST, resolve: Resolve) -> float:
        match node:
            case ast.BoolOp(op=kind, values=operands):
                distances = [self._distance(operand, resolve) for operand in operands]
                return max(distances) if isinstance(kind, ast.And) else min(distances)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return -self._distance(operand, resolve)
            case ast.Compare(left=left, ops=[kind], comparators=[right]) if type(kind) in _SIGNS:
                difference = float(self._value(left, resolve)) - float(self._value(right, resolve))
                return _SIGNS[type(kind)] * difference
        return 0.0 if self._value(node, resolve) else 1.0

    def _value(self, node: ast.AST, resolve: Resolve) -> Any:  # noqa: ANN401 - any JSON value
        return self._evaluators[type(node)](self, node, resolve)

    def _constant(self, node: Any, _resolve: Resolve) -> Any:  # noqa: ANN401 - see _value
        return node.value

    def _name(self, node: Any, resolve: Resolve) -> Any:  # noqa: ANN401 - see _value
        return resolve(self._aliases[node.id])

    def _joined(self, node: Any, resolve: Resolve) -> Any:  # noqa: ANN401 - see _value
        going_on = isinstance(node.op, ast.And)
        value = None
        for operand in node.values:
            value = self._value(operand, resolve)
            if bool(value) is not going_on:
                break
        return value

    def _arithmetic(self, node: Any, resolve: Resolve) -> Any:  # noqa: ANN401 - see _value
        left = _number(self._value(node.left, resolve))
        right = _number(self._value(node.right, resolve))
        return _ARITHMETIC[type(node.op)](left, right)

    def _tuple(self, node: Any, resolve: Resolve) -> Any:  # noqa: ANN401 - see _value
        return tuple(self._value(item, resolve) for item in node.elts)

    def _set(self, node: Any, resolve: Resolve) -> Any:  # noqa: ANN401 - see _value
        return {self._value(item, resolve) for item in node.elts}

    def _call(self, node: Any, resolve: Resolve) -> Any:  # noqa: ANN401 - see _value
        values = [_number(self._value(item, resolve)) for item in node.args]
        if len(values) == 1 and node.func.id != "abs":
            return values[0]
        return _FUNCTIONS[node.func.id](*values)

    def _unary(self, node: Any, resolve: Resolve) -> Any:  # noqa: ANN401 - see _value
        if isinstance(node.op, ast.Not):
            return not self._optional(node.operand, resolve)
        value = _number(self._value(node.operand, resolve))
        return -value if isinstance(node.op, ast.USub) else value

    def _compared(self, node: Any, resolve: Resolve) -> bool:  # noqa: ANN401 - see _value
        # ``missing is None`` is the one way to ask whether a name is there.
        kind = type(node.ops[0])
        value = self._optional if kind in {ast.Is, ast.IsNot} else self._value
        left, right = value(node.left, resolve), value(node.comparators[0], resolve)
        compare = _COMPARISONS[kind]
        try:
            return bool(compare(left, right))
        except TypeError:
            return bool(compare(float(left), float(right)))

    def _optional(self, node: ast.AST, resolve: Resolve) -> Any:  # noqa: ANN401 - any JSON value
        """
        Return the value of *node*; a name that is missing is `None`.
        """
        try:
            return self._value(node, resolve)
        except KeyError:
            if isinstance(node, ast.Name):
                return None
            raise

    _evaluators: ClassVar[Mapping[type[ast.AST], Callable[..., Any]]] = {
        ast.Constant: _constant,
        ast.Name: _name,
        ast.BoolOp: _joined,
        ast.BinOp: _arithmetic,
        ast.UnaryOp: _unary,
        ast.Compare: _compared,
        ast.Tuple: _tuple,
        ast.Set: _set,
        ast.Call: _call,
    }


@lru_cache(maxsize=256)
def _parsed(text: str) -> Expression:
    # Cached, because a rule is asked about every trial, again and again.
    source, aliases = _plain_source(text)
    try:
        tree = ast.parse(source, mode="eval").body
    except (SyntaxError, RecursionError, MemoryError):
        raise ValueError(f"{_quoted(text)} is not a valid expression") from None
    _check(tree, text, depth=0)
    return Expression(text, tree, aliases)


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")


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
    aliases: dict[str, str] = {}  # by name
    parts: list[str] = []
    position = 0
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None or "\n" in token.group():
            raise ValueError(
                f"{_quoted(text)} is not a valid expression: {text[position]!r} "
                f"at character {position + 1} is not allowed"
            )
        position = token.end()
        if token.lastgroup != "space":
            parts.append(_python_word(token, text, aliases))
    # Spaces, so that ``1or`` is not one word to Python.
    return " ".join(parts), {alias: name for name, alias in aliases.items()}


def _python_word(token: re.Match[str], text: str, aliases: dict[str, str]) -> str:
    word = token.group()
    if token.lastgroup == "string":
        return repr(_ESCAPED.sub(lambda match: _ESCAPES.get(match[1], match[0]), word[1:-1]))
    if token.lastgroup != "name" or word in _WORDS:
        return word
    if word in _FUNCTIONS and text[token.end() :].lstrip().startswith("("):
        return word
    return aliases.setdefault(word, f"n{len(aliases)}_")


_ESCAPED = re.compile(r"\\(.)")
_ESCAPES = {"\\": "\\", "'": "'", '"': '"', "n": "\n", "t": "\t"}


_SIMPLE = (ast.Constant, ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Tuple, ast.Set)


def _check(node: ast.expr, text: str, *, depth: int) -> None:
    """
    Refuse every node that is not in the grammar.
    """
    problem = _problem(node)
    if depth > _MAX_DEPTH:
        problem = f"is nested deeper than {_MAX_DEPTH} levels"
    if problem is not None:
        raise ValueError(f"{_quoted(text)} is not a valid expression: it {problem}")
    children: list[ast.expr] = [
        child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)
    ]
    for child in node.args if isinstance(node, ast.Call) else children:
        _check(child, text, depth=depth + 1)


def _problem(node: ast.expr) -> str | None:
    """
    Return what is not in the grammar about *node* itself; `None` if it is.
    """
    match node:
        case ast.Compare(ops=[_, _, *_]):
            return "chains comparisons; write them with and"
        case ast.BinOp(op=kind) if type(kind) not in _ARITHMETIC:
            return f"uses the operator {type(kind).__name__}"
        case ast.UnaryOp(op=ast.Invert()):
            return "uses the operator ~"
        case ast.Call():
            return _call_problem(node)
        case _ if not isinstance(node, (ast.Name, *_SIMPLE)):
            return f"uses {type(node).__name__}, which is not in the grammar"
    return None


def _call_problem(node: ast.Call) -> str | None:
    known = isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS
    if not known:
        return f"calls something other than {', '.join(_FUNCTIONS)}"
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    if not node.args or (name == "abs" and len(node.args) > 1):
        return f"calls {name} with {len(node.args)} values"
    return None
