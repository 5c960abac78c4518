"""
GPUs: who gets which, what a trial is told, and what is left when somebody is killed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_hpo.driver import TrialRun
from airflow_hpo.driver.job import build_job
from airflow_hpo.errors import TrialInvalidError
from airflow_hpo.model.blueprint import Blueprint
from airflow_hpo.model.job import Job, JobState
from airflow_hpo.model.stop import Stop
from airflow_hpo.model.trial import Failure, TrialState
from airflow_hpo.runners import lease
from airflow_hpo.runners.devices import devices_for
from airflow_hpo.runners.files import Handle
from airflow_hpo.runners.lease import Lease
from airflow_hpo.runners.subprocess import SubprocessOptions, SubprocessRunner
from airflow_hpo.storage import open_storage
from airflow_hpo.study import Study
from airflow_hpo.testing.processes import run_together
from airflow_hpo.testing.runners import finish, output, until

pytestmark = pytest.mark.skipif(not lease.is_supported(), reason="needs Linux's locks of files")

_SHARES = (0.25, 0.3, 0.5, 1, 2)

# Stands in for NVML: what the library would answer, by host.
_NVML = """
class NVMLError(Exception):
    pass

NVML_DEVICE_MIG_ENABLE = 1
DEVICES = {devices!r}

def nvmlInit():
    if DEVICES is None:
        raise NVMLError("Driver Not Loaded")

def nvmlShutdown(): pass
def nvmlDeviceGetCount(): return len(DEVICES)
def nvmlDeviceGetHandleByIndex(index): return DEVICES[index]
def nvmlDeviceGetMaxMigDeviceCount(device): return 7

def nvmlDeviceGetMigMode(device):
    if isinstance(device, str):
        raise NVMLError("Not Supported")
    return (1, 1)

def nvmlDeviceGetMigDeviceHandleByIndex(device, index):
    if index >= len(device):
        raise NVMLError("Not Found")
    return device[index]

def nvmlDeviceGetUUID(device): return device
"""


@pytest.fixture(name="host", autouse=True)
def _host(two_gpus):
    """
    A host with two devices and a folder of leases of its own.
    """
    return two_gpus


@pytest.fixture(name="runner")
def _runner():
    return SubprocessRunner(SubprocessOptions())


def job(folder, command, gpus, **changes):
    """
    Return a job that runs *command* with *gpus* in *folder*.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = Job(study="s", trial=0, attempt=1, workspace=str(folder), command=command, gpus=gpus)
    return replace(made, **{"grace_s": 0.2, **changes})


def _compete(folder, events, seed):
    """
    Lease and let go, again and again; each lease is noted after it begins and before it ends.
    """
    import random

    draw = random.Random(seed)
    with Path(events).open("a", buffering=1) as file:
        for _ in range(25):
            gpus = draw.choice(_SHARES)
            mine = Lease(folder, ["0", "1", "2"], gpus)
            while (names := mine.take()) is None:
                os.sched_yield()
            # A write in append mode, short as it is, goes in whole.
            file.write(json.dumps([min(gpus, 1), names]) + "\n")
            file.write(json.dumps([-min(gpus, 1), names]) + "\n")
            mine.release()


