"""
What can be done to values: operators, filters, tests. All of it bounded.
"""

from __future__ import annotations

import json
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_hpo.model.values import Value

__all__ = ["FILTERS", "TESTS", "Author", "Undefined", "binary", "compare", "item_of", "text_of"]

# Texts and lists of a command are shorter, and its numbers smaller.
_LONGEST = 100_000
_WIDEST_NUMBER = 1024
_LARGEST_POWER = 1000


class Author(str):
    """
    Text that the template itself holds, which no parameter had a part in.
    """

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Undefined:
    """
    Stands for a name without a value: false, and printed as nothing.
    """

    name: str

    def __bool__(self) -> bool:
        """
        Return `False`.
        """
        return False


def text_of(value: Value) -> str:
    """
    Return *value* as it is printed; neither nothing nor none is printed.
    """
    if value is None or isinstance(value, Undefined):
        return ""
    return value if isinstance(value, str) else str(value)


def binary(op: str, left: Value, right: Value) -> Value:
    """
    Return what the operator *op* makes of two values.

    Raises:
        ValueError: If it makes nothing of them, or too much.
    """
    if op == "~":
        return _joined(text_of_either(left), text_of_either(right))
    for value in (left, right):
        if isinstance(value, Undefined):
            raise ValueError(f"{value.name} has no value")  # noqa: TRY004 - one kind of error
    if op == "+" and type(left) is type(right) and isinstance(left, list):
        return bounded(left + right)
    if op == "+" and isinstance(left, str) and isinstance(right, str):
        return _joined(left, right)
    if not (_is_number(left) and _is_number(right)):
        raise ValueError(f"{op} needs two numbers, got {_shown(left)} and {_shown(right)}")
    return _calculated(op, left, right)


def text_of_either(value: Value) -> str:
    """
    Return *value* as text; what the template holds stays the template's.
    """
    return value if isinstance(value, Author) else text_of(value)


def _joined(left: str, right: str) -> str:
    text = str(bounded(str(left) + str(right)))
    return Author(text) if isinstance(left, Author) and isinstance(right, Author) else text


_OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": operator.pow,
}


def _calculated(op: str, left: float, right: float) -> Value:
    if op == "**" and (abs(right) > _LARGEST_POWER or _width(left) > _WIDEST_NUMBER):
        raise ValueError(f"a power must be modest, got {_shown(left)} ** {_shown(right)}")
    try:
        result = _OPERATORS[op](left, right)
    except ZeroDivisionError:
        raise ValueError(f"{op} must not divide by zero, got {_shown(left)} {op} 0") from None
    except OverflowError:
        result = math.inf
    if isinstance(result, complex) or not math.isfinite(_as_float(result)):
        raise ValueError(f"{op} must give a number, got {_shown(left)} and {_shown(right)}")
    if _width(result) > _WIDEST_NUMBER:
        raise ValueError(f"a number must have at most {_WIDEST_NUMBER} bits")
    return result


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _width(value: float) -> int:
    return value.bit_length() if isinstance(value, int) else 0


def _is_number(value: Value) -> bool:
    return isinstance(value, (int, float))


def _shown(value: Value) -> str:
    text = repr(value) if not isinstance(value, Undefined) else "nothing"
    return text if len(text) <= 40 else f"{text[:40]}..."  # noqa: PLR2004 - a line's worth


def bounded(value: Value) -> Value:
    """
    Return *value* unless it is too long.
    """
    if len(value) > _LONGEST:
        raise ValueError(f"a text or list must have at most {_LONGEST} items, got {len(value)}")
    return value


_COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "in": lambda left, right: left in right,
    "not in": lambda left, right: left not in right,
}


def compare(op: str, left: Value, right: Value) -> bool:
    """
    Return whether the comparison *op* holds.
    """
    try:
        return bool(_COMPARISONS[op](left, right))
    except TypeError:
        raise ValueError(f"{op} cannot compare {_shown(left)} and {_shown(right)}") from None


def item_of(base: Value, index: Value) -> Value:
    """
    Return the item *index* of a list, text or mapping; `Undefined` if there is none.

    Nothing else has items: no value's attributes can be reached.
    """
    if isinstance(base, Undefined):
        raise ValueError(f"{base.name} has no value")  # noqa: TRY004 - one kind of error
    missing = Undefined(text_of(index))
    if isinstance(base, dict):
        return base.get(index, missing) if isinstance(index, (str, int, float)) else missing
    if isinstance(base, (list, str)) and isinstance(index, int):
        return base[index] if -len(base) <= index < len(base) else missing
    raise ValueError(f"{_shown(base)} has no item {_shown(index)}, and attributes are not read")


@dataclass(frozen=True, slots=True)
class _Test:
    holds: Callable[..., Any]
    takes_argument: bool = False


