"""
What pydantic refuses, in this package's words: the rule, then what was got.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_hpo.model.registry import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel, ValidationError

__all__ = ["Flaw", "flaws"]


@dataclass(frozen=True, slots=True)
class Flaw:
    """
    One thing that a model refuses.

    Args:
        path: Keys and indexes below the model; empty for the model as a whole.

        message: The rule in the present tense, then "got" and the value.

        hint: What to type instead, if that is clear.

        of_key: Whether it is about the key at *path*, not its value.
    """

    path: tuple[str | int, ...]
    message: str
    hint: str | None = None
    of_key: bool = False

    def __str__(self) -> str:
        """
        Return path and message in a line.
        """
        place = ".".join(map(str, self.path))
        return f"{place}: {self.message}" if place else self.message


# By pydantic's type of error; the braces are filled from its context.
_RULES = {
    "missing": "must be given",
    "extra_forbidden": "unknown key",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "finite_number": "must be finite",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "list_type": "must be a list",
    "string_pattern_mismatch": "must match {pattern}",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must have at least {min_length} characters",
    "string_type": "must be text",
    "too_long": "must have at most {max_length} items",
    "too_short": "must have at least {min_length} items",
    "tuple_type": "must be a list",
}

# Where the value itself says nothing.
_WITHOUT_VALUE = frozenset({"missing", "extra_forbidden", "value_error"})

# So much of a value is shown.
_SHOWN = 60


def flaws(error: ValidationError, model: type[BaseModel]) -> tuple[Flaw, ...]:
    """
    Return everything that *error* says about a value of *model*.

    Example:
        >>> from pydantic import ValidationError
        >>> from airflow_hpo.model.stop import Budget
        >>> try:
        ...     Budget.model_validate({"trials": "x"})
        ... except ValidationError as error:
        ...     print(*flaws(error, Budget))
        trials: must be a whole number, got 'x'
    """
    return tuple(_flaw(details, model) for details in error.errors(include_url=False))


def _flaw(details: Mapping[str, Any], model: type[BaseModel]) -> Flaw:
    kind, path, value = details["type"], tuple(details["loc"]), details["input"]
    context = details.get("ctx", {})
    if kind == "value_error":
        return Flaw(path, str(context["error"]))
    hint = None
    if kind == "extra_forbidden" and len(path) == 1:
        names = list(model.model_fields)
        known = f"the keys here are {', '.join(names)}" if names else "there are none here"
        hint = did_you_mean(path[0], names)
        return Flaw(path, f"unknown key; {known}", hint, of_key=True)
    if kind in {"literal_error", "enum"}:
        words = str(context["expected"]).replace(" or ", ", ").split(", ")
        hint = did_you_mean(value, [word.strip("'") for word in words])
    rule = _RULES.get(kind)
    message = details["msg"][:1].lower() + details["msg"][1:]
    if rule is not None:
        message = rule.format(**{name: _plain(value) for name, value in context.items()})
    if kind not in _WITHOUT_VALUE:
        message += f", got {_shown(value)}"
    return Flaw(path, message, hint, of_key=kind == "extra_forbidden")


def _plain(value: object) -> object:
    return f"{value:g}" if isinstance(value, float) else value


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
