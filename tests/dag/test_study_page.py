"""
The study page behind Airflow's own login and permissions, over a journal in memory.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import astuple
from types import ModuleType

import pytest

pytest.importorskip("airflow")

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from airflow_hpo.blueprint import parse_blueprints
from airflow_hpo.driver import artifacts_at, study_folder
from airflow_hpo.driver.stores import keep, store_of
from airflow_hpo.model.trial import Measurement, Outcome, Suggestion, TrialState
from airflow_hpo.plugin.views import views
from airflow_hpo.report import report_on
from airflow_hpo.storage import open_storage
from airflow_hpo.study import Study

_NAME = "<script>alert('name')</script>"
_MEMORY = "memory://study-page"

# Every address that the page has, for a study that is there.
_ROUTES = (
    "/hpo/",
    "/hpo/static/app.js",
    "/hpo/plotly.js",
    "/hpo/report.html?study=mine",
    "/hpo/api/studies",
    "/hpo/api/study?study=mine",
    "/hpo/api/trials?study=mine",
    "/hpo/api/trials.csv?study=mine",
    "/hpo/api/written?study=mine",
    "/hpo/written/report.html?study=mine",
    "/hpo/api/chart/history?study=mine",
)


class Picky(SimpleAuthManager):
    """
    Lets a person read the DAGs that are named as they are, and an admin all.
    """

    def is_authorized_dag(self, *, user, details=None, **_):
        """
        Return whether *user* may do that.
        """
        own = details is not None and details.id == user.username
        return own or user.role == "admin"


def _propose(count):
    return lambda record: [
        Suggestion({"x": (len(record.trials) + place) / 10_000, "s": "<b>"}, "random")
        for place in range(count)
    ]


def _make(storage, name, dag, *, trials=4):
    (blueprint,) = parse_blueprints(
        "hpo: 1\nname: page\ndescription: '<script>'\n"
        "objective: {metric: y, direction: maximize}\n"
        "space: {x: {float: [0, 1]}, s: {choice: ['<b>', b]}}\n"
        f"strategy: {{name: random, seed: 1}}\nbudget: {{trials: {trials}}}\n"
        "trial: {command: 'true {x} {s}'}\n"
    )
    study = Study.open(storage, name, blueprint)
    key = f"{dag}/manual__1/round_00.suggest" if dag else "hpo-run/host/1-2/abcdef01/0"
    task = f"{dag}/manual__1/round_00.trial" if dag else "hpo-run/host/1-2/abcdef01"
    for trial in storage.append(name, key, _propose(trials)):
        study.start(trial.number, key=f"{task}/{trial.number}/1/id")
        if trial.number == trials - 1:
            continue  # one goes on
        value = trial.number / trials
        if trial.number < 3:
            study.measure(trial.number, [Measurement({"y": value}, 1.0)], attempt=1, first=0)
        study.tell(trial.number, Outcome(TrialState.COMPLETE, (value,), {"y": value}), attempt=1)
    return study


@pytest.fixture(scope="module", name="journal")
def _journal():
    """
    Studies of two DAGs, of a terminal, and one with a name that is markup.
    """
    storage = open_storage(_MEMORY)
    for name, dag in (("mine", "ada"), ("theirs", "bob"), ("loose", None), (_NAME, "ada")):
        _make(storage, name, dag)
    return storage


def _write_report(journal, name):
    """
    Write a study's report as a run's last task does, and leave only what is kept of it.
    """
    folder = study_folder(artifacts_at(os.environ["HPO_ARTIFACTS"]), name) / "report"
    files = report_on(Study.load(journal, name), folder)
    keep(folder, astuple(files))
    if store_of(folder) is not None:
        shutil.rmtree(folder)
    return folder


@pytest.fixture(scope="module", name="client")
def _client(journal, database, tmp_path_factory):
    """
    Airflow's own application with the page in it, and an auth manager that looks at DAGs.
    """
    module = ModuleType("hpo_picky")
    module.Picky = Picky
    settings = {
        "AIRFLOW__CORE__AUTH_MANAGER": "hpo_picky.Picky",
        "AIRFLOW__API_AUTH__JWT_SECRET": "of these tests alone " * 4,
        "HPO_STORAGE": _MEMORY,
        "HPO_ARTIFACTS": str(tmp_path_factory.mktemp("artifacts")),
    }
    from airflow.api_fastapi import app

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "hpo_picky", module)
        for name, value in settings.items():
            patch.setenv(name, value)
        _write_report(journal, "mine")
        app.purge_cached_app()
        with TestClient(app.create_app(apps="core"), raise_server_exceptions=False) as client:
            yield client
        app.purge_cached_app()


@pytest.fixture(scope="module", name="get")
def _get(client):
    """
    Fetches an address as somebody: ``ada`` and ``bob`` have a DAG each, ``root`` is an admin.
    """
    from airflow.api_fastapi.app import get_auth_manager

    def get(path, user="ada", **headers):
        role = "admin" if user == "root" else "viewer"
        person = SimpleAuthManagerUser(username=user, role=role)
        token = get_auth_manager().generate_jwt(person)
        return client.get(path, headers={"Authorization": f"Bearer {token}", **headers})

    return get


def _page(client):
    mounts = [route for route in client.app.routes if getattr(route, "path", "") == "/hpo"]
    assert len(mounts) == 1
    return mounts[0].app


def _guards(dependant):
    return {each.call for each in dependant.dependencies} | {
        call for each in dependant.dependencies for call in _guards(each)
    }


def test_every_route_has_a_guard(client):
    """
    Nothing is served that does not ask who it is, and nothing can be changed.
    """
    from airflow.api_fastapi.core_api.security import get_user

    routes = _page(client).routes

    assert {route.path for route in routes} == {
        re.sub(
            r"(chart|static|written)/[\w.]+",
            lambda found: f"{found[1]}/{{{_PARTS[found[1]]}}}",
            path,
        )
        for path in (path.removeprefix("/hpo").partition("?")[0] for path in _ROUTES)
    }
    assert all(isinstance(route, APIRoute) and route.methods == {"GET"} for route in routes)
    assert all(get_user in _guards(route.dependant) for route in routes)


_PARTS = {"chart": "chart", "static": "name", "written": "file"}


@pytest.mark.parametrize("path", [*_ROUTES, "/hpo/api/study?study=no-such"])
def test_nobody_gets_in_without_a_token(client, path):
    """
    Without a token, with a wrong one in the header or in the cookie: refused.
    """
    wrong = "eyJhbGciOiJIUzUxMiJ9.eyJzdWIiOiJhZGEifQ.AAAA"

    assert client.get(path).status_code == 401
    assert client.get(path, headers={"Authorization": f"Bearer {wrong}"}).status_code == 403
    assert client.get(path, headers={"Cookie": f"_token={wrong}"}).status_code == 403


@pytest.mark.parametrize("path", _ROUTES)
def test_who_may_read_the_dag_is_served(get, path):
    """
    All of it, and with headers that keep it where it belongs.
    """
    answer = get(path)

    assert answer.status_code == 200
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "frame-ancestors 'self'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("path", [path for path in _ROUTES if "study=" in path])
@pytest.mark.parametrize("study", ["theirs", "loose", "no-such"])
def test_who_may_not_read_the_dag_is_refused(get, path, study):
    """
    Another DAG's study, one of a terminal, and one that is not there look alike.
    """
    assert get(path.replace("mine", study)).status_code == 403


def test_list_has_what_may_be_read(get):
    """
    Each sees the studies of their own DAGs; an admin sees those of no DAG, too.
    """

    def names(user, query=""):
        studies = get(f"/hpo/api/studies{query}", user).json()["studies"]
        return {study["name"] for study in studies}

    assert names("ada") == {"mine", _NAME}
    assert names("bob") == {"theirs"}
    assert names("eve") == set()
    assert names("root") == {"mine", "theirs", "loose", _NAME}
    assert names("root", "?dag_id=bob") == {"theirs"}
    assert names("ada", "?dag_id=ada&run_id=manual__1") == {"mine", _NAME}
    assert names("ada", "?dag_id=ada&run_id=manual__2") == set()
    assert get("/hpo/api/study?study=loose", "root").status_code == 200
    assert get("/hpo/api/study?study=no-such", "root").status_code == 404


def test_a_study_of_two_dags_is_for_those_who_may_read_both(get, journal):
    """
    Who may read one of them is not shown what the other measured.
    """
    _make(journal, "shared", "ada")
    assert get("/hpo/api/study?study=shared").status_code == 200

    journal.append("shared", "bob/manual__7/round_00.suggest", _propose(1))

    assert get("/hpo/api/study?study=shared", "ada").status_code == 403
    assert get("/hpo/api/study?study=shared", "bob").status_code == 403
    assert get("/hpo/api/study?study=shared", "root").status_code == 200
    journal.delete("shared")


def test_what_has_not_changed_is_not_sent_again(get, journal):
    """
    The same question with its answer's tag gets 304 until the study moves on.
    """
    for path in ("/hpo/api/study?study=mine", "/hpo/api/chart/history?study=mine"):
        tag = get(path).headers["ETag"]
        assert get(path, **{"If-None-Match": tag}).status_code == 304

        journal.measure("mine", 3, [Measurement({"y": 0.1}, 2.0)], attempt=1, first=_next(journal))

        assert get(path, **{"If-None-Match": tag}).status_code == 200


def _next(journal):
    return len(journal.measurements("mine", 3))


def test_overview_has_what_a_person_wants_to_know(get):
    """
    Best trial and its task, settings, space, runs and charts.
    """
    found = get("/hpo/api/study?study=mine").json()

    assert found["best"]["number"] == 2
    assert found["best_task"]["task"] == "round_00.trial"
    assert found["best_task"]["map_index"] == 2
    assert found["runs"] == [{"dag": "ada", "run": "manual__1", "trials": 4}]
    assert found["settings"]["strategy"] == "random"
    assert [item["name"] for item in found["space"]] == ["x", "s"]
    assert {chart["name"] for chart in found["charts"]} >= {"history", "timeline", "contour"}


def test_trials_are_sorted_filtered_and_paged(get):
    """
    By any column, by state, by a condition or by text; a page at a time.
    """

    def numbers(query):
        page = get(f"/hpo/api/trials?study=mine&{query}").json()
        return page["found"], [row["number"] for row in page["rows"]]

    assert numbers("") == (4, [3, 2, 1, 0])
    assert numbers("sort=value.y&order=desc") == (4, [2, 1, 0, 3])
    assert numbers("sort=value.y&order=asc") == (4, [0, 1, 2, 3])
    assert numbers("state=running") == (1, [3])
    assert numbers("text=y > 0.3 and x < 0.5") == (1, [2])
    assert numbers("text=COMPLETE&order=asc") == (3, [0, 1, 2])
    assert numbers("text=y >") == (0, [])
    assert numbers("offset=1%26limit=2".replace("%26", "&")) == (4, [2, 1])


def test_csv_has_what_the_table_has(get):
    """
    With the same filter, all of it, and with a name that browsers take.
    """
    answer = get(f"/hpo/api/trials.csv?study={_NAME}&state=complete&order=asc")

    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["number"] for row in rows] == ["0", "1", "2"]
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="trials.csv"')


def test_markup_in_names_stays_text(get):
    """
    Names and values come as JSON, in charts with Plotly's own markup taken away; no answer
    is a page but ours, which has no script in it.
    """
    charts = [get(f"/hpo/api/chart/{name}?study={_NAME}") for name in ("slice", "contour")]
    page = get("/hpo/")

    assert get(f"/hpo/api/study?study={_NAME}").json()["study"] == _NAME
    for answer in charts:
        assert answer.headers["Content-Type"] == "application/json"
        assert "<b>" not in answer.text
    assert "<script>" not in page.text
    assert "unsafe-inline" not in page.headers["Content-Security-Policy"].split("style-src")[0]


@pytest.mark.parametrize("name", ["..%2Fapp.py", "..%2f..%2fguard.py", "missing.js"])
def test_no_other_file_is_served(get, name):
    """
    What is not one of the page's files is not there, whatever path leads to it.
    """
    assert get(f"/hpo/static/{name}").status_code == 404


@pytest.fixture(name="where", params=["{}", "file://{}", "local://{}"])
def _where(request, tmp_path, monkeypatch):
    """
    Where the files of studies are kept: a folder of this machine, or an address.
    """
    monkeypatch.setenv("HPO_ARTIFACTS", request.param.format(tmp_path / "kept"))
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "home"))


@pytest.mark.usefixtures("where")
def test_the_report_as_it_was_written(get, journal):
    """
    Its files are served from wherever they are kept, the page as nobody's, the rest to be saved;
    nothing is left on the server's disk.
    """
    folder = _write_report(journal, "mine")
    names = get("/hpo/api/written?study=mine").json()["files"]
    page, table = (get(f"/hpo/written/{name}?study=mine") for name in ("report.html", "trials.csv"))

    assert {"report.html", "summary.md", "summary.json", "trials.csv", "trials.json"} <= set(names)
    assert len(page.content) == names["report.html"]
    assert page.text.startswith("<!doctype html>")
    assert "sandbox" in page.headers["Content-Security-Policy"]
    assert table.text.startswith("number,")
    assert table.headers["Content-Type"].startswith("text/csv")
    assert table.headers["Content-Disposition"] == 'attachment; filename="trials.csv"'
    assert table.headers["X-Content-Type-Options"] == "nosniff"
    assert store_of(folder) is None or not folder.exists()


@pytest.mark.usefixtures("where")
def test_a_written_report_is_for_those_who_may_read_its_dag(get, client, journal):
    """
    As everything else of a study; what is not there and what may not be seen look the same.
    """
    _write_report(journal, "theirs")

    assert client.get("/hpo/written/report.html?study=theirs").status_code == 401
    assert get("/hpo/written/report.html?study=theirs").status_code == 403
    assert get("/hpo/api/written?study=theirs").status_code == 403
    assert get("/hpo/written/report.html?study=no-such").status_code == 403
    assert get("/hpo/written/report.html?study=theirs", "bob").status_code == 200
    assert get("/hpo/written/report.html?study=mine").status_code == 404


@pytest.mark.usefixtures("where")
@pytest.mark.parametrize("name", ["..%2F..%2Fsecret", "../secret", "secret", ".jobs%2Fkept.json"])
def test_no_other_file_of_a_study_is_served(get, journal, name):
    """
    Only files that reports have, by their names.
    """
    folder = _write_report(journal, "mine")
    if store_of(folder) is None:
        for place in (folder, folder.parent, folder.parent.parent):
            (place / "secret").write_text("x")

    assert get(f"/hpo/written/{name}?study=mine").status_code == 404


def test_links_and_large_files_are_not_served(get, journal, tmp_path, monkeypatch):
    """
    A link leads out of the folder, and a file that would fill the server's memory is refused.
    """
    monkeypatch.setenv("HPO_ARTIFACTS", str(tmp_path))
    folder = _write_report(journal, "mine")
    (folder / "summary.md").unlink()
    (folder / "summary.md").symlink_to("/etc/hostname")
    with (folder / "trials.csv").open("r+b") as file:
        file.truncate(2**30)

    assert get("/hpo/written/summary.md?study=mine").status_code == 404
    assert get("/hpo/written/trials.csv?study=mine").status_code == 413
    assert get("/hpo/written/report.html?study=mine").status_code == 200


def test_a_store_that_cannot_be_reached_is_told(get, monkeypatch):
    """
    The answer says what is wrong with it, and the rest of the page goes on.
    """
    monkeypatch.setenv("HPO_ARTIFACTS", "nosuch://bucket/studies")

    answer = get("/hpo/api/written?study=mine")

    assert answer.status_code == 503
    assert "nosuch://bucket/studies" in answer.json()["detail"]
    assert get("/hpo/api/study?study=mine").status_code == 200


def test_wrong_questions_are_answered(get):
    """
    A chart that there is not, a study's name that is missing.
    """
    answer = get("/hpo/api/chart/histry?study=mine")
    assert (answer.status_code, "history" in answer.json()["detail"]) == (400, True)
    assert get("/hpo/api/study").status_code == 422


def test_thousands_of_trials_stay_small(get, journal):
    """
    What the page asks for first is no larger for 5 000 trials than a screen can use; looking
    again costs much less than looking first.
    """
    _make(journal, "large", "ada", trials=5000)
    took = {}

    def size(path):
        began = time.perf_counter()
        answer = get(path)
        took[path] = time.perf_counter() - began
        assert answer.status_code == 200
        return len(answer.content)

    assert size("/hpo/api/study?study=large") < 30_000
    assert size("/hpo/api/trials?study=large&limit=50") < 40_000
    for chart in ("history", "curves", "timeline", "parallel", "slice", "contour", "importance"):
        assert size(f"/hpo/api/chart/{chart}?study=large") < 600_000
    for path, seconds in took.items():
        print(f"{seconds:6.3f} s  {path}")  # noqa: T201 - shown by pytest -s
    tag = get("/hpo/api/study?study=large").headers["ETag"]
    began = time.perf_counter()
    answer = get("/hpo/api/study?study=large", **{"If-None-Match": tag})
    again = time.perf_counter() - began
    assert answer.status_code == 304
    assert again < took["/hpo/api/study?study=large"]
    journal.delete("large")


def test_page_without_plotly_says_what_to_install(get, monkeypatch):
    """
    All but the charts is there, and the command that brings them.
    """
    import importlib.util

    find = importlib.util.find_spec
    missing = lambda name, *rest: None if name == "plotly" else find(name, *rest)  # noqa: E731
    monkeypatch.setattr(importlib.util, "find_spec", missing)
    _page_study = get("/hpo/api/study?study=mine").json()

    assert _page_study["install"] == "pip install 'airflow-provider-hpo[plots]'"
    assert get("/hpo/plotly.js").status_code == 404
    assert get("/hpo/api/trials?study=mine").status_code == 200
    answer = get("/hpo/api/chart/rungs?study=mine")
    assert (answer.status_code, "airflow-provider-hpo[plots]" in answer.text) == (400, True)


def test_views_respect_a_path_of_airflow_s_own(monkeypatch):
    """
    Behind a proxy that gives Airflow a path, tabs and icons are below that path.
    """
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://host/some/airflow/")

    found = views()

    assert {view["destination"] for view in found} == {"nav", "dag", "dag_run"}
    assert len({view["url_route"] for view in found}) == len(found)
    assert [view["category"] for view in found if view["destination"] == "nav"] == ["browse"]
    for view in found:
        assert view["href"].startswith("/some/airflow/hpo/")
        assert view["icon"].startswith("/some/airflow/hpo/static/")


_BELOW_A_PATH = """
import json
from airflow.api_fastapi.app import create_app, get_auth_manager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from fastapi.testclient import TestClient
with TestClient(create_app(apps="core")) as client:
    user = SimpleAuthManagerUser(username="a", role="admin")
    headers = {"Authorization": f"Bearer {get_auth_manager().generate_jwt(user)}"}
    paths = ("/air/flow/hpo/", "/air/flow/hpo/static/app.js", "/air/flow/hpo/api/studies")
    codes = [client.get(path, headers=headers).status_code for path in paths]
    bare = [client.get(path).status_code for path in paths]
