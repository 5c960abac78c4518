"""
What killed processes leave behind is found, shown and mended.
"""

from __future__ import annotations

import json
import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

from airflow_hpo.blueprint import parse_blueprints
from airflow_hpo.cli.app import app
from airflow_hpo.driver import StrayKind, TrialRun, end_jobs, find_strays, mend
from airflow_hpo.model.trial import Failure, Outcome, TrialState
from airflow_hpo.storage import open_storage
from airflow_hpo.study import Study
from airflow_hpo.testing.processes import let_go, start_process

_BLUEPRINT = """
hpo: 1
name: left
objective: {metric: y, direction: minimize}
space: {x: {float: [0, 1]}}
strategy: {name: random, seed: 5}
budget: {trials: 2}
trial:
  command: "echo $$ > pid; echo '{{\\"y\\": 0.5}}'; sleep SECONDS"
  grace: 1s
"""
_WAIT_S = 60


def follow(folder: Path, seconds: float) -> None:
    """
    Run the study's first trial to its end, as a task does.
    """
    study = make(folder, seconds)
    study.ask(1, key="round")
    TrialRun(study, 0, key="task/1", artifacts=folder, log=lambda _: None).run()


def make(folder: Path, seconds: float = 60) -> Study:
    """
    Open the study in *folder*.
    """
    (blueprint,) = parse_blueprints(_BLUEPRINT.replace("SECONDS", str(seconds)))
    return Study.open(open_storage(f"sqlite:///{folder}/s.db"), "left", blueprint)


def until(probe):
    """
    Return what *probe* returns once that is true.
    """
    deadline = time.monotonic() + _WAIT_S
    while not (found := probe()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def measured(study: Study) -> bool:
    """
    Return whether the first trial has measured something.
    """
    try:
        return bool(study.storage.measurements("left", 0))
    except Exception:  # noqa: BLE001 - not asked for yet
        return False


def training(folder: Path) -> int | None:
    """
    Return the process that the trial's command is, if it runs.
    """
    try:
        pid = int(next(folder.glob("**/trials/00000/pid")).read_text())
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, ValueError, StopIteration):
        return None
    return None if state == "Z" else pid


@pytest.fixture(name="killed")
def _killed(tmp_path):
    """
    Makes a study whose first trial runs for so many seconds and whose follower was killed.
    """
    processes = []

    def make_killed(seconds: float) -> Study:
        study = make(tmp_path, seconds)
        process = start_process(partial(follow, tmp_path, seconds))
        processes.append(process)
        let_go([process])
        until(lambda: measured(study) and training(tmp_path))
        process.send_signal(signal.SIGKILL)
        process.wait()
        return study

    yield make_killed
    for process in processes:
        process.kill()
        process.wait()
    if pid := training(tmp_path):
        os.kill(pid, signal.SIGKILL)


needs_proc = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="no /proc: processes cannot be looked at"
)


@needs_proc
class TestStrays:
    """
    Each kind of stray, made by killing real processes.
    """

    def test_job_that_nobody_follows_is_ended(self, killed, tmp_path):
        """
        A job that outlived the process which followed it is ended, and its trial is told as lost;
        what it measured stays.
        """
        study = killed(60)

        (stray,) = find_strays(study, tmp_path)
        trial = mend(study, stray, artifacts=tmp_path, log=lambda _: None)

        assert stray.kind is StrayKind.UNATTENDED
        assert training(tmp_path) is None
        assert (trial.state, trial.failure) == (TrialState.FAILED, Failure.INFRASTRUCTURE)
        assert dict(trial.metrics) == {"y": 0.5}
        assert find_strays(study, tmp_path) == ()

    def test_job_can_be_followed_instead(self, killed, tmp_path):
        """
        With follow the job goes on to its end, and its trial is complete.
        """
        study = killed(3)

        (stray,) = find_strays(study, tmp_path)
        trial = mend(study, stray, artifacts=tmp_path, log=lambda _: None, follow=True)

        assert trial.state is TrialState.COMPLETE
        assert trial.values == (0.5,)
        assert trial.attempt == 1

    def test_result_that_nobody_heard_is_told(self, killed, tmp_path):
        """
        A job that ended after its follower was killed is read, not run again.
        """
        study = killed(1)
        until(lambda: training(tmp_path) is None)
        until(lambda: find_strays(study, tmp_path)[0].kind is StrayKind.UNHEARD)

        (stray,) = find_strays(study, tmp_path)
        lines = []
        trial = mend(study, stray, artifacts=tmp_path, log=lines.append)

        assert trial.state is TrialState.COMPLETE
        assert trial.values == (0.5,)
        assert '{"y": 0.5}' in lines

    def test_orphan_is_ended(self, killed, tmp_path):
        """
        A job whose trial has been told is ended, and the trial stays as it was told.
        """
        study = killed(60)
        lost = Outcome(TrialState.FAILED, reason="gone", failure=Failure.INFRASTRUCTURE)
        study.tell(0, lost, attempt=1)

        (stray,) = find_strays(study, tmp_path)
        trial = mend(study, stray, artifacts=tmp_path, log=lambda _: None)

        assert stray.kind is StrayKind.ORPHAN
        assert training(tmp_path) is None
        assert trial.reason == "gone"

    def test_end_jobs(self, killed, tmp_path):
        """
        All jobs of a trial can be ended in one go; the second time there are none.
        """
        study = killed(60)
        (trial,) = study.record().trials

        assert end_jobs(study, trial, tmp_path) == 1
        assert training(tmp_path) is None
        assert end_jobs(study, trial, tmp_path) == 0

    def test_commands(self, killed, tmp_path):
        """
        Hpo status shows the stray, hpo repair mends it, and then there is none.
        """
        study = killed(60)
        options = ["--storage", f"sqlite:///{tmp_path}/s.db", "--artifacts", str(tmp_path)]

        def say(*words: str) -> str:
            result = CliRunner().invoke(app, [*words, "left", *options])
            assert result.exit_code == 0, result.output
            return result.output

        assert "stray: #0: its job runs, but" in say("status")
        assert "#0: its job runs, but" in say("repair", "--dry-run")
        assert study.record().trials[0].state is TrialState.RUNNING
        (line,) = json.loads(say("repair", "--format", "json"))
        assert (line["trial"], line["kind"], line["state"]) == (0, "unattended", "failed")
        assert "nothing has strayed" in say("repair")
        assert "stray" not in say("status")


def test_trial_that_is_followed_is_no_stray(tmp_path):
    """
    Nothing is mended that a living process works on, nor what nobody here can know about.
    """
    study = make(tmp_path)
    study.ask(2, key="round")
    study.start(0, key="elsewhere")

    assert find_strays(study, tmp_path) == ()


def test_take_over_gives_up_what_is_unfinished(tmp_path):
    """
    If nobody works on the study any more, waiting and running trials are lost and not counted.
    """
    study = make(tmp_path)
    study.ask(2, key="round")
    study.start(0, key="elsewhere")

    strays = find_strays(study, tmp_path, take_over=True)
    for stray in strays:
        mend(study, stray, artifacts=tmp_path, log=lambda _: None)

    assert [stray.kind for stray in strays] == [StrayKind.LOST, StrayKind.WAITING]
    assert [trial.state for trial in study.record().trials] == [TrialState.FAILED] * 2
    assert study.remaining(study.record()) == 2
