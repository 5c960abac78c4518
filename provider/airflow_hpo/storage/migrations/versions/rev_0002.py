"""
What whoever works on an attempt leaves for whoever takes over.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__ = ["branch_labels", "depends_on", "down_revision", "downgrade", "revision", "upgrade"]

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """
    Add the column.
    """
    op.add_column("hpo_attempt", sa.Column("memory", sa.Text))


def downgrade() -> None:
    """
    Drop the column, and what is in it.
    """
    op.drop_column("hpo_attempt", "memory")
