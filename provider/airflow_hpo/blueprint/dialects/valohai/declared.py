"""
A step's parameters: their types, and values cast to them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.problems import show
from airflow_hpo.blueprint.shapes import BROKEN

if TYPE_CHECKING:
    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.model.values import Value

__all__ = ["Declared"]

_TRUTHS = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


@dataclass(frozen=True)
class Declared:
    """
    One parameter as its step declares it.

    Args:
        keys: What the file says about it.

        path: Where.
    """

    keys: Mapping[str, Any]
    path: Path

    @property
    def name(self) -> str:
        """
        Its name.
        """
        return str(self.keys["name"])

    @property
    def kind(self) -> str:
        """
        ``string``, ``integer``, ``float`` or ``flag``.
        """
        return str(self.keys.get("type", "string"))

    @property
    def multiple(self) -> str | None:
        """
        ``repeat`` or ``separate``, where it takes several values.
        """
        mode = self.keys.get("multiple", "none")
        return None if mode == "none" or self.kind == "flag" else str(mode)

    @property
    def is_optional(self) -> bool:
        """
        Whether it may go without a value.
        """
        return self.kind == "flag" or bool(self.keys.get("optional", False))

    @property
    def pattern(self) -> str:
        """
        How a value is passed; that of a flag, how one that is set is passed.
        """
        plain = "--{name}" if self.kind == "flag" else "--{name}={value}"
        return str(self.keys.get("pass-as") or plain)

    def cast(self, value: Value, *, floor: bool = False) -> Value:
        """
        Return *value* in the declared type.

        Args:
            value: A scalar.

            floor: Whether fractions are cut off whole numbers, or refused.

        Raises:
            ValueError: If it has no such value.
        """
        if isinstance(value, (list, dict)) or value is None:
            raise ValueError(f"must be a single value, got {show(value)}")
        if self.kind == "string":
            return str(value)
        if self.kind == "flag":
            return _truth(value)
        return self._number(value, floor=floor)

    def _number(self, value: Value, *, floor: bool) -> Value:
        what = "a whole number" if self.kind == "integer" else "a number"
        refusal = ValueError(f"must be {what}, as {self.name} is, got {show(value)}")
        if isinstance(value, bool):
            raise refusal
        try:
            if self.kind == "integer" and isinstance(value, (int, str)):
                return int(value)
            number = float(value)
        except (ValueError, OverflowError):
            raise refusal from None
        if not math.isfinite(number):
            raise refusal
        if self.kind == "float":
            return number
        if not floor and not number.is_integer():
            raise refusal
        return math.floor(number)

    def objection(self, value: Value) -> str | None:
        """
        Return why the cast *value* is outside of what is declared, if it is.
        """
        least, most = self.keys.get("min"), self.keys.get("max")
        if self.kind in {"integer", "float"}:
            if least is not None and value < least:
                return f"must be at least {show(least)}, the min of {self.name}, got {show(value)}"
            if most is not None and value > most:
                return f"must be at most {show(most)}, the max of {self.name}, got {show(value)}"
        choices = [choice for choice in self.keys.get("choices", ()) if choice is not BROKEN]
        if self.kind != "flag" and choices and not any(value == each for each in choices):
            rule = f"must be one of the choices of {self.name}"
            return f"{rule} ({show(choices)[1:-1]}), got {show(value)}"
        return None


def _truth(value: Value) -> bool:
    truth = _TRUTHS.get(str(value).lower())
    if truth is None:
        raise ValueError(f"must be true or false, as it is a flag's, got {show(value)}")
    return truth
