"""
The Docker runner under its contract, on a real engine.
"""

from __future__ import annotations

import json

import pytest

from airflow_hpo.model.blueprint import RunnerSpec
from airflow_hpo.runners.docker import DockerRunner
from airflow_hpo.runners.files import JobFiles
from airflow_hpo.testing.remote import RemoteRunnerContract


class TestDocker(RemoteRunnerContract):
    """
    Jobs as containers.
    """

    name = "docker"

    @pytest.fixture(name="spec")
    def _spec(self, engine):
        self.engine = engine
        return RunnerSpec(name=self.name, options=engine.options(poll_s=0.1))

    def hold(self, runner, job):
        """
        Do what `submit` does, and die before the container is started.
        """
        assert isinstance(runner, DockerRunner)
        files = JobFiles.of(job)
        with files.lock():
            handle, _ = runner._make(job)
            files.clear()
            files.handle.write_text(handle.text)
        return handle.text

    def destroy(self, handle):
        """
        Remove the container.
        """
        self.engine.client.remove_container(_container(handle), force=True)

    def kill(self, handle):
        """
        Kill the container.
        """
        self.engine.client.kill(_container(handle), signal=9)

    def kept(self, workspace):
        """
        Return the containers of *workspace*.
        """
        label = f"airflow_hpo.workspace={workspace}"
        found = self.engine.client.containers(all=True, filters={"label": [label]})
        return [container["Names"][0] for container in found]

    def unreachable(self, spec):
        """
        Return *spec* with a socket on which nobody listens.
        """
        return spec.model_copy(update={"options": {**spec.options, "base_url": "unix:///no.sock"}})


def _container(handle):
    return json.loads(handle)["place"]["container"]
