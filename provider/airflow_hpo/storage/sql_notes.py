"""
What each call does that notes something once and for all, inside the transaction it is given.

Every function may be called again after its transaction was committed without
anybody hearing of it: it then finds what it did, and does nothing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from airflow_hpo.model.record import Event
from airflow_hpo.storage import codec, rules, schema
from airflow_hpo.storage import sql_rows as rows
from airflow_hpo.storage import sql_statements as statements
from airflow_hpo.storage.sql_basics import find_study, insert_new

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from airflow_hpo.model.values import Value

__all__ = [
    "claim",
    "note",
    "noted",
    "noted_of_all",
    "promote",
    "promotions",
]


def noted(connection: Connection, study: str, kind: str) -> Mapping[str, Value] | None:
    """
    Return what is noted under *kind*; `None` if nothing is.
    """
    place = {"study_id": find_study(connection, study).id, "once": rows.digest(kind, of="noted")}
    found = connection.scalar(statements.ONCE, place)
    return None if found is None else codec.parse(found)


def note(
    connection: Connection, study: str, kind: str, data: Mapping[str, Value]
) -> Mapping[str, Value]:
    """
    Keep *data* under *kind*, unless something is there, and return what is.
    """
    event = Event(kind, time.time(), data=data)
    row = rows.event_row(
        event, find_study(connection, study).id, once=rows.digest(kind, of="noted")
    )
    connection.execute(insert_new(connection, schema.event), row)
    return noted(connection, study, kind) or {}


def noted_of_all(connection: Connection, kind: str) -> dict[str, Mapping[str, Value]]:
    """
    Return what is noted under *kind* about each study.
    """
    place = {"once": rows.digest(kind, of="noted")}
    return {
        name: codec.parse(data) for name, data in connection.execute(statements.NOTED_OF_ALL, place)
    }


def promote(connection: Connection, study: str, key: str, event: Event) -> None:
    """
    Keep the *event* of a promotion, unless there is one with this *key*.
    """
    once = rows.digest(key, of="promoted")
    row = rows.event_row(event, find_study(connection, study).id, once=once)
    connection.execute(insert_new(connection, schema.event), row)


def promotions(connection: Connection) -> tuple[Mapping[str, Value], ...]:
    """
    Return what is known of all promotions, oldest first.
    """
    return tuple(codec.parse(data) for (data,) in connection.execute(statements.PROMOTIONS))


def claim(connection: Connection, study: str, key: str, token: str) -> bool:
    """
    Return whether the caller, who is called *token*, is the first with *key*.

    The token is what tells the first from others where a call is repeated.
    """
    study_id = find_study(connection, study).id
    event = rules.announced(key, now=time.time())
    event = Event(event.kind, event.time, data={**event.data, "by": token})
    once = rows.digest(key, of="announced")
    row = rows.event_row(event, study_id, once=once)
    connection.execute(insert_new(connection, schema.event), row)
    known = connection.scalar(statements.ONCE, {"study_id": study_id, "once": once})
    return known is not None and codec.parse(known)["by"] == token
