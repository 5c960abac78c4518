"""
Options of HyperOpt's algorithms: names, defaults and meaning are HyperOpt's own.
"""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

from pydantic import Field, field_validator

from airflow_hpo.strategies._hyperopt_expressions import ExpressionName
from airflow_hpo.strategies.base import Options

__all__ = [
    "HyperoptAnnealOptions",
    "HyperoptMixOptions",
    "HyperoptOptions",
    "HyperoptTpeOptions",
]

_PROBABILITY_NOISE = 1e-5

_Part: TypeAlias = tuple[float, Literal["random", "anneal", "tpe"]]


class HyperoptOptions(Options):
    """
    What all of HyperOpt's algorithms have in common.

    Args:
        expressions:
            Which of HyperOpt's expressions stands for a parameter, by the
            parameter's name: such as ``randint`` for a whole number whose
            neighbours have nothing in common. Others go by distribution: a
            float is ``uniform`` or ``loguniform``, an int ``uniformint`` (its
            ends are half as likely) or ``qloguniform``, a choice ``choice`` or
            with weights ``pchoice``, and normals are what they are called, with
            steps ``q...``. Floats whose steps count from zero are ``quniform``
            or ``qloguniform`` as they stand; where steps count from the lower
            bound, HyperOpt searches their places, so that bounds are kept.

        labels:
            What HyperOpt calls a parameter, where that is not its name. It
            draws parameters in the order of their labels.

        repeats:
            Whether a configuration may be tried again, as in ``fmin``.

        max_deviations:
            A normal parameter further from its mean than so many deviations is
            drawn again; `None` for no limit, as in ``fmin``. At least 8, which
            is beyond what is ever drawn by chance alone.
    """

    expressions: dict[str, ExpressionName] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)
    repeats: bool = False
    max_deviations: float | None = Field(default=None, ge=8)


class HyperoptTpeOptions(HyperoptOptions):
    """
    Options of HyperOpt's TPE; names, defaults and meaning are HyperOpt's own.

    Args:
        gamma:
            How many trials count as good: this times the square root of how
            many there are, rounded up, 25 at most.

        n_EI_candidates: How many candidates are drawn for each suggestion.

        prior_weight: How much the distribution weighs against one trial.

        linear_forgetting: So many latest trials weigh fully, older ones less.

        running:
            Trials that wait or run count among the bad ones (``native``), so
            that others keep away from them, or not at all (``ignore``).

        startup:
            Trials are random until ``startup_trials`` have ``finished``, so
            that a wide first batch is random as a whole; or as long as their
            ``number`` is below it, whatever became of the others. Where one
            trial runs at a time and none fails, these are the same.
    """

    gamma: float = Field(default=0.25, gt=0)
    n_EI_candidates: int = Field(default=24, ge=1)  # noqa: N815 - HyperOpt's name
    prior_weight: float = Field(default=1.0, gt=0)
    linear_forgetting: int = Field(default=25, ge=1)
    running: Literal["native", "ignore"] = "native"
    startup: Literal["finished", "number"] = "finished"


class HyperoptAnnealOptions(HyperoptOptions):
    """
    Options of HyperOpt's annealing; names, defaults and meaning are HyperOpt's own.

    Args:
        avg_best_idx:
            Mean of the rank, from 1, of the good trial near which the next one is
            drawn.

        shrink_coef: How fast what counts as near shrinks with every trial.

        running: As for TPE.
    """

    avg_best_idx: float = Field(default=2.0, ge=1)
    shrink_coef: float = Field(default=0.1, ge=0)
    running: Literal["native", "ignore"] = "native"


class HyperoptMixOptions(HyperoptTpeOptions, HyperoptAnnealOptions):
    """
    Options of HyperOpt's mixture, and of what is mixed.

    Args:
        p_suggest: Pairs of a probability and the algorithm that is then taken.
    """

    p_suggest: tuple[_Part, ...] = (
        (0.1, "random"),
        (0.2, "anneal"),
        (0.7, "tpe"),
    )

    @field_validator("p_suggest")
    @classmethod
    def _probabilities(cls, pairs: tuple[_Part, ...]) -> tuple[_Part, ...]:
        shares = [share for share, _ in pairs]
        total = math.fsum(shares)
        if not shares or min(shares) < 0 or abs(total - 1) > _PROBABILITY_NOISE:
            raise ValueError(f"probabilities must be positive and sum to 1, got {shares}")
        return pairs
