"""
GPUs of containers: leased among all jobs of a host, held as long as the container runs.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from airflow_hpo.errors import TrialInvalidError
from airflow_hpo.model.blueprint import RunnerSpec
from airflow_hpo.model.job import Job, JobState
from airflow_hpo.model.trial import Failure
from airflow_hpo.runners import create_runner
from airflow_hpo.runners.docker_engine import Engine
from airflow_hpo.runners.docker_gpus import is_kept, leased, request_for
from airflow_hpo.runners.docker_options import DockerOptions
from airflow_hpo.runners.files import JobFiles
from airflow_hpo.runners.lease import Lease, is_supported
from airflow_hpo.runners.subprocess import SubprocessOptions, SubprocessRunner
from airflow_hpo.testing.following import finish, output, until
from airflow_hpo.testing.sockets import RecordingProxy

pytestmark = pytest.mark.skipif(not is_supported(), reason="needs Linux's locks of files")

FOREVER = "sleep 1000"


@pytest.fixture(name="locks", autouse=True)
def _locks(two_gpus):
    """
    A host with two devices and a folder of leases of its own.
    """
    return two_gpus


@pytest.fixture(name="runner")
def _runner(engine, tmp_path):
    made = create_runner(_spec(engine))
    yield made
    for folder in tmp_path.glob("job-*"):
        for found in made.find(study="s", trial=0, workspace=str(folder)):
            made.cancel(found.handle)


def _spec(engine, **options):
    return RunnerSpec(name="docker", options=engine.options(poll_s=0.1, **options))


@pytest.fixture(name="job")
def _job(tmp_path):
    """
    Return a function that makes jobs in folders of their own.
    """
    made = []

    def make(command, gpus=1.0, **changes):
        folder = tmp_path / f"job-{len(made)}"
        folder.mkdir()
        job = Job(study="s", trial=0, attempt=1, workspace=str(folder), command=command, gpus=gpus)
        made.append(replace(job, **{"grace_s": 0.2, **changes}))
        return made[-1]

    return make


def _free(locks, gpus):
    """
    Return whether so many devices could be leased now.
    """
    mine = Lease(locks, ["0", "1"], gpus)
    names = mine.take()
    mine.release()
    return names is not None


def _is_running(runner, handle):
    return runner.state(handle) is JobState.RUNNING


def _keeper(job):
    """
    Return the process that holds a job's devices.
    """
    path = Path(job.workspace, ".jobs", "trial.1.keeper")
    return json.loads(path.read_text())["pid"]


def _devices(engine, handle):
    """
    Return the devices that a container says it has.
    """
    about = engine.client.inspect_container(json.loads(handle)["place"]["container"])
    return json.loads(about["Config"]["Labels"]["airflow_hpo.lease"])["devices"]


@pytest.mark.parametrize(
    ("options", "base_url", "expected"),
    [
        ({}, "unix:///run/docker.sock", 0.5),
        ({}, "tcp://gpu-box:2376", 0),
        ({}, "ssh://gpu-box", 0),
        ({"gpus": 2}, "unix:///run/docker.sock", 2),
        ({"gpus": 0}, "unix:///run/docker.sock", 0),
        ({"gpus": "all"}, "unix:///run/docker.sock", 0),
        ({"gpus": ["1"]}, "unix:///run/docker.sock", 0),
        ({"extra": {"device_requests": []}}, "unix:///run/docker.sock", 0),
    ],
)
def test_what_is_leased(options, base_url, expected):
    """
    Counts and shares of devices on an engine of this host; never what an engine elsewhere has.
    """
    job = Job(study="s", trial=0, attempt=1, workspace="/w", command="true", gpus=0.5)
    local = Engine(base_url, None).is_local

    assert leased(job, DockerOptions(image="x", **options), is_local=local) == expected


def test_where_an_engine_is(monkeypatch):
    """
    Nobody says anything: on this host; otherwise where ``DOCKER_HOST`` says.
    """
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    assert Engine(None, None).is_local
    monkeypatch.setenv("DOCKER_HOST", "ssh://gpu-box")
    assert not Engine(None, None).is_local


@pytest.mark.parametrize(
    ("names", "is_podman", "request_"),
    [
        (["0", "GPU-x"], False, {"device_ids": ["0", "GPU-x"], "capabilities": [["gpu"]]}),
        (["0", "GPU-x"], True, {"driver": "cdi", "device_ids": [
            "nvidia.com/gpu=0", "nvidia.com/gpu=GPU-x"
        ]}),
        (["amd.com/gpu=0"], False, {"driver": "cdi", "device_ids": ["amd.com/gpu=0"]}),
        (["amd.com/gpu=0"], True, {"driver": "cdi", "device_ids": ["amd.com/gpu=0"]}),
    ],
)  # fmt: skip
def test_devices_are_asked_for_by_name(names, is_podman, request_):
    """
    Docker is told their numbers or UUIDs; Podman, and for names of CDI both, those names.
    """
    assert request_for(names, is_podman=is_podman) == request_


def test_a_container_is_given_what_was_leased(engine, job, locks):
    """
    The request that reaches the engine names just the device that no other job has.
    """
    other = Lease(locks, ["0", "1"], 1)
    assert other.take() == ["0"]
    with RecordingProxy(engine.url) as proxy:
        runner = create_runner(_spec(engine, base_url=proxy.url))
        handle = runner.submit(job("echo done"))
        assert finish(runner, handle).ok
        assert output(runner, handle) == ["GPU: 1", "done"]
        (made,) = [body for line, body in proxy.requests if "/containers/create?" in line]

    (request,) = json.loads(made)["HostConfig"]["DeviceRequests"]
    assert {name: value for name, value in request.items() if value} == {
        "Driver": "cdi",
        "DeviceIDs": ["nvidia.com/gpu=1"],
    }
    other.release()


def test_devices_are_never_given_twice(engine, runner, job):
    """
    Of three containers two run on different devices; the third waits, and gets what comes free.
    """
    first, second, third = (runner.submit(job(FOREVER)) for _ in range(3))
    until(lambda: _is_running(runner, first) and _is_running(runner, second))

    assert sorted(_devices(engine, first) + _devices(engine, second)) == ["0", "1"]
    assert runner.state(third) is JobState.PENDING
    assert output(runner, third) == ["GPU: waiting for 1 of 0, 1: too few are free"]

    runner.cancel(second)
    until(lambda: _is_running(runner, third))
    assert sorted(_devices(engine, first) + _devices(engine, third)) == ["0", "1"]
    assert output(runner, third)[1].startswith("GPU: 1, after ")


def test_shares_and_other_runners(engine, runner, job, locks):
    """
    Two halves are on one device, beside a whole one that a job of the host's processes has.
    """
    own = SubprocessRunner(SubprocessOptions())
    whole = own.submit(job(FOREVER))
    until(lambda: not _free(locks, 2))
    halves = [runner.submit(job(FOREVER, gpus=0.5)) for _ in range(2)]
    until(lambda: all(_is_running(runner, each) for each in halves))

    assert [_devices(engine, each) for each in halves] == [["1"], ["1"]]
    assert not _free(locks, 0.1)
    own.cancel(whole)
    assert output(runner, halves[0]) == ["GPU: 0.5 of 1"]


def test_a_lease_ends_with_its_container(engine, runner, job, locks):
    """
    Nobody looks: the device is free once the container has ended, or somebody removed it.
    """
    runner.submit(job("sleep 1"))
    gone = runner.submit(job(FOREVER))
    until(lambda: not _free(locks, 1))
    until(lambda: _free(locks, 1))
    until(lambda: _is_running(runner, gone))

    engine.client.remove_container(json.loads(gone)["place"]["container"], force=True)

    until(lambda: _free(locks, 2))
    assert finish(runner, gone).failure is Failure.INFRASTRUCTURE


def test_a_lease_outlives_who_took_it(engine, runner, job, locks):
    """
    The process that handed the job in is killed: its container keeps its device, and a retry
    goes on with it.
    """
    mine = job(FOREVER)
    fields = {name: getattr(mine, name) for name in ("workspace", "command", "gpus", "grace_s")}
    script = (
        "import json, os, sys; from airflow_hpo.model.job import Job; "
        "from airflow_hpo.model.blueprint import RunnerSpec; "
        "from airflow_hpo.runners import create_runner; "
        "fields, options = json.load(sys.stdin); "
        "job = Job(study='s', trial=0, attempt=1, **fields); "
        "create_runner(RunnerSpec(name='docker', options=options)).submit(job); "
        "os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", script],
        input=json.dumps([fields, engine.options()]),
        text=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL

    until(lambda: not _free(locks, 2))
    handle = runner.submit(mine)
    until(lambda: _is_running(runner, handle))
    assert len(runner.find(study="s", trial=0, workspace=mine.workspace)) == 1
    assert not _free(locks, 2)
    runner.cancel(handle)
    until(lambda: _free(locks, 2))


@pytest.mark.parametrize("who", ["follower", "retry", "next"])
def test_a_killed_keeper_is_replaced(runner, job, locks, who):
    """
    By whoever looks at the container next, hands it in again, or leases for another one: no
    device is given twice.
    """
    mine = job(FOREVER)
    handle = runner.submit(mine)
    until(lambda: _is_running(runner, handle))
    os.kill(_keeper(mine), signal.SIGKILL)
    until(lambda: _free(locks, 2) and not is_kept(JobFiles.of(mine)))

    if who != "next":
        assert _is_running(runner, handle) if who == "follower" else runner.submit(mine) == handle
        assert not _free(locks, 2)
        assert _free(locks, 1)
        os.kill(_keeper(mine), 0)
    else:
        other = runner.submit(job(FOREVER, gpus=2))
        until(lambda: not _free(locks, 2))
        assert runner.state(other) is JobState.PENDING


def test_who_waits_can_be_called_off(runner, job, locks):
    """
    A job that is cancelled while it waits ends at once, and never has a container.
    """
    other = Lease(locks, ["0", "1"], 2)
    other.take()
    mine = job("echo never")
    handle = runner.submit(mine)

    runner.cancel(handle)
    other.release()

    assert runner.result(handle).cancelled
    assert not Path(mine.workspace, ".jobs", "trial.1.keeper").exists()
    assert not any("never" in line for line in output(runner, handle))
    assert _free(locks, 2)


def test_one_whose_machine_is_gone_is_waited_for_anew(runner, job, locks):
    """
    A keeper on another machine counts as long as it says that it lives; then a retry has its own.
    """
    other = Lease(locks, ["0", "1"], 2)
    other.take()
    mine = job("echo done")
    handle = runner.submit(mine)
    os.kill(_keeper(mine), signal.SIGKILL)
    record = Path(mine.workspace, ".jobs", "trial.1.keeper")
    record.write_text(json.dumps({**json.loads(record.read_text()), "host": "elsewhere"}))
    assert runner.submit(mine) == handle
    assert json.loads(record.read_text())["host"] == "elsewhere"

    os.utime(record, (1, 1))
    assert runner.submit(mine) == handle
    other.release()

    assert finish(runner, handle).ok
    assert output(runner, handle)[-1] == "done"


def test_a_new_attempt_ends_one_that_waits(runner, job, locks):
    """
    The older attempt's keeper goes before the newer one's comes.
    """
    other = Lease(locks, ["0", "1"], 2)
    other.take()
    mine = job("true")
    older = runner.submit(mine)

    newer = runner.submit(replace(mine, attempt=2, token="2"))

    assert runner.result(older).cancelled
    assert runner.state(newer) is JobState.PENDING
    other.release()
    assert finish(runner, newer).ok


def test_a_host_with_too_few(runner, job):
    """
    It could never give so many: the trial fails at once, and is told what there is.
    """
    with pytest.raises(TrialInvalidError, match=r"3 GPUs, got 2 \(0, 1; HPO_GPUS says so\)"):
        runner.submit(job("true", gpus=3))


def test_what_the_engine_refuses_is_told(engine, job):
    """
    Only then is it known that the container cannot start: the job ends with the engine's words.
    """
    runner = create_runner(_spec(engine, extra={"cap_add": ["NOPE"]}))
    result = finish(runner, runner.submit(job("true")))

    assert result.failure is Failure.CODE
    assert "CAP_NOPE" in (result.reason or "")
