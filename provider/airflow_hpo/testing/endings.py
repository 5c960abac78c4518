"""
How every runner of shell commands ends a job before its time.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from shutil import which
from typing import Any

import pytest

from airflow_hpo.model.job import Job, JobState
from airflow_hpo.model.placement import RunnerSpec
from airflow_hpo.model.trial import Failure
from airflow_hpo.runners import create_runner
from airflow_hpo.runners.base import ENDED, Runner
from airflow_hpo.testing.processes import let_go, run_together, start_process
from airflow_hpo.testing.runners import RunnerContract, finish, look, output, until

__all__ = ["FOREVER", "EndingContract"]

FOREVER = "while :; do echo . >> beat; sleep 0.02; done"
"""A shell line that never ends, and shows in a file that it runs."""

# What a job may leave running, each as a shell line that never ends by itself.
_STUBBORN = {
    "plain": FOREVER,
    "deaf": f"trap '' TERM; {FOREVER}",
    "child": f"sh -c '{FOREVER}' & wait",
    "deaf child": f"""sh -c 'trap "" TERM; {FOREVER}' & wait""",
    "deaf grandchild": f"""sh -c 'sh -c "trap : TERM; {FOREVER}" & wait' & wait""",
    "own session": f"setsid sh -c '{FOREVER}' & wait",
    "daemon": f"""(setsid sh -c 'trap "" TERM; {FOREVER}' &); sleep 1000""",
    "stopped": f"{FOREVER} & sleep 0.1; kill -STOP $!; {FOREVER}",
}


def _stubborn() -> list[Any]:
    has_sessions = which("setsid") is not None
    needs = pytest.mark.skipif(not has_sessions, reason="there is no setsid here")
    return [
        pytest.param(line, id=name, marks=[needs] if "setsid" in line else [])
        for name, line in _STUBBORN.items()
    ]


def submit_and_stay(spec: RunnerSpec, job: Job) -> None:
    """
    Submit *job*, print its handle, and wait to be killed.
    """
    print(create_runner(spec).submit(job), flush=True)  # noqa: T201 - the parent reads it
    time.sleep(1000)


def cancel(spec: RunnerSpec, handle: str) -> None:
    """
    Cancel a job, with a runner made from nothing.
    """
    create_runner(spec).cancel(handle)


def _beats(folder: Path) -> int:
    try:
        return (folder / "beat").stat().st_size
    except FileNotFoundError:
        return 0


def _is_still(folder: Path) -> bool:
    """
    Return whether nothing writes to the folder's beat any more.
    """
    before = _beats(folder)
    time.sleep(0.2)  # ten beats
    return _beats(folder) == before


class EndingContract(RunnerContract):
    """
    Time limits, cancelling, and what a job may leave behind.
    """

    def shell(self, folder: Path, command: str, **changes: Any) -> Job:
        """
        Return a job that runs *command* in *folder*.
        """
        return replace(self.job(folder, "", **changes), command=command)

    def test_the_time_limit(self, runner: Runner, tmp_path: Path) -> None:
        """
        A job past its limit is ended, and that is what its result says.
        """
        job = self.shell(tmp_path, f"echo begun; {FOREVER}", timeout_s=1.0)

        lines, result = self.run(runner, job)

        assert lines == ["begun"]
        assert result.failure is Failure.TIMEOUT
        assert result.reason == "took longer than 1 s"
        assert not result.cancelled
        assert _is_still(tmp_path)

    def test_the_time_limit_of_the_deaf(self, runner: Runner, tmp_path: Path) -> None:
        """
        Who does not listen is killed after the grace period.
        """
        job = self.shell(tmp_path, f"trap '' TERM; {FOREVER}", timeout_s=0.2)

        _, result = self.run(runner, job)

        assert result.failure is Failure.TIMEOUT
        assert _is_still(tmp_path)

    def test_a_job_within_its_limit(self, runner: Runner, tmp_path: Path) -> None:
        """
        The limit does not touch a job that ends in time.
        """
        _, result = self.run(runner, self.shell(tmp_path, "true", timeout_s=1e6))

        assert result.ok

    @pytest.mark.parametrize("command", _stubborn())
    def test_cancel_ends_everything(self, runner: Runner, tmp_path: Path, command: str) -> None:
        """
        Nothing that the job started runs once `cancel` has returned.
        """
        handle = runner.submit(self.shell(tmp_path, command))
        until(lambda: _beats(tmp_path))
        assert runner.state(handle) not in ENDED

        runner.cancel(handle)

        assert runner.state(handle) is JobState.DONE
        assert _is_still(tmp_path)
        result = runner.result(handle)
        assert result.cancelled
        assert result.failure is None
        assert not result.ok
        runner.cancel(handle)
        assert runner.result(handle) == result

    def test_cancel_right_after_submit(self, runner: Runner, tmp_path: Path) -> None:
        """
        A job that has hardly started is ended too.
        """
        handle = runner.submit(self.shell(tmp_path, FOREVER))

        runner.cancel(handle)

        assert runner.result(handle).cancelled
        assert _is_still(tmp_path)

    def test_cancel_gives_time_to_say_goodbye(self, runner: Runner, tmp_path: Path) -> None:
        """
        Code may save its state within the grace period.
        """
        body = (
            "import signal, sys, time\n"
            "signal.signal(signal.SIGTERM, lambda *_: (print('saved'), sys.exit(0)))\n"
            "print('ready', flush=True)\n"
            "time.sleep(1000)\n"
        )
        handle = runner.submit(self.job(tmp_path, body, grace_s=30.0))
        until(lambda: "ready" in output(runner, handle))

        runner.cancel(handle)

        assert output(runner, handle) == ["ready", "saved"]
        assert runner.result(handle).cancelled

    def test_cancel_from_several_places(
        self, spec: RunnerSpec, runner: Runner, tmp_path: Path
    ) -> None:
        """
        Callers at the same moment, in other processes too, do not disturb each other.
        """
        handle = runner.submit(self.shell(tmp_path, f"trap '' TERM; {FOREVER}"))
        until(lambda: _beats(tmp_path))
        threads = [threading.Thread(target=runner.cancel, args=(handle,)) for _ in range(3)]
        for thread in threads:
            thread.start()

        run_together([partial(cancel, spec, handle)])
        for thread in threads:
            thread.join()

        assert runner.result(handle).cancelled
        assert _is_still(tmp_path)

    def test_what_the_command_leaves_behind_is_ended(self, runner: Runner, tmp_path: Path) -> None:
        """
        A job is over when its command is: nothing goes on in the background.
        """
        command = f"sh -c '{FOREVER}' & until [ -s beat ]; do sleep 0.01; done; exit 5"

        _, result = self.run(runner, self.shell(tmp_path, command))

        assert result.exit_code == 5
        assert _is_still(tmp_path)

    def test_a_new_attempt_ends_the_old_one(self, runner: Runner, tmp_path: Path) -> None:
        """
        An orphan of an older attempt does not write beside the new one.
        """
        old = runner.submit(self.shell(tmp_path, FOREVER))
        until(lambda: _beats(tmp_path))

        result = finish(runner, runner.submit(self.shell(tmp_path, "true", attempt=2)))

        assert result.ok
        assert runner.result(old).cancelled
        assert _is_still(tmp_path)

    def test_the_job_outlives_who_launched_it(
        self, spec: RunnerSpec, runner: Runner, tmp_path: Path
    ) -> None:
        """
        Where the launching process is killed, another one reads the end.
        """
        command = "until [ -e go ]; do sleep 0.01; done; echo over; exit 6"
        job = self.shell(tmp_path, command)
        launcher = start_process(partial(submit_and_stay, spec, job))
        let_go([launcher])
        assert launcher.stdout is not None
        handle = launcher.stdout.readline().decode().strip()
        launcher.kill()
        launcher.wait()
        launcher.stdout.close()

        assert runner.state(handle) not in ENDED
        assert runner.submit(job) == handle
        (tmp_path / "go").touch()
        (seen,) = run_together([partial(look, spec, handle)])

        assert seen.state is JobState.DONE
        assert seen.lines == ["over"]
        assert seen.result.exit_code == 6
