"""
BOHB: Hyperband whose configurations come from a model of the highest rung.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from airflow_hpo.model.objective import loss
from airflow_hpo.model.trial import Suggestion, Trial, TrialState
from airflow_hpo.model.values import derive_seed
from airflow_hpo.strategies._ladder import Configurations, Members, RandomConfigurations
from airflow_hpo.strategies.base import Support
from airflow_hpo.strategies.hyperband import HyperbandOptions, HyperbandStrategy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_hpo.model.space import Space
    from airflow_hpo.strategies._draws import Draws
    from airflow_hpo.strategies._kde import KdeModel
    from airflow_hpo.strategies.base import Options

__all__ = ["BohbOptions", "BohbStrategy"]

# How often the model is asked for one trial before chance decides.
_PROPOSALS = 12

# No kernel is narrower, on the unit interval.
_NARROWEST = 1e-3

# What a model learns from: those with a value, and those that can have none.
_TAUGHT = frozenset({TrialState.COMPLETE, TrialState.INFEASIBLE})


class BohbOptions(HyperbandOptions):
    """
    Options of BOHB, by default as its reference implementation has them.

    Args:
        random_fraction: This share of all configurations is drawn at random.

        good_share: This share of a rung's trials counts as good.

        min_points: So many trials each of the good and the others must have;
            by default one more than there are parameters.

        n_candidates: How many candidates are drawn for each suggestion.

        widening: Numbers are drawn around good ones with so many times the
            width that the model sees them with.
    """

    random_fraction: float = Field(default=1 / 3, ge=0, le=1)
    good_share: float = Field(default=0.15, gt=0, lt=1)
    min_points: int | None = Field(default=None, ge=1)
    n_candidates: int = Field(default=64, ge=1)
    widening: float = Field(default=3, gt=0)


class BohbStrategy(HyperbandStrategy):
    """
    Runs Hyperband's brackets on configurations that a model proposes.

    The model is a TPE over the trials of one resource, the highest that has
    enough of them, whichever bracket they belong to: two kernel densities, of
    the good and of the others, whose ratio is best in what is proposed. Until there is one, and
    for a third of all configurations, chance decides. A rung is never mixed
    with another: values at different resources are not comparable.
    """

    name: ClassVar[str] = "bohb"
    options_class: ClassVar[type[Options]] = BohbOptions
    support: ClassVar[Support] = Support(
        multi_fidelity=True,
        asynchronous=False,
        note="weights of choices guide the random configurations only",
    )
    learns_from_rungs: ClassVar[bool] = True
    options: BohbOptions

    def source(self, space: Space, members: Members, draws: Draws, *, seed: int) -> Configurations:
        """
        Return the model with its share of chance; chance alone where nothing is known yet.
        """
        chance = RandomConfigurations(draws)
        enough = self.options.min_points or 1 + sum(1 for _ in space.tunable)
        taught = _highest_rung(members.trials, 2 * enough)
        if not taught:
            return chance
        model = self._model(space, taught, enough)
        return _Modelled(model, chance, self.options.random_fraction, seed)

    def _model(self, space: Space, taught: Sequence[Trial], enough: int) -> KdeModel:
        from airflow_hpo.strategies._kde import KdeModel, KdeRules

        rules = KdeRules(
            least=enough,
            share=self.options.good_share,
            candidates=self.options.n_candidates,
            widening=self.options.widening,
            narrowest=_NARROWEST,
        )
        return KdeModel(space, sorted(taught, key=self._rank), rules)

    def _rank(self, trial: Trial) -> tuple[bool, tuple[float, ...], int]:
        """
        Return what trials are sorted by: those without a value are the worst.
        """
        losses = loss(self.setting.objectives, trial.values or ()) if trial.values else ()
        return not losses, losses, trial.number


def _highest_rung(trials: list[Trial], enough: int) -> list[Trial]:
    """
    Return the trials of the highest resource that has *enough* to learn from.
    """
    rungs: dict[float, list[Trial]] = defaultdict(list)
    for trial in trials:
        if trial.resource is not None and trial.state in _TAUGHT:
            rungs[trial.resource].append(trial)
    whole = [resource for resource, members in rungs.items() if len(members) >= enough]
    return rungs[max(whole)] if whole else []


@dataclass(frozen=True, slots=True)
class _Modelled:
    """
    What a model proposes, and now and then chance.

    Args:
        model: Has seen the history.

        chance: Takes its share, and over where the model finds nothing new.

        share: Of chance.

        seed: Of the bracket.
    """

    model: KdeModel
    chance: RandomConfigurations
    share: float
    seed: int

    def next(self, index: int) -> Suggestion | None:
        """
        Return the configuration that the bracket draws as its *index*-th.
        """
        rng = random.Random(derive_seed(self.seed, "share", index))  # noqa: S311 - no secret
        suggestion = None if rng.random() < self.share else self._proposed(index)
        return suggestion or self.chance.next(index)

    def _proposed(self, index: int) -> Suggestion | None:
        for again in range(_PROPOSALS):
            configuration = self.model.propose(derive_seed(self.seed, "model", index, again))
            if self.chance.draws.accept(configuration):
                return Suggestion(configuration, "bohb")
        return None
