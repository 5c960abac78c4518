"""
The tables of the journal, and their version.

Times are seconds since the epoch, UTC. What a user's code, a strategy or a
blueprint said is JSON text (see `codec`), so that types survive. Foreign keys
are enforced where the database does so by itself, which SQLite does not.

A change here needs a revision in ``migrations/versions`` and a new `REVISION`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

__all__ = [
    "REVISION",
    "VERSION_TABLE",
    "attempt",
    "event",
    "is_known",
    "measurement",
    "metadata",
    "study",
    "trial",
    "upgrade",
]

REVISION = "0002"
"""The newest revision: the one that this code reads and writes."""

# Names of our own, so that the journal can share a database with anything.
VERSION_TABLE = "hpo_alembic_version"

# SQLite numbers rows by itself only where the column is plainly INTEGER.
_RowId = BigInteger().with_variant(Integer(), "sqlite")

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)


def _outcome_columns() -> Sequence[Column[object]]:
    """
    Return the columns of how an attempt ended.
    """
    return (
        Column("objective_values", Text),
        Column("metrics", Text),
        Column("reason", Text),
        Column("failure", String(32)),
        Column("exit_code", BigInteger),
        Column("started", Double),
        Column("finished", Double),
    )


study = Table(
    "hpo_study",
    metadata,
    Column("id", _RowId, primary_key=True),
    Column("name", String(255), nullable=False, unique=True),
    Column("definition", Text, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("plan", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("stop_rule", Text),
    Column("stop_reason", Text),
    Column("stop_trial", Integer),
    sqlite_autoincrement=True,
)

# The state, attempt and outcome are the latest attempt's, kept here as well so
# that one plain query loads a study.
trial = Table(
    "hpo_trial",
    metadata,
    Column("study_id", BigInteger, ForeignKey(study.c.id), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("configuration", Text, nullable=False),
    Column("state", String(32), nullable=False),
    Column("sampler", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("resource", Text, nullable=False),
    Column("parent", Integer),
    Column("labels", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("attempt", Integer, nullable=False),
    *_outcome_columns(),
)

attempt = Table(
    "hpo_attempt",
    metadata,
    Column("study_id", BigInteger, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("key", Text, nullable=False),
    Column("state", String(32)),
    *_outcome_columns(),
    Column("memory", Text),
    ForeignKeyConstraint(["study_id", "number"], [trial.c.study_id, trial.c.number]),
)

measurement = Table(
    "hpo_measurement",
    metadata,
    Column("study_id", BigInteger, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("time", Double, nullable=False),
    Column("resource", Text, nullable=False),
    Column("metrics", Text, nullable=False),
    ForeignKeyConstraint(
        ["study_id", "number", "attempt"],
        [attempt.c.study_id, attempt.c.number, attempt.c.attempt],
    ),
    sqlite_with_rowid=False,
)

event = Table(
    "hpo_event",
    metadata,
    Column("id", _RowId, primary_key=True),
    Column("study_id", BigInteger, ForeignKey(study.c.id), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("time", Double, nullable=False),
    Column("trial", Integer),
    Column("data", Text, nullable=False),
    # The digest of a key, for what happens once per key. Not the key itself:
    # it may be longer than an index can hold.
    Column("once", String(64)),
    UniqueConstraint("study_id", "once"),
)

_MIGRATIONS = Path(__file__).parent / "migrations"


def is_known(revision: str) -> bool:
    """
    Return whether *revision* is one that this version can bring up to date.
    """
    return (_MIGRATIONS / "versions" / f"rev_{revision}.py").is_file()


def upgrade(connection: Connection) -> None:
    """
    Bring the tables up to date, within the *connection*'s transaction.
    """
    # Some 0.3 s, paid where the tables are made or changed and never again.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
