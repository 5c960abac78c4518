"""
What the Docker runner alone promises, on a real engine.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace

import pytest

from airflow_hpo.errors import TrialFailedError, TrialInvalidError
from airflow_hpo.model.blueprint import RunnerSpec
from airflow_hpo.model.job import Job, JobState
from airflow_hpo.model.trial import Failure
from airflow_hpo.runners import create_runner
from airflow_hpo.testing.following import finish, output, until


def _container(handle):
    return json.loads(handle)["place"]["container"]


def _job(folder, command, **changes):
    job = Job(study="s", trial=7, attempt=2, workspace=str(folder), command=command, grace_s=0.2)
    return replace(job, **changes)


def _runner(engine, **options):
    return create_runner(RunnerSpec(name="docker", options=engine.options(poll_s=0.1, **options)))


def _run(runner, job):
    handle = runner.submit(job)
    result = finish(runner, handle)
    return output(runner, handle), result


def test_a_container_says_whose_it_is(engine, tmp_path):
    """
    Its name can be read, its labels tell study, trial, attempt and step.
    """
    runner = _runner(engine)
    handle = runner.submit(_job(tmp_path, "sleep 1000", study="my study: 1", step="two parts"))
    about = engine.client.inspect_container(_container(handle))
    runner.cancel(handle)

    labels = about["Config"]["Labels"]
    assert about["Name"].startswith("/hpo-my-study-1-7-2-two-parts-")
    assert {name: labels[f"airflow_hpo.{name}"] for name in ("study", "trial", "attempt")} == {
        "study": "my study: 1",
        "trial": "7",
        "attempt": "2",
    }
    assert labels["airflow_hpo.step"] == "two parts"
    assert labels["airflow_hpo.workspace"] == str(tmp_path)


def test_a_container_gets_what_the_options_say(engine, tmp_path, monkeypatch):
    """
    Limits, folders, variables and whatever else the Docker SDK can do.
    """
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("OUR_SECRET", "x")
    options = engine.options(
        cpus=0.5, memory="256m", shm_size="32m", user="1234:5678", pass_environment=["WANDB_*"],
        extra={"hostname": "kitchen", "cap_drop": ["ALL"]}, network="none",
    )  # fmt: skip
    options["mounts"] += [{"target": "/scratch", "size": "1m"}]
    runner = create_runner(RunnerSpec(name="docker", options=options))
    tmp_path.chmod(0o777)
    command = "id -u; id -g; hostname; echo $WANDB_MODE, $OUR_SECRET, $A; pwd; touch /scratch/x e"
    lines, result = _run(runner, _job(tmp_path, command, environment={"A": "b"}))
    handle = runner.submit(_job(tmp_path, "sleep 1000", attempt=3))
    host = engine.client.inspect_container(_container(handle))["HostConfig"]
    runner.cancel(handle)

    assert result.ok, lines
    assert lines == ["1234", "5678", "kitchen", "offline, , b", str(tmp_path)]
    assert (tmp_path / "e").stat().st_uid == 1234
    assert (host["NanoCpus"], host["Memory"]) == (500_000_000, 256 * 2**20)
    assert (host["ShmSize"], host["NetworkMode"]) == (32 * 2**20, "none")


def test_files_of_a_job_are_ours(engine, tmp_path):
    """
    Unless told otherwise a job runs as the user who submits it, and finds a home.
    """
    lines, result = _run(_runner(engine), _job(tmp_path, "id -u; touch $HOME/x mine"))

    assert (lines, result.ok) == ([str(os.getuid())], True)
    assert (tmp_path / "mine").stat().st_uid == os.getuid()


def test_a_job_sees_the_folders_that_its_variables_name(engine, tmp_path):
    """
    The study's folder and the command's are there under our paths, once each.
    """
    study, code = tmp_path / "study", tmp_path / "code"
    trial = study / "trials" / "00000"
    for folder in (trial, code, study / "shared"):
        folder.mkdir(parents=True)
    (code / "train.sh").write_text("echo trained > $OUT; cat data")
    (code / "data").write_text("data\n")
    job = _job(
        trial,
        "sh train.sh && ls ../..; pwd",
        folders=(str(study),),
        workdir=str(code),
        environment={"OUT": str(study / "shared" / "model")},
    )

    lines, result = _run(_runner(engine), job)

    assert result.ok, lines
    assert lines[0] == "data"
    assert lines[-1] == str(code)
    assert (study / "shared" / "model").read_text() == "trained\n"


def test_a_job_cannot_change_what_is_on_record(engine, tmp_path):
    """
    It may read who it is, and not write how it ended.
    """
    command = (
        "until ls .jobs/*.json 2>/dev/null; do sleep 0.1; done; "
        "rm -f .jobs/*.json; echo {} > .jobs/trial.2.result.json"
    )

    lines, result = _run(_runner(engine), _job(tmp_path, command))

    assert ".jobs/trial.2.json" in lines
    assert result.failure is Failure.CODE
    assert "Read-only file system" in (result.reason or "")


def test_a_folder_of_the_image_is_where_it_starts(engine, tmp_path):
    """
    With a workdir of the image the blueprint's own folder stays outside.
    """
    code = tmp_path / "code"
    code.mkdir()
    workspace = tmp_path / "trial"
    workspace.mkdir()
    job = _job(workspace, f"pwd; ls {code}", workdir=str(code))

    lines, result = _run(_runner(engine, workdir="/tmp"), job)

    assert lines[0] == "/tmp"
    assert result.exit_code == 1


def test_a_program_in_front_of_the_command(engine, tmp_path):
    """
    An entrypoint gets the shell as its arguments.
    """
    lines, result = _run(_runner(engine, entrypoint=["/bin/env", "X=1"]), _job(tmp_path, "echo $X"))

    assert (lines, result.ok) == (["1"], True)


def test_memory_beyond_the_limit(engine, tmp_path):
    """
    A job that the kernel kills for its limit is no fault of the code's.
    """
    body = "import sys; sys.stdout.write('begun'); sys.stdout.flush(); x = b'x' * (512 * 2**20)"
    job = _job(tmp_path, f'{sys.executable} -c "{body}"')

    lines, result = _run(_runner(engine, memory="64m"), job)

    assert lines[0] == "begun"
    assert (result.exit_code, result.failure) == (137, Failure.INFRASTRUCTURE)
    assert "short of memory" in (result.reason or "")


@pytest.mark.parametrize("pull", ["missing", "always", "never"])
def test_an_image_that_is_not_there(engine, tmp_path, pull):
    """
    Nothing starts, and the message names the image.
    """
    runner = _runner(engine, image="no-such-image-here:1", pull=pull)

    with pytest.raises(TrialInvalidError, match=r"image.*no-such-image-here:1"):
        runner.submit(_job(tmp_path, "true"))

    assert not runner.find(study="s", trial=7, workspace=str(tmp_path))


def test_an_image_without_a_shell(engine, tmp_path):
    """
    What can never start is told as that, and leaves no container behind.
    """
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "data").write_text("x")
    engine.add_image("hpo-empty:1", tree)
    options = engine.options(image="hpo-empty:1")
    runner = create_runner(RunnerSpec(name="docker", options={**options, "mounts": []}))

    with pytest.raises(TrialInvalidError, match=r"cannot be started.*/bin/sh"):
        runner.submit(_job(tmp_path, "true"))

    assert not runner.find(study="s", trial=7, workspace=str(tmp_path))


@pytest.mark.parametrize(
    "options",
    [
        {"network": "no-such-network"},
        {"extra": {"pid_mode": 3}},
    ],
    ids=["network", "extra"],
)
def test_what_the_engine_refuses(engine, tmp_path, options):
    """
    It would refuse that again: the trial is invalid.
    """
    runner = create_runner(
        RunnerSpec(name="docker", options={**engine.options(poll_s=0.1), **options})
    )

    with pytest.raises(TrialInvalidError, match="the container cannot be"):
        runner.submit(_job(tmp_path, "true"))

    assert not runner.find(study="s", trial=7, workspace=str(tmp_path))


def test_a_container_that_was_made_and_not_started(engine, tmp_path):
    """
    Who submits after one who died in between starts that container, and makes no other.
    """
    runner, job = _runner(engine), _job(tmp_path, "echo once")
    (tmp_path / ".jobs").mkdir()
    made, _ = runner._make(job)

    handle = runner.submit(job)

    assert handle == made.text
    assert finish(runner, handle).ok
    assert output(runner, handle) == ["once"]


def test_one_that_ended_before_anybody_noted_it(engine, tmp_path):
    """
    It does not run a second time: its output and its end are read.
    """
    runner, job = _runner(engine), _job(tmp_path, "echo x >> ran; echo over; exit 3")
    (tmp_path / ".jobs").mkdir()
    made, _ = runner._make(job)
    engine.client.start(_container(made.text))
    until(lambda: not engine.client.inspect_container(_container(made.text))["State"]["Running"])

    assert _run(runner, job)[0] == ["over"]
    assert (tmp_path / "ran").read_text() == "x\n"


def test_one_that_was_cancelled_before_anybody_noted_it(engine, tmp_path):
    """
    It does not start afterwards, though who made it left no word of it.
    """
    runner, job = _runner(engine), _job(tmp_path, "echo x >> ran")
    (tmp_path / ".jobs").mkdir()
    runner._make(job)

    (found,) = runner.find(study="s", trial=7, workspace=str(tmp_path))
    runner.cancel(found.handle)

    assert runner.submit(job) == found.handle
    assert finish(runner, found.handle).cancelled
    assert not (tmp_path / "ran").exists()


def test_a_job_of_another_engine(engine, tmp_path):
    """
    Of what another engine runs, nothing is known here, and nothing ended by mistake.
    """
    runner = _runner(engine)
    handle = runner.submit(_job(tmp_path, "sleep 1000"))
    elsewhere = json.loads(handle)
    elsewhere["place"] = {"container": "hpo-other", "engine": "elsewhere"}
    other = json.dumps(elsewhere)

    assert runner.state(other) is JobState.UNKNOWN
    with pytest.raises(TrialFailedError, match="it was started on elsewhere"):
        runner.cancel(other)

    runner.cancel(handle)


def test_a_paused_container_can_be_cancelled(engine, tmp_path):
    """
    Who cannot hear is woken first.
    """
    runner = _runner(engine)
    handle = runner.submit(_job(tmp_path, "echo up; trap 'echo bye; exit' TERM; sleep 1000 & wait"))
    until(lambda: "up" in output(runner, handle))
    engine.client.pause(_container(handle))
    assert runner.state(handle) is JobState.RUNNING

    runner.cancel(handle)

    assert output(runner, handle) == ["up", "bye"]
    assert runner.result(handle).cancelled
