"""
The AWS Batch runner with moto's own containers, on a real engine.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_hpo.model.blueprint import RunnerSpec
from airflow_hpo.model.job import Job, JobState
from airflow_hpo.runners import create_runner
from airflow_hpo.testing.aws import FakeAws
from airflow_hpo.testing.following import finish, output, until
from airflow_hpo.testing.podman import IMAGE, PodmanService, PodmanUnavailableError

pytest.importorskip("boto3")
pytest.importorskip("moto.server")


@pytest.fixture(name="engine")
def _engine():
    try:
        service = PodmanService()
    except PodmanUnavailableError as error:
        pytest.skip(str(error))
    with service:
        yield service


def test_a_job_of_ours_really_runs(engine, tmp_path):
    """
    In a real container the file and the folder are there, and values arrive as they are.
    """
    command = """cat "$HPO_PARAMS_FILE"; ls -d "$HPO_CHECKPOINT_DIR"; echo "$X"; exit 3"""
    job = Job(study="s", trial=0, attempt=1, workspace=str(tmp_path), command=command)
    job = replace(job, environment={"X": "it's $(id) $$"})
    with FakeAws(engine=engine.url) as aws:
        options = {"job_queue": aws.queue, "image": IMAGE, "endpoint_url": aws.url}
        options |= {"poll_s": 0.1, "log_delay_s": 0.0}
        runner = create_runner(RunnerSpec(name="aws_batch", options=options))
        handle = runner.submit(replace(job, configuration={"lr": 0.1}))

        assert finish(runner, handle).exit_code == 3
        assert output(runner, handle) == ['{"lr": 0.1}', "/tmp/hpo/checkpoint", "it's $(id) $$"]
        again = runner.submit(replace(job, command="echo begun; sleep 1000", trial=4))
        until(lambda: runner.state(again) is JobState.RUNNING)
        runner.cancel(again)
        assert runner.result(again).cancelled
        assert not engine.client.containers(all=True)
