"""
Platforms: what code that was written for one finds when it starts.
"""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from airflow_hpo.driver import TrialRun
from airflow_hpo.errors import TrialFailedError, TrialInvalidError
from airflow_hpo.model.blueprint import Blueprint
from airflow_hpo.platforms import PLATFORMS, create_platform
from airflow_hpo.platforms.base import Platform, PlatformOptions, Scene
from airflow_hpo.platforms.fetching import InputSpec, fetch
from airflow_hpo.storage import open_storage
from airflow_hpo.study import Study


@pytest.mark.parametrize("name", PLATFORMS.names())
def test_every_platform_is_one(name):
    """
    What the table names is made of options of its own and can set a scene.
    """
    platform_class = PLATFORMS.load(name)

    assert issubclass(platform_class.options_class, PlatformOptions)
    assert isinstance(platform_class(platform_class.options_class()), Platform)


@pytest.fixture(name="scene")
def _scene(tmp_path):
    """
    A trial in a workspace, a study's folder and a folder of code, all empty.
    """
    folders = [tmp_path / name for name in ("study/trials/00002", "study", "code")]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    workspace, shared, workdir = folders
    return Scene(
        study="digits",
        trial=2,
        attempt=1,
        step="train",
        configuration={"lr": 1e-05, "name": "a b", "fast": True},
        workspace=workspace,
        shared=shared,
        workdir=workdir,
    )


@pytest.fixture(name="fetched")
def _fetched(scene):
    """
    Fetches an input; returns names and contents of its files.
    """

    def fetched(*uris, again="", **spec):
        folder = scene.workspace / f"inputs{again}"
        given = InputSpec(name="data", uris=uris, **spec)
        found = fetch(given, folder, values=scene.configuration, scene=scene)
        assert all(file.path == folder / file.name for file in found)
        return {file.name: file.path.read_text() for file in found}

    return fetched


class TestFiles:
    """
    Inputs that are on this machine.
    """

    @pytest.fixture(autouse=True)
    def _files(self, scene):
        """
        Some files beside the code.
        """
        for name in ("a.csv", "b.csv", "deep/c.csv", "deep/er/d.csv", "odd[1].csv", "1e-05.csv"):
            path = scene.workdir / "data" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)

    @pytest.mark.parametrize(
        ("uri", "names"),
        [
            ("data/a.csv", ["a.csv"]),
            ("data/odd[1].csv", ["odd[1].csv"]),
            ("data/[ab].csv", ["a.csv", "b.csv"]),
            ("data/{parameter:lr}.csv", ["1e-05.csv"]),
            ("data/deep", ["c.csv", "er/d.csv"]),
            ("data/deep/**/*.csv", ["c.csv", "d.csv"]),
        ],
    )
    def test_a_path_starts_at_the_code(self, fetched, uri, names):
        """
        Paths, folders and patterns lead to files, whose folders are left out.
        """
        assert sorted(fetched(uri)) == names

    def test_addresses_of_files(self, fetched, scene):
        """
        A file's address is its path.
        """
        assert fetched(f"file://{scene.workdir}/data/odd%5B1%5D.csv") == {
            "odd[1].csv": "odd[1].csv"
        }

    def test_directories_are_kept(self, fetched, scene):
        """
        With suffix they start at the first wildcard, with full at the root.
        """
        suffix = fetched("data/**/*.csv", keep_directories="suffix")
        assert {"a.csv", "deep/c.csv", "deep/er/d.csv"} <= set(suffix)

        full = fetched("data/a.csv", keep_directories="full", again=2)
        assert set(full) == {f"{scene.workdir}/data/a.csv".lstrip("/")}

    def test_a_file_may_get_another_name(self, fetched):
        """
        The file is called what the input says.
        """
        assert fetched("data/a.csv", filename="train.csv") == {"train.csv": "a.csv"}

    @pytest.mark.parametrize(
        ("uris", "said"),
        [
            (["data/none.csv"], "none at data/none.csv"),
            (["data/*.txt"], "none at"),
            (["data/a.csv", "data/[a].csv"], "different names, got a.csv"),
            (["gs://bucket/file"], "cannot be fetched from gs://"),
        ],
    )
    def test_what_cannot_be_had_is_said(self, fetched, uris, said):
        """
        Files that are not there, twice there, or elsewhere are refused.
        """
        with pytest.raises(TrialInvalidError, match=said):
            fetched(*uris)

    def test_a_name_must_not_lead_elsewhere(self, fetched):
        """
        No file is put outside of the input's folder.
        """
        with pytest.raises(TrialInvalidError, match="must stay in its folder"):
            fetched("data/a.csv", filename="../../escaped.csv")


