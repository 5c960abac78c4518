"""
The rules by which `auto` chooses, as a table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from pydantic import Field

from airflow_hpo.model.base import Document
from airflow_hpo.model.distribution import Constant
from airflow_hpo.strategies import STRATEGIES

if TYPE_CHECKING:
    from airflow_hpo.model.space import Space
    from airflow_hpo.strategies.base import Setting, Support

__all__ = [
    "FIRST_LOOK",
    "GP_TRIALS",
    "RULES",
    "Case",
    "Choice",
    "Phase",
    "Rule",
    "choose",
    "passed_over",
]


class Phase(Document):
    """
    Which strategy proposes, from one trial on.

    Args:
        strategy: Its name.

        start: The number of its first trial.

        options: Its own.
    """

    strategy: str
    start: int = Field(default=0, ge=0)
    options: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Case:
    """
    What the rules look at.

    Args:
        objectives: How many are optimised.

        parameters: How many are searched; constants are not.

        conditional: Whether some are active only sometimes.

        trials: The budget.

        together: So many trials are suggested, or run, at the same time.

        constrained: Whether outcomes must satisfy something.
    """

    objectives: int
    parameters: int
    conditional: bool
    trials: int
    together: int
    constrained: bool


@dataclass(frozen=True, slots=True)
class Rule:
    """
    One line of the table.

    Args:
        when: In a person's words.

        fits: The same in code.

        strategy: What proposes once there is something to learn from.

        why: In a person's words.
    """

    when: str
    fits: Callable[[Case], bool]
    strategy: str
    why: str


# Beyond so many trials, populations do with several objectives what models did before.
_POPULATION = 500

# With more parameters, or more trials, a Gaussian process takes longer than it is worth.
_GP_PARAMETERS = 20
GP_TRIALS = 300

RULES: tuple[Rule, ...] = (
    Rule(
        f"four objectives or more, more than {_POPULATION} trials",
        lambda case: case.objectives >= 4 and case.trials > _POPULATION,  # noqa: PLR2004
        "nsga3",
        "reference points keep a front of many dimensions spread out",
    ),
    Rule(
        f"several objectives, more than {_POPULATION} trials",
        lambda case: case.objectives > 1 and case.trials > _POPULATION,
        "nsga2",
        "a population covers the front, and costs the same at any length",
    ),
    Rule(
        "several objectives",
        lambda case: case.objectives > 1,
        "tpe",
        "it learns from few trials",
    ),
    Rule(
        f"at most {_GP_PARAMETERS} parameters",
        lambda case: case.parameters <= _GP_PARAMETERS,
        "gp",
        "it learns most from few trials",
    ),
    Rule(
        "anything else",
        lambda _: True,
        "tpe",
        "it does not mind many parameters",
    ),
)


@dataclass(frozen=True, slots=True)
class Choice:
    """
    What was chosen.

    Args:
        phases: Who proposes, from which trial on.

        rule: The rule that decided.
    """

    phases: tuple[Phase, ...]
    rule: Rule


def choose(space: Space, setting: Setting) -> Choice:
    """
    Return the phases that the rules make of a blueprint.
    """
    case = _case(space, setting)
    rule = next(rule for rule in _fitting(case) if _is_installed(rule.strategy))
    startup = _startup(case, setting)
    # Few points for each branch of a condition: there chance found more than order.
    first = "random" if setting.startup_given or case.conditional else "qmc"
    phases = [Phase(strategy=first)] if startup else []
    phases.append(Phase(strategy=rule.strategy, start=startup))
    if rule.strategy == "gp" and case.trials > GP_TRIALS:
        phases.append(Phase(strategy="tpe", start=max(GP_TRIALS, startup + 1)))
    return Choice(tuple(phases), rule)


def _fitting(case: Case) -> Iterator[Rule]:
    """
    Yield the rules that fit, of strategies that are able to do what is asked for.
    """
    for rule in RULES:
        support: Support = STRATEGIES.load(rule.strategy).support
        if rule.fits(case) and (support.outcome_constraints or not case.constrained):
            yield rule


def _case(space: Space, setting: Setting) -> Case:
    searched = [item for item in space.parameters if not isinstance(item.distribution, Constant)]
    return Case(
        objectives=len(setting.objectives),
        parameters=len(searched),
        conditional=any(parameter.when for parameter in searched),
        trials=setting.trials,
        together=setting.together,
        constrained=bool(setting.outcome_constraints),
    )


# A quarter of the budget, but not more than so many, is spent on a first look.
FIRST_LOOK = 10


def _startup(case: Case, setting: Setting) -> int:
    """
    Return how many first trials only look around.

    Those of the first batch do in any case: there is nothing to learn from yet.
    """
    if setting.startup_given:
        return setting.startup_trials
    return max(case.together, min(FIRST_LOOK, case.trials // 4), 1)


def _is_installed(name: str) -> bool:
    extra = STRATEGIES.load(name).support.extra
    return extra is None or find_spec(extra.package) is not None


def passed_over(space: Space, setting: Setting) -> str | None:
    """
    Return what would have been chosen if it were installed.
    """
    case = _case(space, setting)
    rule = next(_fitting(case))
    extra = STRATEGIES.load(rule.strategy).support.extra
    if extra is None or _is_installed(rule.strategy):
        return None
    install = f"pip install 'airflow-provider-hpo[{extra.name}]'"
    return f"it would be {rule.strategy} if {extra.package} were installed: {install}"
