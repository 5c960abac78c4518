"""
What all ladder strategies share: where a trial stands, and who moves up.

A promoted trial is a trial of its own: it has the configuration of the one
that it comes from and the resource of its rung. Labels say where it stands, so
the whole state of a ladder is the history.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar, Protocol

from pydantic import Field

from airflow_hpo.errors import Problem
from airflow_hpo.model.ladder import Bracket, Place, Rung, Scale, place_of, total_trials
from airflow_hpo.model.objective import loss
from airflow_hpo.model.trial import Suggestion, Trial
from airflow_hpo.model.values import derive_seed
from airflow_hpo.strategies._draws import Draws, next_number
from airflow_hpo.strategies._lattice import count_configurations
from airflow_hpo.strategies.base import Options, Setting, Support
from airflow_hpo.strategies.points import distinct_points, from_point

if TYPE_CHECKING:
    from airflow_hpo.model.objective import Objective
    from airflow_hpo.model.space import Space

__all__ = [
    "Configurations",
    "Ladder",
    "LadderOptions",
    "Members",
    "RandomConfigurations",
]


def _as_trial(number: int, suggestion: Suggestion) -> Trial:
    return Trial(
        number,
        suggestion.configuration,
        sampler=suggestion.sampler,
        resource=suggestion.resource,
        parent=suggestion.parent,
        labels=suggestion.labels,
    )


class Members:
    """
    The trials of a history by the place where they stand.

    Args:
        trials: The history.

        objectives: What is optimised; decides who is better.
    """

    def __init__(self, trials: Sequence[Trial], objectives: Sequence[Objective]) -> None:
        self.trials = list(trials)
        self._objectives = objectives
        self._at: dict[Place, list[Trial]] = defaultdict(list)
        for trial in trials:
            self._sort_in(trial)

    def add(self, suggestion: Suggestion) -> None:
        """
        Let what *suggestion* becomes wait behind the history.
        """
        trial = _as_trial(next_number(self.trials), suggestion)
        self.trials.append(trial)
        self._sort_in(trial)

    def at(self, place: Place) -> Sequence[Trial]:
        """
        Return the trials that stand at *place*, and no others.
        """
        return self._at.get(place, ())

    def due(self, place: Place, limit: int) -> list[Trial]:
        """
        Return who may move up from *place*, the best first.

        Only complete trials move up: those that failed rank behind all others,
        and there is nothing to go on from. Who moved up already keeps that
        place, whatever became of it since.

        Args:
            place: The rung whose own trials are ranked.

            limit: How many may be promoted from it in all.
        """
        gone = {trial.labels.get("from") for trial in self.at(place.above())}
        ranked = sorted(
            (trial for trial in self.at(place) if trial.is_complete),
            key=lambda trial: (loss(self._objectives, trial.values or ()), trial.number),
        )
        staying = [trial for trial in ranked[: max(0, limit)] if trial.number not in gone]
        return staying[: max(0, limit - len(self.at(place.above())))]

    def _sort_in(self, trial: Trial) -> None:
        place = place_of(trial)
        if place is not None:
            self._at[place].append(trial)


class Configurations(Protocol):
    """
    Where the configurations of a bracket come from.
    """

    def next(self, index: int) -> Suggestion | None:
        """
        Return the one that the bracket draws as its *index*-th; `None` if there is none.
        """


@dataclass(frozen=True, slots=True)
class RandomConfigurations:
    """
    Draws at random, each from a stream of its own.
    """

    draws: Draws

    def next(self, index: int) -> Suggestion | None:
        """
        Return a configuration that nobody tried yet.
        """
        configuration = self.draws.draw(index)
        if configuration is None:
            return None
        self.draws.take(configuration)
        return Suggestion(configuration, "random")


class LadderOptions(Options):
    """
    Options of every ladder strategy.

    Args:
        eta: One trial in this many moves up a rung.

        resume: Whether a promoted trial goes on from its parent's checkpoint;
            otherwise it starts afresh.
    """

    eta: float = Field(default=3, ge=2)
    resume: bool = True


class Ladder:
    """
    The base of the ladder strategies: rungs are filled, then the best move up.

    Within a rung everybody waits for everybody; brackets do not wait for each
    other, so that there is always something to do while a rung ends.
    """

    name: ClassVar[str]
    options_class: ClassVar[type[Options]] = LadderOptions
    support: ClassVar[Support] = Support(multi_fidelity=True, asynchronous=False)
    learns_from_rungs: ClassVar[bool] = False
    """Whether a bracket begins better once the one before has ended its first rung."""

    def __init__(self, options: LadderOptions, setting: Setting) -> None:
        """
        Keep *options* and *setting*.
        """
        self.options = options
        self.setting = setting

    def brackets(self, space: Space) -> tuple[Bracket, ...]:
        """
        Return the table of all brackets, in the order in which they begin.
        """
        raise NotImplementedError

    def scale(self) -> Scale:
        """
        Return what resources trials are given.

        Raises:
            ValueError: If the blueprint has no resource.
        """
        resource = self.setting.resource
        if resource is None:
            raise ValueError(f"resource must be given for strategy {self.name}")
        return Scale(
            resource.min,
            resource.max,
            self.options.eta,
            whole=resource.whole,
            resume=self.options.resume,
        )

    def problems(self, space: Space) -> Iterator[Problem]:
        """
        Yield what keeps the strategy from running, where its options are right.
        """
        if self.setting.resource is None:
            rule = f"must be given for strategy {self.name}"
            yield Problem("resource", rule, "write resource: {name: epochs, min: 1, max: 27}")
            return
        needed = self.needed(space)
        if needed > self.setting.trials:
            yield Problem(
                "budget.trials",
                f"must be at least {needed} for strategy {self.name} with "
                f"eta={self.options.eta:g} and {self.setting.resource.name} from "
                f"{self.setting.resource.min:g} to {self.setting.resource.max:g}, "
                f"got {self.setting.trials}",
                f"write {needed}: a promoted trial counts as one more",
            )

    def needed(self, space: Space) -> int:
        """
        Return how many trials the budget must have at least.
        """
        return total_trials(self.brackets(space))

    def limit(self, space: Space) -> int | None:
        """
        Return how many trials all rungs have together.
        """
        return total_trials(self.brackets(space))

    def configurations(self, space: Space) -> int | None:
        """
        Return how many configurations there are, where that may matter.
        """
        # None at all is an error that drawing one tells better.
        return count_configurations(space, enough=self.setting.trials) or None

    def suggest(
        self,
        space: Space,
        trials: Sequence[Trial],
        count: int,
        *,
        seed: int,
        only: Place | None = None,
    ) -> Sequence[Suggestion]:
        """
        Return up to *count* trials to run next; fewer while a rung is not whole.

        Args:
            space: What is allowed.

            trials: The whole history.

            count: How many are wanted.

            seed: The study's seed.

            only: The rung that they have to belong to.
        """
        members = Members(trials, self.setting.objectives)
        found: list[Suggestion] = []
        brackets = self.brackets(space)
        for bracket in brackets:
            if only is not None and (bracket.iteration, bracket.bracket) != only[:2]:
                continue
            first = bracket is brackets[0]
            due = self._of_bracket(
                space, bracket, members, count - len(found), seed=seed, first=first
            )
            found += [each for each in due if only is None or each.labels["rung"] == only.rung]
            if len(found) >= count:
                break
        return found

    def _of_bracket(
        self,
        space: Space,
        bracket: Bracket,
        members: Members,
        count: int,
        *,
        seed: int,
        first: bool,
    ) -> list[Suggestion]:
        """
        Return what is due in one bracket: new trials, or those that move up.
        """
        if count <= 0:
            return []
        found = self._new(space, bracket, members, count, seed=seed, first=first)
        if found:
            return found
        for rung, above in pairwise(bracket.rungs):
            place = Place(bracket.iteration, bracket.bracket, rung.rung)
            standing = members.at(place)
            if not standing or not all(trial.is_final for trial in standing):
                return []
            due = self._above(space, members, place, rung=above, count=count, seed=seed)
            if due:
                return due
        return []

    def _above(
        self, space: Space, members: Members, place: Place, *, rung: Rung, count: int, seed: int
    ) -> list[Suggestion]:
        """
        Return up to *count* trials that go on from *place*, whose trials have all ended.

        Args:
            space: What is allowed.

            members: The history.

            place: Where they come from.

            rung: Where they go.

            count: How many are wanted.

            seed: The study's seed.
        """
        del space, seed
        # Fewer than planned came so far where the space ended, or trials failed.
        limit = min(rung.trials, max(1, int(len(members.at(place)) // self.options.eta)))
        return self._promoted(members.due(place, limit)[:count], place, rung.resource, members)

    def _promoted(
        self, trials: Sequence[Trial], place: Place, resource: float, members: Members
    ) -> list[Suggestion]:
        """
        Return the trials that go on with the configurations of *trials*.
        """
        found = []
        for trial in trials:
            suggestion = Suggestion(
                trial.configuration,
                self.name,
                resource=resource,
                parent=trial.number if self.options.resume else None,
                labels=place.above().labels(trial.number),
            )
            members.add(suggestion)
            found.append(suggestion)
        return found

    def _new(
        self,
        space: Space,
        bracket: Bracket,
        members: Members,
        count: int,
        *,
        seed: int,
        first: bool,
    ) -> list[Suggestion]:
        """
        Return up to *count* trials that begin at the bracket's first rung.

        A bracket draws from streams of its own: two brackets never begin with
        the same configurations, and none depends on when another one began.
        """
        place, rung = Place(bracket.iteration, bracket.bracket, 0), bracket.rungs[0]
        start = len(members.at(place))
        wanted = range(start, min(start + count, rung.trials))
        if not wanted:
            return []
        stream = derive_seed(seed, self.name, bracket.iteration, bracket.bracket)
        draws = Draws(space, members.trials, seed=stream)
        source = self.source(space, members, draws, seed=stream)
        points = distinct_points(space, self.setting.points) if first else []
        found = []
        for index in wanted:
            suggestion = None
            if index < len(points):
                suggestion = from_point(space, points[index], members.trials, index, seed=stream)
                if suggestion is not None:
                    draws.take(suggestion.configuration)
            suggestion = suggestion or source.next(index)
            if suggestion is None:
                break
            new = replace(suggestion, resource=rung.resource, labels=place.labels())
            members.add(new)
            found.append(new)
        return found

    def source(self, space: Space, members: Members, draws: Draws, *, seed: int) -> Configurations:
        """
        Return where new configurations come from; at random, if nothing is known better.
        """
        del space, members, seed
        return RandomConfigurations(draws)
