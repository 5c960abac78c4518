"""
Airflow's connections, for runners: the official providers' hooks, where they are there.

Runners work without Airflow as well. Nothing of it is imported before a
blueprint names a connection.
"""

from __future__ import annotations

import importlib
from typing import Any

from airflow_hpo.errors import TrialInvalidError

__all__ = ["airflow_hook"]


def airflow_hook(path: str, connection: str, *, extra: str, **arguments: Any) -> Any:  # noqa: ANN401
    """
    Return the hook of an official provider.

    Args:
        path: The hook, as ``module:class``.

        connection: The Airflow connection, for the message.

        extra: What of ours to install for it.

        arguments: The hook's.

    Raises:
        TrialInvalidError: If Airflow or its provider is not installed, or has
            no such connection.
    """
    module, _, name = path.partition(":")
    try:
        hook = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise TrialInvalidError(
            f"connection {connection!r} needs Airflow and its provider: "
            f"pip install 'airflow-provider-hpo[{extra}]' ({error})"
        ) from error
    try:
        return hook(**arguments)
    except Exception as error:
        raise TrialInvalidError(f"connection {connection!r} cannot be used: {error}") from error
