"""
The first tables: studies, trials, attempts, measurements and events.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__ = ["branch_labels", "depends_on", "down_revision", "downgrade", "revision", "upgrade"]

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _row_id() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _outcome_columns() -> list[sa.Column[object]]:
    return [
        sa.Column("objective_values", sa.Text),
        sa.Column("metrics", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("failure", sa.String(32)),
        sa.Column("exit_code", sa.BigInteger),
        sa.Column("started", sa.Double),
        sa.Column("finished", sa.Double),
    ]


def upgrade() -> None:
    """
    Make the tables.
    """
    _make_study()
    _make_trial()
    _make_attempt()
    _make_measurement()
    _make_event()


def _make_study() -> None:
    op.create_table(
        "hpo_study",
        sa.Column("id", _row_id(), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("definition", sa.Text, nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("plan", sa.Text, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("stop_rule", sa.Text),
        sa.Column("stop_reason", sa.Text),
        sa.Column("stop_trial", sa.Integer),
        sa.PrimaryKeyConstraint("id", name="pk_hpo_study"),
        sa.UniqueConstraint("name", name="uq_hpo_study_name"),
        sqlite_autoincrement=True,
    )


def _make_trial() -> None:
    op.create_table(
        "hpo_trial",
        sa.Column("study_id", sa.BigInteger, nullable=False),
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("configuration", sa.Text, nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("sampler", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("resource", sa.Text, nullable=False),
        sa.Column("parent", sa.Integer),
        sa.Column("labels", sa.Text, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        *_outcome_columns(),
        sa.PrimaryKeyConstraint("study_id", "number", name="pk_hpo_trial"),
        sa.ForeignKeyConstraint(["study_id"], ["hpo_study.id"], name="fk_hpo_trial_hpo_study"),
    )


def _make_attempt() -> None:
    op.create_table(
        "hpo_attempt",
        sa.Column("study_id", sa.BigInteger, nullable=False),
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("attempt", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("state", sa.String(32)),
        *_outcome_columns(),
        sa.PrimaryKeyConstraint("study_id", "number", "attempt", name="pk_hpo_attempt"),
        sa.ForeignKeyConstraint(
            ["study_id", "number"],
            ["hpo_trial.study_id", "hpo_trial.number"],
            name="fk_hpo_attempt_hpo_trial",
        ),
    )


def _make_measurement() -> None:
    op.create_table(
        "hpo_measurement",
        sa.Column("study_id", sa.BigInteger, nullable=False),
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("attempt", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("position", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("time", sa.Double, nullable=False),
        sa.Column("resource", sa.Text, nullable=False),
        sa.Column("metrics", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint(
            "study_id", "number", "attempt", "position", name="pk_hpo_measurement"
        ),
        sa.ForeignKeyConstraint(
            ["study_id", "number", "attempt"],
            ["hpo_attempt.study_id", "hpo_attempt.number", "hpo_attempt.attempt"],
            name="fk_hpo_measurement_hpo_attempt",
        ),
        sqlite_with_rowid=False,
    )


def _make_event() -> None:
    op.create_table(
        "hpo_event",
        sa.Column("id", _row_id(), nullable=False),
        sa.Column("study_id", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("time", sa.Double, nullable=False),
        sa.Column("trial", sa.Integer),
        sa.Column("data", sa.Text, nullable=False),
        sa.Column("once", sa.String(64)),
        sa.PrimaryKeyConstraint("id", name="pk_hpo_event"),
        sa.UniqueConstraint("study_id", "once", name="uq_hpo_event_study_id"),
        sa.ForeignKeyConstraint(["study_id"], ["hpo_study.id"], name="fk_hpo_event_hpo_study"),
    )


def downgrade() -> None:
    """
    Drop the tables, and everything in them.
    """
    for name in ("hpo_event", "hpo_measurement", "hpo_attempt", "hpo_trial", "hpo_study"):
        op.drop_table(name)
