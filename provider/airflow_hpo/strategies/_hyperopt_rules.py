"""
Which of HyperOpt's expressions may stand for a distribution, and which does.

Does not load HyperOpt, so that an option that does not fit is told while a
DAG file is parsed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from airflow_hpo.model.distribution import (
    Categorical,
    Distribution,
    Float,
    Int,
    LogNormal,
    Normal,
)
from airflow_hpo.strategies._hyperopt_expressions import (
    Expression,
    choice,
    gaussian,
    loguniform,
    pchoice,
    places,
    qloguniform,
    quniform,
    randint,
    snapped,
    uniform,
    uniformint,
)
from airflow_hpo.strategies._lattice import Axis, axis_of

__all__ = ["expression_of"]

# HyperOpt keeps a count for each value of a randint.
_MOST_COUNTED = 1_000_000


def expression_of(distribution: Distribution, name: str | None = None) -> Expression | None:
    """
    Return the expression that stands for *distribution*; `None` if it has one value.

    Args:
        distribution: Of one parameter.

        name: Which expression is wanted; `None` for the one that fits best.

    Raises:
        ValueError: If that one does not fit.

    Example:
        >>> expression = expression_of(Int(low=1, high=8))
        >>> expression.name, expression.args, expression.read(3.0)
        ('uniformint', (1.0, 8.0), 3)
    """
    if name is not None and name not in _EXPRESSIONS:
        raise ValueError(f"must be one of {', '.join(_EXPRESSIONS)}, got {name!r}")
    if name is not None and not _EXPRESSIONS[name].fits(distribution):
        raise ValueError(
            f"{name} stands for {_EXPRESSIONS[name].domain}, got {_shown(distribution)}"
        )
    axis = axis_of(distribution)
    if axis is not None and axis.size == 1:
        return None
    if name is not None:
        return _EXPRESSIONS[name].make(distribution)
    return _default(distribution, axis)


def _shown(distribution: Distribution) -> str:
    fields = distribution.model_dump(exclude_defaults=True)
    return f"{distribution.kind} with {', '.join(f'{name}={fields[name]}' for name in fields)}"


def _default(distribution: Any, axis: Axis | None) -> Expression:  # noqa: ANN401 - by its kind
    match distribution:
        case Categorical(weights=weights):
            return choice(distribution) if weights is None else pchoice(distribution)
        case Normal() | LogNormal():
            return gaussian(distribution)
        case Int(step=1, log=log):
            return qloguniform(distribution) if log else uniformint(distribution)
        case Float(anchor="zero", log=log):
            return qloguniform(distribution) if log else quniform(distribution)
        case Float(step=None, log=log):
            return loguniform(distribution) if log else uniform(distribution)
    if axis is None:
        raise TypeError(f"a parameter must have a known distribution, got {distribution!r}")
    return snapped(distribution, axis) if distribution.log else places(axis)


@dataclass(frozen=True, slots=True)
class _Rule:
    """
    What an expression may stand for.

    Args:
        domain: In a person's words.

        fits: Whether a distribution is of that kind.

        make: Makes the expression of it.
    """

    domain: str
    fits: Callable[[Any], bool]
    make: Callable[[Any], Expression]


def _is_continuous(distribution: Distribution) -> bool:
    return isinstance(distribution, Float) and distribution.step is None


def _is_plain_int(distribution: Distribution) -> bool:
    return isinstance(distribution, Int) and distribution.step == 1


def _is_positive(distribution: Distribution) -> bool:
    return isinstance(distribution, (Float, Int)) and distribution.low > 0


def _is_countable_int(distribution: Distribution) -> bool:
    return _is_plain_int(distribution) and (distribution.size() or 0) <= _MOST_COUNTED


def _rounds(distribution: Distribution) -> bool:
    """
    Return whether rounding to multiples of the step gives exactly the values.
    """
    if not isinstance(distribution, (Float, Int)) or distribution.step is None:
        return False
    zero = Float(
        low=distribution.low,
        high=distribution.high,
        step=distribution.step,
        log=distribution.log,
        anchor="zero",
    )
    grid, size = zero.grid(), distribution.size() or 0
    last = distribution.low + (size - 1) * distribution.step
    return grid.size == size and grid.holds(distribution.low) and grid.holds(last)


def _has_kind(kind: type[Normal | LogNormal], *, stepped: bool) -> Callable[[Any], bool]:
    return lambda item: isinstance(item, kind) and (item.step is not None) is stepped


_MULTIPLES = "a number whose values are the multiples of its step (for floats: anchor: zero)"

_EXPRESSIONS: dict[str, _Rule] = {
    "uniform": _Rule("a float without step", _is_continuous, uniform),
    "quniform": _Rule(_MULTIPLES, _rounds, quniform),
    "loguniform": _Rule(
        "a float above 0 without step",
        lambda item: _is_continuous(item) and _is_positive(item),
        loguniform,
    ),
    "qloguniform": _Rule(
        f"{_MULTIPLES}, above 0", lambda item: _is_positive(item) and _rounds(item), qloguniform
    ),
    "uniformint": _Rule("an int without step", _is_plain_int, uniformint),
    "randint": _Rule(
        f"an int without step and at most {_MOST_COUNTED} values", _is_countable_int, randint
    ),
    "choice": _Rule("a choice", lambda item: isinstance(item, Categorical), choice),
    "pchoice": _Rule("a choice", lambda item: isinstance(item, Categorical), pchoice),
    "normal": _Rule("a normal parameter without step", _has_kind(Normal, stepped=False), gaussian),
    "qnormal": _Rule("a normal parameter with step", _has_kind(Normal, stepped=True), gaussian),
    "lognormal": _Rule(
        "a lognormal parameter without step", _has_kind(LogNormal, stepped=False), gaussian
    ),
    "qlognormal": _Rule(
        "a lognormal parameter with step", _has_kind(LogNormal, stepped=True), gaussian
    ),
}
"""In the order in which they are told to a person."""
