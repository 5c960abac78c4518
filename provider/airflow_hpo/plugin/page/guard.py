"""
Who may see what: Airflow's login on every route, its DAG permissions on every study.

A study belongs to the DAGs whose runs asked for its trials, and is shown to those
who may read the runs of all of them. One that no DAG asked anything of is shown
to those who may read the connection to the journal, as that leads to all of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import (
    ConnectionDetails,
    DagAccessEntity,
    DagDetails,
)
from airflow.api_fastapi.core_api.security import get_user
from airflow.models.dag import DagModel
from fastapi import Depends, HTTPException

from airflow_hpo.hooks.study import StudyHook

__all__ = ["USER", "Visitor", "login", "visitor"]

USER = Depends(get_user)
"""Refuses who is not logged in; by cookie, or by bearer token."""


class Visitor:
    """
    Somebody who is logged in, and what they may read; asked once a request.

    Args:
        user: As the auth manager knows them.
    """

    def __init__(self, user: Any) -> None:  # noqa: ANN401 - each auth manager has its own
        self._user = user
        self._dags: dict[str, bool] = {}
        self._journal: bool | None = None

    def may_read_dag(self, dag_id: str) -> bool:
        """
        Return whether they may read the runs of a DAG.
        """
        if dag_id not in self._dags:
            self._dags[dag_id] = bool(
                get_auth_manager().is_authorized_dag(
                    method="GET",
                    access_entity=DagAccessEntity.RUN,
                    details=_details(DagDetails, dag_id, id=dag_id),
                    user=self._user,
                )
            )
        return self._dags[dag_id]

    def may_read_journal(self) -> bool:
        """
        Return whether they may read the connection to the journal.
        """
        if self._journal is None:
            self._journal = bool(
                get_auth_manager().is_authorized_connection(
                    method="GET",
                    details=ConnectionDetails(conn_id=StudyHook().hpo_conn_id),
                    user=self._user,
                )
            )
        return self._journal

    def may_read(self, dags: Iterable[str]) -> bool:
        """
        Return whether they may read a study that belongs to *dags*.
        """
        owners = list(dags)
        if not owners:
            return self.may_read_journal()
        return all(map(self.may_read_dag, owners))

    def check(self, dags: Iterable[str] | None) -> None:
        """
        Refuse who may not read a study that belongs to *dags*.

        Args:
            dags: `None` where there is no such study: only who may read all of
                them is told so.
        """
        if dags is None and self.may_read_journal():
            raise HTTPException(404, "there is no such study")
        if dags is None or not self.may_read(dags):
            raise HTTPException(403, "Forbidden")


def _details(kind: type[Any], dag_id: str, **known: str) -> Any:  # noqa: ANN401 - Airflow's
    """
    Return what an auth manager is told of a DAG: with its team, where there are teams.
    """
    names = {field.name for field in fields(kind)}
    find = getattr(DagModel, "get_team_name", None)  # Airflow 3.2
    if "team_name" in names and find is not None:
        known["team_name"] = find(dag_id)
    return kind(**known)


def login(user: Any = USER) -> None:  # noqa: ANN401 - each auth manager has its own
    """
    Refuse who is not logged in: the dependency of the whole application.
    """
    del user


def visitor(user: Any = USER) -> Visitor:  # noqa: ANN401 - each auth manager has its own
    """
    Return who asks.
    """
    return Visitor(user)
