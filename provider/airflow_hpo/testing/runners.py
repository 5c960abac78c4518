"""
What every runner must do, as test classes to subclass.

::

    class TestMine(RunnerContract):
        name = "my_package.runners:MyRunner"
        options = {"image": "..."}

For runners of shell commands there is more in `airflow_hpo.testing.commands`, for
those that run them elsewhere in `airflow_hpo.testing.remote`. Jobs have to see their
workspaces under the same path as the tests do.
Nothing here measures time: where a test waits, it waits for something to happen.
"""

from __future__ import annotations

import shlex
import sys
import threading
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest

from airflow_hpo.errors import TrialFailedError
from airflow_hpo.model.job import Job, JobResult, JobState
from airflow_hpo.model.placement import RunnerSpec
from airflow_hpo.model.trial import Failure
from airflow_hpo.runners import create_runner
from airflow_hpo.runners.base import Runner, wait_by_polling
from airflow_hpo.testing.following import PATIENCE_S, Look, finish, look, output, until
from airflow_hpo.testing.processes import run_together

__all__ = ["RunnerContract", "finish", "look", "output", "run_body", "until"]


def run_body(body: str) -> object:
    """
    Run Python text in this process; what it leaves as ``returned`` is returned.
    """
    names: dict[str, object] = {}
    exec(compile(body, "<body>", "exec"), names)  # noqa: S102 - the test's own text
    return names.get("returned")