print("RESULT" + json.dumps([codes, bare]))
"""


def test_airflow_below_a_path_serves_the_page_there(database):
    """
    The whole application below a path: the page is found there, and guarded as ever.
    """
    own = {
        "AIRFLOW__API__BASE_URL": "http://testserver/air/flow/",
        "AIRFLOW__API_AUTH__JWT_SECRET": "of this test alone " * 4,
        "HPO_STORAGE": _MEMORY,
    }
    others = {name: value for name, value in os.environ.items() if "AUTH_MANAGER" not in name}
    process = subprocess.run(
        [sys.executable, "-c", _BELOW_A_PATH],
        capture_output=True,
        text=True,
        check=True,
        env=others | own,
    )

    codes, bare = json.loads(process.stdout.rpartition("RESULT")[2].splitlines()[0])
    assert codes == [200, 200, 200]
    assert bare == [401, 401, 401]


def test_page_asks_for_nothing_from_elsewhere(get):
    """
    Every address in the page and its scripts is relative: no path, no other host.
    """
    from airflow_hpo.plugin.page.files import FILES

    for name in FILES:
        text = get(f"/hpo/static/{name}").text
        urls = re.findall(r"""(?:src|href)="([^"]+)"|from "([^"]+)"|fetch\("([^"]+)"\)""", text)
        for url in filter(None, (part for found in urls for part in found)):
            assert not url.startswith(("/", "http", "//")), (name, url)
        assert "innerHTML" not in text
        assert "http://www.w3.org/2000/svg" in text or "://" not in text


_IMPORT = """
import json, sys
from airflow.plugins_manager import AirflowPlugin
before = set(sys.modules)
from airflow_hpo.plugin import HpoPlugin
plugin = HpoPlugin()
print("RESULT" + json.dumps(sorted(set(sys.modules) - before)))
"""


def test_plugin_costs_nothing_where_it_is_only_imported():
    """
    A fresh process that loads the plugin loads the plugin, and not one part of the page.
    """
    process = subprocess.run(
        [sys.executable, "-c", _IMPORT], capture_output=True, text=True, check=True, env=os.environ
    )
    loaded = json.loads(process.stdout.rpartition("RESULT")[2])

    assert {"airflow_hpo.plugin"} <= set(loaded) <= {"airflow_hpo", "airflow_hpo.plugin"}


def test_nothing_is_mounted_where_it_could_not_be_guarded(monkeypatch, caplog):
    """
    On an Airflow that lacks what guards the page there is no page, and Airflow starts.
    """
    from airflow_hpo.plugin.views import mounts

    for name in [name for name in sys.modules if name.startswith("airflow_hpo.plugin.page")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "airflow.api_fastapi.core_api.security", None)

    assert mounts() == []
    assert "the study page cannot be served" in caplog.text
