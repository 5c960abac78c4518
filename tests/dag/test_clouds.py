"""
Clusters and clouds by Airflow's connections, through the official providers' hooks.
"""

from __future__ import annotations

import json

import pytest

from airflow_hpo.driver import artifacts_at
from airflow_hpo.driver.stores import store_of
from airflow_hpo.errors import TrialInvalidError
from airflow_hpo.model.blueprint import RunnerSpec
from airflow_hpo.model.job import Job
from airflow_hpo.runners import create_runner
from airflow_hpo.testing.aws import REGION, FakeAws
from airflow_hpo.testing.following import finish, output
from airflow_hpo.testing.kubernetes import FakeCluster

pytest.importorskip("airflow.providers.cncf.kubernetes")
pytest.importorskip("airflow.providers.amazon")


@pytest.fixture(scope="module", name="aws")
def _aws():
    with FakeAws() as aws:
        yield aws


@pytest.fixture(name="connect")
def _connect(monkeypatch):
    """
    Make an Airflow connection.
    """

    def connect(name, **fields):
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(fields))

    return connect


@pytest.fixture(name="account")
def _account(aws, connect, monkeypatch):
    """
    A connection to AWS, and nothing of it in the environment.
    """
    for name in aws.variables:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    extra = {"region_name": REGION, "endpoint_url": aws.url}
    connect("lab_aws", conn_type="aws", login="testing", password="testing", extra=extra)


def job_in(folder):
    """
    Return a job that says hello.
    """
    return Job(study="s", trial=0, attempt=1, workspace=str(folder), command="echo hello")


def ran(runner, folder):
    """
    Return what a job prints that *runner* runs.
    """
    handle = runner.submit(job_in(folder))
    assert finish(runner, handle).ok
    return output(runner, handle)


def test_a_cluster_by_connection(connect, tmp_path):
    """
    The connection says where the cluster is, and its namespace.
    """
    with FakeCluster() as cluster:
        extra = {"kube_config_path": str(cluster.kubeconfig), "namespace": "default"}
        connect("lab_cluster", conn_type="kubernetes", extra=extra)
        options = {"image": "a:1", "connection": "lab_cluster", "poll_s": 0.05}
        options["shared_folders"] = True
        runner = create_runner(RunnerSpec(name="kubernetes", options=options))

        assert ran(runner, tmp_path) == ["hello"]
        (job,) = cluster.jobs.values()
        assert job["metadata"]["namespace"] == "default"


def test_batch_by_connection(aws, account, tmp_path):
    """
    The connection says where AWS is, and who asks.
    """
    options = {"image": "a:1", "job_queue": aws.queue, "connection": "lab_aws"}
    options |= {"poll_s": 0.05, "log_delay_s": 0.0}
    runner = create_runner(RunnerSpec(name="aws_batch", options=options))

    assert ran(runner, tmp_path) == ["hello"]


@pytest.mark.parametrize(
    "spec",
    [
        RunnerSpec(name="kubernetes", options={"image": "a", "connection": "no_such"}),
        RunnerSpec(
            name="aws_batch", options={"image": "a", "job_queue": "q", "connection": "no_such"}
        ),
    ],
    ids=["kubernetes", "aws_batch"],
)
def test_a_connection_that_is_not_there(spec, tmp_path):
    """
    It is named, and the trial is not tried again.
    """
    with pytest.raises(TrialInvalidError, match="connection 'no_such' cannot be used"):
        create_runner(spec).submit(job_in(tmp_path))


def test_files_by_connection(aws, account, tmp_path, monkeypatch):
    """
    An address with a connection is reached through Airflow's `ObjectStoragePath`.
    """
    import airflow.sdk  # noqa: F401 - as in every task

    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "home"))
    folder = artifacts_at(f"s3://lab_aws@{aws.bucket}/by-connection") / "s"
    folder.mkdir(parents=True)
    (folder / "a").write_text("kept")
    store = store_of(folder)

    assert store.send(folder) == 1
    (folder / "a").unlink()
    assert store.fetch(folder) == 1
    assert (folder / "a").read_text() == "kept"