def _is_integer(value: Value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


TESTS: Mapping[str, _Test] = {
    "defined": _Test(lambda value: not isinstance(value, Undefined)),
    "undefined": _Test(lambda value: isinstance(value, Undefined)),
    "none": _Test(lambda value: value is None),
    "number": _Test(_is_number),
    "integer": _Test(_is_integer),
    "float": _Test(lambda value: isinstance(value, float)),
    "string": _Test(lambda value: isinstance(value, str)),
    "boolean": _Test(lambda value: isinstance(value, bool)),
    "true": _Test(lambda value: value is True),
    "false": _Test(lambda value: value is False),
    "mapping": _Test(lambda value: isinstance(value, dict)),
    "sequence": _Test(lambda value: isinstance(value, (list, str))),
    "iterable": _Test(lambda value: isinstance(value, (list, str, dict))),
    "even": _Test(lambda value: binary("%", value, 2) == 0),
    "odd": _Test(lambda value: binary("%", value, 2) == 1),
    "divisibleby": _Test(lambda value, by: binary("%", value, by) == 0, takes_argument=True),
    "in": _Test(lambda value, of: compare("in", value, of), takes_argument=True),
    **{
        name: _Test(lambda left, right, op=op: compare(op, left, right), takes_argument=True)
        for name, op in {
            "eq": "==",
            "ne": "!=",
            "lt": "<",
            "le": "<=",
            "gt": ">",
            "ge": ">=",
        }.items()
    },
}
"""By name; an argument stands behind it."""


def _default(value: Value, default: Value = "", boolean: Value = False) -> Value:  # noqa: FBT002
    absent = isinstance(value, Undefined) or (boolean and not value)
    return default if absent else value


def _round(value: Value, precision: Value = 0, method: Value = "common") -> Value:
    if not _is_number(value) or not _is_integer(precision) or abs(precision) > 300:  # noqa: PLR2004
        raise ValueError(f"round needs a number, got {_shown(value)}")
    if method == "common":
        return round(float(value), precision)
    if method not in {"ceil", "floor"}:
        raise ValueError(f"round must be common, ceil or floor, got {_shown(method)}")
    scale = 10.0**precision
    return float(getattr(math, method)(value * scale)) / scale


# Formats that cannot blow a value up.
_FORMAT = re.compile(r"%(?:%|(?:\(\w+\))?[-+ 0#]*\d{0,2}(?:\.\d{1,2})?[sdiouxXeEfFgGr])")


def _format(template: Value, *values: Value, **named: Value) -> str:
    text = _text(template)
    if "%" in _FORMAT.sub("", text):
        raise ValueError(f"format must have plain places such as %.3f, got {_shown(text)}")
    try:
        return str(text % (named or tuple(values)))
    except (TypeError, KeyError, OverflowError) as error:
        raise ValueError(f"format cannot write the values: {error}") from None


def _number(make: Callable[[Any], Any]) -> Callable[..., Any]:
    def convert(value: Value, default: Value = 0) -> Value:
        try:
            return make(float(value)) if isinstance(value, str) else make(value)
        except (TypeError, ValueError, OverflowError):
            return default

    return convert


def _text(value: Value) -> str:
    return str(bounded(text_of(value)))


def _list(value: Value) -> list[Value]:
    if isinstance(value, Undefined) or not isinstance(value, (list, str, dict)):
        raise ValueError(f"must be a list, text or mapping, got {_shown(value)}")  # noqa: TRY004
    return list(value)


def _ordered(value: Value, reverse: Value = False) -> list[Value]:  # noqa: FBT002
    try:
        return sorted(_list(value), reverse=bool(reverse))
    except TypeError:
        raise ValueError(f"sort cannot compare the items of {_shown(value)}") from None


def _unique(value: Value) -> list[Value]:
    found: list[Value] = []
    for item in _list(value):
        if item not in found:
            found.append(item)
    return found


def _sum(value: Value, start: Value = 0) -> Value:
    for item in _list(value):
        start = binary("+", start, item)
    return start


def _first(items: Sequence[Value]) -> Value:
    return items[0] if items else Undefined("the first of nothing")


def _replace(value: Value, old: Value, new: Value, count: Value = -1) -> str:
    text, old, new = _text(value), _text(old), _text(new)
    if len(text) + text.count(old) * len(new) > _LONGEST:
        raise ValueError(f"a text must have at most {_LONGEST} characters")
    return str(text.replace(old, new, count if _is_integer(count) else -1))


def _join(value: Value, separator: Value = "") -> str:
    items, separator = [_text(item) for item in _list(value)], _text(separator)
    if sum(map(len, items)) + len(items) * len(separator) > _LONGEST:
        raise ValueError(f"a text must have at most {_LONGEST} characters")
    return str(separator.join(items))


def _json(value: Value) -> str:
    return json.dumps(None if isinstance(value, Undefined) else value, ensure_ascii=False)


def _pairs(value: Value) -> list[Value]:
    if not isinstance(value, dict):
        raise ValueError(f"must be a mapping, got {_shown(value)}")  # noqa: TRY004
    return [list(pair) for pair in value.items()]


def _magnitude(value: Value) -> Value:
    if not _is_number(value):
        raise ValueError(f"abs needs a number, got {_shown(value)}")
    return abs(value)


FILTERS: Mapping[str, Callable[..., Any]] = {
    "abs": _magnitude,
    "bool": bool,
    "capitalize": lambda value: _text(value).capitalize(),
    "count": lambda value: len(_list(value)),
    "d": _default,
    "default": _default,
    "dictsort": lambda value: sorted(_pairs(value)),
    "first": lambda value: _first(_list(value)),
    "float": _number(float),
    "format": _format,
    "int": _number(int),
    "items": _pairs,
    "join": _join,
    "last": lambda value: _first(_list(value)[::-1]),
    "length": lambda value: len(_list(value)),
    "list": _list,
    "lower": lambda value: _text(value).lower(),
    "max": lambda value: _first(_ordered(value)[::-1]),
    "min": lambda value: _first(_ordered(value)),
    "replace": _replace,
    "reverse": lambda value: _list(value)[::-1],
    "round": _round,
    "safe": lambda value: value,
    "sort": _ordered,
    "string": _text,
    "sum": _sum,
    "title": lambda value: _text(value).title(),
    "to_json": _json,
    "tojson": _json,
    "trim": lambda value: _text(value).strip(),
    "unique": _unique,
    "upper": lambda value: _text(value).upper(),
}
"""By name; the value comes first."""
