"""
What a container is made with, and what its engine says of it: no engine is needed.
"""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from airflow_hpo.errors import TrialInvalidError
from airflow_hpo.model.job import Job
from airflow_hpo.model.trial import Failure
from airflow_hpo.runners.docker_container import host_settings, sees, settings_of
from airflow_hpo.runners.docker_options import EXTRA, DockerOptions
from airflow_hpo.runners.docker_state import ending_of
from airflow_hpo.runners.verdict import verdict


def _job(folder, command, **changes):
    job = Job(study="s", trial=7, attempt=2, workspace=str(folder), command=command, grace_s=0.2)
    return replace(job, **changes)


def _docker():
    return pytest.importorskip("docker", reason="the Docker SDK is not installed")


def test_extra_holds_what_the_sdk_knows():
    """
    Every argument of the SDK is an option, or one of *extra*, or not for jobs.
    """
    _docker()
    from docker.models import containers

    known = {*containers.RUN_CREATE_KWARGS, *containers.RUN_HOST_CONFIG_KWARGS}

    assert set(EXTRA) <= known
    assert known - set(EXTRA) == {
        # options of their own
        "command", "entrypoint", "environment", "image", "mem_limit", "mounts", "nano_cpus",
        "network_mode", "shm_size", "user", "working_dir",
        # ours to say
        "auto_remove", "detach", "labels", "name", "restart_policy", "stdin_open", "tty",
        "stop_signal", "healthcheck", "network_disabled", "use_config_proxy",
        "publish_all_ports", "init_path", "version",
        # of Windows, deprecated, or of devices that no training has
        "blkio_weight_device", "cpu_count", "cpu_percent", "cpu_rt_period", "cpu_rt_runtime",
        "device_read_bps", "device_read_iops", "device_write_bps", "device_write_iops",
        "kernel_memory", "lxc_conf",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("gpus", "asked", "request_"),
    [
        (None, 0, None),
        (None, 2, {"Count": 2, "Capabilities": [["gpu"]]}),
        (None, 0.5, {"Count": 1, "Capabilities": [["gpu"]]}),
        ("all", 1, {"Count": -1, "Capabilities": [["gpu"]]}),
        (3, 1, {"Count": 3, "Capabilities": [["gpu"]]}),
        (0, 1, None),
        ([0, "GPU-x"], 2, {"DeviceIDs": ["0", "GPU-x"], "Capabilities": [["gpu"]]}),
        (["nvidia.com/gpu=1"], 1, {"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=1"]}),
    ],
)
def test_gpus_are_device_requests(gpus, asked, request_):
    """
    As many devices as the options say, or else the trial; by name where they are named.
    """
    options = DockerOptions(image="x", gpus=gpus)

    found = host_settings(_job("/w", "true", gpus=asked), options, sdk=_docker())

    if request_ is None:
        assert "device_requests" not in found
    else:
        (request,) = found["device_requests"]
        assert {name: value for name, value in request.items() if value} == request_


def test_too_few_named_devices():
    """
    Names that are fewer than the trial asks for are refused.
    """
    options = DockerOptions(image="x", gpus=["0"])

    with pytest.raises(TrialInvalidError, match="as many as the trial asks for, 2, got 0"):
        host_settings(_job("/w", "true", gpus=2), options, sdk=_docker())


@pytest.mark.parametrize(
    ("user", "rootless", "expected"),
    [
        (None, False, f"{os.getuid()}:{os.getgid()}"),
        (None, True, "0:0"),
        ("image", False, None),
        ("mlops", False, "mlops"),
    ],
)
def test_whom_a_job_runs_as(user, rootless, expected):
    """
    Our user by default, which an engine without root calls its root.
    """
    options = DockerOptions(image="x", user=user)

    assert settings_of(_job("/w", "true"), options, rootless=rootless)["user"] == expected


def test_the_engine_says_that_memory_was_short(tmp_path):
    """
    Then it is on record as that, which a blueprint may call infeasible.
    """
    state = {
        "OOMKilled": True,
        "ExitCode": 137,
        "StartedAt": "2026-11-21T19:25:10.424456344Z",
        "FinishedAt": "2026-11-21T20:25:11.4+01:00",
    }

    ending = ending_of(state, timeout_s=1.0)
    result = verdict(ending, timeout_s=1.0, log=tmp_path / "log")

    assert (result.failure, result.out_of_memory) == (Failure.INFRASTRUCTURE, True)
    assert ending_of(state, timeout_s=0.9).cause == "timeout"


@pytest.mark.parametrize(
    ("mount_folders", "mounts", "seen"),
    [
        (True, [], True),
        (False, [], False),
        (False, ["studies:/opt/airflow/hpo"], True),
        (False, ["/srv/hpo:/opt/airflow/hpo/studies:ro"], True),
        (False, ["/data:/data"], False),
        (False, [{"target": "/opt/airflow", "type": "tmpfs"}], False),
    ],
)
def test_what_a_job_sees_of_us(mount_folders, mounts, seen):
    """
    Our folders are seen where we mount them, or a volume that the user names holds them.
    """
    options = DockerOptions(image="x", mount_folders=mount_folders, mounts=mounts)

    assert sees("/opt/airflow/hpo/studies/s/trials/00001", options) is seen


def test_variables_where_nothing_of_ours_is_seen():
    """
    They name folders of the container's own, made there, and no address of this machine; the
    command starts where the image says.
    """
    told = {"HPO_OUTPUT_DIR": "/w", "HPO_OUTPUT_URI": "file:///w", "HPO_SHARED_URI": "s3://b/s"}
    job = _job("/w", "true", environment=told, configuration={"x": 1})

    alone = settings_of(job, DockerOptions(image="x", mount_folders=False), rootless=False)
    beside = settings_of(job, DockerOptions(image="x"), rootless=False)

    assert beside["environment"]["HPO_OUTPUT_DIR"] == beside["working_dir"] == "/w"
    assert alone["working_dir"] is None
    assert alone["environment"]["HPO_OUTPUT_DIR"] == "/tmp/hpo"
    assert alone["environment"]["HPO_PARAMS"] == '{"x": 1}'
    assert alone["environment"]["HPO_SHARED_URI"] == "s3://b/s"
    assert "HPO_OUTPUT_URI" not in alone["environment"]
