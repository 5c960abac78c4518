"""
Images from a registry that an Airflow connection names.
"""

from __future__ import annotations

import json

import pytest

from airflow_hpo.errors import TrialError, TrialInvalidError
from airflow_hpo.model.blueprint import RunnerSpec
from airflow_hpo.model.job import Job
from airflow_hpo.runners import create_runner
from airflow_hpo.testing.podman import PodmanService, PodmanUnavailableError

pytest.importorskip("airflow", reason="Airflow is not installed")


@pytest.fixture(name="submit", scope="module")
def _submit():
    """
    Submits a job whose image has to be fetched, through an Airflow connection.
    """
    try:
        service = PodmanService()
    except PodmanUnavailableError as error:
        pytest.skip(str(error))
    with service:

        def submit(folder):
            options = service.options(image="localhost:1/private/image:1", connection="registry")
            runner = create_runner(RunnerSpec(name="docker", options=options))
            job = Job(study="s", trial=0, attempt=1, workspace=str(folder), command="true")
            return runner.submit(job)

        yield submit


def test_a_connection_that_nobody_made(submit, tmp_path):
    """
    The trial is invalid, and the message names the connection.
    """
    with pytest.raises(TrialInvalidError, match=r"connection 'registry' cannot be used.*registry"):
        submit(tmp_path)


def test_the_connection_is_logged_in_with(submit, tmp_path, monkeypatch):
    """
    The official provider's hook tries it on the registry, which says what it thinks of it.
    """
    connection = {"conn_type": "docker", "host": "localhost:1", "login": "me", "password": "x"}
    monkeypatch.setenv("AIRFLOW_CONN_REGISTRY", json.dumps(connection))

    with pytest.raises(TrialError, match=r"connection 'registry' cannot be used.*localhost:1"):
        submit(tmp_path)
