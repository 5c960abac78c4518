"""
What Alembic runs around the revisions: on the connection it is handed.
"""

from __future__ import annotations

from alembic import context

from airflow_hpo.storage.schema import VERSION_TABLE, metadata


def run() -> None:
    """
    Run the revisions inside the caller's transaction.
    """
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=metadata,
        version_table=VERSION_TABLE,
        # SQLite changes a table by copying it.
        render_as_batch=True,
    )
    with context.begin_transaction():
        context.run_migrations()


# Alembic loads this file by its path, under this name; nobody else should run it.
if __name__ == "env_py":
    run()
