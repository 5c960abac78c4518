"""
The study journal in a SQL database: SQLite for one machine, else PostgreSQL.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING
from uuid import uuid4

from airflow_hpo.storage import codec, rules, sql_attempts, sql_look, sql_notes, sql_studies
from airflow_hpo.storage.sql_database import Database

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from airflow_hpo.model.record import Attempt, Event, StudyRecord, StudySummary
    from airflow_hpo.model.stop import Stop
    from airflow_hpo.model.trial import Measurement, Outcome, Suggestion, Trial
    from airflow_hpo.model.values import Value
    from airflow_hpo.storage.base import Propose

__all__ = ["SqlStorage"]


class SqlStorage:
    """
    Keeps studies in a SQL database; see `Storage`.

    **How it works.** Each call is one transaction and is repeated where the
    database was busy or went away. Two that change the same trial wait for
    each other; two that ask for new trials of the same study do too (on
    SQLite: of any study), for as long as *propose* takes. Nobody else waits
    for *propose*: trials start, measure and finish meanwhile.

    **What it does not do.** It keeps no state but the URL: make as many as
    needed, pickle it, fork. Connections belong to the process.

    **Known limitation.** SQLite needs a local disk: its locks mean nothing on
    most network file systems. Several machines need PostgreSQL.

    Args:
        url: ``sqlite:///FILE`` or ``postgresql://USER:PASSWORD@HOST/DATABASE``.

    Raises:
        StorageError: If *url* is neither.
    """

    def __init__(self, url: str) -> None:
        """
        Keep *url*; nothing is connected to yet.
        """
        self._database = Database(url)

    def __repr__(self) -> str:
        """
        Return the URL without its secrets.
        """
        return f"{type(self).__name__}({str(self._database)!r})"

    def create(
        self,
        study: str,
        *,
        definition: Mapping[str, Value],
        seed: int,
        plan: Mapping[str, Value],
    ) -> StudyRecord:
        """
        See `Storage.create`.
        """
        rules.check_study(study, seed)
        definition_text, plan_text = codec.dump(definition), codec.dump(plan)

        def known(connection: Connection) -> StudyRecord | None:
            found = sql_studies.exists(connection, study)
            return sql_studies.load(connection, study) if found else None

        # Every task opens its study; only the first should wait for writers.
        return self._database.read(known) or self._database.write(
            lambda connection: sql_studies.create(
                connection, study, definition=definition_text, seed=int(seed), plan=plan_text
            )
        )

    def load(self, study: str, *, measurements: bool = False) -> StudyRecord:
        """
        See `Storage.load`.
        """
        return self._database.read(
            lambda connection: sql_studies.load(connection, study, measurements=measurements)
        )

    def redefine(self, study: str, definition: Mapping[str, Value]) -> None:
        """
        See `Storage.redefine`.
        """
        text = codec.dump(definition)
        self._database.write(lambda connection: sql_studies.redefine(connection, study, text))

    def note(
        self, study: str, kind: str, make: Callable[[], Mapping[str, Value]]
    ) -> Mapping[str, Value]:
        """
        See `Storage.note`.
        """
        rules.check_note(kind)
        known = self._database.read(lambda connection: sql_notes.noted(connection, study, kind))
        if known is not None:
            return known
        data = codec.copy(make())
        return self._database.write(
            lambda connection: sql_notes.note(connection, study, kind, data)
        )

    def noted(self, kind: str) -> Mapping[str, Mapping[str, Value]]:
        """
        See `Storage.noted`.
        """
        rules.check_note(kind)
        return self._database.read(lambda connection: sql_notes.noted_of_all(connection, kind))

    def promote(self, study: str, key: str, data: Mapping[str, Value]) -> None:
        """
        See `Storage.promote`.
        """
        rules.check_key(key)
        event = rules.promoted(study, key, data, now=time.time())
        self._database.write(lambda connection: sql_notes.promote(connection, study, key, event))

    def promotions(self) -> Sequence[Mapping[str, Value]]:
        """
        See `Storage.promotions`.
        """
        return self._database.read(sql_notes.promotions)

    def claim(self, study: str, key: str) -> bool:
        """
        See `Storage.claim`.
        """
        rules.check_key(key)
        token = uuid4().hex
        return self._database.write(
            lambda connection: sql_notes.claim(connection, study, key, token)
        )

    def studies(self) -> Sequence[StudySummary]:
        """
        See `Storage.studies`.
        """
        return self._database.read(sql_studies.studies)

    def version(self, study: str) -> str:
        """
        See `Storage.version`.
        """
        return self._database.read(lambda connection: sql_look.version(connection, study))

    def keys(self, study: str) -> Sequence[str]:
        """
        See `Storage.keys`.
        """
        return self._database.read(lambda connection: sql_look.keys(connection, study))

    def append(
        self, study: str, key: str, propose: Propose, *, measurements: bool = False
    ) -> tuple[Trial, ...]:
        """
        See `Storage.append`.
        """
        rules.check_key(key)

        def ask(connection: Connection) -> sql_studies.Asked | sql_studies.Opening:
            return sql_studies.ask(connection, study, key, measurements=measurements)

        def add(
            connection: Connection, found: sql_studies.Opening, suggestions: Sequence[Suggestion]
        ) -> tuple[Trial, ...]:
            return sql_studies.add_trials(connection, found, key, suggestions)

        def ask_and_add(connection: Connection) -> tuple[Trial, ...]:
            found = ask(connection)
            if isinstance(found, sql_studies.Asked):
                return found.trials
            return add(connection, found, propose(found.record))

        if self._database.file is None:
            return self._database.write(ask_and_add)
        # SQLite can lock no row, only the file: then no trial could tell
        # anything for as long as *propose* takes. So the asking wait outside.
        with self._database.turn():
            found = self._database.read(ask)
            if isinstance(found, sql_studies.Asked):
                return found.trials
            suggestions = propose(found.record)
            return self._database.write(lambda connection: add(connection, found, suggestions))

    def start(self, study: str, number: int, *, key: str, at: float | None = None) -> Trial:
        """
        See `Storage.start`.
        """
        rules.check_key(key)
        return self._database.write(
            lambda connection: sql_attempts.start(connection, study, number, key=key, at=at)
        )

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
        See `Storage.measure`.
        """
        rules.check_measure(number, measurements, first=first)
        self._database.write(
            lambda connection: sql_attempts.measure(
                connection, study, number, measurements, attempt=attempt, first=first
            )
        )

    def measurements(
        self, study: str, number: int, *, attempt: int | None = None
    ) -> Sequence[Measurement]:
        """
        See `Storage.measurements`.
        """
        return self._database.read(
            lambda connection: sql_attempts.measurements(connection, study, number, attempt=attempt)
        )

    def attempts(self, study: str, number: int) -> Sequence[Attempt]:
        """
        See `Storage.attempts`.
        """
        return self._database.read(
            lambda connection: sql_attempts.attempts(connection, study, number)
        )

    def remember(self, study: str, number: int, data: Mapping[str, Value], *, attempt: int) -> None:
        """
        See `Storage.remember`.
        """
        copied = codec.copy(data)
        self._database.write(
            lambda connection: sql_attempts.remember(
                connection, study, number, copied, attempt=attempt
            )
        )

    def finish(self, study: str, number: int, outcome: Outcome, *, attempt: int) -> Trial:
        """
        See `Storage.finish`.
        """
        return self._database.write(
            lambda connection: sql_attempts.finish(
                connection, study, number, outcome, attempt=attempt
            )
        )

    def stop(self, study: str, stop: Stop | None) -> None:
        """
        See `Storage.stop`.
        """
        self._database.write(lambda connection: sql_studies.stop(connection, study, stop))

    def events(self, study: str) -> Sequence[Event]:
        """
        See `Storage.events`.
        """
        return self._database.read(lambda connection: sql_studies.events(connection, study))

    def delete(self, study: str) -> None:
        """
        See `Storage.delete`.
        """
        self._database.write(lambda connection: sql_studies.delete(connection, study))

    def close(self) -> None:
        """
        See `Storage.close`.
        """
        self._database.close()
