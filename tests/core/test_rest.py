"""
The REST client of `airflow_hpo.testing`, against a server that says what a test wants.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_hpo.testing.rest import AirflowRest, ApiError, StackError


class _Server:
    """
    Answers each path by a function of the request that returns status and JSON.
    """

    def __init__(self) -> None:
        self.routes: dict[str, Callable] = {"/auth/token": lambda _: (201, self.next_token())}
        self.asked: list[tuple[str, str, str]] = []
        self.tokens = 0

    def next_token(self) -> dict:
        self.tokens += 1
        return {"access_token": f"token-{self.tokens}"}

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        split = urlsplit(request.path)
        length = int(request.headers.get("Content-Length", 0))
        body = json.loads(request.rfile.read(length)) if length else None
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        self.asked.append((request.command, split.path, bearer))
        asked = {"query": parse_qs(split.query), "body": body, "token": bearer}
        status, answer = self.routes[split.path](asked)
        text = answer if isinstance(answer, str) else json.dumps(answer)
        request.send_response(status)
        request.end_headers()
        request.wfile.write(text.encode())


@pytest.fixture(name="server")
def _server() -> Iterator[_Server]:
    server = _Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.handle(self)

        do_POST = do_PATCH = do_GET  # noqa: N815 - the library's names

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        server.url = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        http.shutdown()
        thread.join()


@pytest.fixture(name="api")
def _api(server: _Server) -> AirflowRest:
    return AirflowRest(server.url, lambda: "secret")


def test_login_happens_once(server, api):
    """
    The password is exchanged for a token once, and every call bears it.
    """
    server.routes["/api/v2/dags"] = lambda _: (200, {"dags": []})

    api.get("/dags")
    api.get("/dags")

    assert [token for _, path, token in server.asked if path == "/api/v2/dags"] == ["token-1"] * 2
    assert server.tokens == 1


def test_refused_token_is_replaced(server, api):
    """
    A token that is refused, as after a restart, is replaced by a new one.
    """
    server.routes["/api/v2/dags"] = lambda asked: (
        (200, '"fine"') if asked["token"] == "token-2" else (401, {"detail": "Invalid JWT"})
    )

    assert api.get("/dags") == "fine"


def test_a_refusal_is_told_with_its_reason(server, api):
    """
    The error names the request, the status and what the server said.
    """
    server.routes["/api/v2/dags/x/dagRuns"] = lambda _: (400, {"detail": "bad trials"})

    with pytest.raises(ApiError, match=r"bad trials \(POST /api/v2/dags/x/dagRuns: 400\)") as info:
        api.post("/dags/x/dagRuns", {})

    assert not info.value.may_pass


def test_nobody_there_may_pass():
    """
    No answer at all is an error that asking again may cure.
    """
    with pytest.raises(ApiError, match=r"cannot be reached at http://127\.0\.0\.1:1: ") as info:
        AirflowRest("http://127.0.0.1:1", lambda: "secret").healthy()

    assert info.value.status is None
    assert info.value.may_pass


def test_trigger_unpauses_and_names_the_run(server, api):
    """
    Triggering unpauses the DAG, passes the configuration on and returns the run's id.
    """
    seen = {}

    def start(asked):
        seen.update(asked["body"])
        return 200, {"dag_run_id": "run 1"}

    server.routes["/api/v2/dags/a%20b"] = lambda asked: (200, asked["body"])
    server.routes["/api/v2/dags/a%20b/dagRuns"] = start

    assert api.trigger("a b", {"trials": 3}) == "run 1"
    assert ("PATCH", "/api/v2/dags/a%20b", "token-1") in server.asked
    assert seen == {"logical_date": None, "dag_run_id": None, "conf": {"trials": 3}}


@pytest.mark.parametrize("total", [0, 1, 100, 101, 250])
def test_all_pages_are_read(server, api, total):
    """
    Task instances come whole and in order, however many pages they take.
    """

    def page(asked):
        offset, limit = (int(asked["query"][name][0]) for name in ("offset", "limit"))
        rows = [{"map_index": index} for index in range(total)][offset : offset + limit]
        return 200, {"task_instances": rows, "total_entries": total}

    server.routes["/api/v2/dags/d/dagRuns/r/taskInstances"] = page

    found = api.task_instances("d", "r")

    assert [row["map_index"] for row in found] == list(range(total))


def test_waiting_outlives_a_hiccup(server, api):
    """
    A server error while waiting is passed over; the state is returned when it comes.
    """
    answers = iter([(500, "locked"), (200, {"state": "running"}), (200, {"state": "success"})])
    server.routes["/api/v2/dags/d/dagRuns/r"] = lambda _: next(answers)
    ticks = []

    state = api.wait("d", "r", interval=0, on_tick=lambda run: ticks.append(run["state"]))

    assert state == "success"
    assert ticks == ["running", "success"]


def test_waiting_ends_with_the_reason(server, api):
    """
    When the time is over the error says what did not come, and the last trouble.
    """
    server.routes["/api/v2/dags/d/dagRuns/r"] = lambda _: (503, "busy")

    with pytest.raises(StackError, match=r"run r of d must end within 0 s .*busy .*503"):
        api.wait("d", "r", timeout=0)


def test_waiting_does_not_hide_a_refusal(server, api):
    """
    What asking again cannot cure is raised at once.
    """
    server.routes["/api/v2/dags/d/dagRuns/r"] = lambda _: (404, {"detail": "no such run"})

    with pytest.raises(ApiError, match="no such run"):
        api.wait("d", "r", timeout=60)


def test_a_missing_dag_is_told_with_import_errors(server, api):
    """
    When a DAG does not come, the files that cannot be imported are quoted.
    """
    error = {"filename": "hpo.py", "stack_trace": "NameError: oops"}
    server.routes["/api/v2/dags/d"] = lambda _: (404, {"detail": "none"})
    server.routes["/api/v2/importErrors"] = lambda _: (200, {"import_errors": [error]})

    with pytest.raises(StackError, match=r"DAG d must be found[^\n]*\nhpo.py:\nNameError: oops"):
        api.wait_for_dag("d", timeout=0)


def test_result_is_the_last_line(server, api):
    """
    The result of a run is read from the last line of the stream, whatever task returned it.
    """
    lines = ['{"state": "running"}', '{"state": "success", "results": {"report": {"best": 1}}}']
    server.routes["/api/v2/dags/d/dagRuns/r/wait"] = lambda _: (200, "\n".join(lines))

    assert api.result("d", "r") == {"best": 1}


def test_logs_are_lines(server, api):
    """
    Structured log entries become lines of level and event, and of exceptions.
    """
    error = {"exc_type": "ValueError", "exc_value": "two\nlines", "frames": []}
    entries = [
        {"event": "hello", "level": "info"},
        {"event": "::group::"},
        {"event": "failed", "level": "error", "error_detail": [error]},
    ]
    path = "/api/v2/dags/d/dagRuns/r/taskInstances/t.trial/logs/2"
    server.routes[path] = lambda asked: (
        200,
        {"content": entries if asked["query"]["map_index"] == ["7"] else []},
    )
    task = {"dag_id": "d", "dag_run_id": "r", "task_id": "t.trial", "try_number": 2, "map_index": 7}

    assert api.log(task) == [
        "info: hello",
        "::group::",
        "error: failed",
        "ValueError: two",
        "lines",
    ]
