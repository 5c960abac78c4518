"""
What all model-based strategies share: random first, then what a model proposes.

A model may propose what is not allowed or was tried already; it is asked
again a few times, and then chance decides, so that no ask can hang.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from airflow_hpo.model.trial import Suggestion, Trial
from airflow_hpo.model.values import Configuration, Value, derive_seed
from airflow_hpo.strategies._draws import Draws

if TYPE_CHECKING:
    from airflow_hpo.model.space import Space
    from airflow_hpo.strategies.base import Strategy

__all__ = ["Counts", "LabellingModel", "Model", "Startup", "suggest_by_model"]

# How often the model is asked for one trial before chance decides.
_PROPOSALS = 12

Counts = Literal["all", "complete"]


class Model(Protocol):
    """
    An engine that has seen the history.
    """

    def propose(self, seed: int) -> Configuration:
        """
        Return a configuration; it is not shown as running until settled.
        """

    def settle(self, trial: Trial) -> None:
        """
        Forget what was proposed since, and show *trial*, which waits.
        """


@runtime_checkable
class LabellingModel(Model, Protocol):
    """
    An engine that keeps notes with its trials.
    """

    def labels(self, *, chosen: bool) -> Mapping[str, Value]:
        """
        Return what is to be kept with the trial that was asked for last.

        Args:
            chosen: Whether it tries what was proposed, not what chance drew.
        """


@dataclass(frozen=True, slots=True)
class Startup:
    """
    Which trials are random before the model takes over.

    Args:
        trials: How many.

        counts:
            ``all`` goes by the trial's number, whatever became of the ones
            before it; ``complete`` waits for so many that ended well. Trials
            of a warm start count in either case: they are known already.
    """

    trials: int
    counts: Counts

    def holds(self, number: int, trials: Sequence[Trial]) -> bool:
        """
        Return whether trial *number*, which follows *trials*, is random.
        """
        if self.counts == "complete":
            return sum(trial.is_complete for trial in trials) < self.trials
        given = sum(1 for _ in takewhile(lambda trial: trial.number < 0, trials))
        return given + number < self.trials


def suggest_by_model(
    space: Space,
    trials: Sequence[Trial],
    count: int,
    *,
    seed: int,
    sampler: str,
    startup: Startup,
    make_model: Callable[[Sequence[Trial]], Model | None],
    spread: Strategy | None = None,
) -> list[Suggestion]:
    """
    Return up to *count* suggestions, each new to the history and to each other.

    Args:
        space: What is allowed.

        trials: The whole history.

        count: How many are wanted.

        seed: The study's seed.

        sampler: The name for what the model proposed.

        startup: Which trials are drawn at random instead.

        make_model: Shows a history to the model; `None` if it teaches nothing.

        spread: Draws the start-up, if it is not left to chance.
    """
    draws = Draws(space, trials, seed=seed)
    numbers = range(draws.next_number, draws.next_number + count)
    drawn = [number for number in numbers if startup.holds(number, trials)]
    if spread is None:
        found = draws.suggestions(drawn, sampler="random")
    else:
        found = list(spread.suggest(space, trials, len(drawn), seed=seed)) if drawn else []
        for suggestion in found:
            draws.take(suggestion.configuration)
    if len(found) < len(drawn) or len(drawn) == count:
        return found
    history = [*trials, *(_waiting(*pair) for pair in zip(drawn, found, strict=True))]
    model = make_model(history)
    rest = numbers[len(drawn) :]
    if model is None:
        return found + draws.suggestions(rest, sampler="random")
    return found + _modelled(model, draws, rest, seed=seed, sampler=sampler)


def _modelled(
    model: Model, draws: Draws, numbers: Sequence[int], *, seed: int, sampler: str
) -> list[Suggestion]:
    """
    Return what the model proposes for *numbers*, or chance where it fails.
    """
    found: list[Suggestion] = []
    for number in numbers:
        suggestion = _proposed(model, draws, number, seed=seed, sampler=sampler)
        if suggestion is None:
            drawn = draws.suggestions([number], sampler="random")
            if not drawn:
                break
            suggestion = replace(drawn[0], labels=_labels(model, chosen=False))
        found.append(suggestion)
        model.settle(_waiting(number, suggestion))
    return found


def _labels(model: Model, *, chosen: bool) -> Mapping[str, Value]:
    return model.labels(chosen=chosen) if isinstance(model, LabellingModel) else {}


def _waiting(number: int, suggestion: Suggestion) -> Trial:
    return Trial(
        number, suggestion.configuration, sampler=suggestion.sampler, labels=suggestion.labels
    )


def _proposed(
    model: Model, draws: Draws, number: int, *, seed: int, sampler: str
) -> Suggestion | None:
    """
    Return what the model proposes for trial *number*, if that is acceptable.
    """
    for again in range(_PROPOSALS):
        parts = (number, again) if again else (number,)
        configuration = model.propose(derive_seed(seed, sampler, *parts))
        if draws.accept(configuration):
            return Suggestion(configuration, sampler, labels=_labels(model, chosen=True))
    return None