class RunnerContract:
    """
    What holds for every runner.

    Give *name*, and *options* where it needs some; override the fixture ``spec``
    where they are known only once something was started, and `job` where it runs
    something else than a command. *python* is the interpreter that jobs find.
    """

    name: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}
    python: ClassVar[str] = sys.executable

    @pytest.fixture(name="spec")
    def _spec(self) -> RunnerSpec:
        return RunnerSpec(name=self.name, options=dict(self.options))

    @pytest.fixture(name="runner")
    def _runner(self, spec: RunnerSpec) -> Runner:
        return create_runner(spec)

    def job(self, folder: Path, body: str, **changes: Any) -> Job:
        """
        Return a job that runs the Python text *body*.
        """
        command = f"{shlex.quote(self.python)} -c {shlex.quote(body)}"
        job = Job(study="s", trial=0, attempt=1, workspace=str(folder), command=command)
        return replace(job, **{"grace_s": 0.2, **changes})

    def run(self, runner: Runner, job: Job) -> tuple[list[str], JobResult]:
        """
        Run *job* to its end; return its output and how it ended.
        """
        handle = runner.submit(job)
        result = finish(runner, handle)
        return output(runner, handle), result

    def test_it_keeps_the_protocol(self, runner: Runner) -> None:
        """
        A runner has every method and its class says what it needs.
        """
        assert isinstance(runner, Runner)
        assert isinstance(type(runner).needs_command, bool)

    def test_success(self, runner: Runner, tmp_path: Path) -> None:
        """
        Code that ends well gives exit code 0, no failure and no reason.
        """
        lines, result = self.run(runner, self.job(tmp_path, "print('hello')"))

        assert lines == ["hello"]
        assert result == JobResult(exit_code=0)
        assert result.ok

    @pytest.mark.parametrize("code", [1, 3, 125])
    def test_a_non_zero_exit_code_is_the_codes_failure(
        self, runner: Runner, tmp_path: Path, code: int
    ) -> None:
        """
        The exit code is kept.
        """
        _, result = self.run(runner, self.job(tmp_path, f"import sys; sys.exit({code})"))

        assert result.exit_code == code
        assert result.failure is Failure.CODE
        assert f"exit code {code}" in (result.reason or "")
        assert not result.ok

    def test_an_exception_is_told_in_the_reason(self, runner: Runner, tmp_path: Path) -> None:
        """
        The reason holds the last line of the traceback, the output all of it.
        """
        body = "def inner():\n    raise ValueError('boom: 7')\ninner()"

        lines, result = self.run(runner, self.job(tmp_path, body))

        assert result.failure is Failure.CODE
        assert result.exit_code == 1
        assert "ValueError: boom: 7" in (result.reason or "")
        assert "Traceback (most recent call last):" in lines
        assert any("inner" in line for line in lines)

    def test_output_and_errors_keep_their_order(self, runner: Runner, tmp_path: Path) -> None:
        """
        Standard output and error come in the order in which they were written.
        """
        body = (
            "import sys\n"
            "for number in range(50):\n"
            "    print('out', number, flush=True)\n"
            "    print('err', number, file=sys.stderr, flush=True)\n"
        )

        lines, _ = self.run(runner, self.job(tmp_path, body))

        assert lines == [f"{kind} {number}" for number in range(50) for kind in ("out", "err")]

    def test_any_text_comes_through(self, runner: Runner, tmp_path: Path) -> None:
        """
        Unicode, blank lines, spaces, and a last line without its newline.
        """
        text = "日本語 🎉\n\n  indented\t\n" + '{"a": 1}\n' + "no newline"

        job = self.job(tmp_path, f"print({text!r}, end='')", environment={"PYTHONUTF8": "1"})
        lines, _ = self.run(runner, job)

        assert lines == text.split("\n")

    def test_nothing_is_printed(self, runner: Runner, tmp_path: Path) -> None:
        """
        No output is no lines.
        """
        lines, result = self.run(runner, self.job(tmp_path, "pass"))

        assert lines == []
        assert result.ok

    def test_much_output_loses_no_line(self, runner: Runner, tmp_path: Path) -> None:
        """
        Ten megabytes come whole and in order, page by page.
        """
        body = "for number in range(100_000): print(number, 'x' * 95)"

        lines, result = self.run(runner, self.job(tmp_path, body))

        assert result.ok
        assert len(lines) == 100_000
        assert lines[-1] == f"99999 {'x' * 95}"
        assert [int(line.split()[0]) for line in lines] == list(range(100_000))

    def test_an_endless_line_is_cut(self, runner: Runner, tmp_path: Path) -> None:
        """
        A line beyond all measure is cut, with a mark; the next one is whole.
        """
        body = "print('x' * 9_000_000)\nprint('next')"

        lines, _ = self.run(runner, self.job(tmp_path, body))

        assert len(lines) == 2
        assert len(lines[0]) < 2 * 2**20
        assert "line cut" in lines[0]
        assert lines[1] == "next"

    def test_the_cursor_goes_on_where_it_was(self, runner: Runner, tmp_path: Path) -> None:
        """
        After the end the output can be read again, from any cursor on.
        """
        handle = runner.submit(self.job(tmp_path, "for n in range(9): print(n)"))
        finish(runner, handle)

        lines, cursor = runner.logs(handle, 0)

        assert list(lines) == list("012345678")
        assert runner.logs(handle, cursor) == ([], cursor)
        assert list(runner.logs(handle, 0)[0]) == list("012345678")

    def test_submitting_again_starts_nothing(self, runner: Runner, tmp_path: Path) -> None:
        """
        The same job has the same handle, and its code runs once.
        """
        mark = tmp_path / "mark"
        job = self.job(tmp_path, f"open({str(mark)!r}, 'a').write('x')")

        handle = runner.submit(job)
        again = runner.submit(job)
        finish(runner, handle)

        assert handle == again == runner.submit(job)
        assert mark.read_text() == "x"

    def test_submitting_at_once_starts_one(self, runner: Runner, tmp_path: Path) -> None:
        """
        Two callers at the same moment get the same job.
        """
        mark = tmp_path / "mark"
        job = self.job(tmp_path, f"open({str(mark)!r}, 'a').write('x')")
        handles: list[str] = []
        barrier = threading.Barrier(4)

        def call() -> None:
            barrier.wait()
            handles.append(runner.submit(job))

        threads = [threading.Thread(target=call) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        finish(runner, handles[0])

        assert len(set(handles)) == 1
        assert mark.read_text() == "x"

    def test_a_new_attempt_runs_again(self, runner: Runner, tmp_path: Path) -> None:
        """
        Another attempt is another job; the old one's end stays known.
        """
        first = runner.submit(self.job(tmp_path, "print('one'); raise SystemExit(3)"))
        finish(runner, first)

        lines, result = self.run(runner, self.job(tmp_path, "print('two')", attempt=2))

        assert (lines, result.ok) == (["two"], True)
        assert output(runner, first) == ["one"]
        assert runner.result(first).exit_code == 3

    def test_steps_are_jobs_of_their_own(self, runner: Runner, tmp_path: Path) -> None:
        """
        Steps of one attempt share the folder, whatever their names hold.
        """
        names = ["prepare", "../train", "eval uate"]
        handles = [
            runner.submit(self.job(tmp_path, f"print({name!r})", step=name)) for name in names
        ]
        for handle in handles:
            finish(runner, handle)

        assert [output(runner, handle) for handle in handles] == [[name] for name in names]

    def test_a_study_made_anew_runs_its_trials(self, runner: Runner, tmp_path: Path) -> None:
        """
        With another token the same numbers are another job, and the old
        handle is no longer known.
        """
        old = runner.submit(self.job(tmp_path, "print('old')"))
        finish(runner, old)

        anew = replace(self.job(tmp_path, "print('new')"), token="anew")  # noqa: S106 - no secret
        lines, result = self.run(runner, anew)

        assert (lines, result.ok) == (["new"], True)
        assert runner.state(old) is JobState.UNKNOWN
        assert runner.logs(old, 0) == ([], 0)

    @pytest.mark.parametrize("handle", ["", "nonsense", "{}", "[]", '{"key": "s/0/1/x"}', "null"])
    def test_an_unknown_handle(self, runner: Runner, handle: str) -> None:
        """
        Nothing is known of it, and cancelling it does nothing.
        """
        assert runner.state(handle) is JobState.UNKNOWN
        assert runner.wait(handle, 60.0) is JobState.UNKNOWN
        assert runner.logs(handle, 0) == ([], 0)
        runner.cancel(handle)
        with pytest.raises(TrialFailedError, match="handle"):
            runner.result(handle)

    def test_a_job_whose_folder_is_gone(self, runner: Runner, tmp_path: Path) -> None:
        """
        Without its files a job that has ended is unknown.
        """
        folder = tmp_path / "trial"
        folder.mkdir()
        handle = runner.submit(self.job(folder, "pass", workdir=str(tmp_path)))
        finish(runner, handle)
        folder.rename(tmp_path / "elsewhere")

        until(lambda: runner.state(handle) is JobState.UNKNOWN)
        assert runner.logs(handle, 0) == ([], 0)
        with pytest.raises(TrialFailedError, match="not known"):
            runner.result(handle)

    def test_cancelling_what_has_ended_changes_nothing(
        self, runner: Runner, tmp_path: Path
    ) -> None:
        """
        A job that ended well stays so.
        """
        handle = runner.submit(self.job(tmp_path, "print('done')"))
        result = finish(runner, handle)

        runner.cancel(handle)

        assert runner.result(handle) == result == JobResult(exit_code=0)
        assert output(runner, handle) == ["done"]

    def test_another_process_sees_the_same(
        self, spec: RunnerSpec, runner: Runner, tmp_path: Path
    ) -> None:
        """
        The handle is all that a process needs to follow the job.
        """
        handle = runner.submit(self.job(tmp_path, "print('hello'); raise SystemExit(4)"))

        (seen,) = run_together([partial(look, spec, handle)])

        assert seen == Look(JobState.DONE, ["hello"], runner.result(handle))
        assert seen.result.exit_code == 4

    def test_a_folder_that_cannot_be_written_to(self, runner: Runner, tmp_path: Path) -> None:
        """
        A workspace that is gone may be back next time.
        """
        job = self.job(tmp_path / "gone", "pass", workdir=str(tmp_path))

        with pytest.raises(TrialFailedError, match="workspace cannot be written to"):
            runner.submit(job)

    def test_waiting_by_polling_sees_the_end(self, runner: Runner, tmp_path: Path) -> None:
        """
        The fallback that base offers keeps the same promise.
        """
        handle = runner.submit(self.job(tmp_path, "print('x')"))

        assert wait_by_polling(runner, handle, PATIENCE_S) is JobState.DONE
        assert wait_by_polling(runner, handle, 0.0, since=0) is JobState.DONE