class _Server(BaseHTTPRequestHandler):
    asked: tuple[str, ...] = ()

    def do_GET(self):
        """
        Answer with the path, but for what is missing or broken.
        """
        type(self).asked += (self.path,)
        code = {"/missing": 404, "/broken": 503, "/bucket/missing": 404}.get(self.path, 200)
        body = f"you asked for {self.path}".encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """
        Say nothing.
        """


@pytest.fixture(name="server")
def _server(monkeypatch):
    """
    A server of files, also for what is asked of S3; returns its address.
    """
    _Server.asked = ()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    address = f"http://127.0.0.1:{server.server_port}"
    for name in ("http_proxy", "HTTP_PROXY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "word")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-north-1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield address
    server.shutdown()
    thread.join()
    server.server_close()


class TestServers:
    """
    Inputs that come from elsewhere.
    """

    def test_a_file_is_fetched_once_a_study(self, fetched, server):
        """
        The second trial gets the file that the first one fetched.
        """
        content = {"x.csv": "you asked for /data/x.csv?v=1"}

        assert fetched(f"{server}/data/x.csv?v=1") == content
        assert fetched(f"{server}/data/x.csv?v=1", again=2) == content
        assert _Server.asked == ("/data/x.csv?v=1",)

    def test_objects_of_s3(self, fetched, server):
        """
        An object is asked for by bucket and key.
        """
        assert fetched("s3://bucket/deep/x.csv") == {"x.csv": "you asked for /bucket/deep/x.csv"}
        assert server

    @pytest.mark.parametrize(
        ("path", "error"), [("missing", TrialInvalidError), ("broken", TrialFailedError)]
    )
    def test_errors_are_told_apart(self, fetched, server, path, error):
        """
        What is not there never will be; a broken server may be well tomorrow.
        """
        with pytest.raises(error, match=f"cannot be fetched: .*{path}"):
            fetched(f"{server}/{path}")

    def test_errors_of_s3_are_told_apart(self, fetched, server):
        """
        An object that is not there never will be.
        """
        with pytest.raises(TrialInvalidError, match="s3://bucket/missing"):
            fetched("s3://bucket/missing")
        assert server

    def test_nobody_answers(self, fetched):
        """
        A server that is away may come back.
        """
        with pytest.raises(TrialFailedError, match="cannot be fetched"):
            fetched("http://127.0.0.1:9/x.csv")


class TestValohai:
    """
    Folders, config files and variables of Valohai's.
    """

    def prepare(self, scene, **options):
        """
        Set the scene; returns variables, and the configs by name.
        """
        spec = {"name": "valohai", "options": options}
        blueprint = Blueprint.model_validate(make("true", platform=spec))
        variables = create_platform(blueprint.trial.platform).prepare(scene)
        folder = Path(variables["VH_CONFIG_DIR"])
        return variables, {path.name: path.read_text() for path in folder.iterdir()}

    def test_parameters_keep_their_types(self, scene):
        """
        Both files hold every value, those that are not searched too.
        """
        _, files = self.prepare(scene, parameters={"verbose": False})
        expected = {"verbose": False, "lr": 1e-05, "name": "a b", "fast": True}

        assert json.loads(files["parameters.json"]) == expected
        assert yaml.safe_load(files["parameters.yaml"]) == expected

    def test_inputs_are_listed(self, scene):
        """
        Each input has its files, by name, path and size.
        """
        (scene.workdir / "a.csv").write_text("1,2")
        inputs = [{"name": "data", "uris": ["a.csv"]}, {"name": "none"}]

        variables, files = self.prepare(scene, inputs=inputs)

        found = json.loads(files["inputs.json"])
        (file,) = found["data"]["files"]
        assert file["name"] == "a.csv"
        assert file["path"] == f"{variables['VH_INPUTS_DIR']}/data/a.csv"
        assert Path(file["path"]).read_text() == "1,2"
        assert file["size"] == 3
        assert found["none"] == {"files": []}

    def test_an_execution_knows_itself(self, scene):
        """
        The ids are the same whenever asked, and those of the variables.
        """
        variables, files = self.prepare(scene, step="train-it")
        again, _ = self.prepare(scene, step="train-it")
        execution = json.loads(files["execution.json"])

        assert variables == again
        assert execution["valohai.execution-counter"] == 3
        assert execution["valohai.execution-step"] == "train-it"
        assert variables["VH_JOB_ID"] == f"exec-{execution['valohai.execution-id']}"
        assert variables["VH_TASK_ID"] == execution["valohai.task-id"]

    def test_every_attempt_has_its_own_outputs(self, scene):
        """
        What an attempt wrote does not pass for what the next one did.
        """
        first, _ = self.prepare(scene)
        later = Scene(**{**{k: getattr(scene, k) for k in scene.__slots__}, "attempt": 2})
        second, _ = self.prepare(later)

        assert first["VH_OUTPUTS_DIR"] != second["VH_OUTPUTS_DIR"]
        assert list(Path(second["VH_OUTPUTS_DIR"]).iterdir()) == []

    def test_code_that_uses_the_public_package_runs_as_it_is(self, told, tmp_path):
        """
        Parameters, inputs, outputs and metadata of valohai-utils work in a trial.
        """
        pytest.importorskip("valohai", reason="needs the package valohai-utils")
        (tmp_path / "numbers.txt").write_text("4")
        (tmp_path / "train.py").write_text(TRAIN)
        blueprint = make(
            f"{sys.executable} train.py --x={{x}}",
            platform={
                "name": "valohai",
                "options": {
                    "inputs": [{"name": "numbers", "uris": ["numbers.txt"]}],
                    "parameters": {"verbose": False},
                },
            },
            workdir=str(tmp_path),
        )

        trial, lines = told(blueprint)

        assert trial.is_complete, (trial.reason, lines)
        assert trial.values == (trial.configuration["x"] + 4,)
        (written,) = (tmp_path / "files").rglob("model.txt")
        assert written.read_text() == "1 False"


TRAIN = """\
import valohai

valohai.prepare(step="train", default_parameters={"x": 0.5}, default_inputs={"numbers": ""})
assert valohai.config.is_running_in_valohai()
x = valohai.parameters("x").value
assert type(x) is float
with open(valohai.inputs("numbers").path()) as file:
    number = int(file.read())
with open(valohai.outputs("models").path("model.txt"), "w") as file:
    file.write(f"{valohai.execution().config.counter} {valohai.parameters('verbose').value}")
with valohai.logger() as logger:
    logger.log("y", x + number)
"""


def make(command, **trial):
    """
    Return the fields of a blueprint that runs *command*.
    """
    return {
        "name": "parabola",
        "objectives": [{"metric": "y", "direction": "minimize"}],
        "space": {
            "parameters": [{"name": "x", "distribution": {"kind": "float", "low": 0, "high": 1}}]
        },
        "strategy": {"name": "random", "seed": 7},
        "budget": {"trials": 4},
        "trial": {"steps": [{"command": command}], **trial},
    }


@pytest.fixture(name="told")
def _told(tmp_path):
    """
    Runs a blueprint's first trial; returns it as told, and what it printed.
    """

    def told(fields):
        blueprint = Blueprint.model_validate(fields)
        study = Study.open(open_storage(f"sqlite:///{tmp_path / 'studies.db'}"), "s", blueprint)
        study.ask(1, key="ask")
        lines = []
        files = tmp_path / "files"
        run = TrialRun(study, 0, key="try 1", artifacts=files, log=lines.append)
        return run.run(), lines

    return told
