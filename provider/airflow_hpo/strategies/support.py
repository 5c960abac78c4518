"""
Whether a strategy fits a space, and what is wrong with its options and points.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from pydantic import ValidationError

from airflow_hpo.errors import Problem
from airflow_hpo.model.distribution import (
    Categorical,
    Distribution,
    Float,
    Int,
    LogNormal,
    Normal,
)
from airflow_hpo.model.explain import Flaw, flaws
from airflow_hpo.model.objective import Objective
from airflow_hpo.model.registry import did_you_mean
from airflow_hpo.model.space import Parameter, Space
from airflow_hpo.model.strategy import StrategySpec
from airflow_hpo.model.values import Configuration
from airflow_hpo.strategies import PLANNED, STRATEGIES, create_strategy
from airflow_hpo.strategies._lattice import count_configurations
from airflow_hpo.strategies.base import Setting, Support
from airflow_hpo.strategies.points import points_problems

__all__ = ["able_to", "caveats", "exhaustible", "lacks", "strategy_problems", "unsupported"]

_Ability = Literal["float", "int", "categorical", "normal", "continuous"]

# What each ability is about, in a person's words, and which parameters need it.
_KINDS: dict[_Ability, tuple[str, Callable[[Distribution], bool]]] = {
    "float": ("a float", lambda item: isinstance(item, Float)),
    "int": ("an int", lambda item: isinstance(item, Int)),
    "categorical": ("a choice", lambda item: isinstance(item, Categorical)),
    "normal": ("normally distributed", lambda item: isinstance(item, (Normal, LogNormal))),
    "continuous": (
        "a float without step",
        lambda item: isinstance(item, Float) and item.size() is None,
    ),
}


def unsupported(
    name: str, *, space: Space, objectives: Sequence[Objective], mode: str
) -> list[str]:
    """
    Return why strategy *name* cannot search *space*; empty if it can.

    Args:
        name: As written in the blueprint.

        space: What is searched.

        objectives: What is optimised.

        mode: The blueprint's execution mode, ``batch`` or ``async``.
    """
    if name in PLANNED and name not in STRATEGIES:
        return [f"strategy {name} is not available in this version"]
    try:
        support: Support = STRATEGIES.load(name).support
    except (ValueError, ImportError, AttributeError) as error:
        return [str(error)]
    return [
        f"strategy {name} cannot {reason}"
        for reason in (
            *_space_reasons(support, space),
            *_study_reasons(support, objectives, mode),
        )
    ]


def _space_reasons(support: Support, space: Space) -> list[str]:
    reasons = []
    for ability, (noun, needs) in _KINDS.items():
        names = [item.name for item in space.parameters if needs(item.distribution)]
        if names and not getattr(support, ability):
            reasons.append(f"search {noun}, got {', '.join(names)}")
    children = [parameter.name for parameter in space.parameters if parameter.when]
    if children and not support.conditional:
        reasons.append(f"search conditional parameters, got {', '.join(children)}")
    if space.constraints and not support.constraints:
        reasons.append(f"keep constraints, got {'; '.join(space.constraints)}")
    return reasons


def _study_reasons(support: Support, objectives: Sequence[Objective], mode: str) -> list[str]:
    reasons = []
    if len(objectives) > 1 and not support.multi_objective:
        reasons.append(f"optimise several objectives, got {len(objectives)}")
    if mode == "batch" and not support.batch:
        reasons.append("run in batches, got mode batch")
    if mode == "async" and not support.asynchronous:
        reasons.append("run without batches, got mode async")
    return reasons


def able_to(ability: str) -> list[str]:
    """
    Return the names of our own strategies that have *ability*, a key of `Support`.
    """
    return [name for name in STRATEGIES.entries if getattr(STRATEGIES.load(name).support, ability)]


# Words of a strategy's note, and which spaces they are about.
_CAVEATS: dict[str, Callable[[Parameter], bool]] = {
    "weights": lambda item: getattr(item.distribution, "weights", None) is not None,
    "normal": lambda item: isinstance(item.distribution, (Normal, LogNormal)),
    "conditional": lambda item: bool(item.when),
    "choices and": lambda item: isinstance(item.distribution, Categorical),
}


def caveats(name: str, space: Space) -> list[str]:
    """
    Return what strategy *name* does otherwise than a person may think, for *space*.
    """
    clauses = STRATEGIES.load(name).support.note.split("; ")
    return [
        f"strategy {name}: {clause}"
        for clause in clauses
        if any(
            word in clause and any(map(concerns, space.parameters))
            for word, concerns in _CAVEATS.items()
        )
    ]


def lacks(name: str, ability: str) -> bool:
    """
    Return whether strategy *name* is known, and known not to have *ability*.
    """
    try:
        return not getattr(STRATEGIES.load(name).support, ability)
    except (ValueError, ImportError, AttributeError):
        return False  # that it is not known is told elsewhere


def strategy_problems(
    spec: StrategySpec,
    setting: Setting,
    *,
    space: Space,
    points: Sequence[Configuration] = (),
) -> list[Problem]:
    """
    Return what is wrong with a strategy's name and options, and with points.

    The paths begin at the blueprint's root: ``strategy.options.order``,
    ``points.2``.
    """
    wrong = list(points_problems(space, points))
    try:
        strategy = create_strategy(spec, setting)
    except ValidationError as error:
        model = STRATEGIES.load(spec.name).options_class
        return [*map(_option_problem, flaws(error, model)), *wrong]
    except (ValueError, ImportError, AttributeError) as error:
        hint = did_you_mean(spec.name, STRATEGIES.names())
        return [Problem("strategy.name", str(error), hint), *wrong]
    # Only a strategy whose options speak of the space has more to say.
    more = getattr(strategy, "problems", None)
    return [*(more(space) if more is not None else ()), *wrong]


def _option_problem(flaw: Flaw) -> Problem:
    path = ".".join(map(str, ("strategy", "options", *flaw.path)))
    return Problem(path, flaw.message, flaw.hint)


def exhaustible(space: Space) -> int | None:
    """
    Return exactly how many configurations *space* has, constraints counted.

    `None` where there is no end to them, or where counting would take longer
    than a moment: then there are more than any study tries, or the constraints
    leave so few of so many that only searching finds them.

    Example:
        >>> from airflow_hpo.model.distribution import Int
        >>> from airflow_hpo.model.space import Parameter
        >>> a, b = (Parameter(name=name, distribution=Int(low=1, high=4)) for name in "ab")
        >>> exhaustible(Space(parameters=(a, b), constraints=("a < b",)))
        6
    """
    return count_configurations(space)
