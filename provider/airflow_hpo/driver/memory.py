"""
What the journal keeps of an attempt for whoever takes over: jobs, verdicts, how far it came.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from airflow_hpo.metrics import final_metrics, judge
from airflow_hpo.model.placement import RunnerSpec
from airflow_hpo.model.stop import Stop
from airflow_hpo.model.trial import Failure, Outcome, TrialState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_hpo.model.objective import Objective
    from airflow_hpo.model.record import Attempt
    from airflow_hpo.model.trial import Measurement, Trial
    from airflow_hpo.model.values import Value
    from airflow_hpo.study import Study

__all__ = ["CallOff", "Memory", "StepMemory", "own_key", "steps_of"]


@dataclass(frozen=True, slots=True)
class CallOff:
    """
    Why an attempt was ended before its time.

    Args:
        state: What the trial becomes.

        reason: Why, in words.

        completes: Whether it is complete if what it measured is a result.
    """

    state: TrialState
    reason: str
    completes: bool = False

    @classmethod
    def of(cls, reason: str, state: TrialState) -> CallOff:
        """
        Return it for the *state* that is asked for.
        """
        completes = state is TrialState.COMPLETE
        return cls(TrialState.PRUNED if completes else state, reason, completes)

    def outcome(
        self, objectives: Sequence[Objective] = (), measured: Sequence[Measurement] = ()
    ) -> Outcome:
        """
        Return what it means for an attempt that *measured* so much.
        """
        if self.completes and measured:
            judged = judge(objectives, measured)
            if judged.state is TrialState.COMPLETE:
                return replace(judged, reason=self.reason)
        failure = Failure.INFRASTRUCTURE if self.state is TrialState.FAILED else None
        metrics = final_metrics(measured)
        return Outcome(self.state, metrics=metrics, reason=self.reason, failure=failure)


@dataclass(frozen=True, slots=True)
class StepMemory:
    """
    What is known of one step of an attempt.

    Args:
        handle: Of its job.

        runner: Where that runs.

        first: Number of measurements that the steps before it made.

        ended: Whether it ended well.

        notes: What its output was passed over for.
    """

    handle: str
    runner: RunnerSpec
    first: int = 0
    ended: bool = False
    notes: tuple[str, ...] = ()


class Memory:
    """
    Reads and writes what is kept of one attempt.

    Args:
        study: The study.

        trial: The trial, as the attempt began.
    """

    def __init__(self, study: Study, trial: Trial) -> None:
        self._study = study
        self._trial = trial
        known = study.storage.attempts(study.name, trial.number)
        own = [attempt for attempt in known if attempt.attempt == trial.attempt]
        self._data: dict[str, Value] = dict(own[-1].memory) if own else {}

    def _keep(self, key: str, value: Value) -> None:
        if self._data.get(key) == value:
            return
        self._data[key] = value
        study, trial = self._study, self._trial
        study.storage.remember(study.name, trial.number, {key: value}, attempt=trial.attempt)

    @property
    def is_empty(self) -> bool:
        """
        Whether nobody has worked on the attempt so far.
        """
        return not self._data

    def own(self, owner: str) -> None:
        """
        Note whose attempt it is: who comes back under that name goes on with it.
        """
        self._keep("owner", owner)

    @property
    def known_stop(self) -> Stop | None:
        """
        Why the study had ended before the attempt began, if it had.
        """
        known = self._data.get("known_stop")
        return None if known is None else Stop(*known)

    @known_stop.setter
    def known_stop(self, stop: Stop) -> None:
        self._keep("known_stop", [stop.rule, stop.reason, stop.trial])

    @property
    def called_off(self) -> CallOff | None:
        """
        Why it was ended before its time, if it was.
        """
        known = self._data.get("called_off")
        return None if known is None else CallOff(TrialState(known[0]), known[1], known[2])

    @called_off.setter
    def called_off(self, called: CallOff) -> None:
        self._keep("called_off", [called.state.value, called.reason, called.completes])

    @property
    def identity(self) -> str | None:
        """
        What the attempt does, where that may be of use to others.
        """
        known = self._data.get("identity")
        return None if known is None else str(known)

    @identity.setter
    def identity(self, identity: str) -> None:
        self._keep("identity", identity)

    def step(self, name: str) -> StepMemory | None:
        """
        Return what is known of a step; `None` if its job was not handed in yet.
        """
        return _step(self._data.get(f"step/{name}"))

    def keep_step(self, name: str, known: StepMemory) -> None:
        """
        Note what is known of a step.
        """
        runner = known.runner.model_dump(mode="json")
        kept = {"handle": known.handle, "runner": runner, "first": known.first}
        if known.ended:
            kept |= {"ended": True, "notes": list(known.notes)}
        self._keep(f"step/{name}", kept)

    def shown(self, step: str, log: str) -> int:
        """
        Return how many lines of a step's output were written to the log called *log*.
        """
        known = self._data.get(f"log/{step}")
        return known["lines"] if known and known["log"] == log else 0

    def keep_shown(self, step: str, log: str, lines: int) -> None:
        """
        Note how many lines of a step's output were written to the log called *log*.
        """
        self._keep(f"log/{step}", {"log": log, "lines": lines})


def _step(known: Value) -> StepMemory | None:
    if known is None:
        return None
    return StepMemory(
        known["handle"],
        RunnerSpec.model_validate(known["runner"]),
        known["first"],
        ended=known.get("ended", False),
        notes=tuple(known.get("notes", ())),
    )


def steps_of(attempt: Attempt) -> dict[str, StepMemory]:
    """
    Return what is known of the steps of *attempt* whose jobs were handed in, by name.
    """
    found: dict[str, StepMemory] = {}
    for key, value in attempt.memory.items():
        known = _step(value) if key.startswith("step/") else None
        if known is not None:
            found[key.removeprefix("step/")] = known
    return found


def own_key(study: Study, number: int, *, owner: str) -> str | None:
    """
    Return the key of the trial's latest attempt, if it is *owner*'s and there is nothing to repeat.

    It may go on, or have ended without its owner hearing of that.
    """
    attempts = study.storage.attempts(study.name, number)
    if not attempts or attempts[-1].memory.get("owner") != owner:
        return None
    outcome = attempts[-1].outcome
    failed = outcome is not None and outcome.state is TrialState.FAILED
    return None if failed else attempts[-1].key
