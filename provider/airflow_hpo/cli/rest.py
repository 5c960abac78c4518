"""
Airflow's REST API, as far as commands need it: login, DAGs, their runs, the study page.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from airflow_hpo.cli.api_server import ApiServer, RestError

__all__ = ["Airflow", "RestError"]


class Airflow(ApiServer):
    """
    Talks to one api-server.

    **How it works.** With a token it uses that; with a user name it gets one
    from the auth manager, and a new one when that has run out; with neither it
    asks whether Airflow lets everybody in.

    Args:
        url: Of the UI, with the path under which it is served.

        user: Who logs in; `None` for `HPO_AIRFLOW_USER`, or nobody.

        token: A bearer token; `None` for `HPO_AIRFLOW_TOKEN`.

        password: Gives the user's password, if it is needed.
    """

    def __init__(
        self,
        url: str,
        *,
        user: str | None = None,
        token: str | None = None,
        password: Any = None,  # noqa: ANN401 - a function without arguments
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.netloc:
            raise RestError(f"Airflow's address must be http://HOST or https://HOST, got {url!r}")
        super().__init__(url, token=token or os.environ.get("HPO_AIRFLOW_TOKEN") or "")
        self._user = user or os.environ.get("HPO_AIRFLOW_USER")
        self._password = password
        self._studies: dict[tuple[str, str], str] = {}

    def dag(self, dag_id: str) -> dict[str, Any]:
        """
        Return what Airflow knows of a DAG.

        Raises:
            RestError: With the nearest names, if there is none of that id.
        """
        try:
            return self._mapping("GET", f"/api/v2/dags/{quote(dag_id, safe='')}")
        except RestError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
        found = self._mapping("GET", "/api/v2/dags?tags=hpo&limit=100")
        known = ", ".join(sorted(dag["dag_id"] for dag in found["dags"])) or "none"
        raise RestError(
            f"there is no DAG {dag_id!r}; DAGs of blueprints are: {known}",
            status=HTTPStatus.NOT_FOUND,
        )

    def unpause(self, dag_id: str) -> None:
        """
        Let a DAG's runs begin.
        """
        self._mapping("PATCH", f"/api/v2/dags/{quote(dag_id, safe='')}", {"is_paused": False})

    def trigger(self, dag_id: str, conf: Mapping[str, Any]) -> dict[str, Any]:
        """
        Start a run of a DAG and return it.
        """
        body = {"logical_date": None, "conf": dict(conf)}
        return self._mapping("POST", f"/api/v2/dags/{quote(dag_id, safe='')}/dagRuns", body)

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """
        Return a run of a DAG.
        """
        return self._mapping("GET", _run_path(dag_id, run_id))

    def latest_run(self, dag_id: str) -> dict[str, Any]:
        """
        Return the newest run of a DAG.

        Raises:
            RestError: If it never ran.
        """
        path = f"/api/v2/dags/{quote(dag_id, safe='')}/dagRuns?limit=1&order_by=-id"
        runs = self._mapping("GET", path)["dag_runs"]
        if not runs:
            raise RestError(f"DAG {dag_id!r} has no run; hpo trigger starts one")
        found: dict[str, Any] = runs[0]
        return found

    def study_of(self, dag_id: str, run_id: str) -> dict[str, Any] | None:
        """
        Return the summary of the study that a run works on, from the study page.

        `None` where the run has no study yet, or Airflow has no such page.
        """
        query = urlencode({"dag_id": dag_id, "run_id": run_id})
        try:
            if (dag_id, run_id) not in self._studies:
                studies = self._mapping("GET", f"/hpo/api/studies?{query}")["studies"]
                if not studies:
                    return None
                self._studies[dag_id, run_id] = studies[0]["name"]
            name = quote(self._studies[dag_id, run_id], safe="")
            return self._mapping("GET", f"/hpo/api/study?study={name}")
        except RestError as error:
            if error.status in {HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN}:
                return None
            raise

    def trial_states(self, dag_id: str, run_id: str) -> dict[str, int]:
        """
        Return how many tasks of trials there are in each state.
        """
        found: dict[str, int] = {}
        offset = 0
        while True:
            page = self._mapping(
                "GET", f"{_run_path(dag_id, run_id)}/taskInstances?limit=100&offset={offset}"
            )
            for task in page["task_instances"]:
                if task["task_id"].split(".")[-1] == "trial" and task["map_index"] >= 0:
                    state = task["state"] or "waiting"
                    found[state] = found.get(state, 0) + 1
            offset += len(page["task_instances"])
            if not page["task_instances"] or offset >= page["total_entries"]:
                return found

    def page_of(self, dag_id: str, run_id: str) -> str:
        """
        Return where a person sees a run.
        """
        return f"{self.url}/dags/{quote(dag_id, safe='')}/runs/{quote(run_id, safe='')}"

    def _mapping(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        found: dict[str, Any] = self._ask(method, path, body)
        return found

    def _login(self) -> str:
        try:
            if self._user:
                password = self._password() if self._password else ""
                login = {"username": self._user, "password": password}
                answer = self._send("POST", "/auth/token", login)
            else:
                answer = self._send("GET", "/auth/token")
        except RestError as error:
            if error.status is None or error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise
            raise RestError(_not_in(self._user, error), status=error.status) from None
        return str(answer["access_token"])


def _run_path(dag_id: str, run_id: str) -> str:
    return f"/api/v2/dags/{quote(dag_id, safe='')}/dagRuns/{quote(run_id, safe='')}"


def _not_in(user: str | None, error: RestError) -> str:
    if user:
        return f"Airflow does not let {user!r} in: {error}"
    return (
        "Airflow wants a login\n"
        "    hint: --user NAME, with the password in HPO_AIRFLOW_PASSWORD or typed in; "
        "or a token in HPO_AIRFLOW_TOKEN"
    )