class TestLeases:
    """
    Who gets which device.
    """

    def test_processes_never_share_more_than_a_device(self, host, tmp_path):
        """
        Whatever six processes lease at once: no device is ever given away more than once.
        """
        events = tmp_path / "events"

        run_together([partial(_compete, host, str(events), seed) for seed in range(6)])

        lines = [json.loads(line) for line in events.read_text().splitlines()]
        used = dict.fromkeys("012", 0.0)
        assert len(lines) == 6 * 25 * 2
        for share, names in lines:
            for name in names:
                used[name] += share
            assert max(used.values()) <= 1 + 1e-9
        assert max(map(abs, used.values())) < 1e-9

    @settings(deadline=None, max_examples=60)
    @given(moves=st.lists(st.tuples(st.sampled_from(_SHARES), st.integers(0, 3)), max_size=25))
    def test_what_fits_is_given(self, tmp_path_factory, moves):
        """
        A share is given if and only if a device has room for it, whole devices if enough are free.
        """
        folder, held = str(tmp_path_factory.mktemp("locks")), []
        for gpus, ended in moves:
            for _ in range(min(ended, len(held))):
                held.pop()[0].release()
            used = {name: sum(s for _, s, names in held if name in names) for name in "012"}
            free = [1 - share for share in used.values()]
            fits = max(free) + 1e-9 >= gpus if gpus < 1 else free.count(1.0) >= gpus

            mine = Lease(folder, list("012"), gpus)
            names = mine.take()

            assert (names is not None) == fits
            if names is None:
                mine.release()
                continue
            assert len(names) == len(set(names)) == max(1, int(gpus))
            held.append((mine, min(gpus, 1), names))
        for mine, _, _ in held:
            mine.release()

    def test_shares_leave_whole_devices_free(self, host):
        """
        A share goes to the device that has others already, as long as it fits.
        """
        leases = [Lease(host, ["a", "b"], 0.5) for _ in range(2)]

        assert [each.take() for each in leases] == [["a"], ["a"]]
        assert Lease(host, ["a", "b"], 1).take() == ["b"]

    def test_three_thirds_are_a_whole(self, host):
        """
        Shares are kept to the millionth, and rounded up: three of 0.333333 fit, four do not.
        """
        leases = [Lease(host, ["a"], 0.333333) for _ in range(4)]

        assert [each.take() for each in leases] == [["a"], ["a"], ["a"], None]

    def test_many_are_not_starved_by_few(self, host):
        """
        Who waits for two devices keeps the first that comes free, though others want it.
        """
        first, second = Lease(host, ["a", "b"], 1), Lease(host, ["a", "b"], 1)
        assert (first.take(), second.take()) == (["a"], ["b"])
        both = Lease(host, ["a", "b"], 2)
        assert both.take() is None

        first.release()
        assert both.take() is None
        assert Lease(host, ["a", "b"], 1).take() is None
        second.release()

        assert both.take() == ["a", "b"]

    def test_who_gives_up_waiting_keeps_nothing(self, host):
        """
        What was kept while waiting is free again.
        """
        first = Lease(host, ["a", "b"], 1)
        first.take()
        both = Lease(host, ["a", "b"], 2)
        assert both.take() is None

        both.release()

        assert Lease(host, ["a", "b"], 1).take() == ["b"]


