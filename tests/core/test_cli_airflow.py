"""
``hpo trigger`` and ``hpo watch``, against a server that answers as Airflow does.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_hpo.cli import app
from airflow_hpo.cli.rest import Airflow, RestError

RUN = "manual__1"
BEST = {"number": 1, "values": {"y": 0.75}, "parameters": {"lr": 0.5}}


class Server:
    """
    One DAG whose run goes on a step with each look at it.
    """

    def __init__(self):
        self.asked, self.bodies, self.tokens = [], [], 0
        self.paused, self.page, self.password = False, True, "secret"
        self.states = ["queued", "running", "success"]
        self.failures = []

    def answer(self, method, path, query, body, token):
        """
        Return status and JSON for a request.
        """
        self.asked.append((method, path))
        self.bodies.append(body)
        if self.failures:
            return self.failures.pop(0)
        if path == "/air/auth/token":
            return self._login(method, body)
        if token != f"token-{self.tokens}":
            return 401, {"detail": "Not authenticated"}
        if path.startswith("/air/hpo/"):
            return self._page(path, query)
        return self._api(method, path.removeprefix("/air/api/v2"), body)

    def _login(self, method, body):
        if method == "GET" or body["password"] != self.password:
            return 401, {"detail": "Invalid credentials"}
        self.tokens += 1
        return 201, {"access_token": f"token-{self.tokens}"}

    def _page(self, path, query):
        if not self.page:
            return 404, {"detail": "Not Found"}
        if path.endswith("studies"):
            assert query == {"dag_id": ["digits"], "run_id": [RUN]}
            return 200, {"studies": [{"name": "digits/1"}]}
        assert query == {"study": ["digits/1"]}
        return 200, {
            "study": "digits/1",
            "trials": 2,
            "budget": {"trials": 4},
            "best": BEST,
            "states": {"complete": 1, "running": 1},
            "stop": {"reason": "enough"},
        }

    def _api(self, method, path, body):  # noqa: PLR0911 - a return a route
        if path == "/dags":
            return 200, {"dags": [{"dag_id": "digits"}, {"dag_id": "other"}]}
        if path == "/dags/digits":
            self.paused = self.paused and method != "PATCH"
            return 200, {"is_paused": self.paused}
        if path == "/dags/digits/dagRuns" and method == "POST":
            if body["conf"].get("trials") == 99:
                return 400, {"detail": "trials must be at most 50"}
            return 200, {"dag_run_id": RUN, "state": "queued"}
        if path == "/dags/digits/dagRuns":
            return 200, {"dag_runs": [{"dag_run_id": RUN}]}
        if path == f"/dags/digits/dagRuns/{RUN}":
            state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
            return 200, {"state": state}
        if path == f"/dags/digits/dagRuns/{RUN}/taskInstances":
            tasks = [("round_00.trial", 0, "success"), ("round_00.trial", 1, None)]
            tasks.append(("round_00.suggest", -1, "success"))
            names = ("task_id", "map_index", "state")
            found = [dict(zip(names, task, strict=True)) for task in tasks]
            return 200, {"task_instances": found, "total_entries": 3}
        return 404, {"detail": "not found"}


@pytest.fixture(name="server")
def _server(monkeypatch):
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            split = urlsplit(self.path)
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length)) if length else None
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            status, answer = server.answer(
                self.command, split.path, parse_qs(split.query), body, token
            )
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        do_POST = do_PATCH = do_GET  # noqa: N815 - the library's names

        def log_message(self, *_):
            pass

    for name in ("USER", "TOKEN", "PASSWORD", "URL"):
        monkeypatch.delenv(f"HPO_AIRFLOW_{name}", raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        # Under a path, as behind a proxy that serves more than Airflow.
        server.url = f"http://127.0.0.1:{http.server_port}/air/"
        monkeypatch.setenv("HPO_AIRFLOW_URL", server.url)
        monkeypatch.setenv("HPO_AIRFLOW_USER", "somebody")
        monkeypatch.setenv("HPO_AIRFLOW_PASSWORD", "secret")
        yield server
        http.shutdown()
        thread.join()


class TestTrigger:
    """
    ``hpo trigger``.
    """

    def test_settings_reach_the_run(self, hpo, server):
        """
        What was chosen is the run's conf; what was not is left to the blueprint.
        """
        words = ["--trials", "8", "--seed", "0", "--set", "target=0.9", "--set", "note=a=b"]
        found = hpo.json("trigger", "digits", *words)

        assert found["run"] == RUN
        assert found["url"] == f"{server.url}dags/digits/runs/{RUN}"
        conf = {"trials": 8, "seed": 0, "target": 0.9, "note": "a=b"}
        assert server.bodies[-1] == {"logical_date": None, "conf": conf}

    def test_a_file_says_the_dag(self, hpo, server):
        """
        A blueprint stands for the DAG that it becomes.
        """
        hpo("trigger", "digits.yaml")

        assert server.asked[-1] == ("POST", "/air/api/v2/dags/digits/dagRuns")

    def test_a_paused_dag(self, hpo, server):
        """
        That a run has to wait is said; with --unpause it has not.
        """
        server.paused = True
        result = hpo("trigger", "digits")
        assert "DAG digits is paused, so the run waits: --unpause" in result.stderr

        assert "paused" not in hpo("trigger", "digits", "--unpause").stderr
        assert ("PATCH", "/air/api/v2/dags/digits") in server.asked

    @pytest.mark.usefixtures("server")
    def test_airflow_refuses(self, hpo):
        """
        What Airflow says of wrong settings is shown in a line.
        """
        result = hpo("trigger", "digits", "--trials", "99", code=1)

        assert result.stderr.startswith("trials must be at most 50 (POST /api/v2/dags/digits/")

    def test_and_watch(self, hpo, server):
        """
        With --watch the exit code is the run's.
        """
        server.states = ["failed"]

        assert "failed" in hpo("trigger", "digits", "--watch", code=1).stdout

    @pytest.mark.usefixtures("server")
    def test_mistakes(self, hpo):
        """
        DAGs that are not there and odd settings are refused with what there is.
        """
        result = hpo("trigger", "digit", code=1)
        assert "there is no DAG 'digit'; DAGs of blueprints are: digits, other" in result.stderr
        assert "must be NAME=VALUE" in hpo("trigger", "digits", "--set", "x", code=2).stderr


class TestWatch:
    """
    ``hpo watch``.
    """

    def test_to_its_end(self, hpo, server):
        """
        The newest run is followed to its end, with the best so far.
        """
        result = hpo("watch", "digits", "--interval", "0.1")

        lines = result.stdout.splitlines()
        assert lines[0] == "1 of 4 trials ended  1 complete  1 running  best y = 0.75 (#1)"
        assert lines[-1] == f"run {RUN}: success"
        assert "ended: enough" in lines
        assert len(server.states) == 1

    @pytest.mark.usefixtures("server")
    def test_json(self, hpo):
        """
        Programs get how it ended, and nothing before.
        """
        found = hpo.json("watch", "digits", RUN, "--interval", "0.1")

        assert (found["state"], found["study"], found["best"]) == ("success", "digits/1", BEST)

    def test_without_the_study_page(self, hpo, server):
        """
        Where the plugin is missing the tasks' states are shown.
        """
        server.page = False
        server.states = ["running", "failed"]
        result = hpo("watch", "digits", "--interval", "0.1", code=1)

        assert result.stdout.splitlines()[0] == "1 trials ended  1 success  1 waiting"

    def test_a_server_that_stumbles(self, hpo, server):
        """
        A few failures of the server are no end; that the run is lost is.
        """
        server.failures = [(201, {"access_token": "token-0"}), (503, {}), (502, {})]
        server.states = ["success"]
        result = hpo("watch", "digits", RUN, "--interval", "0.1")
        assert result.stderr.count("note: ") == 2

        result = hpo("watch", "digits", "gone", code=1)
        assert "not found (GET /api/v2/dags/digits/dagRuns/gone: 404)" in result.stderr

    @pytest.mark.usefixtures("server")
    def test_a_terminal_has_a_bar(self, hpo):
        """
        On a terminal one line is drawn anew, with how far it is and the best so far.
        """
        reader, writer = os.openpty()
        with subprocess.Popen(
            hpo.command("watch", "digits", "--interval", "0.1"),
            env=hpo.environment(TERM="xterm", COLUMNS="120"),
            stdout=writer,
            stdin=writer,
        ) as process:
            os.close(writer)
            shown = b""
            with suppress(OSError):  # the terminal is gone with its last process
                while part := os.read(reader, 65536):
                    shown += part
            os.close(reader)

        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
        assert process.returncode == 0
        assert "trials" in text
        assert "1/4" in text
        assert "best y = 0.75 (#1)" in text

    @pytest.mark.usefixtures("server")
    @pytest.mark.parametrize("name", ["trigger", "watch"])
    def test_examples(self, hpo, name):
        """
        What help gives as an example works.
        """
        (registered,) = [each for each in app.registered_commands if each.name == name]
        hpo(*shlex.split(registered.epilog.removeprefix("Example: hpo ")), "--interval", "0.1")


class TestLogin:
    """
    Who may.
    """

    @pytest.mark.usefixtures("server")
    def test_wrong_password(self, hpo, monkeypatch):
        """
        A login that is refused is said with the name, and without the password.
        """
        monkeypatch.setenv("HPO_AIRFLOW_PASSWORD", "guessed")
        result = hpo("watch", "digits", code=1)

        assert "Airflow does not let 'somebody' in: Invalid credentials" in result.stderr
        assert "guessed" not in result.stderr

    @pytest.mark.usefixtures("server")
    def test_nobody(self, hpo, monkeypatch):
        """
        Without a name and a token the hint says what to give.
        """
        monkeypatch.delenv("HPO_AIRFLOW_USER")

        assert "or a token in HPO_AIRFLOW_TOKEN" in hpo("watch", "digits", code=1).stderr

    @pytest.mark.usefixtures("server")
    def test_a_password_is_asked_for_at_a_terminal_only(self, hpo, monkeypatch):
        """
        Where nobody can be asked, the message says where the password belongs.
        """
        monkeypatch.delenv("HPO_AIRFLOW_PASSWORD")

        assert "must be in HPO_AIRFLOW_PASSWORD" in hpo("watch", "digits", code=2).stderr

    def test_a_token_that_ran_out(self, server):
        """
        With a name, a new token is got; with a token alone that is the end.
        """
        airflow = Airflow(server.url, user="somebody", password=lambda: "secret")
        airflow.dag("digits")
        server.tokens += 1
        airflow.dag("digits")

        assert server.asked.count(("POST", "/air/auth/token")) == 2
        with pytest.raises(RestError, match="Not authenticated"):
            Airflow(server.url, token="old").dag("digits")

    def test_nothing_listens(self, hpo, monkeypatch):
        """
        An address where nothing is, and one that is none, are told.
        """
        monkeypatch.setenv("HPO_AIRFLOW_TOKEN", "any")
        result = hpo("watch", "digits", "--url", "http://127.0.0.1:9", code=1)
        assert "Airflow cannot be reached at http://127.0.0.1:9" in result.stderr
        result = hpo("watch", "digits", "--url", "localhost:8080", code=1)
        assert "must be http://HOST or https://HOST" in result.stderr
