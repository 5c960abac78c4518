"""
What a storage is: the study journal, and its contract in words.

* **Nothing told is ever lost.** A call that returned is durable, whichever
  process is killed next.
* **Idempotent.** `create` and `append` with the same key, `start` with the same
  attempt key, `measure` with the same positions, `finish` with the same
  outcome, `redefine` with the same definition and `note` with the same kind
  are no-ops the second time and return the same study, trials, attempt or note
  as the first time, as they stand by then.
* **Atomic.** `append` runs *propose* and records its answer as one step: two
  callers at once get different trials, numbered without a gap.
* **Supersede, never overwrite.** A new attempt at a final trial makes it
  running again; the old attempt, its measurements and its outcome stay on
  record, and a late `finish` of the old attempt no longer changes the trial.
* **Values keep their types**: what JSON can write comes back as it was, NaN and
  infinities too (tuples come back as lists).
* **Safe from any process or thread**, and opened lazily: making a storage
  object touches nothing. Where several processes can share it, it can be
  pickled and may be used on both sides of a fork.

Where the journal cannot be reached every call raises `StorageError`; where a
value, a name or a key can't be kept, `ValueError`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from airflow_hpo.model.record import Attempt, Event, StudyRecord, StudySummary
    from airflow_hpo.model.stop import Stop
    from airflow_hpo.model.trial import Measurement, Outcome, Suggestion, Trial
    from airflow_hpo.model.values import Value

    Propose: TypeAlias = Callable[[StudyRecord], Sequence[Suggestion]]

__all__ = ["Propose", "Storage"]


@runtime_checkable
class Storage(Protocol):
    """
    Keeps studies. See the module's docstring for the contract.
    """

    def create(
        self,
        study: str,
        *,
        definition: Mapping[str, Value],
        seed: int,
        plan: Mapping[str, Value],
    ) -> StudyRecord:
        """
        Create *study* unless it exists, and return it (without measurements).

        Where it exists, nothing about it changes: the first definition, seed
        and plan stay.
        """

    def load(self, study: str, *, measurements: bool = False) -> StudyRecord:
        """
        Return the study as it stands.

        Args:
            study: Its name.

            measurements: Whether each trial brings those of its latest attempt.

        Raises:
            StudyNotFoundError: If there is none.
        """

    def redefine(self, study: str, definition: Mapping[str, Value]) -> None:
        """
        Put *definition* in the place of the one that the study has.

        The old one stays on record, as an event.
        """

    def note(
        self, study: str, kind: str, make: Callable[[], Mapping[str, Value]]
    ) -> Mapping[str, Value]:
        """
        Keep something about a study once and for all, and return what is kept.

        Args:
            study: Its name.

            kind: One of `airflow_hpo.model.record.NOTES`.

            make: What to keep; not called where something is kept already.
                If it raises, nothing is kept.
        """

    def noted(self, kind: str) -> Mapping[str, Mapping[str, Value]]:
        """
        Return what is noted under *kind* about each study, by the study's name.
        """

    def promote(self, study: str, key: str, data: Mapping[str, Value]) -> None:
        """
        Keep that a trial of *study* became a champion; nothing new for a known *key*.

        Args:
            study: Its name.

            key: Which promotion this is, such as run and task.

            data: What there is to know of it; the study's name is added.
        """

    def promotions(self) -> Sequence[Mapping[str, Value]]:
        """
        Return the *data* of all promotions of all studies, oldest first.
        """

    def claim(self, study: str, key: str) -> bool:
        """
        Return whether this is the first call with *key*, which is kept as an event.

        Of several callers at once exactly one is the first.
        """

    def studies(self) -> Sequence[StudySummary]:
        """
        Return a line about every study, newest first.
        """

    def version(self, study: str) -> str:
        """
        Return a text that is another one as soon as anything about the study is.

        For those who look again and again: it takes much less than `load`.
        """

    def keys(self, study: str) -> Sequence[str]:
        """
        Return the keys of all asks that got trials, those of the first trials first.
        """

    def append(
        self, study: str, key: str, propose: Propose, *, measurements: bool = False
    ) -> tuple[Trial, ...]:
        """
        Record what *propose* suggests as new trials, or return those of *key*.

        *propose* is called once, with the record at this moment, only if no
        earlier call used *key* for this study. If it raises, nothing is
        recorded. An empty answer is recorded too.

        It is called a second time, with a new record, only where the database
        went away before its first answer was kept: it should be pure.

        Args:
            study: Its name.

            key: Which ask this is, such as run, task and round.

            propose: What to record, given the study as it stands.

            measurements: Whether the record's trials bring theirs, as in `load`.
        """

    def start(self, study: str, number: int, *, key: str, at: float | None = None) -> Trial:
        """
        Begin a new attempt at trial *number*, or find the one that *key* began.

        A final trial becomes running again and its outcome is superseded. An
        older attempt that has not ended stays without an outcome for ever.

        Where *key* is found, the trial comes back as that attempt has it: its
        number, and its outcome if it has one, also where a later one began.

        Args:
            study: Its name.

            number: The trial's number.

            key: What makes the attempt unique, such as task, run and try.

            at: When it began, in seconds since the epoch; now by default. For
                what ran elsewhere, before the journal heard of it.
        """

    def measure(
        self,
        study: str,
        number: int,
        measurements: Sequence[Measurement],
        *,
        attempt: int,
        first: int,
    ) -> None:
        """
        Add to what *attempt* at trial *number* measured.

        While it is the latest attempt and runs, the trial's ``metrics`` follow:
        the last value of every metric so far.

        Args:
            study: Its name.

            number: The trial's number.

            measurements: In the order they were printed.

            attempt: Counts from 1.

            first:
                Position of the first of them within the attempt, from 0: what
                makes repeating the call harmless. Positions already there
                are kept as they are.
        """

    def measurements(
        self, study: str, number: int, *, attempt: int | None = None
    ) -> Sequence[Measurement]:
        """
        Return what *attempt* at trial *number* measured, by position.

        Args:
            study: Its name.

            number: The trial's number.

            attempt: Counts from 1; the latest by default.
        """

    def attempts(self, study: str, number: int) -> Sequence[Attempt]:
        """
        Return every attempt at trial *number*, oldest first.
        """

    def remember(self, study: str, number: int, data: Mapping[str, Value], *, attempt: int) -> None:
        """
        Keep *data* for whoever takes over *attempt*, such as the handle of its job.

        What is kept under other keys stays; under the same, the newest counts.

        Args:
            study: Its name.

            number: The trial's number.

            data: JSON-compatible; small.

            attempt: Counts from 1.
        """

    def finish(self, study: str, number: int, outcome: Outcome, *, attempt: int) -> Trial:
        """
        Record how *attempt* at trial *number* ended; returns the trial.

        Attempt 0 ends a trial that never started. A second, different outcome
        for the same attempt is refused, unless the first was ``paused``; for
        an attempt that is no longer the latest it is kept on record and the
        trial stays as it is. The time does not make an outcome different.

        Raises:
            StudyError: If the move is not in the table of transitions.
        """

    def stop(self, study: str, stop: Stop | None) -> None:
        """
        Record why the study ended; `None` opens it again.

        The first reason stays until the study is opened again.
        """

    def events(self, study: str) -> Sequence[Event]:
        """
        Return what happened, oldest first.
        """

    def delete(self, study: str) -> None:
        """
        Remove the study and everything about it, for good.
        """

    def close(self) -> None:
        """
        Let go of connections; the next call makes new ones.
        """