class TestJobs:
    """
    What a job is told, and what becomes of its devices.
    """

    def test_it_sees_its_devices_alone(self, runner, tmp_path):
        """
        The command is told which devices are its own, by the numbers that nvidia-smi shows.
        """
        handle = runner.submit(job(tmp_path, "echo $CUDA_VISIBLE_DEVICES $CUDA_DEVICE_ORDER", 2))

        assert finish(runner, handle).ok
        assert output(runner, handle) == ["GPU: 0, 1", "0,1 PCI_BUS_ID"]

    def test_without_gpus_nothing_is_said(self, runner, tmp_path, monkeypatch):
        """
        A job that asks for none sees what this process was told, and has no part in leases.
        """
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
        handle = runner.submit(job(tmp_path, "echo $CUDA_VISIBLE_DEVICES", 0))

        assert finish(runner, handle).ok
        assert output(runner, handle) == ["7"]
        assert not (tmp_path / "locks").exists()

    def test_it_waits_its_turn(self, runner, host, tmp_path):
        """
        Where all devices are taken, the job is pending, says so, and starts when one is free.
        """
        taken = Lease(host, ["0", "1"], 2)
        taken.take()
        handle = runner.submit(job(tmp_path, "echo $CUDA_VISIBLE_DEVICES", 1))
        until(lambda: bool(runner.logs(handle, 0)[0]))

        assert runner.state(handle) is JobState.PENDING
        assert output(runner, handle) == ["GPU: waiting for 1 of 0, 1: too few are free"]
        taken.release()

        assert finish(runner, handle).ok
        assert output(runner, handle)[-1] in {"0", "1"}

    def test_it_can_be_cancelled_while_it_waits(self, runner, host, tmp_path):
        """
        Cancelling ends the wait at once, and the command never runs.
        """
        taken = Lease(host, ["0", "1"], 2)
        taken.take()
        handle = runner.submit(job(tmp_path, "touch ran", 1))

        runner.cancel(handle)

        assert runner.state(handle) is JobState.DONE
        assert runner.result(handle).cancelled
        assert not (tmp_path / "ran").exists()

    def test_waiting_is_no_part_of_its_time(self, runner, host, tmp_path):
        """
        The time limit begins with the command.
        """
        taken = Lease(host, ["0", "1"], 2)
        taken.take()
        handle = runner.submit(job(tmp_path, "true", 1, timeout_s=2))
        threading.Timer(3, taken.release).start()

        assert finish(runner, handle).ok

    @pytest.mark.parametrize("victim", ["supervisor", "command"])
    def test_a_kill_frees_its_devices_and_no_sooner_than_its_end(
        self, runner, host, tmp_path, victim
    ):
        """
        With SIGKILL to one of them the devices stay the job's as long as anything of it runs.
        """
        handle = runner.submit(job(tmp_path, "echo $$ > pid; echo; sleep 60; true", 2))
        until(lambda: (tmp_path / "pid").exists() and len(output(runner, handle)) > 1)
        supervisor = Handle.parse(handle).pid
        command = int((tmp_path / "pid").read_text())

        os.kill(supervisor if victim == "supervisor" else command, signal.SIGKILL)

        waiting = Lease(host, ["0", "1"], 1)
        if victim == "supervisor":
            until(lambda: runner.state(handle) is JobState.DONE)
            assert waiting.take() is None
            assert runner.result(handle).failure is Failure.INFRASTRUCTURE  # ends the rest, too
        until(lambda: waiting.take() is not None)

    def test_too_few_devices_are_told(self, runner, tmp_path):
        """
        A job that could never start is refused: what it asks for, what there is, who says so.
        """
        with pytest.raises(TrialInvalidError) as caught:
            runner.submit(job(tmp_path, "true", 3))

        text = "must have the GPUs that the trial asks for, 3 GPUs, got 2 (0, 1; HPO_GPUS says so)"
        assert str(caught.value) == f"{os.uname().nodename} {text}"

    def test_choosing_and_asking_exclude_each_other(self, runner, tmp_path):
        """
        A job that names devices itself cannot ask for some.
        """
        wanted = job(tmp_path, "true", 1, environment={"CUDA_VISIBLE_DEVICES": "1"})

        with pytest.raises(TrialInvalidError, match="must not be set for a trial that asks"):
            runner.submit(wanted)


