"""
A parameter's bounds, as a person reads and changes them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import ValidationError

from airflow_hpo.model.distribution import Categorical, Distribution, Float, Int
from airflow_hpo.model.explain import flaws
from airflow_hpo.model.values import Value, canonical

if TYPE_CHECKING:
    from airflow_hpo.model.space import Parameter

__all__ = ["NUMBER", "bounds_of", "bounds_text", "rebound"]

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
"""A pattern that a number as text matches."""


def bounds_of(item: Distribution) -> list[Value] | None:
    """
    Return what a person may change of a distribution; `None` for a constant.

    The lowest and the highest value, the mean and the deviation, or the choices.

    Example:
        >>> bounds_of(Int(low=16, high=128, step=16))
        [16, 128]
    """
    names = _fields(item)
    if isinstance(item, Categorical):
        return list(item.choices)
    return [getattr(item, name) for name in names] if names else None


def bounds_text(item: Distribution) -> str:
    """
    Return the bounds of a number as a person writes them.

    Example:
        >>> bounds_text(Float(low=1e-5, high=0.1, log=True))
        '1e-05 to 0.1'
    """
    return " to ".join(str(value) for value in bounds_of(item) or ())


def _pair(text: str) -> Value:
    """
    Return the two numbers in *text*; the text where it is something else.

    Example:
        >>> _pair("1e-5 to 0.1"), _pair("[16, 128]"), _pair("few")
        ([1e-05, 0.1], [16, 128], 'few')
    """
    found = _PAIR.fullmatch(text)
    if found is None:
        return text
    return [int(part) if _WHOLE.fullmatch(part) else float(part) for part in found.groups()]


_PAIR = re.compile(rf"\s*\[?\s*({NUMBER})\s*(?:,|;|to|\.\.)\s*({NUMBER})\s*\]?\s*")
_WHOLE = re.compile(r"[-+]?\d+")


def _fields(item: Distribution) -> tuple[str, ...]:
    if isinstance(item, (Float, Int)):
        return ("low", "high")
    return ("mean", "deviation") if hasattr(item, "deviation") else ()


def rebound(
    parameter: Parameter, value: Value, *, name: str, wrong: list[str]
) -> Distribution | None:
    """
    Return a parameter's distribution with other bounds.

    Args:
        parameter: One that is searched.

        value: Two numbers, also as text, or some of the choices.

        name: What it is called in messages.

        wrong: Gets what is wrong; the answer is `None` then.
    """
    item = parameter.distribution
    if isinstance(item, Categorical):
        return _choices(item, value, name, wrong)
    names, given = _fields(item), _pair(value) if isinstance(value, str) else value
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) != len(names):
        wrong.append(
            f"{name} must be two numbers, {names[0]} and {names[1]}, such as "
            f"{bounds_text(item)}, got {value!r:.100}"
        )
        return None
    known = {**item.model_dump(), **dict(zip(names, given, strict=True))}
    try:
        return type(item).model_validate(known)
    except ValidationError as error:
        wrong += [f"{name}: {flaw}" for flaw in flaws(error, type(item))]
        return None


def _choices(item: Categorical, value: Value, name: str, wrong: list[str]) -> Categorical | None:
    """
    Return a choice among fewer values; their JSON text is as good as the values.
    """
    known = {canonical(choice): choice for choice in item.choices}
    texts = {
        choice if isinstance(choice, str) else canonical(choice): choice for choice in item.choices
    }
    given = value if isinstance(value, list) else [value]
    labels = [
        canonical(each)
        if canonical(each) in known
        else canonical(texts.get(each, each))
        if isinstance(each, str)
        else canonical(each)
        for each in given
    ]
    alien = [each for each, label in zip(given, labels, strict=True) if label not in known]
    if alien or not given:
        shown = ", ".join(texts)
        wrong.append(f"{name} must be some of {shown}, got {repr(alien[0]) if alien else 'none'}")
        return None
    kept = [place for place, label in enumerate(known) if label in set(labels)]
    weights = None if item.weights is None else tuple(item.weights[place] for place in kept)
    try:
        return Categorical(choices=tuple(item.choices[place] for place in kept), weights=weights)
    except ValidationError as error:
        wrong += [f"{name}: {flaw}" for flaw in flaws(error, Categorical)]
        return None
