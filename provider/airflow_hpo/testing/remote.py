"""
What every runner must do whose jobs are kept by somebody else: an engine, a cluster, a cloud.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from airflow_hpo.errors import TrialFailedError
from airflow_hpo.model.job import Job, JobResult, JobState
from airflow_hpo.model.placement import RunnerSpec
from airflow_hpo.model.trial import Failure
from airflow_hpo.runners import create_runner
from airflow_hpo.runners.base import ENDED, Runner, Searchable
from airflow_hpo.testing.commands import CommandRunnerContract
from airflow_hpo.testing.endings import FOREVER
from airflow_hpo.testing.following import finish, output, until

__all__ = ["RemoteRunnerContract"]


class RemoteRunnerContract(CommandRunnerContract):
    """
    What holds for every runner that hands its jobs to somebody else.

    Besides the fixture ``spec``, tell how that somebody is spoken to behind the
    runner's back: `hold`, `destroy`, `kill`, `kept` and `unreachable`.
    """

    def hold(self, runner: Runner, job: Job) -> str:
        """
        Submit *job* so that it does not start, and return its handle.
        """
        raise NotImplementedError

    def destroy(self, handle: str) -> None:
        """
        Remove the job of *handle* from where it runs, as a stranger would.
        """
        raise NotImplementedError

    def kill(self, handle: str) -> None:
        """
        Kill the job of *handle* where it runs, and leave its remains there.
        """
        raise NotImplementedError

    def kept(self, workspace: Path) -> Sequence[str]:
        """
        Return the names of all jobs of *workspace* that are still kept there.
        """
        raise NotImplementedError

    def unreachable(self, spec: RunnerSpec) -> RunnerSpec:
        """
        Return *spec*, changed so that nobody answers.
        """
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def _clear(self, runner: Runner, tmp_path: Path) -> Any:
        """
        End what a test that failed left running.
        """
        yield
        assert isinstance(runner, Searchable)
        for folder in (tmp_path, tmp_path / "elsewhere"):
            for found in runner.find(study="s", trial=0, workspace=str(folder)):
                runner.cancel(found.handle)

    def test_the_handle_is_json(self, runner: Runner, tmp_path: Path) -> None:
        """
        A handle is short JSON text that fits into any store.
        """
        handle = runner.submit(self.job(tmp_path, "pass"))
        finish(runner, handle)

        assert isinstance(json.loads(handle), dict)
        assert len(handle) < 4096

    def test_nothing_is_left_behind(self, runner: Runner, tmp_path: Path) -> None:
        """
        A job whose result was told is gone from there; what it said stays known.
        """
        job = self.job(tmp_path, "print('bye'); raise SystemExit(3)")
        handle = runner.submit(job)
        assert self.kept(tmp_path)
        result = finish(runner, handle)

        assert not self.kept(tmp_path)
        assert (runner.state(handle), runner.result(handle)) == (JobState.DONE, result)
        assert output(runner, handle) == ["bye"]
        assert runner.submit(job) == handle
        assert not self.kept(tmp_path)

    def test_a_cancelled_job_leaves_nothing_behind(self, runner: Runner, tmp_path: Path) -> None:
        """
        Once `cancel` has returned, nothing is kept there; its output is.
        """
        handle = runner.submit(self.shell(tmp_path, f"echo begun; {FOREVER}"))
        until(lambda: "begun" in output(runner, handle))

        runner.cancel(handle)

        assert not self.kept(tmp_path)
        assert output(runner, handle) == ["begun"]
        assert runner.result(handle).cancelled

    def test_a_job_that_waits_can_be_cancelled(self, runner: Runner, tmp_path: Path) -> None:
        """
        A job that has not started is pending, and never runs once it was cancelled.
        """
        handle = self.hold(runner, self.shell(tmp_path, FOREVER))
        assert runner.state(handle) is JobState.PENDING
        assert runner.wait(handle, 0.05, since=0) is JobState.PENDING
        assert runner.logs(handle, 0) == ([], 0)

        runner.cancel(handle)

        assert runner.result(handle).cancelled
        assert not (tmp_path / "beat").exists()
        assert not self.kept(tmp_path)

    def test_one_that_somebody_removed(self, runner: Runner, tmp_path: Path) -> None:
        """
        A job that vanished is lost, which is the machine's fault; nobody cancelled it.
        """
        handle = runner.submit(self.shell(tmp_path, FOREVER))
        until((tmp_path / "beat").exists)

        self.destroy(handle)

        try:
            result = finish(runner, handle)
        except TrialFailedError as error:
            assert "not known" in str(error)  # noqa: PT017 - one of two fair answers
        else:
            assert (result.failure, result.cancelled) == (Failure.INFRASTRUCTURE, False)
        runner.cancel(handle)

    def test_one_that_somebody_killed(self, runner: Runner, tmp_path: Path) -> None:
        """
        SIGKILL from outside is the machine's fault, and no cancellation of ours.
        """
        handle = runner.submit(self.shell(tmp_path, FOREVER))
        until((tmp_path / "beat").exists)

        self.kill(handle)
        result = finish(runner, handle)

        assert (result.failure, result.cancelled) == (Failure.INFRASTRUCTURE, False)
        assert not self.kept(tmp_path)

    def test_it_finds_its_jobs(self, runner: Runner, tmp_path: Path) -> None:
        """
        Jobs are found by study, trial and workspace, and those of others are not.
        """
        assert isinstance(runner, Searchable)
        handle = runner.submit(self.shell(tmp_path, FOREVER, attempt=3, step="two parts"))

        (found,) = runner.find(study="s", trial=0, workspace=str(tmp_path))

        assert (found.handle, found.attempt, found.step) == (handle, 3, "two parts")
        assert not runner.find(study="s", trial=1, workspace=str(tmp_path))
        assert not runner.find(study="other", trial=0, workspace=str(tmp_path))
        assert not runner.find(study="s", trial=0, workspace=str(tmp_path / "other"))

    def test_it_finds_a_job_that_nobody_noted(self, runner: Runner, tmp_path: Path) -> None:
        """
        A job whose submitter died before it could write anything down is found by its labels.
        """
        assert isinstance(runner, Searchable)
        job = self.shell(tmp_path, FOREVER)
        handle = runner.submit(job)
        for path in (tmp_path / ".jobs").iterdir():
            path.unlink()

        (found,) = runner.find(study="s", trial=0, workspace=str(tmp_path))
        assert found.handle == handle == runner.submit(job)
        assert len(self.kept(tmp_path)) == 1
        runner.cancel(found.handle)

        assert not self.kept(tmp_path)

    def test_where_nobody_answers(self, spec: RunnerSpec, runner: Runner, tmp_path: Path) -> None:
        """
        Who does not answer may be back soon: no job has ended because of it.
        """
        handle = runner.submit(self.job(tmp_path, "pass"))
        lonely = create_runner(self.unreachable(spec))

        assert lonely.state(handle) not in ENDED
        with pytest.raises(TrialFailedError, match=r"could not be started: .*reached"):
            lonely.submit(self.job(tmp_path, "pass", attempt=2))

        assert finish(runner, handle) == JobResult(exit_code=0)
