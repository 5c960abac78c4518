"""
ASHA: successive halving in which nobody waits for a rung to be whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from airflow_hpo.model.ladder import Bracket, Place, asynchronous
from airflow_hpo.strategies._ladder import Ladder, Members
from airflow_hpo.strategies.base import Support

if TYPE_CHECKING:
    from airflow_hpo.model.space import Space
    from airflow_hpo.model.trial import Suggestion, Trial

__all__ = ["AshaStrategy"]


class AshaStrategy(Ladder):
    """
    Promotes a trial as soon as any is due, and begins a new one otherwise.

    A trial is due when it is among the best *1/eta* of those that have ended on
    its rung; the highest rung is looked at first. Never more than *1/eta* of a
    rung move up, in whatever order its trials end.

    Rung *k* spends ``min * eta**k``, the last the maximum.
    """

    name: ClassVar[str] = "asha"
    support: ClassVar[Support] = Support(multi_fidelity=True)

    def brackets(self, space: Space) -> tuple[Bracket, ...]:
        """
        Return the most that the budget allows: any delay of a promotion spends less.
        """
        known = self.configurations(space)
        return (asynchronous(self.setting.trials, self.scale(), configurations=known),)

    def needed(self, space: Space) -> int:
        """
        Return the one trial that there must be.
        """
        del space
        return 1

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
        Return up to *count* trials to run next: promotions that are due, then new ones.
        """
        del only
        members = Members(trials, self.setting.objectives)
        (bracket,) = self.brackets(space)
        found: list[Suggestion] = []
        while len(found) < count:
            promoted = self._due(bracket, members)
            if not promoted:
                break
            found += promoted
        endless = self._endless(bracket, len(members.trials) + count)
        return found + self._new(space, endless, members, count - len(found), seed=seed, first=True)

    def _due(self, bracket: Bracket, members: Members) -> list[Suggestion]:
        """
        Return the one trial that is promoted now, if any is due.
        """
        for rung in reversed(bracket.rungs[:-1]):
            place = Place(bracket.iteration, bracket.bracket, rung.rung)
            ended = [each for each in members.at(place) if each.is_final and each.is_counted]
            due = members.due(place, int(len(ended) // self.options.eta))
            if due:
                above = bracket.rungs[rung.rung + 1]
                return self._promoted(due[:1], place, above.resource, members)
        return []

    @staticmethod
    def _endless(bracket: Bracket, trials: int) -> Bracket:
        """
        Return the bracket with room for any number of new trials: the budget ends them.
        """
        first = replace(bracket.rungs[0], trials=trials)
        return replace(bracket, rungs=(first, *bracket.rungs[1:]))
