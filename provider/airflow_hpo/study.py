"""
Ask and tell: the one place where a strategy and a storage meet.
"""

from __future__ import annotations

import math
import secrets
import time
from typing import TYPE_CHECKING

from pydantic import ValidationError

from airflow_hpo.errors import StudyError
from airflow_hpo.model.blueprint import Blueprint
from airflow_hpo.model.objective import best_trial
from airflow_hpo.model.stop import Stop, decide
from airflow_hpo.model.trial import TrialState
from airflow_hpo.model.values import canonical
from airflow_hpo.strategies import strategy_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_hpo.model.record import StudyRecord
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

        Raises:
            StudyError: If it exists with another search space or objective.
        """
        seed = blueprint.strategy.seed
        record = storage.create(
            name,
            definition=blueprint.model_dump(mode="json"),
            seed=secrets.randbelow(2**31) if seed is None else seed,
            plan=plan or {},
        )
        _check_compatible(record, blueprint)
        return cls(storage, name, blueprint)

    @classmethod
    def load(cls, storage: Storage, name: str) -> Study:
        """
        Return an existing study, with the blueprint that it was made from.

        Raises:
            StudyNotFoundError: If there is none of that name.

            StudyError: If this version cannot read its blueprint.
        """
        return cls(storage, name, _defined(storage.load(name)))

    def record(self, *, measurements: bool = False) -> StudyRecord:
        """
        Return the study as it stands.
        """
        return self.storage.load(self.name, measurements=measurements)

    def ask(self, count: int, *, key: str) -> tuple[Trial, ...]:
        """
        Return up to *count* new trials, or again those that *key* got before.

        Fewer come back, or none, once the budget is spent or the study has
        ended. Where the strategy has nothing further to try, the study ends
        with that reason.

        Raises:
            SpaceExhaustedError: If no configuration satisfies the constraints.
        """
        exhausted: Stop | None = None

        def propose(record: StudyRecord) -> Sequence[Suggestion]:
            nonlocal exhausted
            wanted = min(count, self.remaining(record))
            if wanted <= 0 or record.stop is not None:
                return ()
            suggestions = self._suggest(record, wanted)
            exhausted = None if suggestions else _exhausted(record)
            return suggestions

        trials = self.storage.append(self.name, key, propose)
        if exhausted is not None:
            self.stop(exhausted)
        return trials

    def _suggest(self, record: StudyRecord, count: int) -> Sequence[Suggestion]:
        strategy = strategy_for(self.blueprint)
        return strategy.suggest(self.blueprint.space, record.trials, count, seed=record.seed)

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

    def decide(self, *, now: float | None = None) -> Stop | None:
        """
        Return why the study ends now, and keep the reason; `None` if it goes on.

        A study that was stopped opens again where its reason no longer holds,
        such as after its budget was raised; what a person stopped stays so.
        """
        record = self.record()
        stop = self._decision(record, now=time.time() if now is None else now)
        if stop is not None and record.stop is None:
            self.storage.stop(self.name, stop)
        elif stop is None and record.stop is not None:
            self.storage.stop(self.name, None)
        elif record.stop is not None:
            return record.stop  # the first reason stays
        return stop

    def stop(self, stop: Stop) -> None:
        """
        End the study; the first reason stays.
        """
        self.storage.stop(self.name, stop)

    def best(self) -> Trial | None:
        """
        Return the best complete trial; `None` if there is none.
        """
        return best_trial(self.blueprint.objectives, self.record().trials)

    def _decision(self, record: StudyRecord, *, now: float) -> Stop | None:
        if record.stop is not None and record.stop.rule == "user":
            return record.stop
        stop = self._failure_stop(record) or decide(
            self.blueprint.budget,
            self.blueprint.stop,
            self.blueprint.objectives,
            record.trials,
            now=now,
        )
        if stop is None and record.stop is not None and record.stop.rule == "exhausted":
            # A lost trial or another list of points gives it something to try.
            return None if self._suggest(record, 1) else record.stop
        return stop

    def _failure_stop(self, record: StudyRecord) -> Stop | None:
        if self.blueprint.trial.on_failure != "stop":
            return None
        for trial in record.trials:
            if trial.state is TrialState.FAILED and trial.is_counted:
                reason = f"trial {trial.number} failed: {trial.reason}"
                return Stop("on_failure", reason, trial.number)
        return None


# What must stay the same for as long as a study lives.
_FIXED = ("objectives", "space")


def _defined(record: StudyRecord) -> Blueprint:
    """
    Return the blueprint that a study was made from.
    """
    try:
        return Blueprint.model_validate(record.definition)
    except ValidationError as error:
        raise StudyError(
            f"the blueprint that study {record.name!r} was made from cannot be read: {error}"
        ) from error


def _check_compatible(record: StudyRecord, blueprint: Blueprint) -> None:
    # Both through the model, so that a key which a later version added with
    # its default is no difference.
    old, new = (each.model_dump(mode="json") for each in (_defined(record), blueprint))
    changed = [name for name in _FIXED if canonical(old[name]) != canonical(new[name])]
    if changed:
        raise StudyError(
            f"study {record.name!r} exists with other {' and '.join(changed)}; "
            "give this blueprint another study name to begin a new one"
        )


def _exhausted(record: StudyRecord) -> Stop:
    tried = len(record.trials)
    what = "the only configuration has" if tried == 1 else f"all {tried} configurations have"
    return Stop("exhausted", f"{what} been tried")
