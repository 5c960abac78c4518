"""
The subprocess runner beyond its contract: environment, supervisor, places.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from airflow_hpo.errors import TrialFailedError, TrialInvalidError
from airflow_hpo.model.job import Job, JobState
from airflow_hpo.model.trial import Failure
from airflow_hpo.runners import supervisor
from airflow_hpo.runners.files import Handle
from airflow_hpo.runners.subprocess import SubprocessOptions, SubprocessRunner
from airflow_hpo.testing.runners import finish, output, until

FOREVER = "while :; do echo . >> beat; sleep 0.02; done"

linux_only = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="needs /proc and subreapers"
)


@pytest.fixture(name="runner")
def _runner():
    return SubprocessRunner(SubprocessOptions())


def job(folder, command, **changes):
    """
    Return a job that runs *command* in *folder*.
    """
    made = Job(study="s", trial=0, attempt=1, workspace=str(folder), command=command)
    return replace(made, **{"grace_s": 0.2, **changes})


def run(runner, wanted):
    """
    Run a job to its end; return its output and how it ended.
    """
    handle = runner.submit(wanted)
    result = finish(runner, handle)
    return output(runner, handle), result


def beats(folder):
    """
    Return how much the folder's beat has grown to.
    """
    path = folder / "beat"
    return path.stat().st_size if path.exists() else 0


class TestEnvironment:
    """
    What a command sees of the world.
    """

    def test_python_is_this_python(self, runner, tmp_path, monkeypatch):
        """
        Without an activated virtual environment, and with output unbuffered.
        """
        monkeypatch.setenv("PATH", "/usr/bin:/bin")
        monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
        command = "command -v python || command -v python3; echo $PATH $PYTHONUNBUFFERED"

        lines, _ = run(runner, job(tmp_path, command))

        folder = str(Path(sys.executable).parent)
        assert Path(lines[0]).parent == Path(folder)
        assert lines[1] == f"{folder}:/usr/bin:/bin 1"

    def test_the_job_decides(self, runner, tmp_path):
        """
        What the job sets stays as it sets it, `PATH` included.
        """
        environment = {"PATH": "/bin:/usr/bin", "PYTHONUNBUFFERED": "", "HOME": "/nowhere"}
        command = "echo $PATH:$PYTHONUNBUFFERED:$HOME"

        lines, _ = run(runner, job(tmp_path, command, environment=environment))

        assert lines == ["/bin:/usr/bin::/nowhere"]

    def test_secrets_stay_here(self, tmp_path, monkeypatch):
        """
        Airflow's and the journal's secrets are kept back, the rest is passed on.
        """
        secret = {
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql://me:pw@db/airflow",
            "AIRFLOW__CORE__FERNET_KEY": "key",
            "AIRFLOW__API_AUTH__JWT_SECRET": "jwt",
            "AIRFLOW_CONN_HPO_DEFAULT": "postgresql://me:pw@db/hpo",
            "AIRFLOW_CONN_AWS": "aws://",
            "AIRFLOW_VAR_TOKEN": "token",
            "_AIRFLOW_WWW_USER_PASSWORD": "pw",
            "HPO_STORAGE": "postgresql://me:pw@db/hpo",
        }
        shown = {"AIRFLOW_HOME": "/airflow", "MY_VARIABLE": "mine"}
        for name, value in (secret | shown).items():
            monkeypatch.setenv(name, value)
        runner = SubprocessRunner(SubprocessOptions(pass_environment=("AIRFLOW_CONN_A*",)))
        command = "python -c 'import json, os; print(json.dumps(dict(os.environ)))'"

        lines, _ = run(runner, job(tmp_path, command))

        seen = json.loads(lines[0])
        assert {name for name in secret if name in seen} == {"AIRFLOW_CONN_AWS"}
        assert {name: seen[name] for name in shown} == shown

    def test_the_supervisor_does_not_read_the_jobs_variables(self, runner, tmp_path):
        """
        Variables that upset a Python reach the command and nothing else.
        """
        environment = {"PYTHONHOME": "/nowhere", "PYTHONPATH": "/nowhere", "LC_ALL": "C"}

        lines, result = run(runner, job(tmp_path, "echo $PYTHONHOME ü", environment=environment))

        assert (lines, result.ok) == (["/nowhere ü"], True)

    def test_bytes_that_are_no_text_pass_through(self, runner, tmp_path, monkeypatch):
        """
        A variable in an old encoding arrives byte for byte.
        """
        monkeypatch.setenv("OLD", os.fsdecode(b"\xfc\xff"))

        lines, _ = run(runner, job(tmp_path, "printf %s \"$OLD\" | od -An -tx1 | tr -d ' '"))

        assert lines == ["fcff"]

    def test_no_descriptor_of_ours_is_passed_on(self, runner, tmp_path):
        """
        A command has its three streams and no other file of this process.
        """
        reader, writer = os.pipe()
        os.set_inheritable(writer, True)  # noqa: FBT003
        try:
            lines, _ = run(runner, job(tmp_path, "ls -l /dev/fd/ | grep -c -e pipe -e socket"))
        finally:
            os.close(reader)
            os.close(writer)

        assert lines == ["1"]  # that of its own pipe

    @linux_only
    def test_signals_have_their_usual_meaning(self, runner, tmp_path):
        """
        What this process ignores or blocks does not pass on to commands.
        """
        old = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        try:
            lines, _ = run(runner, job(tmp_path, "grep -E 'Sig(Blk|Ign)' /proc/self/status"))
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
            signal.signal(signal.SIGHUP, old)

        # Signals 32 and 33 belong to the C library, which ignores them in children.
        assert [int(line.split()[1], 16) % 2**31 for line in lines] == [0, 0]


class TestPlaces:
    """
    Folders, machines, and who owns them.
    """

    def test_the_command_starts_in_its_folder(self, runner, tmp_path):
        """
        In *workdir*, or else in the workspace; strange names are no matter.
        """
        workdir = tmp_path / 'it\'s a "folder"\n$(id) ü'
        workdir.mkdir()

        assert run(runner, job(workdir, "pwd -P; ls"))[0][-1:] == ["trial.1.log"]
        lines, _ = run(runner, job(tmp_path, "pwd -P", workdir=str(workdir)))
        assert lines == str(workdir.resolve()).split("\n")

    def test_a_missing_folder_is_refused(self, runner, tmp_path):
        """
        The message names it; another attempt would not help.
        """
        with pytest.raises(TrialInvalidError, match="command starts in is missing: /no/folder"):
            runner.submit(job(tmp_path, "true", workdir="/no/folder"))

    def test_a_workspace_belongs_to_one_trial(self, runner, tmp_path):
        """
        While a job of another trial runs there, it is refused.
        """
        other = runner.submit(job(tmp_path, FOREVER, trial=7))

        with pytest.raises(TrialInvalidError, match=r"belongs to one trial.* s/7/1/trial runs"):
            runner.submit(job(tmp_path, "true"))
        runner.cancel(other)
        assert run(runner, job(tmp_path, "true"))[1].ok

    def test_a_job_on_another_machine(self, runner, tmp_path):
        """
        Nothing is known of it but its end; the message says where it started.
        """
        here = Handle.parse(runner.submit(job(tmp_path, "echo hi; exit 3")))
        finish(runner, here.text)
        there = replace(here, host="elsewhere")

        assert runner.result(there.text).exit_code == 3
        here.files.result.unlink()
        assert runner.state(there.text) is JobState.UNKNOWN
        for call in (runner.result, runner.cancel):
            with pytest.raises(TrialFailedError, match=r"not known on .* started on elsewhere"):
                call(there.text)

    def test_output_goes_to_one_file(self, runner, tmp_path):
        """
        Named after step and attempt, where a person can read it.
        """
        run(runner, job(tmp_path, "echo a; echo b >&2", step="train", attempt=3))

        assert (tmp_path / "train.3.log").read_text() == "a\nb\n"

    def test_a_job_may_empty_its_output(self, runner, tmp_path):
        """
        Writing to /dev/stdout by name truncates a file; what follows is kept.
        """
        lines, _ = run(runner, job(tmp_path, "echo lost; echo a > /dev/stdout; echo b"))

        assert lines == ["a", "b"]


class TestSupervisor:
    """
    When the process that watches over a job meets its own fate.
    """

    @linux_only
    @pytest.mark.parametrize("deaf", [False, True])
    def test_killed_it_leaves_nothing_behind(self, runner, tmp_path, deaf):
        """
        Its job counts as lost, by the machine's fault, and is ended.
        """
        command = f"""setsid sh -c '{"trap : TERM; " if deaf else ""}{FOREVER}'"""
        handle = runner.submit(job(tmp_path, command))
        until(lambda: beats(tmp_path))

        os.kill(Handle.parse(handle).pid, signal.SIGKILL)
        result = finish(runner, handle)

        assert result.failure is Failure.INFRASTRUCTURE
        assert "without leaving an exit code" in result.reason
        before = beats(tmp_path)
        time.sleep(0.2)
        assert beats(tmp_path) == before

    @linux_only
    def test_cancelling_what_was_lost(self, runner, tmp_path):
        """
        A job whose supervisor was killed is ended, and stays lost.
        """
        handle = runner.submit(job(tmp_path, FOREVER))
        until(lambda: beats(tmp_path))
        os.kill(Handle.parse(handle).pid, signal.SIGKILL)
        until(lambda: runner.state(handle) is JobState.DONE)

        runner.cancel(handle)

        before = beats(tmp_path)
        time.sleep(0.2)
        assert beats(tmp_path) == before
        assert not runner.result(handle).cancelled

    def test_asked_to_end_by_somebody_else(self, runner, tmp_path):
        """
        A shutdown ends the job in order; that is the machine's fault.
        """
        handle = runner.submit(job(tmp_path, FOREVER))
        until(lambda: beats(tmp_path))

        os.kill(Handle.parse(handle).pid, signal.SIGTERM)
        result = finish(runner, handle)

        assert result.failure is Failure.INFRASTRUCTURE
        assert "SIGTERM from outside" in result.reason
        assert not result.cancelled

    def test_stopped_it_can_be_cancelled(self, runner, tmp_path):
        """
        A supervisor that is stopped hears, and so does its job.
        """
        handle = runner.submit(job(tmp_path, FOREVER))
        until(lambda: beats(tmp_path))
        os.kill(Handle.parse(handle).pid, signal.SIGSTOP)

        runner.cancel(handle)

        assert runner.result(handle).cancelled

    def test_no_zombies_pile_up(self, runner, tmp_path):
        """
        Supervisors of ended jobs are let go, whoever starts many.
        """
        pids = []
        for attempt in range(1, 6):
            handle = runner.submit(job(tmp_path, "true", attempt=attempt))
            finish(runner, handle)
            pids.append(Handle.parse(handle).pid)

        until(lambda: (runner.state(handle), not any(map(_exists, pids)))[1])

    def test_interrupted_while_starting(self, runner, tmp_path):
        """
        Where `submit` is interrupted, no job is left running without a handle.
        """

        class InterruptionError(BaseException):
            pass

        def interrupt(*_):
            raise InterruptionError

        old = signal.signal(signal.SIGUSR1, interrupt)
        main = threading.main_thread().ident
        try:
            for delay in (0.0, 0.002, 0.005, 0.01, 0.02):
                timer = threading.Timer(delay, signal.pthread_kill, (main, signal.SIGUSR1))
                folder = tmp_path / str(delay)
                folder.mkdir()
                handle = None
                try:
                    timer.start()
                    handle = runner.submit(job(folder, FOREVER))
                    timer.join()
                except InterruptionError:
                    pass
                if handle is not None:
                    runner.cancel(handle)
                else:
                    until(lambda: _is_still(folder))  # noqa: B023 - called at once
        finally:
            signal.signal(signal.SIGUSR1, old)

    def test_the_fallback_of_ps_agrees(self):
        """
        Where there is no /proc, ps tells when a process started, and of zombies
        that they are none.
        """
        now = time.time()
        mine = supervisor._started_by_ps(os.getpid())
        child = subprocess.Popen(["true"])
        until(lambda: supervisor._started_by_ps(child.pid) is None)
        child.wait()

        assert mine <= now + 1
        assert supervisor._started_by_ps(1) < mine
        assert supervisor._started_by_ps(child.pid) is None

    def test_a_number_used_again_is_another_process(self):
        """
        The same number with another start is not the same process.
        """
        start = supervisor.started(os.getpid())

        assert supervisor.is_alive(os.getpid(), start)
        assert not supervisor.is_alive(os.getpid(), start - 100)

    def test_it_knows_nothing_of_the_package(self):
        """
        It starts in a bare interpreter, with hardly a module loaded.
        """
        code = (
            f"import sys; __name__ = None; exec(open({supervisor.__file__!r}).read()); "
            "print(*(name for name in sys.modules if name in {'typing', 'json', 'airflow_hpo'}))"
        )

        done = subprocess.run(
            [sys.executable, "-ISc", code], capture_output=True, text=True, check=True
        )

        assert done.stdout.split() == []


def _exists(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _is_still(folder):
    before = beats(folder)
    time.sleep(0.2)
    return beats(folder) == before