def devices(tmp_path, found, gpus=1, **environment):
    """
    Return the devices of a host whose NVML finds *found*, as another process sees them.
    """
    (tmp_path / "pynvml.py").write_text(_NVML.format(devices=found))
    code = (
        "import json, sys; from airflow_hpo.runners.devices import devices_for\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        f"print(json.dumps(devices_for({gpus}, {environment!r})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return json.loads(done.stdout) if done.returncode == 0 else done.stderr.splitlines()[-1]


class TestDevices:
    """
    Which devices a host has.
    """

    def test_nvml_tells_by_uuid(self, tmp_path):
        """
        Without configuration the driver's list counts; a split device is its instances.
        """
        assert devices(tmp_path, ["GPU-aa", "GPU-bb"]) == ["GPU-aa", "GPU-bb"]
        assert devices(tmp_path, ["GPU-aa", ["MIG-1", "MIG-2"]]) == ["GPU-aa", "MIG-1", "MIG-2"]

    def test_numbers_and_uuids_are_one_and_the_same(self, tmp_path):
        """
        Whichever way a device is written, it has one name, so that it is leased once.
        """
        found = ["GPU-aa", "GPU-bb", "GPU-cc"]

        assert devices(tmp_path, found, HPO_GPUS="2, GPU-a") == ["GPU-cc", "GPU-aa"]
        assert devices(tmp_path, found, CUDA_VISIBLE_DEVICES="1") == ["GPU-bb"]
        assert devices(tmp_path, found, HPO_GPUS="0,1", CUDA_VISIBLE_DEVICES="GPU-bb,2") == [
            "GPU-bb"
        ]

    def test_numbers_do_without_nvml(self, tmp_path):
        """
        Where the driver tells nothing, what somebody wrote down counts.
        """
        assert devices(tmp_path, None, HPO_GPUS="0,1,1") == ["0", "1"]
        assert devices(tmp_path, None, CUDA_VISIBLE_DEVICES="0,3") == ["0", "3"]
        assert devices(tmp_path, None, HPO_GPUS="0,3,4", CUDA_VISIBLE_DEVICES="3,5") == ["3"]

    @pytest.mark.parametrize(
        ("found", "environment", "text"),
        [
            (None, {}, "got 0 (none; NVML cannot be read: Driver Not Loaded; install airflow-prov"),
            ([], {}, "got 0 (none; NVML says so)"),
            (["GPU-aa"], {"HPO_GPUS": "none"}, "got 0 (none; HPO_GPUS says so)"),
            (["GPU-aa"], {"CUDA_VISIBLE_DEVICES": ""}, "(none; CUDA_VISIBLE_DEVICES allows no mor"),
            (["GPU-aa"], {"CUDA_VISIBLE_DEVICES": "-1"}, "CUDA_VISIBLE_DEVICES allows no more"),
            (
                ["GPU-aa"],
                {"HPO_GPUS": "0,1"},
                "HPO_GPUS must name GPUs of this host (0 = GPU-aa), got '1'",
            ),
        ],
    )
    def test_none_are_explained(self, tmp_path, found, environment, text):
        """
        A host that has none says why, and how to tell of some.
        """
        assert text in devices(tmp_path, found, **environment)

    def test_a_share_needs_a_device(self):
        """
        Half a device is too much for a host that has none.
        """
        with pytest.raises(TrialInvalidError, match=r"asks for, 0.5 GPU, got 0"):
            devices_for(0.5, {"HPO_GPUS": "none"})


BLUEPRINT = {
    "name": "parabola",
    "objectives": [{"metric": "y", "direction": "minimize"}],
    "space": {
        "parameters": [{"name": "x", "distribution": {"kind": "float", "low": 0, "high": 1}}]
    },
    "strategy": {"name": "random", "seed": 7},
    "budget": {"trials": 6},
    "trial": {"steps": [{"command": "touch ran", "gpus": 1}]},
}


class TestTrials:
    """
    What a blueprint's trials get.
    """

    def test_a_study_that_ends_takes_along_who_waits_for_a_device(self, host, tmp_path):
        """
        Stop rules hold while a trial waits: it ends, and its command never ran.
        """
        source = {"file": str(tmp_path / "blueprint.yaml")}
        blueprint = Blueprint.model_validate({**BLUEPRINT, "source": source})
        study = Study.open(open_storage(f"sqlite:///{tmp_path / 's.db'}"), "s", blueprint)
        study.ask(1, key="k")
        taken, lines = Lease(host, ["0", "1"], 2), []
        taken.take()
        run = TrialRun(study, 0, key="a", artifacts=tmp_path / "files", log=lines.append)
        thread = threading.Thread(target=run.run)
        thread.start()
        until(lambda: any("waiting for 1 of" in line for line in lines))

        study.stop(Stop("user", "enough"))
        thread.join(60)

        assert study.record().trials[0].state is TrialState.PRUNED
        assert not (tmp_path / "ran").exists()

    @pytest.mark.parametrize(("resource", "expected"), [(1, 0.5), (3, 0), (9, 2)])
    def test_rungs_have_gpus_of_their_own(self, tmp_path, resource, expected):
        """
        What a rung says of GPUs holds for its trials, none at all included.
        """
        rungs = [{"at_least": 3, "gpus": 0}, {"at_least": 9, "gpus": 2}]
        blueprint = Blueprint.model_validate(
            {
                **BLUEPRINT,
                "resource": {"name": "epochs", "min": 1, "max": 9, "rungs": rungs},
                "trial": {"steps": [{"command": "true", "gpus": 0.5}]},
            }
        )
        study = Study.open(open_storage(f"sqlite:///{tmp_path / 's.db'}"), "s", blueprint)
        (trial,) = study.ask(1, key="k")

        made = build_job(
            blueprint,
            replace(trial, resource=resource),
            blueprint.trial.steps[0],
            study="s",
            workspace=tmp_path,
        )

        assert made.gpus == expected
