"""
In which setting the suites ask strategies, and what the parts of `StrategyContract` share.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any, ClassVar

from airflow_hpo.model.objective import Objective
from airflow_hpo.model.resource import Resource
from airflow_hpo.model.space import Space
from airflow_hpo.model.strategy import StrategySpec
from airflow_hpo.model.trial import Suggestion, Trial
from airflow_hpo.strategies import STRATEGIES, create_strategy
from airflow_hpo.strategies.base import Setting, Strategy
from airflow_hpo.strategies.support import unsupported

__all__ = ["StrategyPart", "configurations", "follow", "make_strategy", "supports"]

_OBJECTIVES = (Objective(metric="loss", direction="minimize"),)

# Ladders of this height begin with more trials than the suite asks for at once.
_RESOURCE = Resource(name="epochs", min=1, max=81)


class StrategyPart:
    """
    A part of `StrategyContract`, which makes the strategies.
    """

    names: ClassVar[Sequence[str]] = ()
    unseeded: ClassVar[Sequence[str]] = ()

    def options_for(self, name: str, space: Space) -> Mapping[str, Any]:
        """
        Return the options with which *name* searches *space*.
        """
        raise NotImplementedError

    def make(self, name: str, space: Space) -> Strategy:
        """
        Return the strategy under test.
        """
        raise NotImplementedError


def make_strategy(name: str, options: Mapping[str, Any]) -> Strategy:
    """
    Return the strategy *name* as the suites ask it.
    """
    spec = StrategySpec(name=name, options=dict(options))
    setting = Setting(objectives=_OBJECTIVES, trials=100, startup_trials=4, resource=_RESOURCE)
    return create_strategy(spec, setting)


def configurations(suggestions: Sequence[Suggestion]) -> list[str]:
    """
    Return the configurations as text that tells types and order apart.
    """
    return [json.dumps(suggestion.configuration) for suggestion in suggestions]


def follow(trials: Sequence[Trial], suggestions: Sequence[Suggestion]) -> list[Trial]:
    """
    Return the history in which *suggestions* wait behind *trials*.
    """
    start = len(trials)
    return [
        *trials,
        *(
            Trial(
                start + place,
                suggestion.configuration,
                sampler=suggestion.sampler,
                labels=suggestion.labels,
            )
            for place, suggestion in enumerate(suggestions)
        ),
    ]


def supports(name: str, item: Space | tuple[Space, int]) -> bool:
    """
    Return whether *name* can search a space, which may come with its size.
    """
    extra = STRATEGIES.load(name).support.extra
    if extra is not None and find_spec(extra.package) is None:
        return False  # its own tests say so
    space = item if isinstance(item, Space) else item[0]
    return not unsupported(name, space=space, objectives=_OBJECTIVES, mode="batch")
