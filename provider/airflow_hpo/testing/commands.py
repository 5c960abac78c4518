"""
What every runner of shell commands must do, beyond `RunnerContract`.
"""

from __future__ import annotations

import json
import shlex
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_hpo.errors import TrialInvalidError
from airflow_hpo.model.job import JobResult, JobState
from airflow_hpo.model.trial import Failure
from airflow_hpo.runners.base import ENDED, Runner
from airflow_hpo.testing.endings import FOREVER, EndingContract
from airflow_hpo.testing.runners import finish, output, until

__all__ = ["NASTY", "CommandRunnerContract"]

NASTY = (
    "two words",
    " leading and trailing ",
    "it's",
    'say "hi"',
    "$(id) `id` $HOME ${PATH}",
    "a;b|c&d>e<f",
    "*?[a-z]~",
    "back\\slash\\n",
    "two\nlines\n",
    "\ttab\r",
    "",
    "-rf",
    "#no comment",
    "!history",
    "{brace,expansion}",
    "日本語 ünïcödé 🎉",
    "%s %d %%",
)
"""Values that a shell, a template or an environment could mangle."""


class CommandRunnerContract(EndingContract):
    """
    What holds for every runner that starts a shell command.
    """

    def test_values_arrive_as_they_are(self, runner: Runner, tmp_path: Path) -> None:
        """
        Quoted arguments and variables reach the code, whatever they hold.
        """
        names = [f"HPO_TEST_{place}" for place in range(len(NASTY))]
        body = (
            "import json, os, sys; "
            f"print(json.dumps([sys.argv[1:], [os.environ[name] for name in {names!r}]]))"
        )
        job = self.job(tmp_path, body, environment=dict(zip(names, NASTY, strict=True)))
        arguments = " ".join(shlex.quote(value) for value in NASTY)

        lines, result = self.run(runner, replace(job, command=f"{job.command} {arguments}"))

        assert result.ok
        assert json.loads(lines[0]) == [list(NASTY), list(NASTY)]

    def test_the_command_is_a_shell_line(self, runner: Runner, tmp_path: Path) -> None:
        """
        Pipes, lists and variables work; the last command's exit code counts.
        """
        command = "X=5; echo a b | tr ' ' '\\n' | wc -l | tr -d ' ' && (echo $X; false) || exit 7"

        lines, result = self.run(runner, self.shell(tmp_path, command))

        assert lines == ["2", "5"]
        assert result.exit_code == 7

    @pytest.mark.parametrize("command", ["-c", "--help-nothing", "# only a comment", "", "\n"])
    def test_any_text_is_a_command(self, runner: Runner, tmp_path: Path, command: str) -> None:
        """
        Text that looks like an option, or does nothing, is run all the same.
        """
        _, result = self.run(runner, self.shell(tmp_path, command))

        assert result.exit_code == (127 if command.startswith("-") else 0)

    def test_a_syntax_error_is_the_codes(self, runner: Runner, tmp_path: Path) -> None:
        """
        What the shell says about it is in the reason.
        """
        _, result = self.run(runner, self.shell(tmp_path, "echo 'unclosed"))

        assert result.failure is Failure.CODE
        assert "last lines of output" in (result.reason or "")

    def test_a_command_that_is_not_there(self, runner: Runner, tmp_path: Path) -> None:
        """
        The reason says that it was not found, and which.
        """
        _, result = self.run(runner, self.shell(tmp_path, "no-such-command-here --x 1"))

        assert (result.exit_code, result.failure) == (127, Failure.CODE)
        assert "the command was not found" in (result.reason or "")
        assert "no-such-command-here" in (result.reason or "")

    def test_a_file_that_is_no_program(self, runner: Runner, tmp_path: Path) -> None:
        """
        The reason says that it cannot be executed.
        """
        (tmp_path / "data.txt").write_text("x")

        _, result = self.run(runner, self.shell(tmp_path, "./data.txt"))

        assert (result.exit_code, result.failure) == (126, Failure.CODE)
        assert "cannot be executed" in (result.reason or "")

    def test_only_the_end_of_the_output_is_the_reason(self, runner: Runner, tmp_path: Path) -> None:
        """
        A reason stays short however much was printed.
        """
        _, result = self.run(runner, self.job(tmp_path, "print('line\\n' * 9999); 1 / 0"))

        assert "ZeroDivisionError" in (result.reason or "")
        assert len((result.reason or "").splitlines()) <= 21

    @pytest.mark.parametrize("command", ["kill -9 $$", "sh -c 'kill -9 $$'; exit $?"])
    def test_killed_from_outside(self, runner: Runner, tmp_path: Path, command: str) -> None:
        """
        SIGKILL that nobody here sent is the machine's fault: memory, mostly.
        """
        _, result = self.run(runner, self.shell(tmp_path, command))

        assert (result.exit_code, result.failure) == (137, Failure.INFRASTRUCTURE)
        assert "memory" in (result.reason or "")

    def test_a_crash_names_its_signal(self, runner: Runner, tmp_path: Path) -> None:
        """
        Other signals are the code's own doing.
        """
        _, result = self.run(runner, self.shell(tmp_path, "kill -SEGV $$"))

        assert (result.exit_code, result.failure) == (128 + signal.SIGSEGV, Failure.CODE)
        assert "SIGSEGV" in (result.reason or "")

    def test_there_is_no_input(self, runner: Runner, tmp_path: Path) -> None:
        """
        Code that asks on standard input gets an end of file, not a wait.
        """
        lines, result = self.run(runner, self.shell(tmp_path, "cat; echo done"))

        assert (lines, result.ok) == (["done"], True)

    def test_more_than_the_system_passes_on(self, runner: Runner, tmp_path: Path) -> None:
        """
        A command that can never start is refused at once, saying why.
        """
        job = self.shell(tmp_path, f": {'x' * 40_000_000}")

        with pytest.raises(TrialInvalidError, match=r"longer.* than the system passes on"):
            runner.submit(job)

    @pytest.mark.parametrize(
        "changes",
        [{"command": "echo a\0b"}, {"environment": {"A": "b\0"}}, {"environment": {"A=B": "c"}}],
        ids=["command", "value", "name"],
    )
    def test_what_no_command_can_hold(
        self, runner: Runner, tmp_path: Path, changes: dict[str, Any]
    ) -> None:
        """
        NUL bytes and impossible names are refused at once.
        """
        job = replace(self.shell(tmp_path, "true"), **changes)

        with pytest.raises(TrialInvalidError, match="command cannot be started"):
            runner.submit(job)

    def test_output_is_seen_while_the_job_runs(self, runner: Runner, tmp_path: Path) -> None:
        """
        Complete lines come as they are written; half a line waits.
        """
        command = "echo one; printf tw; until [ -e go ]; do sleep 0.01; done; echo o"
        handle = runner.submit(self.shell(tmp_path, command))
        until(lambda: "one" in output(runner, handle))

        lines, cursor = runner.logs(handle, 0)
        assert (list(lines), runner.state(handle)) == (["one"], JobState.RUNNING)
        assert runner.wait(handle, 0.05, since=cursor) is JobState.RUNNING
        (tmp_path / "go").touch()
        finish(runner, handle)

        assert list(runner.logs(handle, cursor)[0]) == ["two"]

    def test_waiting_ends_with_a_new_line(self, runner: Runner, tmp_path: Path) -> None:
        """
        Whoever waits is told of output, not only of the end.
        """
        handle = runner.submit(self.shell(tmp_path, f"echo one; {FOREVER}"))
        start = time.monotonic()

        assert runner.wait(handle, 1000.0, since=0) is JobState.RUNNING
        assert output(runner, handle) == ["one"]
        assert time.monotonic() - start < 500
        runner.cancel(handle)

    def test_waiting_ends_with_the_job(self, runner: Runner, tmp_path: Path) -> None:
        """
        Whoever waits is told of the end at once, and not later than asked.
        """
        handle = runner.submit(self.shell(tmp_path, "until [ -e go ]; do sleep 0.01; done"))
        start = time.monotonic()

        assert runner.wait(handle, 0.05) not in ENDED  # it may not have been begun yet
        (tmp_path / "go").touch()
        assert runner.wait(handle, 1000.0) is JobState.DONE
        assert time.monotonic() - start < 500
        assert runner.result(handle) == JobResult(exit_code=0)
