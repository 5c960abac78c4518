"""
Airflow's REST API: what tests and the demo need of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from airflow_hpo.cli.api_server import ApiServer, RestError
from airflow_hpo.errors import HpoError

__all__ = ["AirflowRest", "ApiError", "StackError"]

_Found = TypeVar("_Found")

_PAGE = 100
"""Airflow's default ``[api] maximum_page_limit``."""

_IMPORT_ERROR_PATIENCE_S = 15.0
"""How long a missing DAG may still come from another file than the broken one."""


class StackError(HpoError):
    """
    An Airflow that was started for a test or the demo does not do what it should.
    """


class ApiError(StackError, RestError):
    """
    The REST API refused a request or could not be reached.
    """


class AirflowRest(ApiServer):
    """
    Talks to one api-server.

    Args:
        url: Where it listens, without a path: ``http://127.0.0.1:8080``.

        password:
            Gives the password of *username*; called on first use, because a
            fresh api-server makes it up when it starts.

        username: Of the simple auth manager.
    """

    error = ApiError

    def __init__(self, url: str, password: Callable[[], str], *, username: str = "admin") -> None:
        super().__init__(url)
        self.username = username
        self._password = password

    @property
    def password(self) -> str:
        """
        What a person types beside `username`.
        """
        return self._password()

    def check(self) -> None:
        """
        Raise if waiting any longer is pointless; here it never is.
        """

    def get(self, path: str, **query: object) -> Any:
        """
        Return what ``GET /api/v2`` + *path* answers; a *query* of `None` is left out.
        """
        given = {name: value for name, value in query.items() if value is not None}
        return self._call("GET", f"{path}?{urlencode(given, doseq=True)}" if given else path)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """
        Return what ``POST /api/v2`` + *path* with *body* answers.
        """
        return self._call("POST", path, body)

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """
        Return what ``PATCH /api/v2`` + *path* with *body* answers.
        """
        return self._call("PATCH", path, body)

    def healthy(self) -> dict[str, str | None]:
        """
        Return the state of each component as Airflow itself sees it.
        """
        answer = self._send("GET", "/api/v2/monitor/health")
        return {name: report["status"] for name, report in answer.items() if report}

    def import_errors(self) -> dict[str, str]:
        """
        Return the trace of each DAG file that cannot be imported, by file name.
        """
        errors = self.get("/importErrors", limit=_PAGE)["import_errors"]
        return {error["filename"]: error["stack_trace"] for error in errors}

    def wait_for_dag(self, dag_id: str, *, timeout: float = 120.0) -> None:
        """
        Wait until *dag_id* is known.

        Raises:
            StackError: If it does not come; tells of files that cannot be imported.
        """
        what = f"DAG {dag_id} must be found"
        broken_since: float | None = None

        def probe() -> bool | None:
            nonlocal broken_since
            if self._has(dag_id):
                return True
            if not self.import_errors():
                broken_since = None
                return None
            broken_since = broken_since or time.monotonic()
            if time.monotonic() - broken_since > _IMPORT_ERROR_PATIENCE_S:
                raise StackError(what)
            return None

        try:
            self.until(probe, timeout=timeout, what=what)
        except ApiError:
            raise
        except StackError as error:
            traces = "".join(f"\n{file}:\n{text}" for file, text in self.import_errors().items())
            raise StackError(f"{error}{traces}") from None

    def trigger(
        self,
        dag_id: str,
        conf: Mapping[str, Any] | None = None,
        *,
        run_id: str | None = None,
    ) -> str:
        """
        Unpause *dag_id*, start it, and return the run's id.
        """
        dag = f"/dags/{_part(dag_id)}"
        self.patch(dag, {"is_paused": False})
        body = {"logical_date": None, "dag_run_id": run_id, "conf": dict(conf or {})}
        started: str = self.post(f"{dag}/dagRuns", body)["dag_run_id"]
        return started

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """
        Return the DAG run as it stands.
        """
        found: dict[str, Any] = self.get(_run(dag_id, run_id))
        return found

    def wait(
        self,
        dag_id: str,
        run_id: str,
        *,
        timeout: float = 600.0,
        on_tick: Callable[[dict[str, Any]], None] | None = None,
        interval: float = 1.0,
    ) -> str:
        """
        Wait until the run has ended, and return its state.

        Args:
            dag_id: The DAG.

            run_id: The run.

            timeout: In seconds; then `StackError`.

            on_tick: Called with the run as it stands, every *interval*.

            interval: In seconds.
        """

        def probe() -> str | None:
            run = self.run(dag_id, run_id)
            if on_tick:
                on_tick(run)
            return run["state"] if run["state"] in {"success", "failed"} else None

        what = f"run {run_id} of {dag_id} must end"
        return self.until(probe, timeout=timeout, what=what, interval=interval)

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """
        Return all task instances of the run, mapped ones included.
        """
        path, found = f"{_run(dag_id, run_id)}/taskInstances", list[dict[str, Any]]()
        while True:
            page = self.get(path, limit=_PAGE, offset=len(found), order_by="id")
            found += page["task_instances"]
            if not page["task_instances"] or len(found) >= page["total_entries"]:
                return found

    def xcom(
        self,
        dag_id: str,
        run_id: str,
        task_id: str,
        *,
        key: str = "return_value",
        map_index: int = -1,
    ) -> Any:
        """
        Return what a task pushed.
        """
        path = f"{_run(dag_id, run_id)}/taskInstances/{_part(task_id)}/xcomEntries/{_part(key)}"
        return self.get(path, map_index=map_index, deserialize=False)["value"]

    def result(self, dag_id: str, run_id: str) -> Any:
        """
        Return the result of an ended run (what its task marked as result returned).
        """
        answer = self._call("GET", f"{_run(dag_id, run_id)}/wait?interval=1", lines=True)
        results = answer[-1].get("results") or {}
        return next(iter(results.values()), None)

    def log(self, instance: Mapping[str, Any]) -> list[str]:
        """
        Return the lines that the latest try of a task instance logged.
        """
        run = _run(instance["dag_id"], instance["dag_run_id"])
        path = f"{run}/taskInstances/{_part(instance['task_id'])}/logs/{instance['try_number']}"
        answer = self.get(path, map_index=instance["map_index"], full_content=True)
        lines = (entry if isinstance(entry, str) else _line(entry) for entry in answer["content"])
        return "\n".join(lines).splitlines()

    def until(
        self,
        probe: Callable[[], _Found | None],
        *,
        timeout: float,
        what: str,
        interval: float = 1.0,
    ) -> _Found:
        """
        Ask *probe* again and again until it returns something.

        Args:
            probe: Returns `None` for "not yet". An `ApiError` that may pass
                counts as that too.

            timeout: In seconds; then `StackError` says that *what* did not come.

            what: "X must Y".

            interval: In seconds.
        """
        deadline = time.monotonic() + timeout
        while True:
            self.check()
            trouble = ""
            try:
                found = probe()
            except ApiError as error:
                if not error.may_pass:
                    raise
                trouble = f" ({error})"
            else:
                if found is not None:
                    return found
            if time.monotonic() >= deadline:
                raise StackError(f"{what} within {timeout:g} s{trouble}")
            time.sleep(interval)

    def _has(self, dag_id: str) -> bool:
        try:
            self.get(f"/dags/{_part(dag_id)}")
        except ApiError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            return False
        return True

    def _login(self) -> str:
        login = {"username": self.username, "password": self.password}
        return str(self._send("POST", "/auth/token", login)["access_token"])

    def _call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, lines: bool = False
    ) -> Any:
        return self._ask(method, f"/api/v2{path}", body, lines=lines)


def _part(text: str) -> str:
    return quote(text, safe="")


def _run(dag_id: str, run_id: str) -> str:
    return f"/dags/{_part(dag_id)}/dagRuns/{_part(run_id)}"


def _line(entry: Mapping[str, Any]) -> str:
    level = entry.get("level")
    causes = [f"{error['exc_type']}: {error['exc_value']}" for error in _errors(entry)]
    return "\n".join([f"{level}: {entry['event']}" if level else str(entry["event"]), *causes])


def _errors(entry: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """
    Return the exceptions that an entry tells of.
    """
    return entry.get("error_detail") or []
