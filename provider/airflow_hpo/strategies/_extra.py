"""
Packages that only one strategy needs, and that are not always installed.
"""

from __future__ import annotations

from importlib.util import find_spec

from airflow_hpo.errors import Problem
from airflow_hpo.strategies.base import Extra

__all__ = ["missing_extra", "require_extra"]

_DISTRIBUTION = "airflow-provider-hpo"


def missing_extra(strategy: str, extra: Extra) -> list[Problem]:
    """
    Return that *extra* is missing, as a problem of the blueprint; or nothing.

    Nothing is imported to find out.
    """
    if find_spec(extra.package) is not None:
        return []
    return [
        Problem(
            "strategy.name",
            f"strategy {strategy} needs the package {extra.package}, which is not installed",
            f"pip install '{_DISTRIBUTION}[{extra.name}]'",
        )
    ]


def require_extra(strategy: str, extra: Extra) -> None:
    """
    Refuse to go on without *extra*.

    Raises:
        ImportError: With what to install.
    """
    for problem in missing_extra(strategy, extra):
        raise ImportError(f"{problem.message}: {problem.hint}")
