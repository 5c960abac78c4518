"""
The command line as tests use it: in this process, or as one of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

DIGITS = """\
hpo: 1
name: digits
study: digits
objective: {metric: y, direction: maximize}
space:
  lr: {float: [0.001, 1.0], log: true}
  act: {choice: [relu, tanh]}
budget: {trials: 4}
strategy: {name: random, seed: 7}
execution: {batch_size: 2}
trial:
  command: "echo act {act}; echo '{{\\"y\\": '{lr}'}}'"
  grace: 5s
"""

# How long a command may take before it is called stuck, in seconds.
_PATIENCE_S = 60


class CommandLine:
    """
    Runs ``hpo``; call it to run a command in this process.
    """

    DIGITS = DIGITS
    PATIENCE_S = _PATIENCE_S

    def __call__(self, *words, code=0, **options):
        """
        Run a command; returns its result, whose exit code is *code* (`None`: any).
        """
        from typer.testing import CliRunner

        from airflow_hpo.cli import app

        result = CliRunner().invoke(app, list(map(str, words)), **options)
        assert code is None or result.exit_code == code, (result.output, result.exception)
        return result

    def json(self, *words, code=0, **options):
        """
        Return the JSON that a command prints.
        """
        return json.loads(self(*words, "--format", "json", code=code, **options).stdout)

    def trials(self, study):
        """
        Return the trials of *study*, measurements included.
        """
        from airflow_hpo.storage import open_storage

        return open_storage().load(study, measurements=True).trials

    def command(self, *words):
        """
        Return the command line of a process of its own.
        """
        return [sys.executable, "-m", "airflow_hpo.cli", *map(str, words)]

    def environment(self, **more):
        """
        Return the environment in which such a process finds the package.
        """
        provider = Path(__file__).parents[2] / "provider"
        return {**os.environ, "PYTHONPATH": str(provider), **more}

    def start(self, *words, **more):
        """
        Start a command as a process of its own; *more* goes into its environment.
        """
        return subprocess.Popen(
            self.command(*words),
            env=self.environment(**more),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def process(self, *words, code=0, **more):
        """
        Run a command as a process of its own, to its end.
        """
        done = subprocess.run(
            self.command(*words),
            env=self.environment(**more),
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=False,
        )
        assert done.returncode == code, (done.stdout, done.stderr)
        return done


@pytest.fixture(name="hpo")
def _hpo(tmp_path, monkeypatch):
    """
    The command line, in a folder with ``digits.yaml``, a home and a journal of its own.
    """
    for name in ("HPO_STORAGE", "HPO_ARTIFACTS", "HPO_DEBUG", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "home"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    Path("digits.yaml").write_text(DIGITS)
    return CommandLine()


@pytest.fixture(name="two_gpus")
def _two_gpus(tmp_path, monkeypatch):
    """
    Make this a host with two devices, ``0`` and ``1``; returns its folder of leases.
    """
    monkeypatch.setenv("HPO_GPUS", "0,1")
    monkeypatch.setenv("HPO_GPU_LOCKS", str(tmp_path / "locks"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return str(tmp_path / "locks")


@pytest.fixture(name="engine", scope="session")
def _engine():
    """
    A container engine that nobody else uses.
    """
    from airflow_hpo.testing.podman import PodmanService, PodmanUnavailableError

    with ExitStack() as stack:
        try:
            service = stack.enter_context(PodmanService())
        except PodmanUnavailableError as error:
            pytest.skip(str(error))
        yield service
