"""
The study itself: what asks its strategy, and keeps what trials tell.
"""

from __future__ import annotations

import math
import secrets
import time
from typing import TYPE_CHECKING

from airflow_hpo.errors import StudyError
from airflow_hpo.history import adopt, collect, defined, history_notes
from airflow_hpo.model.decision import reached
from airflow_hpo.model.objective import best_trial
from airflow_hpo.model.pending import awaits_retry, unsettled
from airflow_hpo.strategies.auto import choice_of
from airflow_hpo.study.ending import ending
from airflow_hpo.study.suggesting import exhausted, is_ladder, suggest, waits

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from airflow_hpo.model.blueprint import Blueprint
    from airflow_hpo.model.ladder import Place
    from airflow_hpo.model.record import StudyRecord
    from airflow_hpo.model.stop import Stop
    from airflow_hpo.model.trial import Measurement, Outcome, Suggestion, Trial
    from airflow_hpo.model.values import Value
    from airflow_hpo.storage.base import Storage

__all__ = ["Study"]


class Study:
    """
    One study: asks its strategy, and keeps what trials tell.

    Make it with `open` (creates it where it does not exist) or `load`.

    Args:
        storage: The journal.

        name: The study's name.

        blueprint: What it optimises, and how.

    Example:
        >>> from airflow_hpo.blueprint import parse_blueprints
        >>> from airflow_hpo.storage import open_storage
        >>> (blueprint,) = parse_blueprints('''
        ... hpo: 1
        ... name: parabola
        ... objective: {metric: y, direction: minimize}
        ... space: {x: {float: [-1, 1]}}
        ... strategy: {name: random, seed: 7}
        ... budget: {trials: 3}
        ... trial: {command: "echo {x}"}
        ... ''')
        >>> study = Study.open(open_storage("memory://example"), "parabola", blueprint)
        >>> [trial.number for trial in study.ask(2, key="first")]
        [0, 1]
        >>> [trial.number for trial in study.ask(2, key="second")]
        [2]
    """

    def __init__(self, storage: Storage, name: str, blueprint: Blueprint) -> None:
        self.storage = storage
        self.name = name
        self.blueprint = blueprint

    @classmethod
    def open(
        cls,
        storage: Storage,
        name: str,
        blueprint: Blueprint,
        *,
        plan: Mapping[str, Value] | None = None,
    ) -> Study:
        """
        Return the study called *name*, creating it where it does not exist.

        One that exists goes on with *blueprint*, also where that was changed:
        `past` says what of its trials fits another search space.

        Raises:
            StudyError: If it exists with another objective.
        """
        seed = blueprint.strategy.seed
        record = storage.create(
            name,
            definition=blueprint.model_dump(mode="json"),
            seed=secrets.randbelow(2**31) if seed is None else seed,
            plan=plan or {},
        )
        adopt(storage, record, defined(record), blueprint)
        choice = choice_of(blueprint)
        if choice is not None:
            storage.note(name, "strategy_chosen", lambda: choice)
        return cls(storage, name, blueprint)

    @classmethod
    def load(cls, storage: Storage, name: str) -> Study:
        """
        Return an existing study, with the blueprint that it was made from.

        Raises:
            StudyNotFoundError: If there is none of that name.

            StudyError: If this version cannot read its blueprint.
        """
        return cls(storage, name, defined(storage.load(name)))

    def record(self, *, measurements: bool = False) -> StudyRecord:
        """
        Return the study as it stands.
        """
        return self.storage.load(self.name, measurements=measurements)

    def ask(self, count: int, *, key: str, only: Place | None = None) -> tuple[Trial, ...]:
        """
        Return up to *count* new trials, or again those that *key* got before.

        Fewer come back, or none, once the budget is spent or the study has
        ended, and from a ladder while a rung is not whole. Where the strategy
        has nothing further to try, the study ends with that reason.

        Args:
            count: How many are wanted.

            key: Which ask this is.

            only: The rung of a ladder that they have to belong to.

        Raises:
            SpaceExhaustedError: If no configuration satisfies the constraints.
        """
        self.begin()
        end: Stop | None = None

        def propose(record: StudyRecord) -> Sequence[Suggestion]:
            nonlocal end
            wanted = min(count, self.remaining(record))
            if wanted <= 0 or record.stop is not None:
                return ()
            suggestions = suggest(record, self.blueprint, wanted, only=only)
            ends = not suggestions and only is None and not waits(record, self.blueprint)
            end = exhausted(record, self.blueprint) if ends else None
            return suggestions

        # How far a pruned trial came is what it teaches; else last values are enough.
        pruned = self.blueprint.pruner is not None
        trials = self.storage.append(self.name, key, propose, measurements=pruned)
        if end is not None:
            self.stop(end)
        return trials

    def begin(self) -> None:
        """
        Fetch the trials of a warm start, unless that was done before.

        Raises:
            StudyError: If there are none to be had.
        """
        warm_start = self.blueprint.beginning
        if warm_start is not None:
            self.storage.note(
                self.name,
                "warm_started",
                lambda: collect(warm_start, self.blueprint, storage=self.storage, study=self.name),
            )

    def belong(self, interval: Mapping[str, Value]) -> None:
        """
        Note which run the study is for, unless that was noted before.

        Args:
            interval: ``dag``, ``search`` (what tells it from others of the DAG),
                ``run``, and ``at``: the moment it is about, in seconds since
                the epoch.
        """
        self.storage.note(self.name, "interval", lambda: interval)

    def past(self) -> list[str]:
        """
        Return what is to be said of trials from elsewhere, or of another space.
        """
        return history_notes(self.record(), self.blueprint)

    @property
    def is_ladder(self) -> bool:
        """
        Whether trials are promoted to more of the resource.
        """
        return is_ladder(self.blueprint)

    def remaining(self, record: StudyRecord) -> int:
        """
        Return how many trials the budget still allows.

        A trial that was lost to the machine's fault costs nothing.
        """
        counted = sum(1 for trial in record.trials if trial.is_counted)
        return max(0, self.blueprint.budget.trials - counted)

    def start(self, number: int, *, key: str) -> Trial:
        """
        Begin an attempt at trial *number*; the same *key* finds it again.
        """
        return self.storage.start(self.name, number, key=key)

    def measure(
        self, number: int, measurements: Sequence[Measurement], *, attempt: int, first: int
    ) -> None:
        """
        Keep what an attempt measured; *first* is the position of the first.
        """
        if measurements:
            self.storage.measure(self.name, number, measurements, attempt=attempt, first=first)

    def tell(self, number: int, outcome: Outcome, *, attempt: int) -> Trial:
        """
        Keep how an attempt ended.
        """
        if any(not math.isfinite(value) for value in outcome.values or ()):
            raise StudyError(f"values of trial {number} must be finite, got {outcome.values}")
        return self.storage.finish(self.name, number, outcome, attempt=attempt)

    def decide(self, *, now: float | None = None, pending: Collection[int] = ()) -> Stop | None:
        """
        Return why the study ends now, and keep the reason; `None` if it goes on.

        A study that was stopped opens again where its reason no longer holds,
        such as after its budget was raised; what a person stopped stays so.

        Args:
            now: Seconds since the epoch; the clock's by default.

            pending: Failed trials that are about to be tried again: they are
                not held against the study yet.
        """
        record = self.record()
        seen = unsettled(record, lambda trial: trial.number in pending)
        stop = ending(seen, self.blueprint, storage=self.storage, now=_now(now))
        if stop is not None and record.stop is None:
            self.storage.stop(self.name, stop)
        elif stop is None and record.stop is not None:
            self.storage.stop(self.name, None)
        elif record.stop is not None:
            return record.stop  # the first reason stays
        return stop

    def look(self, *, now: float | None = None) -> Stop | None:
        """
        Return why the study has ended, or ends at this moment; `None` if it goes on.

        For those who only want to know whether to go on: unlike `decide`, it
        opens no study again, and a failed trial that is to be tried once more
        is not held against the study yet.
        """
        record, moment = self.record(), _now(now)
        if record.stop is not None:
            return record.stop
        retries = self.blueprint.trial.most_retries
        seen = unsettled(record, lambda trial: awaits_retry(trial, retries, moment))
        stop = ending(seen, self.blueprint, storage=self.storage, now=moment)
        if stop is not None:
            self.storage.stop(self.name, stop)
        return stop

    def reached(self, trial: Trial, measurements: Sequence[Measurement]) -> Stop | None:
        """
        Return the stop rule that a running trial fires; the study ends with it.

        Args:
            trial: The trial; ``metrics`` as they were before.

            measurements: What it measured since then, each of which counts.
        """
        rules, objectives = self.blueprint.stop, self.blueprint.objectives
        stop = reached(rules, objectives, trial, measurements)
        if stop is not None:
            self.storage.stop(self.name, stop)
        return stop

    def stop(self, stop: Stop) -> None:
        """
        End the study; the first reason stays.
        """
        self.storage.stop(self.name, stop)

    def best(self) -> Trial | None:
        """
        Return the best complete trial that is feasible; `None` if there is none.
        """
        feasible = self.blueprint.outcomes.feasible(self.record().trials)
        return best_trial(self.blueprint.objectives, feasible)


def _now(now: float | None) -> float:
    return time.time() if now is None else now
